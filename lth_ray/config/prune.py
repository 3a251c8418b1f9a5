"""The pruning rule of a study: how masks are found."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from lth_ray.config.architectures import ARCHITECTURES
from lth_ray.config.base import FLAG, Config, ConfigError, a, many, mapping, maybe, number, one_of, option, text, whole
from lth_ray.config.dynamic import Dynamic, EarlyBird
from lth_ray.config.precision import precision
from lth_ray.config.units import Length, a_length

_ENDS = (
    "large_final",
    "small_final",
    "large_init",
    "small_init",
    "large_init_large_final",
    "small_init_small_final",
    "magnitude_increase",
    "movement",
)
_SIGNED = tuple(f"{criterion}_{sign}_sign" for criterion in _ENDS for sign in ("same", "diff"))
CRITERIA = ("magnitude", "bn_scale", "random", *_ENDS, *_SIGNED, "snip", "grad", "grasp", "grasp_abs", "synflow")
UNIT_CRITERIA = ("l1", "l2", "geometric_median", "taylor", "thinet")  # of units alone
STRUCTURES = ("channels", "heads", "neurons", "units")
DENSITIES = ("uniform", "erk", "smart_ratio", "smart_ratio_vgg")


def _fraction(value: Any) -> float | dict[str, float]:
    share = number(0, 1, open_low=True, open_high=True)
    if isinstance(value, Mapping):
        if not value:
            raise ValueError("give at least one glob of parameter names")
        return dict(mapping(share)(value))
    return float(share(value))


def _keep(value: Any) -> str | dict[str, float | int]:
    if not isinstance(value, Mapping):
        return str(one_of(*ARCHITECTURES)(value))
    if not value:
        raise ValueError("give at least one glob of names of layers")
    share = number(0, 1, open_low=True)
    return {glob: whole(1)(one) if type(one) is int else share(one) for glob, one in mapping()(value).items()}


def _densities(value: Any) -> str | dict[str, float]:
    if isinstance(value, Mapping):
        if not value:
            raise ValueError("give at least one glob of parameter names")
        return dict(mapping(number(0, open_low=True))(value))
    return str(one_of(*DENSITIES)(value))


@dataclass(frozen=True)
class Scoring(Config):
    """The examples and the mode of the network that a criterion's scores are taken from.

    mode: of the network, for gradients of the loss: in "train" batch norms take the statistics of the examples that are
        scored by, in "eval" their running ones. There is no dropout in either. "synflow" looks at no statistics of
        examples.
    per_class: examples of each class in a batch, the first ones in the order of training, without augmentation. None
        takes the first ones as they come: a batch of training, or ten a class where that is more.
    batches: gradients are those of the mean loss over so many batches, each of other examples.
    data: "all"; or for sanity checks (Su et al. 2020) "half" of the examples of each batch, "random_labels"
        (exchanged among its examples), or "random_pixels" (the places in each image exchanged, those of every image
        otherwise).
    invert: prune the highest scores instead of the lowest (Frankle et al. 2021, section 5).
    """

    mode: str = option("train", check=one_of("train", "eval"), absent_means="train")
    _: KW_ONLY
    per_class: int | None = option(None, check=maybe(whole(1)), absent_means=None)
    batches: int = option(1, check=whole(1, 100_000), absent_means=1)
    data: str = option("all", check=one_of("all", "half", "random_labels", "random_pixels"), absent_means="all")
    invert: bool = option(False, check=FLAG, absent_means=False)


def _point(value: Any) -> Length | EarlyBird:
    return value if isinstance(value, EarlyBird) else a_length()(value)


@dataclass(frozen=True)
class Prune(Config):
    """The pruning rule.

    criterion: one of CRITERIA, see lth_ray.pruning.criteria; "large_final" is "magnitude" under its other name.
        "bn_scale" prunes channels, those of the lowest |scale| of their batch norm (Liu et al. 2017): the scale,
        the norm's bias, and the rows of the convolution that it alone normalises. Counts and `fraction` are then
        of channels, and `include` and `exclude` match names of scales. With `structure`, one of UNIT_CRITERIA as
        well, see lth_ray.pruning.structured.
    scope: "global" ranks the weights of all layers together, "layer" each layer's apart; "stage" the units of all
        layers whose images are of one size.
    structure: prune whole units: "channels", "heads" (of attention), "neurons" (of linear and recurrent layers) or
        "units", all of these. `fraction`, `remaining` and all counts are then of units. A unit goes with every tensor's
        slice that belongs to it, biases, normalisations and what the next layers read of it included; units that a
        shortcut adds, a group of a convolution shares or a head consists of are one. `include` and `exclude` match
        names of weights that make units: of layers of other structures, and of layers that are left. A layer is called
        by the first weight that makes its units, a stage by the size of its images, such as "16x16". None prunes single
        weights.
    coupled: "mean" or "sum" of the scores that the several weights which make a unit give it (behind a shortcut).
    may_empty_layers: a layer may lose its last unit; otherwise each keeps its best one.
    fraction: share of the *remaining* weights pruned in a round; a dict {glob of parameter names: share}
        needs scope="layer" and must match every prunable parameter once.
    rounds: rounds after the dense round 0. Of a ladder of densities the first so many; None for all of them.
    remaining: a ladder of densities in the place of `fraction`, such as [0.5, 0.1, 0.01]: round r keeps that share of
        all weights that may be pruned, each found from one state, that of the dense network at `at`.
    keep: what each layer keeps, in the place of `fraction`, for one round: {glob of names of layers: a number, or a
        share of all it has, of which int(share x all) are kept, at least one}, or one of ARCHITECTURES by its name,
        such as "vgg16_a" (see lth_ray.config.architectures). Layers that no glob matches stay whole. It needs
        scope="layer".
    densities: how `remaining` is spread over the layers, of which each then ranks its own (scope="layer"): "uniform",
        the same in each; "erk" (Erdos-Renyi-Kernel, Evci et al. 2020); "smart_ratio" or, for VGG, "smart_ratio_vgg" (Su
        et al. 2020); or {glob of parameter names: density}, of which every density of the ladder is made by one factor.
        None: with scope="global" by the scores, with scope="layer" the same in each. With the criterion "random" they
        are random masks of these densities.
    iterations: n steps of scoring in a round, each under the mask of the step before. Of a round that keeps the share
        1/c of the weights there were, step k keeps c^(-k/n) (Tanaka et al. 2020, algorithm 1).
    in_turn: layers are pruned one after another, in the order of registration, each scored in the network without what
        has gone of those before it (scope="layer").
    rescale: with "thinet", what is left of a layer's units is multiplied, in the weights of the next layer, by the
        least-squares factors that rebuild its outputs best. This is done to weights that are inherited, by
        Rewind(method="fine_tune", "learning_rate" or "continue"), before they are trained on, and with `in_turn` also
        before the next layer is scored.
    scoring: the examples and the mode of the network by which gradients are taken: a Scoring.
    include, exclude: globs over parameter names; conv and linear weights are pruned, what `include` matches as well
        (biases, normalisations), and nothing that `exclude` matches.
    one_shot: round r prunes the dense run's final weights once, to the count that r rounds would leave.
    at: the step whose weights give the mask of round 1 (with one_shot, and of a ladder, that of every round), and where
        the dense network of round 0 ends unless it is rewound to a later one: steps(0) prunes initial or pretrained
        weights without training them. Of no step, round 0 is measured only, and reports compare nothing with it.
        Gradients ("snip", "grad", "grasp") are those at its weights. None: the last step, T, and for gradients the
        initial weights. An EarlyBird draws the mask at the first epoch whose masks agree, and ends the dense training
        there.
    whole_dense: train the dense network of round 0 on from `at` to T all the same, so that tickets are compared with
        it; lineages share it.
    ties: which of equal scores go first: "lowest" flat index, or "random" ones, as in Zhou et al. 2019.
    dynamic: how the mask of a round changes while the round is trained (dynamic sparse training), from the mask
        that this rule gives; the ticket's mask is the one it ends with. With at=steps(0) there is no dense
        training, and with one_shot each round has a mask of its own density from there. None: masks stay.
    search_precision: masks are found in trainings of their own in this precision (see Train.precision), from the dense
        network's on, and tickets rewind to what these were at step k: "bf16" or "bfp8" search cheaply for tickets that
        are trained in Train.precision. Round 0 stays the dense network in Train.precision. None: masks are found in
        the tickets' own training.
    """

    criterion: str = option("magnitude", check=one_of(*CRITERIA, *UNIT_CRITERIA))
    _: KW_ONLY
    scope: str = option("global", check=one_of("global", "layer", "stage"))
    structure: str | None = option(None, check=maybe(one_of(*STRUCTURES)), absent_means=None)
    coupled: str = option("mean", check=one_of("mean", "sum"), absent_means="mean")
    may_empty_layers: bool = option(False, check=FLAG, absent_means=False)
    fraction: float | Mapping[str, float] | None = option(None, check=maybe(_fraction))
    rounds: int | None = option(None, check=maybe(whole(0, 10_000)), means=False)
    remaining: Sequence[float] | None = option(
        None, check=maybe(many(number(0, 1, open_low=True), "give a list of densities", at_least=1, distinct=True)),
        means=False,
    )  # fmt: skip
    densities: str | Mapping[str, float] | None = option(None, check=maybe(_densities), absent_means=None)
    keep: str | Mapping[str, float | int] | None = option(None, check=maybe(_keep), absent_means=None)
    iterations: int = option(1, check=whole(1, 100_000), absent_means=1)
    in_turn: bool = option(False, check=FLAG, absent_means=False)
    rescale: bool = option(False, check=FLAG, absent_means=False)
    scoring: Scoring = option(Scoring(), check=a(Scoring, "give a Scoring"), absent_means=Scoring())
    include: Sequence[str] = option((), check=many(text("give globs")))
    exclude: Sequence[str] = option((), check=many(text("give globs")))
    one_shot: bool = option(False, check=FLAG)
    ties: str = option("lowest", check=one_of("lowest", "random"), absent_means="lowest")
    at: Length | EarlyBird | None = option(None, check=maybe(_point), absent_means=None)
    whole_dense: bool = option(False, check=FLAG, means=False)
    dynamic: Dynamic | None = option(None, check=maybe(a(Dynamic, "give a Dynamic")), absent_means=None)
    search_precision: str | None = option(None, check=maybe(precision), absent_means=None)

    @property
    def num_rounds(self) -> int:
        """Rounds after the dense round 0."""
        whole = len(self.remaining or ()) if self.keep is None else 1
        return self.rounds if self.rounds is not None else whole

    @property
    def covers_constants(self) -> bool:
        """True where masks may cover what no initialisation draws: the scales of batch norms, biases of zero."""
        return bool(self.structure or self.include) or self.criterion == "bn_scale"

    @property
    def from_dense(self) -> bool:
        """True where every round's mask is found in the dense network, and not in the round before."""
        return self.one_shot or self.remaining is not None

    def density(self, number: int) -> float | None:
        """Return what round `number` of a ladder keeps; None for the dense round, and where there is no ladder."""
        return self.remaining[number - 1] if self.remaining is not None and number else None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_ladder()
        self._check_structure()
        if isinstance(self.fraction, Mapping) and self.scope == "global":
            raise ConfigError(f"Prune.scope = {self.scope!r}: fractions per parameter need scope='layer'")
        if self.dynamic is not None and self.search_precision is not None:
            raise ConfigError(
                f"Prune.search_precision = {self.search_precision!r}: a mask that changes while its ticket is trained "
                "(Prune.dynamic) is found in that training; give Train.precision instead"
            )

    def _check_ladder(self) -> None:
        given = self.remaining
        if self.keep is not None:
            self._check_keep()
            return
        if given is None:
            for name in ("fraction", "rounds"):
                if getattr(self, name) is None:
                    raise ConfigError(f"Prune needs the field {name!r}")
            if self.densities is not None:
                raise ConfigError(f"Prune.densities = {self.densities!r}: it spreads a density; give `remaining`")
            return
        if self.fraction is not None or self.one_shot:
            raise ConfigError(
                f"Prune.remaining = {list(given)}: a ladder of densities takes the place of fraction and of one_shot; "
                "leave them out"
            )
        if self.rounds is not None and self.rounds > len(given):
            raise ConfigError(
                f"Prune.rounds = {self.rounds}: Prune.remaining has {len(given)} densities; leave rounds out"
            )
        if self.densities is not None and self.scope != "layer":
            raise ConfigError(f"Prune.scope = {self.scope!r}: densities of layers need scope='layer'")

    def _check_keep(self) -> None:
        for name in ("fraction", "remaining", "densities", "one_shot"):
            if getattr(self, name):
                raise ConfigError(
                    f"Prune.{name} = {getattr(self, name)!r}: Prune.keep takes its place; leave one of them out"
                )
        if self.scope != "layer":
            raise ConfigError(f"Prune.scope = {self.scope!r}: what each layer keeps needs scope='layer'")
        if self.num_rounds > 1:
            raise ConfigError(f"Prune.rounds = {self.rounds}: what Prune.keep leaves is found in one round; give 1")

    def _check_structure(self) -> None:
        if self.in_turn and self.scope != "layer":
            raise ConfigError(
                f"Prune.scope = {self.scope!r}: layers that are pruned in turn rank their own; give "
                "scope='layer', or leave in_turn out"
            )
        if self.rescale and self.criterion != "thinet":
            raise ConfigError(
                f"Prune.rescale = True: the factors are ThiNet's, and criterion = {self.criterion!r}; leave it out"
            )
        if self.structure is None:
            for wrong, what in {
                self.criterion in UNIT_CRITERIA: f"criterion = {self.criterion!r}: it ranks units",
                self.scope == "stage": "scope = 'stage': stages are of units",
                self.coupled != "mean": f"coupled = {self.coupled!r}: units are made by several weights",
                self.may_empty_layers: "may_empty_layers = True: it is about units",
            }.items():
                if wrong:
                    raise ConfigError(f"Prune.{what}, and weights are pruned one by one; give structure='channels'")
            return
        if self.dynamic is not None or self.densities is not None:
            field = "dynamic" if self.dynamic is not None else "densities"
            raise ConfigError(
                f"Prune.{field}: it is about single weights, and structure = {self.structure!r}; leave it out"
            )
        if self.criterion == "thinet" and self.scope != "layer":
            raise ConfigError(
                f"Prune.scope = {self.scope!r}: 'thinet' orders the units of each layer apart; give scope='layer'"
            )
