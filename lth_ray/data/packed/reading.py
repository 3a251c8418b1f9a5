"""Packed sets: a manifest and its shards, of which a process maps what it reads."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lth_ray.config import ConfigError, Data
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.packed.manifest import MANIFEST, Manifest, decode
from lth_ray.data.packed.shard_cache import shard_cache
from lth_ray.data.packed.shards import Shards
from lth_ray.data.sets.download import places
from lth_ray.printing import enumerated
from lth_ray.store.errors import MissingFile, StorageError
from lth_ray.store.files import Files
from lth_ray.store.local import LocalFiles
from lth_ray.store.uri import SCHEME, open_files

CROP_SIZE = 224
AUGMENTS = ("none", "flip", "resized_crop_flip")
PACKED_SETS = ("imagenet", "places365")  # too large for memory: folders of these names are made by `lth-ray data pack`
SOURCE = "a folder with train/ and val/ or with Parquet files"
SOURCES = {"places365": f"that of torchvision's Places365, with its places365_train_standard.txt, or {SOURCE}"}


@dataclass(frozen=True)
class PackedSplit:
    """Images of a packed set, by their positions in it.

    rows: int64 [n] on the CPU.
    labels: int64 [n], or None for those stored.
    size: side of the crops in pixels.
    device: where batches are wanted.
    loaders: processes that decode them, 0 for the one that asks.
    """

    shards: Shards
    rows: Tensor
    size: int
    labels: Tensor | None = None
    device: torch.device = torch.device("cpu")
    loaders: int = 0

    def __len__(self) -> int:
        return self.rows.numel()

    def take(self, rows: Tensor) -> "PackedSplit":
        """Return the images at these positions, in this order."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, rows=self.rows[rows], labels=labels)

    def first(self, n: int) -> "PackedSplit":
        """Return the first n images, or all where there are fewer."""
        return replace(self, rows=self.rows[:n], labels=None if self.labels is None else self.labels[:n])

    def relabelled(self, labels: Tensor) -> "PackedSplit":
        """Return the same images with other labels."""
        return replace(self, labels=labels)

    def to(self, device: str | torch.device) -> "PackedSplit":
        return replace(self, device=torch.device(device))


@dataclass(frozen=True)
class PackedSet:
    """A packed set that was found; of its shards none is open yet."""

    files: Files
    manifest: Manifest

    def split(self, name: str, size: int) -> PackedSplit:
        """Return `train` or `test`."""
        kept = shard_cache(remote=not isinstance(self.files, LocalFiles))
        shards = Shards(self.files, self.manifest.split(name), kept)
        return PackedSplit(shards, torch.arange(len(shards)), size)


def is_packed(name: str) -> bool:
    """Return whether Data.name is that of a packed set."""
    return name in PACKED_SETS or name.partition(":")[0] == "packed"


def find_packed(name: str, data_root: Path | None) -> PackedSet:
    """Find one of PACKED_SETS, in the data root or the cache of data sets, or packed:PATH; read the manifest alone.

    PATH: a folder, inside data_root if relative, or s3://BUCKET/PREFIX.
    Errors: MissingDataset, with the command that makes it; DamagedDataset; StorageError.
    """
    path = name.partition(":")[2]
    if name in PACKED_SETS:
        tried = [str(place / name) for place in places(data_root)]
    elif not path:
        raise ConfigError(f"Data.name = {name!r}: give the folder, packed:PATH")
    else:
        tried = [path if SCHEME.match(path) else str((data_root or Path()) / Path(path).expanduser())]
    for uri in tried:
        found = open_packed(uri)
        if found is not None:
            return found
    raise MissingDataset(
        f"Data.name = {name!r}: no {MANIFEST} in {enumerated(tried)}; pack the images once, "
        f"`lth-ray data pack SOURCE {tried[0]}`, SOURCE being {SOURCES.get(name, SOURCE)}"
    )


def open_packed(uri: str) -> PackedSet | None:
    """Return the set at a folder or s3:// URI; None where there is no manifest."""
    files = open_files(uri)
    try:
        encoded = files.get(MANIFEST)
    except MissingFile:
        return None
    except StorageError as error:
        raise DamagedDataset(uri, f"cannot be read ({error})", "check the path and its permissions") from error
    return PackedSet(files, decode(encoded, f"{files.uri}/{MANIFEST}"))


def check_packed(data: Data) -> None:
    """Refuse what only images in memory allow."""
    if data.augment not in AUGMENTS:
        raise ConfigError(
            f"Data.augment = {data.augment!r}: it pads small images of one size; for a packed set use "
            f"{', '.join(map(repr, AUGMENTS))}"
        )
    if data.blur != 1:
        raise ConfigError(f"Data.blur = {data.blur}: packed sets are not blurred; leave it out")
    for field, value in (("classes", data.classes), ("part", data.part)):
        if value is not None:
            raise ConfigError(f"Data.{field} = {value!r}: packed sets are used whole; leave it out, or pack such a set")
    if data.target == "rotation":
        raise ConfigError("Data.target = 'rotation': images of packed sets are not turned; use labels or random_labels")
