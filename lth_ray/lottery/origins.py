"""The beginning of a lineage: new weights, those of a file, or those of a ticket."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lth_ray.config import Model, WeightsFile, digest, meaning
from lth_ray.config.once import once_each

MEANING = once_each(meaning)  # of a model


class Computed:
    """A source that is made from nothing stored."""

    @property
    def needs(self) -> tuple[tuple[str, int, bool], ...]:
        """The stored states it is made from."""
        return ()


@dataclass(frozen=True)
class Init(Computed):
    """Newly initialised weights."""

    model: Model
    data_identity: str
    seed: int

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content = {"model": MEANING(self.model), "data": self.data_identity, "seed": self.seed}
        return {"init": digest("init", content)}


@dataclass(frozen=True)
class Pretrained(Computed):
    """The weights of a file; those of `initial` where the globs `redraw` say so."""

    file: WeightsFile
    redraw: tuple[str, ...]
    initial: Init

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content = {"file": meaning(self.file), "redraw": list(self.redraw), "initial": self.initial.meaning}
        return {"pretrained": digest("pretrained", content)}


@dataclass(frozen=True)
class Adopted:
    """The weights that ticket `of` of the store ended with.

    part: how the names of these weights begin in the network, of which they are a part then; the rest is `initial`.
    """

    of: str
    part: str = ""
    initial: Init | None = None

    @cached_property
    def meaning(self) -> dict[str, Any]:
        if self.initial is None:
            return {"ticket": self.of}
        return {"transplanted": digest("transplanted", [{"ticket": self.of}, self.part, self.initial.meaning])}

    @property
    def needs(self) -> tuple[tuple[str, int, bool], ...]:
        trajectory, _, step = self.of.rpartition("-")
        return ((trajectory, int(step), False),)


Origin = Init | Adopted | Pretrained
