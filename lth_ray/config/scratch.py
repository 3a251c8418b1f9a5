"""Training a pruned network from scratch, by the length that the dense network's compute would pay for."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from lth_ray.config.base import ConfigError, maybe, one_of, option, whole
from lth_ray.config.branches import Branch
from lth_ray.config.units import Length, a_length


@dataclass(frozen=True)
class Scratch(Branch):
    """The ticket's architecture trained from scratch, as a network of its size would be (Liu et al. 2019).

    Its mask, on weights that are newly drawn as the study draws them, but by the number of inputs that a layer has
    left: fan-in, and fan-out where Model.init asks for that, are those of the small network. The training is a whole
    one, from step 0.

    budget: "epochs" trains it as long as the dense network (Scratch-E); "flops" as long as that many operations of the
        small network last (Scratch-B): int(epochs x F / F'), F the dense network's operations for an example and F' the
        small one's, with milestones at the same shares of the training, in whole epochs where lengths are stated in
        epochs; "linear" and "cosine" schedules end where it ends. F' is known when the ticket is finished: until then
        a plan counts the steps of "epochs".
    at_most: the longest that "flops" may make it.
    initialisation: "small", or "full": weights as large as those of the dense network's start.
    copies: draws for each ticket.
    """

    is_control: ClassVar[bool] = True

    budget: str = option("epochs", check=one_of("epochs", "flops"))
    _: KW_ONLY
    at_most: Length | None = option(None, check=maybe(a_length(positive=True)))
    initialisation: str = option("small", check=one_of("small", "full"))
    copies: int = option(1, check=whole(1, 10_000), means=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at_most is not None and self.budget != "flops":
            raise ConfigError(f"Scratch.at_most = {self.at_most}: only budget='flops' makes it longer; leave it out")
        if self.branches and self.budget == "flops":
            raise ConfigError(
                "Scratch.branches: where a training of budget='flops' ends is known when its ticket is finished, and "
                "branches are planned before; hang them on budget='epochs'"
            )
