"""Perturbed weights: what a ticket is made of besides its mask.

After Zhou et al. 2019, sections 3 and 4; Frankle, Schwab & Morcos 2020, section 5.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from lth_ray.config import ConfigError
from lth_ray.config.rewind import Perturbation
from lth_ray.data.order import normal, uniform
from lth_ray.pruning.controls import SCOPES, shuffled_values
from lth_ray.pruning.evidence import alike

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Given:
    """The arguments of `perturb` that new values are made from; those that are not needed are empty."""

    rewound: State
    mask: State
    initial: State
    final: State
    seed: int
    before: State  # what the training that the mask was found by set out from

    def scale(self, name: str) -> torch.Tensor:
        """Return the standard deviation of a parameter's initial weights, pruned ones included: float64 []."""
        return self.initial[name].double().std(correction=0)

    def is_constant(self, name: str) -> bool:
        """Return whether a parameter's initial values are all one, as a batch norm's scales: none was drawn."""
        values = self.initial[name].flatten()
        return bool(len(values)) and bool((values == values[0]).all())

    def drawn(self, draw: Callable[[int, str, int], torch.Tensor], use: str, name: str) -> torch.Tensor:
        """Return numbers of the parameter's shape, on its device; number i depends on (seed, use, name, i)
        alone.
        """
        like = self.rewound[name]
        return draw(self.seed, f"{use}/{name}", like.numel()).view(like.shape).to(like.device)


Values = Callable[[Given], dict[str, torch.Tensor]]  # for all places of each parameter


def _zero(given: Given) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(given.rewound[name]) for name in given.mask}


def _rewound(given: Given) -> dict[str, torch.Tensor]:
    return {name: given.rewound[name] for name in given.mask}


def _init(given: Given) -> dict[str, torch.Tensor]:
    return {name: given.initial[name] for name in given.mask}


def _final(given: Given) -> dict[str, torch.Tensor]:
    return {name: given.final[name] for name in given.mask}


def _redrawn(given: Given) -> dict[str, torch.Tensor]:
    return {
        name: given.initial[name]
        if given.is_constant(name)
        else given.drawn(normal, "redrawn", name) * given.scale(name)
        for name in given.mask
    }


def _constant(given: Given) -> dict[str, torch.Tensor]:
    """Return plus or minus the layer's standard deviation, at random."""
    return {name: given.initial[name] if given.is_constant(name) else _signed(given, name) for name in given.mask}


def _signed(given: Given, name: str) -> torch.Tensor:
    scale = given.scale(name)
    return torch.where(given.drawn(uniform, "sign", name) < 0.5, -scale, scale)


def _grown(given: Given) -> dict[str, torch.Tensor]:
    """Return what training set out from, zero where it moved towards zero."""
    return {name: start.where(start.abs() <= given.final[name].abs(), 0.0) for name, start in given.before.items()}


def _shrunk(given: Given) -> dict[str, torch.Tensor]:
    """Return the reversal: zero where it moved away from zero. What did not move stays in both."""
    return {name: start.where(start.abs() >= given.final[name].abs(), 0.0) for name, start in given.before.items()}


def _shuffled(scope: str) -> Values:
    return lambda given: shuffled_values(given.rewound, given.mask, given.seed, scope)


VALUES: dict[str, Values] = {
    "zero": _zero,
    "rewound": _rewound,
    "init": _init,
    "final": _final,
    "redrawn": _redrawn,
    "constant": _constant,
    "grown": _grown,
    "shrunk": _shrunk,
    **{f"shuffle_{scope}": _shuffled(scope) for scope in SCOPES},
}
_INITIAL, _FINAL = frozenset({"initial"}), frozenset({"final"})
_BOTH = _INITIAL | _FINAL
_NEEDS = {
    "init": _INITIAL,
    "final": _FINAL,
    "redrawn": _INITIAL,
    "constant": _INITIAL,
    "grown": _BOTH,
    "shrunk": _BOTH,
}
_REMEDIES = {
    "initial": "the state dict at initialisation",
    "final": "the state dict at the end of the training that the mask was found by",
}


def needs_of(rule: Perturbation) -> frozenset[str]:
    """Return those of "initial" and "final" that `perturb` needs with the rule's options."""
    return frozenset().union(*_needs(rule).values())


def perturb(
    state: State,
    mask: State,
    *,
    weights: str = "rewound",
    signs: str = "own",
    flipped: float = 0.0,
    noise: float = 0.0,
    pruned: str = "zero",
    initial: State | None = None,
    final: State | None = None,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """Return a new state dict, with new values for the parameters that the mask covers; all else is a copy.

    weights: of kept weights, s being the standard deviation of the layer's initial weights: "rewound", those of
        `state`; "init", of `initial`; "final", of `final`; "redrawn", normal with standard deviation s;
        "shuffle_global", "shuffle_layer" and "shuffle_filter", those of `state` permuted over all, within each
        parameter or output unit; "constant", +s or -s; "grown", of `state`, and 0 where |final| < |state|; "shrunk", 0
        where |final| > |state|. A parameter whose initial values are all one is "redrawn" and "constant" at that.
    signs: "own" come with these values (a constant's are random); "rewound", "init" and "final" are those at the same
        place of `state`, `initial` and `final` (of a zero: plus).
    flipped: the share of each parameter's kept weights whose signs are then flipped, round(flipped x kept) of them.
    noise: adds N(0, (noise s)^2) to kept weights, after the signs, which it may flip.
    pruned: what pruned weights hold: "zero", "init", "grown" or "shrunk", as above, and of `initial` where kept
        weights are not "grown" or "shrunk"; under the last two, what ended exactly at that value or at zero, as a
        weight frozen in an earlier round, stays there.
    initial, final: the state dicts at initialisation, and at the end of the training that the mask was found by.
    seed: of all draws; each parameter has its own, by name, whatever the order of parameters.
    Zeros are +0.0. Errors: ConfigError for an unknown option, a state dict that it needs and that is missing or of
    another network, a mask of another network.
    """
    chosen = Perturbation(weights, signs=signs, flipped=flipped, noise=noise, pruned=pruned)
    needed = _needs(chosen)
    given = _given(state, mask, {"initial": initial, "final": final}, needed, seed)
    given = replace(given, before=given.rewound) if chosen.goes_on else given
    kept, frozen = VALUES[weights](given), _frozen(given, pruned)
    signed = kept if signs == "own" else VALUES[signs](given)
    kept = {name: value.abs().copysign(signed[name] + 0.0) for name, value in kept.items()}
    if flipped:
        kept = {name: torch.where(_flips(given, name, flipped), -value, value) for name, value in kept.items()}
    if noise:
        kept = {n: v + noise * given.scale(n) * given.drawn(normal, "noise", n) for n, v in kept.items()}
    new = {name: torch.where(given.mask[name], kept[name], frozen[name]) + 0.0 for name in mask}  # -0.0 + 0.0 is 0.0
    return {name: new[name].to(value) if name in new else value.clone() for name, value in state.items()}


def _flips(given: Given, name: str, share: float) -> torch.Tensor:
    """Return where signs are flipped: at round(share x kept) random places among the kept ones."""
    keeps = given.mask[name]
    places = given.drawn(uniform, "flip", name).masked_fill(~keeps, 2.0).flatten().argsort(stable=True)
    found = torch.zeros_like(keeps).flatten()
    found[places[: round(share * int(keeps.count_nonzero()))]] = True
    return found.view(keeps.shape)


def _frozen(given: Given, pruned: str) -> dict[str, torch.Tensor]:
    """Return values for pruned weights.

    Round after round: those frozen before did not train, which says nothing new.
    """
    values = VALUES[pruned](given)
    if "final" not in _NEEDS.get(pruned, frozenset()):
        return values
    return {name: torch.where(_stayed(given, name), given.final[name], value) for name, value in values.items()}


def _stayed(given: Given, name: str) -> torch.Tensor:
    return (given.final[name] == given.before[name]) | (given.final[name] == 0)


def _needs(chosen: Perturbation) -> dict[str, frozenset[str]]:
    """Return {"option = value": the state dicts that it needs}."""
    sources = {"weights": chosen.weights, "signs": chosen.signs, "pruned": chosen.pruned}
    needed = {f"{option} = {source!r}": _NEEDS.get(source, frozenset()) for option, source in sources.items()}
    return needed | {f"noise = {chosen.noise}": _INITIAL if chosen.noise else frozenset()}


def _given(
    state: State, mask: State, others: Mapping[str, State | None], needed: Mapping[str, frozenset[str]], seed: int
) -> Given:
    """Return the arguments, of the mask's shapes and on its devices; of `others` what is needed."""
    found: dict[str, dict[str, torch.Tensor]] = {"initial": {}, "final": {}}
    for option, arguments in needed.items():
        for argument in sorted(arguments):
            values = others[argument]
            if values is None:
                raise ConfigError(f"{option}: {argument} = None, give {_REMEDIES[argument]}")
            found[argument] = {name: alike(argument, values, name, keeps) for name, keeps in mask.items()}
    rewound = {name: alike("state", state, name, keeps) for name, keeps in mask.items()}
    return Given(rewound, mask, found["initial"], found["final"], seed, found["initial"])
