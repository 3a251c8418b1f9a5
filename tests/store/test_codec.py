"""Bytes of tensors: round trips, digests, and every way in which a file may be damaged."""

import hashlib
import io
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from lth_ray.store import DamagedFile, codec, content, pack, unpack
from lth_ray.store.codec import DTYPES, Tensors, fingerprints
from lth_ray.store.files import parts_of

STATE = {
    "fc1.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "bn.num_batches_tracked": torch.tensor(7),
    "empty": torch.empty(0, 5),
    "half": torch.tensor([1.5, -0.0, math.nan], dtype=torch.bfloat16),
    "flags": torch.tensor([True, False, True]),
}


def encode(tensors: Tensors, metadata: dict[str, str]) -> bytes:
    return b"".join(parts_of(codec.encode(tensors, metadata)))


def decode(data: bytes, path: str) -> tuple[Tensors, dict[str, str]]:
    return codec.decode(io.BytesIO(data), path)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    bits = [x.reshape(-1).view(torch.uint8) for x in (a, b)]
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*bits)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_comes_back_bit_for_bit(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1], [2, 3]]).to(dtype)
    tensors, metadata = decode(encode({"x": tensor}, {"a": "b"}), "x")
    assert same(tensors["x"], tensor)
    assert metadata == {"a": "b"}


def test_odd_shapes_and_values_come_back_and_can_be_written_to() -> None:
    tensors, _ = decode(encode(STATE, {}), "x")
    assert tensors.keys() == STATE.keys()
    assert all(same(tensors[name], STATE[name]) for name in STATE)
    tensors["fc1.weight"].zero_()


def test_the_library_reads_what_we_write() -> None:
    read = load(encode(STATE, {}))
    assert all(same(read[name], STATE[name]) for name in STATE)


def test_a_tensor_on_the_host_is_written_from_its_own_memory_and_read_into_its_own() -> None:
    weight = torch.zeros(3)
    parts = parts_of(codec.encode({"w": weight}, {}))
    weight.fill_(1.0)
    assert bytes(parts[-1]) == torch.ones(3).numpy().tobytes()
    tensors, _ = decode(encode(STATE, {}), "x")
    assert {tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in tensors.values()} == {True}


def test_a_file_that_is_read_in_morsels_is_whole() -> None:
    class Slow(io.BytesIO):
        def readinto(self, memory: memoryview) -> int:  # type: ignore[override]
            return super().readinto(memory[:5])

    tensors, _ = codec.decode(Slow(encode(STATE, {})), "x")
    assert all(same(tensors[name], STATE[name]) for name in STATE)


def test_what_follows_the_last_tensor_is_found() -> None:
    with pytest.raises(DamagedFile, match="some/file"):
        decode(encode(STATE, {}) + b"x", "some/file")


@pytest.mark.parametrize(
    "described",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F8", "shape": [8], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]},
        {"dtype": "F64", "shape": [10**15], "data_offsets": [0, 8 * 10**15]},
        {"shape": [2]},
        7,
    ],
    ids=["a gap", "too large", "negative", "unknown", "text", "vast", "no place", "number"],
)
def test_a_header_that_does_not_fit_its_bytes_is_found(described: object) -> None:
    text = json.dumps({"__metadata__": {"integrity": "0"}, "w": described}).encode()
    with pytest.raises(DamagedFile, match="not a safetensors file"):
        decode(len(text).to_bytes(8, "little") + text + bytes(8), "some/file")


def test_non_contiguous_tensors_are_stored_by_value() -> None:
    transposed = STATE["fc1.weight"].t()
    assert same(decode(encode({"x": transposed}, {}), "x")[0]["x"], transposed.contiguous())


def test_a_tensor_that_cannot_be_stored_is_named() -> None:
    with pytest.raises(TypeError, match=r"'z' is torch\.complex64"):
        encode({"z": torch.zeros(2, dtype=torch.complex64)}, {})


def test_content_is_pinned_and_does_not_depend_on_order() -> None:
    weight = torch.tensor([[1.0, 2.0]])
    print_ = f"F32 [1, 2] {hashlib.sha256(weight.numpy().tobytes()).hexdigest()}"
    assert fingerprints({"w": weight}) == {"w": print_}
    assert content({"w": weight}) == "ba1b18ad2c7fe6b1ebe8666a71c1a9aaa6e7a7c9816f65026ea3ed1d87fe1a43"
    assert content(STATE) == content(dict(reversed(STATE.items())))


@pytest.mark.parametrize(
    "other",
    [
        {"v": torch.tensor([0.0, 1.0])},
        {"w": torch.tensor([-0.0, 1.0])},
        {"w": torch.tensor([[0.0, 1.0]])},
        {"w": torch.tensor([0.0, 1.0]).view(torch.int32)},
    ],
    ids=["name", "one bit", "shape", "dtype"],
)
def test_content_differs_by_any_part(other: dict[str, torch.Tensor]) -> None:
    assert content(other) != content({"w": torch.tensor([0.0, 1.0])})


def test_every_truncation_is_found() -> None:
    data = encode(STATE, {"step": "1"})
    for length in range(len(data)):
        with pytest.raises(DamagedFile, match="some/file"):
            decode(data[:length], "some/file")


def test_every_flipped_byte_is_found() -> None:
    data = encode({"w": torch.arange(4.0)}, {"step": "1"})
    text = data[8 : 8 + int.from_bytes(data[:8], "little")]
    padding = range(8 + len(text.rstrip()), 8 + len(text))  # blanks after the header carry nothing
    for index in set(range(len(data))) - set(padding):
        with pytest.raises(DamagedFile):
            decode(data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :], "some/file")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\x89PNG\r\n\x1a\n" * 9,
        b"\0" * 100,
        save({"w": torch.zeros(2)}),
        b"\x80\x04\x95" * 40,
        b"\xff" * 64,
    ],
    ids=["empty", "json", "png", "zeros", "safetensors of others", "pickle", "ones"],
)
def test_foreign_files_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedFile):
        decode(data, "some/file")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_masks_survive_packing(shapes: list[list[int]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = {f"m{i}": torch.rand(shape, generator=generator) < 0.5 for i, shape in enumerate(shapes)}
    packed = pack(mask)
    assert all(packed[name].numel() == -(-mask[name].numel() // 8) for name in mask)
    unpacked = unpack(packed, {name: list(tensor.shape) for name, tensor in mask.items()})
    assert all(same(unpacked[name], mask[name]) for name in mask)


def test_packing_order_is_pinned() -> None:
    assert pack({"m": torch.tensor([True, False, False, False, False, False, False, True, True])})["m"].tolist() == [
        0b10000001,
        0b10000000,
    ]


def test_a_mask_that_is_not_bool_is_named() -> None:
    with pytest.raises(TypeError, match=r"'fc1\.weight' is torch\.float32"):
        pack({"fc1.weight": torch.ones(3)})
