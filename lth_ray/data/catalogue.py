"""The catalogue of images, from the fields of config.Data: names, places, the split, and what a process
keeps.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from lth_ray.config import ConfigError, Data, nearest
from lth_ray.data.changes import QUARTERS, blurred, to_be_turned
from lth_ray.data.dataset import (
    AnySplit,
    Dataset,
    Identity,
    Labels,
    Source,
    Split,
    as_shape,
    check_places,
    check_split,
    hold_out,
    measured_statistics,
    random_labels,
)
from lth_ray.data.packed.reading import CROP_SIZE, PACKED_SETS, PackedSplit, check_packed, find_packed, is_packed
from lth_ray.data.selecting import (
    check_classes,
    is_selected,
    selected,
    shape_in_channels,
    statistics_in_channels,
    testing_rows,
    training_rows,
)
from lth_ray.data.sets.arrow import arrow_source
from lth_ray.data.sets.cifar import CIFAR_SETS, cifar_source
from lth_ray.data.sets.class_folders import folder_source
from lth_ray.data.sets.digits import digits_source
from lth_ray.data.sets.idx import IDX_SETS, idx_source
from lth_ray.data.sets.parquet import parquet_source
from lth_ray.data.sets.svhn import svhn_source
from lth_ray.data.sets.tiny_imagenet import tiny_imagenet_source
from lth_ray.store.uri import SCHEME

IN_MEMORY = ("digits", *IDX_SETS, *CIFAR_SETS, "svhn", "tiny_imagenet")
NAMES = (*IN_MEMORY, *PACKED_SETS, "parquet:PATH", "arrow:PATH", "folder:PATH", "packed:PATH")

IN_FILES = {"parquet": parquet_source, "arrow": arrow_source, "folder": folder_source}  # of images of any size


def identify(data: Data, data_root: str | Path | None = None) -> Identity:
    """Return a data set's digest and sizes, without decoding images.

    Files are looked at once in the life of the process.

    A relative PATH in data.name is one inside data_root (the working directory when that is None).
    Errors: ConfigError for an unknown name, a split that leaves nothing or a target or blur that the images do not
    allow; MissingDataset; DamagedDataset.
    """
    _check_kind(data)
    stored = _identify(data.name, data.image_size, _root(data_root))
    return _as_asked(data, stored, _labels(data, _root(data_root)))


def load(
    data: Data, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0
) -> Dataset:
    """Return the images on `device`, `data.validation` of them held out by `data.split_seed`.

    Measured statistics are those of all training images that are not held out, sharp, so that neither `train_images`
    nor `blur` changes how an image is normalised.
    A process keeps the sets it used last; they are shared, so change no tensor in place.
    A relative PATH and the errors are as in `identify`. Of packed sets nothing is read yet, and statistics are those
    of all their training images.
    loaders: processes that decode a packed set's images for this one; 0 decodes them here.
    """
    _check_kind(data)
    images_alone = replace(data, batch_size=1, augment="none", augment_padding=1, evaluation_images=None)
    return _load(images_alone, _root(data_root), str(device), loaders if is_packed(data.name) else 0)


def absolute(name: str, data_root: str | None) -> tuple[str, str | None]:
    """Return a data set's name and data root with absolute paths, for processes that have another working
    directory.

    A name without a PATH, s3:// and no data root stay as they are.
    """
    root = None if data_root is None else str(Path(data_root).expanduser().absolute())
    kind, colon, path = name.partition(":")
    if not colon or not path or SCHEME.match(path):
        return name, root
    return f"{kind}:{(Path(root or '') / Path(path).expanduser()).absolute()}", root


def _check_kind(data: Data) -> None:
    """Raise ConfigError for an augmentation of the other kind: images in memory and packed ones have each
    their own.
    """
    if is_packed(data.name):
        check_packed(data)
    elif data.augment == "resized_crop_flip":
        raise ConfigError(
            f"Data.augment = 'resized_crop_flip': only for packed sets ({', '.join(PACKED_SETS)}, packed:PATH); "
            "use none, flip or crop_flip"
        )


def find(name: str, image_size: int | None, data_root: Path | None) -> Source:
    """Look a data set up by its name and read as little of it as its digest needs."""
    kind, _, path = name.partition(":")
    if kind in IN_FILES:
        if not path:
            raise ConfigError(f"Data.name = {name!r}: give the folder, {kind}:PATH")
        place = (data_root or Path()) / Path(path).expanduser()
        return IN_FILES[kind](place, image_size)
    if is_packed(name):
        return packed_source(name, image_size, data_root)
    if name not in NAMES:
        raise ConfigError(f"Data.name = {name!r}: no such data set; {nearest(name, NAMES)}")
    if name == "tiny_imagenet":
        return tiny_imagenet_source(data_root, image_size)
    if image_size is not None:
        raise ConfigError(
            f"Data.image_size = {image_size}: only for tiny_imagenet, parquet:, arrow:, folder: and packed sets; leave "
            "it out"
        )
    if name == "svhn":
        return svhn_source(data_root)
    if name in IDX_SETS:
        return idx_source(name, data_root)
    return cifar_source(name, data_root) if name in CIFAR_SETS else digits_source()


def packed_source(name: str, image_size: int | None, data_root: Path | None) -> Source:
    """Return a packed set as a data set.

    image_size: side of the crops, by default CROP_SIZE.
    """
    found, size = find_packed(name, data_root), image_size or CROP_SIZE
    manifest = found.manifest

    def read() -> tuple[PackedSplit, PackedSplit]:
        return found.split("train", size), found.split("test", size)

    return Source(
        manifest.digest,
        manifest.rows("train"),
        manifest.rows("test"),
        (3, size, size),
        len(manifest.classes),
        read,
        (manifest.mean, manifest.std),
    )


def _root(data_root: str | Path | None) -> Path | None:
    return None if data_root is None else Path(data_root).expanduser()


@lru_cache(maxsize=64)
def _identify(name: str, image_size: int | None, data_root: Path | None) -> Identity:
    """Return the identity of all that is stored, nothing held out."""
    return _identity(find(name, image_size, data_root))


def _identity(source: Source) -> Identity:
    return Identity(source.digest, source.n_train, 0, source.n_test, source.input_shape, source.num_classes)


@lru_cache(maxsize=8)
def _stored_labels(name: str, image_size: int | None, data_root: Path | None) -> tuple[Labels, Labels]:
    return find(name, image_size, data_root).labels()


def _labels(data: Data, data_root: Path | None) -> tuple[Labels, Labels] | None:
    """Return the labels of (train, test), where `data` asks for some of the images."""
    return _stored_labels(data.name, data.image_size, data_root) if is_selected(data) else None


def _as_asked(data: Data, stored: Identity, labels: tuple[Labels, Labels] | None) -> Identity:
    """Return the sizes that are left by the fields of `data`.

    labels: as of `_labels`.

    Raise ConfigError where the images do not allow them.
    """
    check_classes(data, stored.num_classes)
    stored = replace(stored, input_shape=shape_in_channels(as_shape(stored.input_shape), data.channels))
    if labels is not None:
        n_train, n_test = len(training_rows(labels[0], data)), len(testing_rows(labels[1], data))
        stored = replace(stored, n_train=n_train, n_test=n_test)
    check_split(data.validation, data.train_images, stored.n_train)
    check_places(data.only, stored.n_train - data.validation)
    _, height, width = stored.input_shape
    if height % data.blur or width % data.blur:
        raise ConfigError(f"Data.blur = {data.blur}: it must divide the images' sides, {height} and {width} pixels")
    if data.augment == "crop_flip" and data.augment_padding > min(height, width):
        raise ConfigError(
            f"Data.augment_padding = {data.augment_padding}: crops would miss images of {height}x{width} pixels "
            "altogether; give at most their side"
        )
    if data.target == "rotation" and height != width:
        raise ConfigError(
            f"Data.target = 'rotation': only square images can be turned by a quarter, and these have {height}x{width} "
            "pixels; use others (parquet:, arrow: and folder: sets can be given a square image_size)"
        )
    return replace(
        stored,
        n_train=data.train_images or len(data.only or ()) or stored.n_train - data.validation,
        n_validation=data.validation,
        num_classes=QUARTERS if data.target == "rotation" else len(data.classes or ()) or stored.num_classes,
    )


@lru_cache(maxsize=4)
def _load(data: Data, data_root: Path | None, device: str, loaders: int) -> Dataset:
    source = find(data.name, data.image_size, data_root)
    identity = _as_asked(data, _identity(source), _labels(data, data_root))  # before images are decoded
    everything, test = source.read()
    if isinstance(everything, Split) and isinstance(test, Split):
        everything, test = selected(everything, test, data)
    if data.target == "random_labels":
        everything = random_labels(everything, identity.num_classes, data.split_seed)
    train, held_out = hold_out(everything, data.validation, data.split_seed)
    shape = as_shape(identity.input_shape)
    statistics = (source.statistics or measured_statistics(train)) if data.standardise else ((0.0,), (1.0,))
    mean, std = statistics_in_channels(statistics, shape[0])
    if data.train_images is not None:
        train, _ = hold_out(everything, data.validation, data.split_seed, data.train_images)
    if data.only is not None:
        train = train.take(torch.tensor(data.only))
    return Dataset(
        train=_prepared(train, data, loaders).to(device),
        validation=None if held_out is None else _prepared(held_out, data, loaders).to(device),
        test=_prepared(test, data, loaders).to(device),
        num_classes=identity.num_classes,
        input_shape=shape,
        mean=mean,
        std=std,
        digest=source.digest,
    )


def _prepared(split: AnySplit, data: Data, loaders: int) -> AnySplit:
    """Return the images blurred, and marked to be turned, where `data` says so; packed ones with their
    loaders.
    """
    if isinstance(split, PackedSplit):
        return replace(split, loaders=loaders)
    if data.blur > 1:
        split = replace(split, images=blurred(split.images, data.blur))
    return to_be_turned(split) if data.target == "rotation" else split
