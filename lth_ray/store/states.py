"""A model's state, an optimizer's with it where asked, as one file of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

from torch import Tensor

from lth_ray.store.codec import Tensors, content_of, decode, encode, fingerprints, on_host
from lth_ray.store.errors import DamagedFile
from lth_ray.store.files import Data
from lth_ray.store.tree import flatten_optimizer, unflatten_optimizer

T = TypeVar("T")
MODEL, OPTIMIZER = "model.", "optimizer."


@dataclass(frozen=True)
class State:
    """A network at a step.

    optimizer: its state_dict, if kept.
    content: of `model` alone, whatever is beside it.
    """

    model: Tensors
    optimizer: dict[str, Any] | None
    content: str


@dataclass(frozen=True)
class Checkpoint:
    """A place where an unfinished segment can go on: after `step` steps, with what was measured until then."""

    key: str
    step: int
    model: Tensors
    optimizer: dict[str, Any] | None
    journal: dict[str, Any]


def encode_state(
    model: Mapping[str, Tensor], optimizer: Mapping[str, Any] | None, metadata: Mapping[str, str]
) -> tuple[Data, str]:
    """Return the file, in parts, and the model's content; each tensor is hashed once, and copied from a device
    alone.
    """
    tensors = {MODEL + name: tensor for name, tensor in model.items()}
    about = dict(metadata)
    if optimizer is not None:
        flat, about["optimizer"] = flatten_optimizer(optimizer)
        tensors |= {OPTIMIZER + name: tensor for name, tensor in flat.items()}
    host = on_host(tensors)
    prints = fingerprints(host)
    about["content"] = content_of(_below(MODEL, prints))
    return encode(host, about, prints), about["content"]


def decode_state(
    file: BinaryIO, path: str, expected: Mapping[str, str], with_optimizer: bool = True
) -> tuple[State, dict[str, str]]:
    """Return the state, with the optimizer's where it is there and asked for, and the metadata.

    Raises DamagedFile, also where the metadata are not the expected ones.
    """
    tensors, metadata = decode(file, path)
    for field, value in expected.items():
        if metadata.get(field) != value:
            raise DamagedFile(path, f"it has {field} {metadata.get(field)!r} where {value!r} belongs")
    optimizer = None
    if with_optimizer and "optimizer" in metadata:
        optimizer = unflatten_optimizer(_below(OPTIMIZER, tensors), metadata["optimizer"])
    return State(_below(MODEL, tensors), optimizer, metadata["content"]), metadata


def _below(prefix: str, values: Mapping[str, T]) -> dict[str, T]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
