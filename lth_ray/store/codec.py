"""Tensors to bytes and back: safetensors with a digest of everything inside, content digests, packed masks.

The file format is safetensors (8 bytes of header length, a JSON header, the tensors' bytes). It is written here
rather than by the library so that a state is copied once, into the final bytes, and hashed in the same pass that
names its content. It is read by the library.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from lth_ray.store.errors import DamagedFile

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
INTEGRITY = "integrity"
LENGTH_BYTES = 8


def on_host(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the same tensors on the CPU, dense and contiguous; those that are so already are not copied."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def fingerprints(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return "DTYPE [shape] sha256 of its bytes" for each tensor.

    This is the one pass over the bytes that every digest rests on.
    """
    return {
        name: f"{_dtype(name, tensor)} {list(tensor.shape)} {hashlib.sha256(_bytes(tensor)).hexdigest()}"
        for name, tensor in on_host(tensors).items()
    }


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


def encode(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], prints: Mapping[str, str] | None = None
) -> bytes:
    """Return a safetensors file as bytes, with the metadata and a digest over all of it under "integrity".

    prints: the tensors' fingerprints where the caller has them, which saves hashing the bytes again.
    """
    host = on_host(tensors)
    prints = fingerprints(host) if prints is None else prints
    # Widest dtype first keeps every tensor aligned to its own width, for readers that map the file.
    names = sorted(host, key=lambda name: (-host[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": {**metadata, INTEGRITY: _integrity(prints, metadata)}}
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
    return b"".join([len(text).to_bytes(LENGTH_BYTES, "little"), text, *(_bytes(host[name]) for name in names)])


def decode(data: bytes, path: str) -> tuple[Tensors, dict[str, str]]:
    """Return the tensors and metadata that `encode` was given.

    path: only for the error. Raises DamagedFile where the bytes are truncated, are not of this format, or differ
    anywhere from what was written.
    """
    metadata = _metadata(data, path)
    recorded = metadata.pop(INTEGRITY, None)
    if recorded is None:
        raise DamagedFile(path, "it carries no digest, so lth_ray did not write it")
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError, AssertionError) as error:
        raise DamagedFile(path, f"it is truncated or not a safetensors file ({error})") from error
    if any(tensor.dtype not in DTYPES for tensor in tensors.values()):
        raise DamagedFile(path, "it holds tensors of a kind that is never written")
    if _integrity(fingerprints(tensors), metadata) != recorded:
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


def _metadata(data: bytes, path: str) -> dict[str, str]:
    """Return the header's string map. The library gives it only for files that it opens itself."""
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if len(data) < LENGTH_BYTES + length:
        raise DamagedFile(path, f"it is truncated or not a safetensors file ({len(data)} bytes)")
    try:
        header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + length])
        return dict(header.get("__metadata__", {}))
    except (ValueError, AttributeError, TypeError) as error:
        raise DamagedFile(path, f"its header cannot be read ({error})") from error


def _integrity(prints: Mapping[str, str], metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([sorted(prints.items()), sorted(metadata.items())]).encode()).hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    """Return a view of a contiguous CPU tensor's bytes, without a copy."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _dtype(name: str, tensor: Tensor) -> str:
    if tensor.dtype not in DTYPES:
        raise TypeError(f"tensor {name!r} is {tensor.dtype}, which is not stored; convert it to one of {list(DTYPES)}")
    return DTYPES[tensor.dtype]
