"""The sources of a segment, as small frozen descriptions with keys.

A description says how to make a thing from what is stored; `lth_ray.lottery.execution.reconstruct` makes it.
Initialising, pruning and perturbing are cheap, so that only the states and measurements of training are ever stored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lth_ray.config import Perturbation, digest, meaning, revised
from lth_ray.lottery.origins import Computed, Init, Origin
from lth_ray.lottery.patterned import Patterned, Permuted, Redrawn
from lth_ray.lottery.stretched import Network, Stretched

StateAt = tuple[str, int, bool]  # trajectory, step, with the optimizer's
UNKNOWN = -1  # a step that training will tell


@dataclass(frozen=True)
class Snapshot:
    """The weights of a trajectory at a step, with its optimizer's state where `optimizer` says so."""

    trajectory: str
    step: int
    optimizer: bool = False

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"snapshot": self.trajectory, "step": self.step, "optimizer": self.optimizer}

    @property
    def needs(self) -> tuple[StateAt, ...]:
        return ((self.trajectory, self.step, self.optimizer),)


@dataclass(frozen=True)
class Drawn:
    """The weights of a trajectory where segment `of` ends: as it has drawn its mask, or as late as it is stretched to.

    step: that step, once it is known; no part of the meaning.
    """

    of: str
    trajectory: str
    optimizer: bool = False
    step: int | None = None

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"drawn": self.of, "optimizer": self.optimizer}

    @property
    def needs(self) -> tuple[StateAt, ...]:
        return (drawn_state(self.of, self.trajectory, self.step, self.optimizer),)


def drawn_state(of: str, trajectory: str, step: int | None, optimizer: bool) -> StateAt:
    """Return the state at which segment `of` has drawn; under its own name as long as the step is not known."""
    return (of, UNKNOWN, optimizer) if step is None else (trajectory, step, optimizer)


@dataclass(frozen=True)
class Small(Computed):
    """Newly drawn weights, as the network that a mask leaves would draw them; the mask is its segment's own."""

    initial: Init

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"small": digest("small", self.initial.meaning)}


@dataclass(frozen=True)
class Perturbed:
    """The weights of `base`, perturbed.

    final: the weights by which the mask was found, where the rule asks for them.
    of_constants: the mask may cover parameters whose initial values are all one.
    """

    base: "StartSource"
    rule: Perturbation
    initial: Origin | None
    final: Snapshot | None
    seed: int
    of_constants: bool = False

    @cached_property
    def meaning(self) -> dict[str, Any]:
        sources = [source.meaning if source else None for source in (self.base, self.initial, self.final)]
        content = {"rule": meaning(self.rule), "sources": sources, "seed": self.seed}
        if self.rule.goes_on:
            content |= revised("kept_alike")
        if self.of_constants and self.rule.weights in ("redrawn", "constant"):
            content |= revised("constants")
        return {"perturbed": digest("perturbed", content)}

    @property
    def needs(self) -> tuple[StateAt, ...]:
        return self.base.needs + (self.final.needs if self.final else ())


@dataclass(frozen=True)
class Transplanted:
    """The weights of `base` wherever their shapes fit, and new ones where they do not: another output layer.

    of: the network that `base` is of, where that is another, so that layers take over from those that correspond.
    output: False where the output layer is new whatever its shape; then `of` is given.
    """

    base: "StartSource"
    initial: Init
    of: Network | None = None
    output: bool = True

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content = [self.base.meaning, self.initial.meaning]
        if self.of is not None:  # which network it is the base has in its key
            content.append({"stretched": True, "output": self.output})
        return {"transplanted": digest("transplanted", content)}

    @property
    def needs(self) -> tuple[StateAt, ...]:
        return self.base.needs


@dataclass(frozen=True)
class Rescaled:
    """The weights of `base` that a segment's mask leaves, rescaled so that the next layers are rebuilt (Prune.rescale).

    by: what found the mask in these weights, with its examples.
    """

    base: Snapshot
    by: "Pruned"

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"rescaled": digest("rescaled", [self.base.meaning, self.by.meaning])}

    @property
    def needs(self) -> tuple[StateAt, ...]:
        return self.base.needs


@dataclass(frozen=True)
class Normalised:
    """The weights of `base` with the batch norms of another state: their scales, shifts and running statistics."""

    base: "StartSource"
    norms: "StartSource"

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"transplanted": digest("transplanted", {"of": self.base.meaning, "batch_norm": self.norms.meaning})}

    @property
    def needs(self) -> tuple[StateAt, ...]:
        return self.base.needs + self.norms.needs


StartSource = Origin | Snapshot | Drawn | Perturbed | Transplanted | Small | Rescaled | Normalised


def weights_of(source: StartSource) -> StartSource:
    """Return the same weights without an optimizer's state."""
    return replace(source, optimizer=False) if isinstance(source, (Snapshot, Drawn)) else source


def within(source: StartSource) -> Iterator[StartSource]:
    """Yield a source, and those that it is made of."""
    yield source
    if isinstance(source, (Perturbed, Transplanted, Rescaled, Normalised)):
        yield from within(source.base)
    if isinstance(source, Normalised):
        yield from within(source.norms)


def with_drawn(source: StartSource, drawn: Mapping[str, int]) -> StartSource:
    """Return a source with the steps of draws as far as they are known, {segment: step}."""
    if isinstance(source, Drawn) and source.of in drawn:
        return replace(source, step=drawn[source.of])
    if isinstance(source, (Perturbed, Transplanted)):
        return replace(source, base=with_drawn(source.base, drawn))
    return source


@dataclass(frozen=True)
class Pruned:
    """The mask of segment `of`, pruned by the state of its trajectory at `step`.

    rule: the pruning rule's meaning.
    rounds: rounds pruned at once (one-shot), to the exact count each would leave.
    density: what is kept of all that may be pruned, in the place of a share of the remaining weights.
    seed: of random scores and ties.
    initial: the initial weights, for a criterion that looks at them.
    order: the seed that draws the images whose gradients a criterion looks at.
    own_loss: these are the gradients of the recipe's own loss (segment `of` has it in its key), and not of
        the plain cross entropy.
    step: None for the one where segment `of` has drawn; that is `drawn`, once it is known, which is no part of
        the meaning.
    """

    of: str
    trajectory: str
    step: int | None
    rule: Mapping[str, Any]
    rounds: int = 1
    seed: int | None = None
    initial: Origin | None = None
    order: int | None = None
    own_loss: bool = False
    density: float | None = None
    drawn: int | None = None

    @property
    def needs(self) -> tuple[StateAt, ...]:
        return (drawn_state(self.of, self.trajectory, self.at, False),)

    @property
    def at(self) -> int | None:
        """The step whose weights are pruned, as far as it is known."""
        return self.drawn if self.step is None else self.step

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content = {name: getattr(self, name) for name in ("trajectory", "step", "rule", "rounds", "seed")}
        content["of"] = f"{self.trajectory}-{self.step}"  # wherever the training of `of` ends
        if self.density is not None:
            content["density"] = self.density
        if self.initial is not None:
            content["initial"] = self.initial.meaning
        if self.order is not None:
            content |= {"order": self.order, **revised("order")}
        if self.own_loss:
            content["own_loss"] = True
        return {"mask": digest("mask", content)}


@dataclass(frozen=True)
class Copied:
    """The mask of segment `of`.

    part: how the names of what it covers begin in the network; the rest is dense, and covered as soon as it is pruned.
    """

    of: str
    part: str = ""

    @cached_property
    def meaning(self) -> dict[str, Any]:
        more = {"part": self.part} if self.part else {}
        return {"mask": digest("mask", {"copied": self.of, **more})}


MaskSource = Pruned | Copied | Redrawn | Permuted | Patterned | Stretched
