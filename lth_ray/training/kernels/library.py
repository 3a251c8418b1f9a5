"""The compiled kernels: their place, the choice of those that the processor can run, and the calls of them.

Built when lth_ray is installed (setup.py), by any C++ compiler, as a library of its own beside the package. Without it
the same work is done by torch, more slowly, and that is said once.
"""

import ctypes
import importlib.util
import logging
import os
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from lth_ray.config import ConfigError
from lth_ray.training.kernels.sources import CONV, LINEAR, source_digest

MODULE = "_lth_ray_kernels"  # not inside the package: a job's own copy of that has nothing built
SETS = ("portable", "avx2", "avx512")  # by what `instruction_set` answers
VARIABLE = "LTH_RAY_KERNELS"  # one of SETS, to use a lesser one than the processor has, or "off"
PARTS = {LINEAR: "sparse linear layers", CONV: "sparse convolutions"}
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "gelu_tanh")  # by their numbers in activations.h
TYPES = {torch.float32: "float", torch.float64: "double"}


class Layer(ctypes.Structure):
    """`Layer` of layers.h."""

    _fields_ = (
        *((name, c_int32) for name in ("inputs", "outputs", "block", "blocks")),
        *((name, c_void_p) for name in ("weight", "weight_m", "weight_v", "bias", "bias_m", "bias_v")),
        *((name, c_void_p) for name in ("kept", "begins", "columns", "noise")),
        ("activation", c_int32),
    )


class Optimizer(ctypes.Structure):
    """`Optimizer` of update.h."""

    _fields_ = (
        ("kind", c_int32),
        ("nesterov", c_int32),
        *((name, c_double) for name in ("momentum", "weight_decay", "beta1", "beta2", "eps")),
    )


class Images(ctypes.Structure):
    """`Images` of network.cpp."""

    _fields_ = (
        *((name, c_void_p) for name in ("data", "scale", "shift")),
        *((name, c_int64) for name in ("channels", "plane")),
        ("labels", c_void_p),
    )


class Norm(ctypes.Structure):
    """`Norm` of norm.cpp."""

    _fields_ = (
        ("rows", c_int64),
        ("channels", c_int64),
        *((name, c_void_p) for name in ("weight", "bias", "running_mean", "running_var")),
        ("eps", c_double),
        ("momentum", c_double),
        ("training", c_int32),
        ("relu", c_int32),
    )


class Walk(ctypes.Structure):
    """`Walk` of conv.cpp."""

    _fields_ = (("chunks", c_int32), *((name, c_void_p) for name in ("begins", "offsets", "values")))


class Conv(ctypes.Structure):
    """`Conv` of conv.cpp."""

    _fields_ = (
        *((name, c_int64) for name in ("images", "height", "width", "inputs", "outputs", "up", "side", "block")),
        ("ahead", Walk),
        ("back", Walk),
    )


@dataclass(frozen=True)
class Kernels:
    """The functions for one type of number and the processor's instruction set. They hold no lock of Python's."""

    train: Any
    evaluate: Any
    instruction_set: str


@dataclass(frozen=True)
class LayerKernels:
    """The functions of one layer, for one type of number: batch norm, a sparse linear layer or a sparse convolution."""

    forward: Any
    backward: Any
    instruction_set: str


def kernels(dtype: torch.dtype) -> Kernels | None:
    """Return those for `dtype`, or None where there are none.

    That is where the type is another, they were not built, or are turned off.
    """
    loaded = found()
    if loaded is None or dtype not in TYPES:
        return None
    library, best = loaded
    suffix = f"{TYPES[dtype]}_{SETS[best]}"
    train, evaluate = getattr(library, f"train_{suffix}"), getattr(library, f"evaluate_{suffix}")
    train.restype, evaluate.restype = c_double, c_int32
    train.argtypes = (
        POINTER(Layer), c_int32, POINTER(Optimizer), POINTER(Images), c_void_p, c_int32, c_int64, c_int64, c_void_p,
        c_double, c_double,
    )  # fmt: skip
    evaluate.argtypes = (
        POINTER(Layer), c_int32, POINTER(Images), c_void_p, c_int64, POINTER(c_double), POINTER(c_int64),
    )  # fmt: skip
    return Kernels(train, evaluate, SETS[best])


def norm_kernels(dtype: torch.dtype, half: bool = False) -> dict[torch.dtype, LayerKernels]:
    """Return the functions of batch norm with parameters of `dtype`, by the type of the images; none where one lacks.

    half: images may be of bfloat16 too, which they may beside parameters of float32.
    """
    loaded = found()
    if loaded is None or dtype not in TYPES or (half and dtype != torch.float32):
        return {}
    names = {dtype: TYPES[dtype], **({torch.bfloat16: "bf16"} if half else {})}
    forward, backward = (POINTER(Norm), *[c_void_p] * 4), (POINTER(Norm), *[c_void_p] * 9)
    return {images: _layer(loaded, "norm", name, forward, backward) for images, name in names.items()}


def linear_kernels(dtype: torch.dtype) -> LayerKernels | None:
    """Return the functions of single sparse linear layers, as `kernels` returns the others."""
    forward = POINTER(Layer), c_void_p, c_int64, c_void_p
    return _of_part(LINEAR, dtype, forward, (POINTER(Layer), c_void_p, c_void_p, c_int64, c_void_p, c_void_p))


def conv_kernels(dtype: torch.dtype) -> LayerKernels | None:
    """Return the functions of single sparse convolutions, as `kernels` returns the others."""
    return _of_part(CONV, dtype, (POINTER(Conv), *[c_void_p] * 2), (POINTER(Conv), *[c_void_p] * 4))


def _of_part(part: str, dtype: torch.dtype, forward: tuple[Any, ...], backward: tuple[Any, ...]) -> LayerKernels | None:
    loaded = found()
    if loaded is None or dtype not in TYPES or not _has(loaded[0], part, SETS[loaded[1]]):
        return None
    return _layer(loaded, part, TYPES[dtype], forward, backward)


def _layer(
    loaded: tuple[ctypes.CDLL, int], name: str, kind: str, forward: tuple[Any, ...], backward: tuple[Any, ...]
) -> LayerKernels:
    """Return the functions of a layer by its name and that of its numbers; forward, backward: what they are given."""
    library, best = loaded
    ahead, back = (getattr(library, f"{name}_{way}_{kind}_{SETS[best]}") for way in ("forward", "backward"))
    ahead.restype = back.restype = c_int32
    ahead.argtypes, back.argtypes = forward, backward
    return LayerKernels(ahead, back, SETS[best])


def check(done: int) -> None:
    """Raise MemoryError where a layer's function says that it had no memory."""
    if not done:
        raise MemoryError("there is no memory to take a batch through a layer in")


@lru_cache(maxsize=8)
def _has(library: ctypes.CDLL, part: str, instruction_set: str) -> bool:
    """Return whether a library has the functions of a folder of its own, from these sources."""
    source = getattr(library, f"{part}_source_{instruction_set}", None)
    if source is not None:
        source.restype = c_char_p
    if source is None or source().decode() != source_digest(part):
        _say(f"the compiled kernels of {PARTS[part]} were built from other sources: install lth_ray again")
        return False
    return True


def instruction_set() -> str:
    """Return that of the kernels in use, or "none"."""
    loaded = found()
    return SETS[loaded[1]] if loaded else "none"


@lru_cache(maxsize=1)
def found() -> tuple[ctypes.CDLL, int] | None:
    """Return the library and the number of the instruction set to use."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted and wanted not in (*SETS, "off"):
        raise ConfigError(f"{VARIABLE}={wanted}: give one of {', '.join(SETS)} or off")
    if wanted == "off":
        return None
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        _say("the compiled kernels were not built: install lth_ray again where there is a C++ compiler")
        return None
    try:
        library = ctypes.CDLL(spec.origin)
    except OSError as error:  # built on another kind of machine
        _say(f"the compiled kernels cannot be loaded ({error}): install lth_ray again")
        return None
    library.source.restype = c_char_p
    if library.source().decode() != source_digest():
        _say(f"{spec.origin} was built from other sources: install lth_ray again")
        return None
    has = int(library.instruction_set())
    best = SETS.index(wanted) if wanted else has
    if best > has:
        raise ConfigError(f"{VARIABLE}={wanted}: this processor has no more than {SETS[has]}")
    return library, best


def _say(what: str) -> None:
    logging.getLogger("lth_ray").warning("Networks train more slowly here: %s.", what)
