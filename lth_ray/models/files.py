"""Files of weights: safetensors, and what torch.save writes, of which nothing but tensors is read."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lth_ray.config import ConfigError
from lth_ray.models.huggingface.folder import read_tensors
from lth_ray.printing import enumerated
from lth_ray.store.codec import DTYPES

HOLDERS = ("state_dict", "model")  # where checkpoints have their state dict
SAVED = (b"PK\x03\x04", b"\x80")  # a file of torch.save begins so: a zip archive, or a pickle of before 2020
HEADER = slice(8, 9)  # a safetensors file has its header's length before it, whose first byte may be any
SAVE = "safetensors.torch.save_file(model.state_dict(), path)"


def read_weights(path: str | Path, what: str = "pretrained weights") -> dict[str, Tensor]:
    """Return the state dict in a file: safetensors, or one of torch.save, where it may lie under "state_dict"
    or "model"; or that of a Hugging Face folder, whose safetensors files are read alone.

    Of the latter nothing but tensors and plain containers is unpickled (`torch.load(weights_only=True)`): a file that
    holds code is refused. Raises ConfigError, naming the file as `what`, where it cannot be read or holds tensors that
    no network here has (see `checked`).
    """
    where = f"{what} {os.fspath(path)}"
    if os.path.isdir(path):
        return checked(read_tensors(Path(path), where), where)
    try:
        with open(path, "rb") as file:
            head = file.read(16)
            is_saved = head.startswith(SAVED) and head[HEADER] != b"{"
        return checked(_unpickled(path, where) if is_saved else load_file(path), where)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{where}: not a readable safetensors file ({error}); write one by {SAVE}") from error


def checked(given: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return `given`, without gradients.

    Raises ConfigError for what no network here is made of: complex numbers, float8, quantised and sparse
    tensors.
    """
    for name, value in given.items():
        kind = str(value.dtype).removeprefix("torch.")
        fault, remedy = "", "give the dense tensors that it stands for"
        if value.is_complex():
            fault, remedy = f"complex ({kind})", "weights are pruned as real numbers: give torch.view_as_real of it"
        elif value.dtype.is_floating_point and value.dtype.itemsize == 1:
            fault, remedy = kind, "its scale is not in it: give float32, bfloat16 or float16"
        elif value.is_quantized or value.layout != torch.strided or value.dtype not in DTYPES:
            fault = kind if value.layout == torch.strided else f"sparse ({str(value.layout).removeprefix('torch.')})"
        if fault:
            raise ConfigError(f"{where}: {name!r} is {fault}; {remedy}")
    return {name: value.detach() for name, value in given.items()}


def _unpickled(path: str | Path, where: str) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        why = str(error).partition("WeightsUnpickler error:")[2].strip().partition("\n")[0] or "a pickle of objects"
        raise ConfigError(
            f"{where} holds more than tensors, and code from a file is not run ({why}); where you trust it, load it by "
            f"torch.load(path, weights_only=False) and write its weights by {SAVE}"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        why = str(error).partition("\n")[0]
        raise ConfigError(
            f"{where}: not a readable safetensors file, nor one of torch.save ({why}); write one by {SAVE}"
        ) from error
    return _state_dict(found, where)


def _state_dict(found: Any, where: str) -> dict[str, Tensor]:
    for holder in HOLDERS:
        if isinstance(found, Mapping) and isinstance(found.get(holder), Mapping):
            found = found[holder]
            break
    if not isinstance(found, Mapping):
        raise ConfigError(f"{where} holds a {type(found).__name__} and no state dict; write one by {SAVE}")
    others = [name for name, value in found.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if others or not found:
        shown = ", ".join(f"{name!r}" for name in others[:3]) or "nothing"
        raise ConfigError(
            f"{where} holds {shown} beside or instead of tensors, and its state dict is neither the whole of it nor "
            f"under {enumerated(map(repr, HOLDERS))}; write one by {SAVE}"
        )
    return dict(found)
