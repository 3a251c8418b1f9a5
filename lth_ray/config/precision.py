"""The numbers that a training computes with, by name."""

import re
from typing import Any

from lth_ray.config.base import ConfigError

FLOATS = {"fp32": 32, "bf16": 16}
FEWEST, MOST = 2, 16  # bits of a block floating-point number
_BLOCK = re.compile(r"bfp(\d{1,3})")


def precision(value: Any) -> str:
    """Check that it is "fp32", "bf16", or block floating point of n bits: "bfp8"; ValueError otherwise."""
    if isinstance(value, str) and (value in FLOATS or FEWEST <= (block_bits(value) or 0) <= MOST):
        return value
    raise ValueError(f"give 'fp32', 'bf16', or block floating point of {FEWEST} to {MOST} bits, such as 'bfp8'")


def block_bits(name: str) -> int | None:
    """Return the bits of a number in block floating point; None for the other precisions."""
    found = _BLOCK.fullmatch(name)
    return int(found[1]) if found else None


def bits(name: str) -> int:
    """Return the bits of a number."""
    return block_bits(name) or FLOATS[name]


def check_block_float(train: Any) -> None:
    """Raise ConfigError for a Train whose precision is block floating point and that cannot be trained so."""
    if block_bits(train.precision) is None:
        return
    for name, plain in {"compile": False, "replicates": 1, "sam_radius": None}.items():
        if (given := getattr(train, name)) != plain:
            raise ConfigError(
                f"Train.{name} = {given}: block floating point, Train.precision = {train.precision!r}, is trained by "
                f"autograd, each network by itself; give {name} = {plain}, or another precision"
            )
    if train.optimizer != "sgd":
        raise ConfigError(
            f"Train.optimizer = {train.optimizer!r}: second moments of one exponent vanish, so that Train.precision = "
            f"{train.precision!r} is for 'sgd'; give that, or another precision"
        )
