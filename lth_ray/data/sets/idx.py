"""MNIST and Fashion-MNIST from their raw idx files (LeCun's format: yann.lecun.com/exdb/mnist).

torchvision.datasets.mnist reads the same bits, but no gzipped file, and meets a damaged one with a bare AssertionError.
"""

import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lth_ray.data.dataset import Channels, Source, Split, array_split, combined_digest
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.sets.download import download, places

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
SHAPES = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))
# sha256 of MNIST's unpacked files. Fashion-MNIST's files bear the same names, so these also tell the two apart.
MNIST_SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)


@dataclass(frozen=True)
class IdxSet:
    """A data set in four idx files.

    folder: torchvision's name for it.
    """

    folder: str
    statistics: tuple[Channels, Channels]
    sha256: tuple[str, ...] | None


IDX_SETS = {
    "mnist": IdxSet("MNIST", ((0.1307,), (0.3081,)), MNIST_SHA256),
    "fashion_mnist": IdxSet("FashionMNIST", ((0.2860,), (0.3530,)), None),
}


def idx_source(name: str, data_root: Path | None) -> Source:
    """Return 60,000 + 10,000 grey images of 28x28. The digest is of the unpacked files.

    MissingDataset if they are neither there nor to be had; DamagedDataset for a truncated or foreign file.
    """
    arrays, digests = zip(*(_checked(name, i, path) for i, path in enumerate(locate(name, data_root))), strict=True)

    def read() -> tuple[Split, Split]:
        # Copied, as the bytes they are views of cannot be written to, which torch requires.
        train_images, train_labels, test_images, test_labels = (array.copy() for array in arrays)
        return array_split(train_images[:, None], train_labels), array_split(test_images[:, None], test_labels)

    digest = combined_digest(digests[:2], digests[2:])
    labels = arrays[1].astype(np.int64), arrays[3].astype(np.int64)
    sizes = len(arrays[0]), len(arrays[2])
    return Source(digest, *sizes, (1, 28, 28), 10, read, IDX_SETS[name].statistics, lambda: labels)


def locate(name: str, data_root: Path | None) -> list[Path]:
    """Return the four files, gzipped or not, all in one folder; downloaded if they are in none."""
    folder = IDX_SETS[name].folder
    folders = [place / end for place in places(data_root) for end in (f"{folder}/raw", "raw", "")]
    if found := _all_in_one(folders):
        return found
    problem = download(folder, data_root, lambda place: _fetch(folder, place))
    if problem is None and (found := _all_in_one(folders)):
        return found
    looked = "; ".join(str(path) for path in folders)
    raise MissingDataset(
        f"Data.name = {name!r}: no folder holds all of {', '.join(FILES)} (each with or without .gz). Looked in: "
        f"{looked}. The download failed ({problem}). Give --data-root a folder that has them in {folder}/raw"
    )


def _all_in_one(folders: list[Path]) -> list[Path] | None:
    for folder in folders:
        either = [[folder / name, folder / f"{name}.gz"] for name in FILES]
        found = [next(filter(Path.is_file, pair), None) for pair in either]
        if all(found):
            return [path for path in found if path]
    return None


def _fetch(folder: str, place: str) -> None:
    from torchvision import datasets  # here: slow to import, and only a download needs it

    getattr(datasets, folder)(place, download=True)


def _checked(name: str, index: int, path: Path) -> tuple[NDArray[np.uint8], str]:
    """Return the array in one of FILES and the sha256 of its unpacked bytes."""
    data = unpack(path)
    array, digest = parse(data, path), hashlib.sha256(data).hexdigest()
    if array.shape != SHAPES[index]:
        raise DamagedDataset(path, f"holds an array of shape {array.shape}; {name} has {SHAPES[index]} there")
    expected = IDX_SETS[name].sha256
    if expected and digest != expected[index]:
        raise DamagedDataset(path, f"is not {name}'s: its unpacked sha256 begins {digest[:16]}")
    if not expected and digest == MNIST_SHA256[index]:
        raise DamagedDataset(path, f"is MNIST's, not {name}'s", "give --data-root the right folder")
    if array.ndim == 1 and array.max() > 9:
        raise DamagedDataset(path, f"label {array.max()} is not in 0..9")
    return array, digest


def unpack(path: Path) -> bytes:
    """Return the file's content, gunzipped if its name ends in .gz."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedDataset(path, f"cannot be gunzipped ({error})") from None


def parse(data: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes in an idx file: two zeros, type 8, rank, big-endian sizes, then the
    bytes.
    """
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise DamagedDataset(path, f"is not an idx file of bytes (it begins with {data[:4].hex() or 'nothing'})")
    start = 4 + 4 * data[3]
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(data) != expected:
        state = "truncated" if len(data) < expected else "too long"
        raise DamagedDataset(path, f"is {state}: {len(data)} bytes, and its header announces {expected}")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
