"""Masks and weights crossed: one seed's mask on another seed's weights."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from lth_ray.config.base import one_of, option, whole
from lth_ray.config.branches.base import Branch
from lth_ray.config.branches.controls import EXAMPLES, check_examples


@dataclass(frozen=True)
class CrossedMask(Branch):
    """The ticket's start under the mask of another seed's ticket of this round.

    Of two seeds A and B, tickets are the mask of A on the weights of A, and B on B; this gives the other two of the
    four, which tell what is in the mask from what is in the weights. There is a result for each other seed of the
    study, counted by `index` in their order; with one seed there is none.

    match: "none" leaves the mask as it is; "weights" or "activations" bring its units into the order of this seed's
        dense network, with which the other's is compared, as PermutedMask does.
    examples: training examples that "activations" are compared on; all, where there are fewer.
    """

    is_control: ClassVar[bool] = True

    match: str = option("none", check=one_of("none", "weights", "activations"))
    _: KW_ONLY
    examples: int = option(EXAMPLES, check=whole(2))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_examples(self, self.match, self.examples)
