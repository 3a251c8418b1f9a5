"""The start of a round: rewind point, retraining method, changed weights, and what stands in for the first steps."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from lth_ray.config.base import Config, ConfigError, a, maybe, number, one_of, option, whole
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.images import Data, places
from lth_ray.config.units import Length, a_length

WEIGHTS = (
    "rewound",
    "init",
    "final",
    "redrawn",
    "shuffle_global",
    "shuffle_layer",
    "shuffle_filter",
    "constant",
    "grown",
    "shrunk",
)
SIGNS = ("own", "rewound", "init", "final")
PRUNED = ("zero", "init", "grown", "shrunk")


@dataclass(frozen=True)
class Perturbation(Config):
    """New values for the weights that a mask keeps, and for those that it prunes.

    weights: of the kept ones: "rewound" (as they are), "init" (at initialisation), "final" (as the training ended that
        the mask was found by), "redrawn" (normal, with the standard deviation s of the layer's initial weights),
        "shuffle_global", "shuffle_layer" or "shuffle_filter" (kept values permuted), "constant" (+-s), "grown" (what
        the training that the mask was found by set out from, and 0 where |w| became smaller in it), "shrunk" (0 where
        |w| became larger). What became 0 stays 0 in later rounds. A parameter whose initial values are all one, as the
        scales of batch norms, is "redrawn" and "constant" at that value.
    signs: "own" come with these values; "rewound", "init" or "final" take those that the weights have there.
    flipped: the share of the kept weights of each layer whose signs are then flipped, round(flipped x kept) of them,
        chosen at random.
    noise: adds normal noise of so many s.
    pruned: what pruned weights are frozen at: "zero", "init", or the initial value only where the weight had "grown" or
        "shrunk".
    Sources: mask-1 and mask-0 actions of Zhou et al. 2019, sections 4 and 3; the perturbations of Frankle, Schwab &
    Morcos 2020, section 5; flipped signs of Gadhikar & Burkholz 2024; "final" signs on other weights of Oh et al. 2025.
    """

    weights: str = option("rewound", check=one_of(*WEIGHTS))
    _: KW_ONLY
    signs: str = option("own", check=one_of(*SIGNS))
    flipped: float = option(0.0, check=number(0, 1), absent_means=0.0)
    noise: float = option(0.0, check=number(0))
    pruned: str = option("zero", check=one_of(*PRUNED))

    @property
    def goes_on(self) -> bool:
        """True where kept weights are what the round before set out from, changed further."""
        return self.weights in ("grown", "shrunk")

    @property
    def draws(self) -> bool:
        """True where anything is left to chance, so that copies differ."""
        drawn = self.weights in ("redrawn", "constant") or self.weights.startswith("shuffle")
        return drawn or self.noise > 0 or self.flipped > 0


METHODS = ("weights", "learning_rate", "fine_tune", "continue", "scratch")
PRETRAINING = ("labels", "rotation", "random_labels")


@dataclass(frozen=True)
class Pretraining(Config):
    """Training on another task, which stands in for the first steps of the study's own.

    task: "labels" (the study's own task), "rotation" (predict by how many quarters an image is turned) or
        "random_labels".
    blur: its images are reduced and enlarged by this factor.
    images: on so many of the training images, drawn at random by Data.split_seed (a data diet; Paul et al. 2022). It
        takes as many steps as without. None for all.
    only: on these alone, by their places, as Data.only: the easy ones, say (easiest_first). None for all.
    """

    task: str = option(check=one_of(*PRETRAINING))
    _: KW_ONLY
    blur: int = option(1, check=whole(1, 4_096))
    images: int | None = option(None, check=maybe(whole(1)), absent_means=None)
    only: Sequence[int] | None = option(None, check=maybe(places), absent_means=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images is not None and self.only is not None:
            raise ConfigError(
                f"Pretraining.images = {self.images} and Pretraining.only: each says which images are trained on; "
                "leave one of them out"
            )

    def data(self, given: TaskConfig) -> Data:
        """Return the data it trains on, `given` being the study's. Raise ConfigError unless these are images."""
        if not isinstance(given, Data):
            raise ConfigError(
                f"pretraining on {self.task}: it needs images, and Study.data is a {type(given).__name__}; leave it out"
            )
        chosen: dict[str, Any] = {}
        if self.images is not None or self.only is not None:
            chosen = {"train_images": self.images, "only": self.only}
        return replace(given, target=self.task, blur=self.blur, **chosen)


@dataclass(frozen=True)
class Rewind(Config):
    """The start of each round, and how the ticket is retrained.

    point: the rewind point k; winning tickets exist only at 0.
    method: "weights" (weights and schedule of step k), "learning_rate" (final weights, schedule and data
        position of k), "fine_tune" (final weights, T - k more steps at the last rate), "continue"
        (masks come from training on without rewinding; each ticket is rewound to k and trained apart) or
        "scratch" (newly drawn weights every round, schedule and data position of k).
    masks: "weights" with method="learning_rate": masks are found by rewinding weights, in trainings of their own, and
        tickets are trained on from the round before under these (Gadhikar & Burkholz 2024); the reverse, masks of
        learning-rate rewinding on rewound weights, is method="continue". None: in the tickets' own training.
    batch_norm: of the start, the scales, shifts and running statistics of batch norms: "rewound", those at the rewind
        point, where a method goes on from final weights; "trained", those at the end of the training that the mask was
        found by, where it rewinds weights. None: as the method has the weights.
    optimizer: its state at the start, "fresh" or "restored": that of the weights, at step k or at the end of the round
        before (Renda et al. 2020, whose code restores whole checkpoints whatever the method).
    perturbation: of the weights that each round starts from; with frozen pruned weights, for all rounds to come.
    pretraining: stands in for steps 0 to k, from initialisation and at the study's first learning rate. The dense
        network is then trained from k to T, masks are found in it, and rounds rewind to the pretrained weights; an
        output layer of other size is newly drawn (Frankle, Schwab & Morcos 2020, section 6, as their code does it).
    """

    point: Length = option(check=a_length())
    _: KW_ONLY
    method: str = option("weights", check=one_of(*METHODS))
    masks: str | None = option(None, check=maybe(one_of("weights")), absent_means=None)
    batch_norm: str | None = option(None, check=maybe(one_of("rewound", "trained")), absent_means=None)
    optimizer: str = option("fresh", check=one_of("fresh", "restored"))
    perturbation: Perturbation | None = option(
        None, check=maybe(a(Perturbation, "give a Perturbation")), absent_means=None
    )
    pretraining: Pretraining | None = option(None, check=maybe(a(Pretraining, "give a Pretraining")), absent_means=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.masks is not None and self.method != "learning_rate":
            raise ConfigError(
                f"Rewind.masks = {self.masks!r}: it says by what masks of method='learning_rate' are found; with "
                f"method={self.method!r} leave it out"
            )
        self._check_batch_norm()
        if self.optimizer == "restored" and self.method == "scratch":
            raise ConfigError(
                "Rewind.optimizer = 'restored': method='scratch' draws new weights, which have none; leave it out"
            )
        if self.perturbation is not None and self.method != "weights":
            raise ConfigError(
                f"Rewind.perturbation: it is one of rewound weights; method={self.method!r} has none; leave it out"
            )
        if self.pretraining is not None and self.point.value == 0:
            raise ConfigError(
                f"Rewind.pretraining: it stands in for the steps before Rewind.point = {self.point}, and there are "
                "none; give a later point"
            )
        if self.pretraining is not None and self.optimizer == "restored":
            raise ConfigError(
                "Rewind.optimizer = 'restored': the optimizer's state after a pretraining is one of another task; "
                "leave it out"
            )

    def _check_batch_norm(self) -> None:
        own = {"weights": "rewound", "continue": "rewound", "learning_rate": "trained", "fine_tune": "trained"}
        if self.batch_norm is None:
            return
        if own.get(self.method) in (None, self.batch_norm):
            other = "'rewound'" if self.batch_norm == "trained" else "'trained'"
            what = "draws new weights" if self.method == "scratch" else "has them so by itself"
            remedy = "leave it out" if self.method == "scratch" else f"give {other}, or leave it out"
            raise ConfigError(f"Rewind.batch_norm = {self.batch_norm!r}: method={self.method!r} {what}; {remedy}")
        if self.perturbation is not None and self.perturbation.goes_on:
            raise ConfigError(
                f"Rewind.batch_norm = {self.batch_norm!r}: weights that are {self.perturbation.weights!r} go on from "
                "the round before, and batch norms with them; leave one of them out"
            )
        if self.optimizer == "restored":
            raise ConfigError(
                "Rewind.optimizer = 'restored': it is that of weights and batch norms of one step, and batch_norm = "
                f"{self.batch_norm!r} takes these from two; leave one of them out"
            )
