"""The source of a mask that is carried to another network, or to another output layer."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lth_ray.config import Model, digest
from lth_ray.data import Identity


@dataclass(frozen=True)
class Network:
    """A network, as a model makes it for the data that `identity` is of."""

    model: Model
    identity: Identity


@dataclass(frozen=True)
class Stretched:
    """The mask of segment `of`, carried to the network of its own segment (config.Transfer).

    network: that of segment `of`; its key has it.
    output: False where the output layer is left out, which is dense then.
    shuffle: a seed by which the carried mask's entries are permuted over all layers; None leaves them.
    """

    of: str
    network: Network
    output: bool = True
    shuffle: int | None = None

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content: dict[str, Any] = {"stretched": self.of, "output": self.output}
        if self.shuffle is not None:
            content["shuffle"] = self.shuffle
        return {"mask": digest("mask", content)}
