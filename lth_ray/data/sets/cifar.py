"""CIFAR-10 and CIFAR-100, from Parquet files or from torchvision's folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lth_ray.data.dataset import Channels, Source, Split, array_split, combined_digest, file_digest
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.images import image_source
from lth_ray.data.sets.download import download, places
from lth_ray.data.sets.parquet import encoded_split, shards

N_TRAIN, N_TEST = 50_000, 10_000


@dataclass(frozen=True)
class CifarSet:
    """A CIFAR set as torchvision knows it.

    dataset: the name of torchvision's class.
    folder: where that keeps its files.
    """

    dataset: str
    folder: str
    num_classes: int
    statistics: tuple[Channels, Channels]


CIFAR_SETS = {
    "cifar10": CifarSet("CIFAR10", "cifar-10-batches-py", 10, ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))),
    "cifar100": CifarSet("CIFAR100", "cifar-100-python", 100, ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))),
}


def cifar_source(name: str, data_root: Path | None) -> Source:
    """Return 50,000 + 10,000 colour images of 32x32, from Parquet files, where there are any, before
    torchvision's folder.

    MissingDataset if neither is there nor to be had.
    """
    cifar = CIFAR_SETS[name]
    folders = [place / end for place in places(data_root) for end in (name, f"{name}/data", "", "data")]
    for folder in folders:
        if shards(folder, "train") and shards(folder, "test"):
            return _from_parquet(name, folder)
    if place := _torchvision_place(cifar, folders):
        return _from_torchvision(cifar, place)
    problem = download(cifar.folder, data_root, lambda place: _open(cifar, Path(place), True, download=True))
    if problem is None and (place := _torchvision_place(cifar, folders)):
        return _from_torchvision(cifar, place)
    raise MissingDataset(
        f"Data.name = {name!r}: no folder holds train-*.parquet and test-*.parquet, or {cifar.folder}. Looked in: "
        f"{'; '.join(map(str, folders))}. The download failed ({problem}). Give --data-root a folder that has them"
    )


def _from_parquet(name: str, folder: Path) -> Source:
    cifar = CIFAR_SETS[name]
    train, test = encoded_split(folder, "train"), encoded_split(folder, "test")
    source = image_source(train, test, cifar.num_classes, None, cifar.statistics)
    highest = int(max(train.labels.max(), test.labels.max()))
    found = (source.n_train, source.n_test, source.input_shape, highest + 1)
    expected = (N_TRAIN, N_TEST, (3, 32, 32), cifar.num_classes)
    if found != expected:
        raise DamagedDataset(
            folder,
            f"is not {name}: (training images, test images, shape, classes) are {found}, not {expected}",
            f"complete it, or use parquet:{folder} for a set of your own",
        )
    return source


def _torchvision_place(cifar: CifarSet, folders: list[Path]) -> Path | None:
    return next((folder for folder in folders if (folder / cifar.folder).is_dir()), None)


def _open(cifar: CifarSet, place: Path, train: bool, download: bool = False) -> Any:
    from torchvision import datasets  # here: slow to import, and the Parquet layout does without

    return getattr(datasets, cifar.dataset)(str(place), train=train, download=download)


def _from_torchvision(cifar: CifarSet, place: Path) -> Source:
    from torchvision import datasets

    dataset = getattr(datasets, cifar.dataset)
    names = [[name for name, _ in files] for files in (dataset.train_list, dataset.test_list)]
    try:
        digests = [[file_digest(place / cifar.folder / name) for name in split] for split in names]
    except FileNotFoundError as error:
        raise DamagedDataset(place / cifar.folder, f"lacks {error.filename}") from None

    def split(train: bool) -> Split:
        try:  # torchvision reads its own pickles, after it has compared their checksums with those in its source
            stored = _open(cifar, place, train)
        except RuntimeError as error:
            raise DamagedDataset(place / cifar.folder, str(error)) from None
        return array_split(np.ascontiguousarray(stored.data.transpose(0, 3, 1, 2)), np.array(stored.targets))

    digest = combined_digest(*digests)
    shape = (3, 32, 32)
    return Source(
        digest, N_TRAIN, N_TEST, shape, cifar.num_classes, lambda: (split(True), split(False)), cifar.statistics
    )
