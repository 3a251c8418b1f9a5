"""Controls of a ticket: its mask on other weights, and its weights under other masks."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from lth_ray.config.base import ConfigError, field_table, mapping, maybe, no_field, one_of, option, whole
from lth_ray.config.branches.base import Branch
from lth_ray.config.prune import Scoring

EXAMPLES = 2_000  # of the training set, on which units are compared by what they do


@dataclass(frozen=True)
class RandomReinit(Branch):
    """The ticket's mask on newly drawn initial weights (Frankle & Carbin 2019, section 2).

    copies: draws for each ticket.
    length: "ticket" trains it from the rewind point k to T, as long as the ticket and at its place in
        schedule and data; "whole" from 0 to T, as a network in use would be. At k = 0 they are the same.
    """

    is_control: ClassVar[bool] = True

    copies: int = option(1, check=whole(1, 10_000), means=False)
    _: KW_ONLY
    length: str = option("ticket", check=one_of("ticket", "whole"), absent_means="ticket")


@dataclass(frozen=True)
class RandomMask(Branch):
    """The ticket's rewind weights under a random mask with the same number of weights in each layer.

    copies: draws for each ticket.
    """

    is_control: ClassVar[bool] = True

    copies: int = option(1, check=whole(1, 10_000), means=False)


@dataclass(frozen=True)
class ShuffledMask(Branch):
    """The ticket's own mask, its entries permuted.

    copies: draws for each ticket.
    scope: "global" over all prunable weights (Morcos et al. 2019), so that layer densities even out; "layer"
        within each layer; "filter" within each output unit, whose number of inputs is kept.
    """

    is_control: ClassVar[bool] = True

    scope: str = option("global", check=one_of("global", "layer", "filter"))
    _: KW_ONLY
    copies: int = option(1, check=whole(1, 10_000), means=False)


@dataclass(frozen=True)
class Cyclic(Branch):
    """The ticket's mask on its rewind weights, trained through the study's whole schedule several times in a row: is
    it the repeated training of iterative pruning that helps, rather than its masks? (Gadhikar et al. 2024)

    It is a whole training, from step 0, as Train(cycles=) has it. Hung on RandomMask it trains a mask that nothing was
    trained to find; the paper's are those of pruning at initialisation, for which an arm sets Prune.at and
    Train(length=, cycles=).

    cycles: None for the round's number and one, by which it takes as many steps of training as iterative pruning has
        by then, the dense network's among them. Its operations are fewer, as each cycle has the final mask.
    """

    is_control: ClassVar[bool] = True

    cycles: int | None = option(None, check=maybe(whole(1, 10_000)))


@dataclass(frozen=True)
class PermutedMask(Branch):
    """The ticket's mask on another initialisation, its units in the order of that network's (Adnan et al. 2025).

    A dense network is trained from new weights, under an order and augmentation of its own, and the ticket's dense
    network is matched with it: for each unit of the one the unit of the other that is most like it. The mask takes the
    same order, and is trained from the other network's rewind point, with the schedule of a ticket there.

    match: "weights" (Ainsworth et al. 2022), "activations" on training examples, whose correlations are compared, or
        "none", the control: the mask as it is.
    examples: training examples that "activations" are compared on; all, where there are fewer.
    copies: other initialisations, the same for every `match` and round.
    """

    is_control: ClassVar[bool] = True

    match: str = option("activations", check=one_of("weights", "activations", "none"))
    _: KW_ONLY
    examples: int = option(EXAMPLES, check=whole(2))
    copies: int = option(1, check=whole(1, 10_000), means=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_examples(self, self.match, self.examples)


def check_examples(branch: Branch, match: str, examples: int) -> None:
    """Raise ConfigError where examples are stated and units are not matched by what they do on them."""
    if match != "activations" and examples != EXAMPLES:
        who = type(branch).__name__
        raise ConfigError(f"{who}.examples = {examples}: match={match!r} looks at none; leave it out")


@dataclass(frozen=True)
class Rescored(Branch):
    """The ticket's start under the mask that its rule finds by other scores, at the ticket's own density.

    It is a sanity check of a criterion (Su et al. 2020; Frankle et al. 2021), which asks whether inverted
    scores, or those of spoilt examples, find masks that are as good.

    changes: fields of Scoring, such as {"invert": True} or {"data": "random_labels"}.
    copies: draws of what is exchanged.
    """

    is_control: ClassVar[bool] = True

    changes: Mapping[str, Any] = option(check=mapping())
    _: KW_ONLY
    copies: int = option(1, check=whole(1, 10_000), means=False)

    def scoring(self, given: Scoring) -> Scoring:
        """Return what scores are taken from, `given` being the study's."""
        known = field_table(Scoring)
        for name in self.changes.keys() - known.keys():
            raise ConfigError(f"Rescored.changes: {no_field(Scoring, name)}")
        return replace(given, **self.changes)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scoring(Scoring())
