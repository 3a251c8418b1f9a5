"""Tensors to bytes and back: safetensors with a digest of everything inside, content digests, packed masks.

The file format is safetensors (8 bytes of header length, a JSON header, the tensors' bytes). It is written and read
here rather than by the library so that a state is hashed once, in the pass that names its content or checks it, and
copied no more than a file needs: out of the tensors themselves, and into them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from lth_ray.store.errors import DamagedFile
from lth_ray.store.files import Data

Tensors = dict[str, Tensor]

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
NAMED = {name: dtype for dtype, name in DTYPES.items()}
METADATA, INTEGRITY = "__metadata__", "integrity"
LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000  # the format's own limit


def on_host(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the same tensors on the CPU, dense and contiguous; those that are so already are not copied."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def fingerprints(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return "DTYPE [shape] sha256 of its bytes" for each tensor.

    This is the one pass over the bytes that every digest rests on.
    """
    return {name: _print(name, tensor) for name, tensor in on_host(tensors).items()}


def content_of(prints: Mapping[str, str]) -> str:
    """Return the content digest of tensors by their fingerprints: sha256 over the sorted names and
    fingerprints.
    """
    return hashlib.sha256(json.dumps(sorted(prints.items())).encode()).hexdigest()


def content(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 (hex) over names, dtypes, shapes and bytes; equal exactly if the tensors are, bit for
    bit.
    """
    return content_of(fingerprints(tensors))


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], prints: Mapping[str, str] | None = None) -> Data:
    """Return a safetensors file, with the metadata and a digest over all of it under "integrity".

    It is in parts, which are the tensors' own memory where they are on the CPU: write it before they change.

    prints: the tensors' fingerprints where the caller has them, which saves hashing the bytes again.
    """
    host = on_host(tensors)
    prints = fingerprints(host) if prints is None else prints
    # Widest dtype first keeps every tensor aligned to its own width, for readers that map the file.
    names = sorted(host, key=lambda name: (-host[name].element_size(), name))
    header: dict[str, object] = {METADATA: {**metadata, INTEGRITY: _integrity(prints, metadata)}}
    offset = 0
    for name in names:
        end = offset + host[name].nbytes
        header[name] = {
            "dtype": _dtype(name, host[name]),
            "shape": list(host[name].shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    return [len(text).to_bytes(LENGTH_BYTES, "little") + text, *(_bytes(host[name]) for name in names)]


def decode(file: BinaryIO, path: str) -> tuple[Tensors, dict[str, str]]:
    """Return the tensors, each in memory of its own, and the metadata that `encode` was given.

    path: only for the error. Raises DamagedFile where the bytes are truncated, are not of this format, or differ
    anywhere from what was written.
    """
    header = _header(file, path)
    tensors, prints = Tensors(), dict[str, str]()
    try:
        metadata = dict(header.pop(METADATA, {}))
        recorded = metadata.pop(INTEGRITY, None)
        if recorded is None:
            raise DamagedFile(path, "it carries no digest, so lth_ray did not write it")
        for name, tensor in _laid_out(header):
            _fill(_bytes(tensor), file)
            tensors[name], prints[name] = tensor, _print(name, tensor)
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        if isinstance(error, DamagedFile):
            raise
        raise DamagedFile(path, f"it is truncated or not a safetensors file ({error})") from error
    if file.read(1) or _integrity(prints, metadata) != recorded:
        raise DamagedFile(path, "its digest differs from the one recorded in it")
    return tensors, metadata


def pack(mask: Mapping[str, Tensor]) -> Tensors:
    """Pack bool tensors to uint8 [ceil(numel / 8)], the lowest flat index in the highest bit, the last byte
    zero-filled.
    """
    for name, tensor in mask.items():
        if tensor.dtype != torch.bool:
            raise TypeError(f"mask {name!r} is {tensor.dtype}; a mask is torch.bool, True where the weight is kept")
    return {name: torch.from_numpy(np.packbits(tensor.numpy().reshape(-1))) for name, tensor in on_host(mask).items()}


def unpack(packed: Mapping[str, Tensor], shapes: Mapping[str, list[int]]) -> Tensors:
    """Undo `pack`, given each tensor's shape."""
    unpacked: Tensors = {}
    for name, bits in packed.items():
        flat = np.unpackbits(bits.numpy(), count=math.prod(shapes[name]))
        unpacked[name] = torch.from_numpy(flat.view(np.bool_)).reshape(shapes[name])
    return unpacked


def _header(file: BinaryIO, path: str) -> dict[str, Any]:
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    text = file.read(length) if length <= LONGEST_HEADER else b""
    if not length or len(text) < length:
        raise DamagedFile(path, f"it is truncated or not a safetensors file ({len(text)} bytes of header)")
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise DamagedFile(path, f"its header cannot be read ({error})") from error


def _laid_out(header: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors to be filled, in the order of their bytes in the file. Raise ValueError where these leave
    gaps, overlap or are of another number than dtype and shape say.
    """
    offset = 0
    for name, described in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        tensor = torch.empty(described["shape"], dtype=NAMED[described["dtype"]])
        if described["data_offsets"] != [offset, offset + tensor.nbytes]:
            raise ValueError(f"{name!r} is not where it belongs")
        offset += tensor.nbytes
        yield name, tensor


def _fill(memory: memoryview, file: BinaryIO) -> None:
    """Read until the memory is full. Raise ValueError where the file ends before."""
    while memory:
        count = file.readinto(memory)  # type: ignore[attr-defined]  # typing.BinaryIO lacks what every such file has
        if not count:
            raise ValueError(f"{len(memory)} bytes of a tensor are missing")
        memory = memory[count:]


def _integrity(prints: Mapping[str, str], metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([sorted(prints.items()), sorted(metadata.items())]).encode()).hexdigest()


def _print(name: str, tensor: Tensor) -> str:
    return f"{_dtype(name, tensor)} {list(tensor.shape)} {hashlib.sha256(_bytes(tensor)).hexdigest()}"


def _bytes(tensor: Tensor) -> memoryview:
    """Return a view of a contiguous CPU tensor's bytes, without a copy."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _dtype(name: str, tensor: Tensor) -> str:
    if tensor.dtype not in DTYPES:
        raise TypeError(f"tensor {name!r} is {tensor.dtype}, which is not stored; convert it to one of {list(DTYPES)}")
    return DTYPES[tensor.dtype]
