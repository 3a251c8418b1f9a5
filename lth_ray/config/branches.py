"""Branches: experiments hung on a finished ticket."""

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from lth_ray.config.base import (
    FLAG,
    Config,
    ConfigError,
    field_table,
    many,
    mapping,
    maybe,
    nearest,
    one_of,
    option,
    whole,
)
from lth_ray.config.keys import meaning
from lth_ray.config.prune import Scoring
from lth_ray.config.rewind import PRETRAINING, Perturbation, Pretraining
from lth_ray.config.supermask import SupermaskRule
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.images import Data
from lth_ray.config.units import Length, a_length


def _branch(value: Any) -> "Branch":
    if not isinstance(value, Branch):
        raise ValueError("give branches, such as RandomReinit()")
    return value


@dataclass(frozen=True)
class Branch(Config, ABC):
    """A question asked of a finished ticket.

    A new one is a subclass and a function, see lth_ray.lottery.branches.

    rounds: the rounds it is hung on (None: all; those from 1 on where it needs a mask).
    branches: further branches, hung on this one's result.
    """

    of_dense: ClassVar[bool] = False  # whether round 0, which has no mask, has one too
    is_control: ClassVar[bool] = False  # whether tickets are compared with it: verdicts, figures, MLflow

    _: KW_ONLY
    rounds: Sequence[int] | None = option(
        None, check=maybe(many(whole(0), "give a list of rounds", distinct=True)), means=False
    )
    branches: Sequence["Branch"] = option((), check=many(_branch, "give a list of branches"), means=False)

    def parameters(self) -> dict[str, Any]:
        """Return its own fields as plain values: columns of its results."""
        return {name: value for name, value in meaning(self).items() if value is not None}

    def data(self, given: TaskConfig) -> TaskConfig | None:
        """Return the data it trains on, or None where that is `given`, the study's."""
        return None


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
            raise ConfigError(f"Rescored.changes: Scoring has no field {name!r}: {nearest(name, known)}")
        return replace(given, **self.changes)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scoring(Scoring())


@dataclass(frozen=True)
class Barrier(Branch):
    """Linear mode connectivity (Frankle et al. 2020a): the error along the line between two trained copies.

    `children` copies are trained from one state under different order and augmentation, and each two are
    compared.

    children: copies of a ticket, 100 at most; each pair of them is a result.
    points: evenly spaced on the line, both ends included.
    spawn: where the copies part (None: the ticket's rewind point); later points lie in the ticket's own
        training.
    batch_norm: running statistics on the line: "stored" (interpolated as the weights are) or "reestimate"
        (measured anew).
    initialisations: "shared", or "own": every copy is trained from an initialisation of its own, from step 0.
    align: permute the second copy's units to match the first's before (Ainsworth et al. 2022, weight
        matching): channels, hidden and recurrent units, and heads of attention as wholes. The order of inputs
        and outputs stays.
    """

    of_dense: ClassVar[bool] = True

    children: int = option(2, check=whole(2, 100), means=False)
    _: KW_ONLY
    points: int = option(30, check=whole(3, 100_000))
    spawn: Length | None = option(None, check=maybe(a_length()))
    batch_norm: str = option("stored", check=one_of("stored", "reestimate"))
    initialisations: str = option("shared", check=one_of("shared", "own"))
    align: bool = option(False, check=FLAG)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initialisations == "own" and self.spawn is not None:
            raise ConfigError(
                f"Barrier.spawn = {self.spawn}: copies of their own initialisations have none; leave it out"
            )


@dataclass(frozen=True)
class Stability(Branch):
    """Distances and angles between trained networks (Frankle et al. 2019, section 4).

    They are those of the ticket from the dense network it was found in (to pruning), and of `children` copies
    of the ticket from each other (to data order).

    children, spawn: the copies and where they part, as for Barrier.
    """

    of_dense: ClassVar[bool] = True

    children: int = option(2, check=whole(2, 100), means=False)
    _: KW_ONLY
    spawn: Length | None = option(None, check=maybe(a_length()))


@dataclass(frozen=True)
class Perturb(Perturbation, Branch):
    """The ticket trained from perturbed weights.

    What the mask does not cover (biases, batch norm, excluded layers) stays as it is in the weights that are
    perturbed.

    copies: draws for each ticket.
    at: the step of the dense training whose weights these are (None: the ticket's own start).
    trained: False only evaluates m * W as perturbed.
    """

    _: KW_ONLY
    at: Length | None = option(None, check=maybe(a_length()), absent_means=None)
    trained: bool = option(True, check=FLAG)
    copies: int = option(1, check=whole(1, 10_000), means=False)


@dataclass(frozen=True)
class Pretrain(Branch):
    """The ticket's mask, found without pretraining, on weights that another task gave.

    After Frankle, Schwab & Morcos 2020, section 6, whose own experiment, in which the mask is found from the
    pretrained weights, is Rewind(pretraining=...). The training that follows is a whole one, from step 0; an
    output layer of another size is newly drawn.

    task: "labels" (the study's own task), "rotation" (predict by how many quarters an image is turned) or
        "random_labels".
    blur: images of the pretraining are reduced and enlarged by this factor.
    length: of the pretraining, from initialisation, at the study's learning rate.
    sparse: pretrain under the ticket's mask.
    """

    task: str = option(check=one_of(*PRETRAINING))
    _: KW_ONLY
    length: Length = option(check=a_length(positive=True))
    blur: int = option(1, check=whole(1, 4_096))
    sparse: bool = option(False, check=FLAG)

    def data(self, given: TaskConfig) -> Data:
        return Pretraining(self.task, blur=self.blur).data(given)


@dataclass(frozen=True)
class Transfer(Branch):
    """The ticket trained on other data, a whole training from step 0 (Morcos et al. 2019; Ash & Adams 2019).

    changes: fields of the study's Data (or other task), such as {"name": "fashion_mnist"} or {"train_images":
        None}.
    start: "rewound" weights, or the "trained" ones (warm start). An output layer of another size is newly
        drawn.
    """

    of_dense: ClassVar[bool] = True

    changes: Mapping[str, Any] = option(check=mapping())
    _: KW_ONLY
    start: str = option("rewound", check=one_of("rewound", "trained"))

    def data(self, given: TaskConfig) -> TaskConfig:
        known = field_table(type(given))
        for name in self.changes.keys() - known.keys():
            kind = type(given).__name__
            raise ConfigError(f"Transfer.changes: {kind} has no field {name!r}: {nearest(name, known)}")
        return replace(given, **self.changes)


@dataclass(frozen=True)
class Supermask(SupermaskRule, Branch):
    """A mask learned over untrained weights, which stay as they are (Zhou et al. 2019, section 5).

    Hung on a ticket, only weights that its mask keeps take part.

    train: fields of Train for learning the scores, such as {"lr": 100.0}.
    copies: draws for each ticket.
    """

    of_dense: ClassVar[bool] = True

    _: KW_ONLY
    rounds: Sequence[int] | None = option(
        (0,), check=maybe(many(whole(0), "give a list of rounds", distinct=True)), means=False
    )
    train: Mapping[str, Any] = option({}, check=mapping())
    copies: int = option(1, check=whole(1, 10_000), means=False)

    def parameters(self) -> dict[str, Any]:
        """Return its fields, the method as the column "supermask": a lineage has a method, too."""
        return {"supermask" if name == "method" else name: value for name, value in super().parameters().items()}


@dataclass(frozen=True)
class Weights(Branch):
    """The initial weights that survive, and the distances that weights have moved when the mask is found.

    Distances are from initialisation, those of the weights that it keeps and of those that it prunes (Frankle
    & Carbin 2019, appendix F).

    bins: of the histograms.
    """

    bins: int = option(40, check=whole(1, 100_000))


@dataclass(frozen=True)
class MaskOverlap(Branch):
    """The ticket's mask against those of the study's other seeds at the same round."""
