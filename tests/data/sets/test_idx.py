"""MNIST's raw files: what is accepted, where they are looked for, what is refused and how that is said."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from lth_ray.config import Data
from lth_ray.data import DamagedDataset, MissingDataset, catalogue, identify, load
from lth_ray.data.sets import idx

SHAPES = ((30, 28, 28), (30,), (20, 28, 28), (20,))
FASHION = Data("fashion_mnist", batch_size=5, validation=10)

DIGEST = (
    "711b1dbadebcbf96cae7b7ed9922f93cba00dc5f45c51f0bb2cc9697116ece83"  # of what `write_set` writes, compressed or not
)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_set(folder: Path, compress: bool = False, shapes: tuple[tuple[int, ...], ...] = SHAPES) -> Path:
    """Four small files of pixels and labels in Fashion-MNIST's layout."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    for name, shape in zip(idx.FILES, shapes, strict=True):
        data = idx_bytes(numbers.integers(0, 10, shape, dtype=np.uint8))
        path = folder / (f"{name}.gz" if compress else name)
        path.write_bytes(gzip.compress(data, 1) if compress else data)
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "SHAPES", SHAPES)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not an idx file of bytes .it begins with nothing"),
        (b"<htm", "not an idx file"),
        (b"\0\0\x0d\x01" + b"\0\0\0\x01" + b"\0\0\0\0", "not an idx file"),
        (b"\0\0\x08\x03" + b"\0\0\0\x01", "not an idx file"),
        (idx_bytes(np.zeros((3, 4), np.uint8))[:-1], "is truncated: 23 bytes, and its header announces 24"),
        (idx_bytes(np.zeros((3, 4), np.uint8)) + b"\0", "is too long: 25 bytes, and its header announces 24"),
    ],
)
def test_files_that_are_not_idx(data: bytes, why: str) -> None:
    with pytest.raises(DamagedDataset, match=f"train-images.*{why}.*fresh copy"):
        idx.parse(data, Path("train-images"))


def test_an_idx_file_round_trips() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(idx.parse(idx_bytes(array), Path("x")), array)


DAMAGES = [lambda b: b[: len(b) // 2], lambda b: b"foreign", lambda b: b[:-6] + b"\0" + b[-5:]]


@pytest.mark.parametrize("damage", DAMAGES, ids=["truncated", "foreign", "changed"])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, small: None, damage) -> None:
    path = write_set(tmp_path / "raw", compress=True) / f"{idx.FILES[2]}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedDataset, match=r"t10k-images-idx3-ubyte.gz: cannot be gunzipped"):
        identify(FASHION, tmp_path)


@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "raw", "."])
@pytest.mark.parametrize("compress", [False, True])
def test_where_files_may_lie(tmp_path: Path, small: None, folder: str, compress: bool) -> None:
    write_set(tmp_path / "root" / folder, compress)
    identity, data = identify(FASHION, tmp_path / "root"), load(FASHION, tmp_path / "root")
    assert (identity.n_train, identity.n_validation, identity.n_test) == (20, 10, 20)
    assert data.train.images.shape == (20, 1, 28, 28)
    assert (data.mean, data.std) == ((0.286,), (0.353,))
    assert data.digest == identity.digest == DIGEST


def test_files_are_found_in_the_cache(small: None, fresh_process: Path) -> None:
    write_set(fresh_process / "datasets" / "FashionMNIST" / "raw")
    assert identify(FASHION, None).n_test == 20


def test_missing_files_are_named_with_the_places_and_the_remedy(tmp_path: Path, small: None) -> None:
    (write_set(tmp_path / "raw") / idx.FILES[3]).unlink()
    with pytest.raises(MissingDataset) as caught:
        identify(FASHION, tmp_path)
    for part in (*idx.FILES, str(tmp_path / "raw"), "no network in tests", "--data-root", "FashionMNIST/raw"):
        assert part in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]  # a failed download leaves nothing


def test_a_download_is_complete_or_absent(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: str, place: str) -> None:
        (write_set(Path(place, folder, "raw")) / idx.FILES[0]).unlink()
        raise OSError("connection lost")

    monkeypatch.setattr(idx, "_fetch", interrupted)
    with pytest.raises(MissingDataset, match="connection lost"):
        identify(FASHION, tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(idx, "_fetch", lambda folder, place: write_set(Path(place, folder, "raw")))
    assert identify(FASHION, tmp_path).n_train == 20
    assert [path.name for path in tmp_path.iterdir()] == ["FashionMNIST"]


def test_an_incomplete_folder_is_not_written_over(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (write_set(tmp_path / "FashionMNIST" / "raw") / idx.FILES[3]).unlink()
    monkeypatch.setattr(idx, "_fetch", lambda *_: pytest.fail("downloaded over a folder"))
    with pytest.raises(MissingDataset, match="FashionMNIST is in the way: complete or remove it"):
        identify(FASHION, tmp_path)


def test_a_wrong_shape_a_wrong_label_and_the_wrong_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_set(tmp_path / "raw")
    with pytest.raises(DamagedDataset, match=r"shape \(30, 28, 28\); fashion_mnist has \(60000, 28, 28\) there"):
        identify(FASHION, tmp_path)
    monkeypatch.setattr(idx, "SHAPES", SHAPES)
    with pytest.raises(DamagedDataset, match="train-images-idx3-ubyte: is not mnist's: its unpacked sha256"):
        identify(Data("mnist", batch_size=5, validation=0), tmp_path)
    (folder / idx.FILES[1]).write_bytes(idx_bytes(np.full(30, 11, np.uint8)))
    with pytest.raises(DamagedDataset, match=r"label 11 is not in 0..9"):
        identify(FASHION, tmp_path)


def test_real_mnist(shared_data: Path) -> None:
    mnist = Data("mnist", batch_size=60, validation=5000)
    data, identity = load(mnist, shared_data), identify(mnist, str(shared_data))
    assert data.validation is not None
    assert [len(split) for split in (data.train, data.validation, data.test)] == [55_000, 5_000, 10_000]
    assert identity.digest == data.digest == "405c8682f04a2b776d8c78bcc2d5b778539dd7121bf290486b5526b9d8837730"
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.validation.labels[:10].tolist() == [1, 1, 9, 1, 8, 7, 1, 1, 3, 7]
    assert torch.equal(data.train.labels.bincount() + data.validation.labels.bincount(), torch.tensor(
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]))  # fmt: skip
    assert load(mnist, shared_data) is data
    assert load(Data("mnist", batch_size=9, validation=5000, augment="flip"), shared_data) is data
    assert catalogue._load.cache_info().currsize == 1


def test_mnist_is_not_taken_for_fashion_mnist(shared_data: Path) -> None:
    with pytest.raises(DamagedDataset, match="is MNIST's, not fashion_mnist's; give --data-root the right folder"):
        identify(FASHION, shared_data / "MNIST")
