"""The source of a mask that follows the pattern of another network's."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lth_ray.config import Model, digest
from lth_ray.data import Identity


@dataclass(frozen=True)
class Patterned:
    """A mask of another network, by the pattern of that of segment `of` (config.Guided).

    model, identity: that segment's network, and the data that it is made for; its key has them.
    """

    of: str
    pattern: str
    uniform: bool
    seed: int
    model: Model
    identity: Identity

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content = {"patterned": self.of, "pattern": self.pattern, "uniform": self.uniform}
        if self.pattern == "positions":
            content["seed"] = self.seed
        return {"mask": digest("mask", content)}
