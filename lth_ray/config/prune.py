"""The pruning rule of a study: how masks are found."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from lth_ray.config.base import FLAG, Config, ConfigError, a, many, mapping, maybe, number, one_of, option, text, whole
from lth_ray.config.dynamic import Dynamic
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
CRITERIA = ("magnitude", "bn_scale", "random", *_ENDS, *_SIGNED, "snip", "grad")


def _fraction(value: Any) -> float | dict[str, float]:
    share = number(0, 1, open_low=True, open_high=True)
    if isinstance(value, Mapping):
        if not value:
            raise ValueError("give at least one glob of parameter names")
        return dict(mapping(share)(value))
    return float(share(value))


@dataclass(frozen=True)
class Prune(Config):
    """The pruning rule.

    criterion: one of CRITERIA, see lth_ray.pruning.criteria; "large_final" is "magnitude" under its other name.
        "bn_scale" prunes channels, those of the lowest |scale| of their batch norm (Liu et al. 2017): the scale,
        the norm's bias, and the rows of the convolution that it alone normalises. Counts and `fraction` are then
        of channels, and `include` and `exclude` match names of scales.
    scope: "global" ranks the weights of all layers together, "layer" each layer's apart.
    fraction: share of the *remaining* weights pruned in a round; a dict {glob of parameter names: share}
        needs scope="layer" and must match every prunable parameter once.
    rounds: rounds after the dense round 0.
    include, exclude: globs over parameter names; conv and linear weights are pruned, what `include` matches as well
        (biases, normalisations), and nothing that `exclude` matches.
    one_shot: round r prunes the dense run's final weights once, to the count that r rounds would leave.
    at: the step whose weights give the mask of round 1 (with one_shot that of every round), and where the dense network
        of round 0 ends: steps(0) prunes initial or pretrained weights without training them. No rewind point may be
        later. Of no step, round 0 is measured only, and reports compare nothing with it. Gradients ("snip", "grad")
        are those at its weights. None: the last step, T, and for gradients the initial weights.
    ties: which of equal scores go first: "lowest" flat index, or "random" ones, as in Zhou et al. 2019.
    dynamic: how the mask of a round changes while the round is trained (dynamic sparse training), from the mask
        that this rule gives; the ticket's mask is the one it ends with. With at=steps(0) there is no dense
        training, and with one_shot each round has a mask of its own density from there. None: masks stay.
    search_precision: masks are found in trainings of their own in this precision (see Train.precision), from the dense
        network's on, and tickets rewind to what these were at step k: "bf16" or "bfp8" search cheaply for tickets that
        are trained in Train.precision. Round 0 stays the dense network in Train.precision. None: masks are found in
        the tickets' own training.
    """

    criterion: str = option("magnitude", check=one_of(*CRITERIA))
    _: KW_ONLY
    scope: str = option("global", check=one_of("global", "layer"))
    fraction: float | Mapping[str, float] = option(check=_fraction)
    rounds: int = option(check=whole(0, 10_000), means=False)
    include: Sequence[str] = option((), check=many(text("give globs")))
    exclude: Sequence[str] = option((), check=many(text("give globs")))
    one_shot: bool = option(False, check=FLAG)
    ties: str = option("lowest", check=one_of("lowest", "random"), absent_means="lowest")
    at: Length | None = option(None, check=maybe(a_length()), absent_means=None)
    dynamic: Dynamic | None = option(None, check=maybe(a(Dynamic, "give a Dynamic")), absent_means=None)
    search_precision: str | None = option(None, check=maybe(precision), absent_means=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.fraction, Mapping) and self.scope != "layer":
            raise ConfigError(f"Prune.scope = {self.scope!r}: fractions per parameter need scope='layer'")
        if self.dynamic is not None and self.search_precision is not None:
            raise ConfigError(
                f"Prune.search_precision = {self.search_precision!r}: a mask that changes while its ticket is trained "
                "(Prune.dynamic) is found in that training; give Train.precision instead"
            )
