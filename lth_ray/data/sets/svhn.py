"""SVHN, street view house numbers (Netzer et al. 2011), from the published MATLAB files of cropped digits."""

from pathlib import Path
from typing import Any

import numpy as np

from lth_ray.data.dataset import Source, Split, array_split, combined_digest, file_digest
from lth_ray.data.errors import DamagedDataset, MissingDataset, readable
from lth_ray.data.sets.download import download, places

FOLDER = "SVHN"
FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
SIZES = {"train": 73_257, "test": 26_032}
ZERO = 10  # how the files label the digit 0


def svhn_source(data_root: Path | None) -> Source:
    """Return 73,257 + 26,032 colour images of 32x32. The extra training images are left.

    MissingDataset if the two files are neither there nor to be had; DamagedDataset for foreign ones.
    """
    paths = _locate(data_root)
    for split, path in paths.items():
        _check(split, path)

    def read() -> tuple[Split, Split]:
        return _read(paths["train"]), _read(paths["test"])

    digest = combined_digest([file_digest(paths["train"])], [file_digest(paths["test"])])
    return Source(digest, SIZES["train"], SIZES["test"], (3, 32, 32), 10, read)


def _locate(data_root: Path | None) -> dict[str, Path]:
    folders = [place / end for place in places(data_root) for end in (FOLDER, "svhn", "")]
    if found := _all_in_one(folders):
        return found
    problem = download(FOLDER, data_root, _fetch)
    if problem is None and (found := _all_in_one(folders)):
        return found
    raise MissingDataset(
        f"Data.name = 'svhn': no folder holds both {' and '.join(FILES.values())}. Looked in: "
        f"{'; '.join(map(str, folders))}. The download failed ({problem}). Give --data-root a folder that has them in "
        f"{FOLDER}/"
    )


def _all_in_one(folders: list[Path]) -> dict[str, Path] | None:
    for folder in folders:
        if all((folder / name).is_file() for name in FILES.values()):
            return {split: folder / name for split, name in FILES.items()}
    return None


def _fetch(place: str) -> None:
    from torchvision import datasets  # here: slow to import, and only a download needs it

    for split in FILES:
        datasets.SVHN(str(Path(place, FOLDER)), split=split, download=True)


def _check(split: str, path: Path) -> None:
    """Compare the shapes that a file's headers announce with the published ones."""
    from scipy.io import whosmat

    with readable(path, "is not a readable MATLAB file", kinds=(Exception,)):
        found = {name: shape for name, shape, _ in whosmat(str(path))}
    expected = {"X": (32, 32, 3, SIZES[split]), "y": (SIZES[split], 1)}
    if found != expected:
        raise DamagedDataset(path, f"holds {found}; svhn has {expected} there")


def _read(path: Path) -> Split:
    with readable(path, "is not a readable MATLAB file", kinds=(Exception,)):
        stored: dict[str, Any] = _loadmat(path)
    images, labels = stored["X"], stored["y"].reshape(-1).astype(np.int64)
    if images.dtype != np.uint8 or labels.min() < 1 or labels.max() > ZERO:
        why = f"pixels are {images.dtype}, labels {labels.min()} to {labels.max()}; svhn has uint8 and 1 to {ZERO}"
        raise DamagedDataset(path, why)
    return array_split(np.ascontiguousarray(images.transpose(3, 2, 0, 1)), labels % ZERO)


def _loadmat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    found: dict[str, Any] = loadmat(str(path))
    return found
