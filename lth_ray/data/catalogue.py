"""From the fields of config.Data to images: names, places, the split, and what a process keeps."""

from functools import lru_cache
from pathlib import Path

import torch

from lth_ray.config import ConfigError, Data, nearest
from lth_ray.data.cifar import CIFAR_SETS, cifar_source
from lth_ray.data.dataset import Dataset, Identity, Source, check_validation, hold_out, measured_statistics
from lth_ray.data.digits import digits_source
from lth_ray.data.folder import folder_source
from lth_ray.data.idx import IDX_SETS, idx_source
from lth_ray.data.parquet import parquet_source

NAMES = ("digits", *IDX_SETS, *CIFAR_SETS, "parquet:PATH", "folder:PATH")


def identify(data: Data, data_root: str | Path | None = None) -> Identity:
    """A data set's digest and sizes, without decoding images. Remembered for the life of the process.

    A relative PATH in data.name is one inside data_root (the working directory when that is None).
    Errors: ConfigError for an unknown name or a split that leaves nothing; MissingDataset; DamagedDataset.
    """
    return _identify(data.name, data.validation, data.image_size, _root(data_root))


def load(data: Data, data_root: str | Path | None = None, device: str | torch.device = "cpu") -> Dataset:
    """The images on `device`, `data.validation` of them held out by `data.split_seed`.

    A process keeps the sets it used last; they are shared, so change no tensor in place.
    A relative PATH and the errors are as in `identify`.
    """
    fields = data.name, data.validation, data.split_seed, data.image_size
    return _load(*fields, _root(data_root), str(device))


def find(name: str, image_size: int | None, data_root: Path | None) -> Source:
    """Looks a data set up by its name and reads as little of it as its digest needs."""
    kind, _, path = name.partition(":")
    if kind in ("parquet", "folder"):
        if not path:
            raise ConfigError(f"Data.name = {name!r}: give the folder, {kind}:PATH")
        place = (data_root or Path()) / Path(path).expanduser()
        return (parquet_source if kind == "parquet" else folder_source)(place, image_size)
    if name == "imagenet":
        raise ConfigError("Data.name = 'imagenet': not read yet; a subset that fits in memory is a parquet:PATH")
    if name not in NAMES:
        raise ConfigError(f"Data.name = {name!r}: no such data set; {nearest(name, NAMES)}")
    if image_size is not None:
        raise ConfigError(f"Data.image_size = {image_size}: only for parquet: and folder: sets; leave it out")
    if name in IDX_SETS:
        return idx_source(name, data_root)
    return cifar_source(name, data_root) if name in CIFAR_SETS else digits_source()


def _root(data_root: str | Path | None) -> Path | None:
    return None if data_root is None else Path(data_root).expanduser()


@lru_cache(maxsize=64)
def _identify(name: str, validation: int, image_size: int | None, data_root: Path | None) -> Identity:
    source = find(name, image_size, data_root)
    check_validation(validation, source.n_train)
    sizes = source.n_train - validation, validation, source.n_test
    return Identity(source.digest, *sizes, source.input_shape, source.num_classes)


@lru_cache(maxsize=4)
def _load(
    name: str, validation: int, split_seed: int, image_size: int | None, data_root: Path | None, device: str
) -> Dataset:
    source = find(name, image_size, data_root)
    check_validation(validation, source.n_train)  # before images are decoded
    everything, test = source.read()
    train, held_out = hold_out(everything, validation, split_seed)
    mean, std = source.statistics or measured_statistics(train)
    return Dataset(
        train=train.to(device),
        validation=None if held_out is None else held_out.to(device),
        test=test.to(device),
        num_classes=source.num_classes,
        input_shape=source.input_shape,
        mean=mean,
        std=std,
        digest=source.digest,
    )
