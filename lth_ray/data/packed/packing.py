"""Packing: images of any layout into shards that are mapped and read at random.

A packing is a list of pieces. Each becomes one shard and a note of what was found, whatever process makes it and
whenever; a piece whose shard and note are there is done. The manifest, written last, makes a set of the shards.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.io import encode_jpeg

from lth_ray.config import ConfigError
from lth_ray.data.cropping import decode, shortened
from lth_ray.data.dataset import statistics_of_sums
from lth_ray.data.errors import DamagedDataset
from lth_ray.data.images import opened
from lth_ray.data.packed.layouts import Images, find_layout
from lth_ray.data.packed.manifest import MANIFEST, SHARD, Manifest, Shard
from lth_ray.data.packed.manifest import decode as decode_manifest
from lth_ray.data.packed.shards import encode_shard, verify_shard
from lth_ray.store.errors import MissingFile
from lth_ray.store.files import TEMPORARY, Files

NOTES = ".packing"  # a folder in the target, until the manifest is written
KEPT_AS_THEY_ARE = (b"\xff\xd8", b"\x89PNG")  # how JPEG and PNG begin: what is decoded in training
OURS = re.compile(rf"{re.escape(NOTES)}/.*|{SHARD.pattern}")
WHITE = 255
LARGEST_JPEG = 65_500  # pixels on a side


@dataclass(frozen=True)
class Options:
    """The way in which a set is packed.

    short_side: in pixels, of images that are larger (None: all stay as they are).
    quality: of JPEGs made anew.
    shard_mb: megabytes of the source's images in a shard.
    """

    short_side: int | None = None
    quality: int = 90
    shard_mb: int = 128

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("short-side", self.short_side, 1, LARGEST_JPEG),
            ("quality", self.quality, 1, 100),
            ("shard-mb", self.shard_mb, 1, 10_000),
        ):
            if value is not None and not low <= value <= high:
                raise ConfigError(f"--{name} {value}: give a number from {low} to {high}")


@dataclass(frozen=True)
class Piece:
    """The images of one shard.

    stamp: digest of what they are made from and how.
    """

    name: str
    images: Images
    options: Options
    stamp: str


@dataclass(frozen=True)
class Note:
    """The outcome of a piece.

    sums: each channel's number of pixels, their sum and the sum of their squares.
    damaged: a line for each image that could not be read.
    """

    shard: Shard
    stamp: str
    sums: tuple[tuple[int, int, int], ...]
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class Packing:
    """The work to be done.

    digest: of everything that the shards are made from.
    """

    kind: str
    classes: tuple[str, ...]
    options: Options
    train: tuple[Piece, ...]
    test: tuple[Piece, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self.train + self.test

    @property
    def digest(self) -> str:
        return _digest([list(self.classes), [piece.stamp for piece in self.train], [p.stamp for p in self.test]])


def plan_packing(source: Path, options: Options) -> Packing:
    """Look the source through: names, sizes and labels, no image."""
    layout = find_layout(source, options.shard_mb)
    train, test = (
        tuple(
            Piece(f"{split}-{number:05d}.arrow", images, options, _stamp(images, options))
            for number, images in enumerate(pieces)
        )
        for split, pieces in (("train", layout.train), ("test", layout.test))
    )
    return Packing(layout.kind, layout.classes, options, train, test)


def packed_already(packing: Packing, files: Files) -> Manifest | None:
    """Return the manifest, if this very packing was finished before.

    Raise ConfigError where the target holds another set.
    """
    try:
        manifest = decode_manifest(files.get(MANIFEST), f"{files.uri}/{MANIFEST}")
    except MissingFile:
        return None
    if manifest.plan != packing.digest:
        raise ConfigError(
            f"{files.uri}: holds another set, or this one from other files or with other options; "
            f"give another TARGET, or remove {MANIFEST} from it"
        )
    return manifest


def pack_piece(piece: Piece, files: Files) -> Note:
    """Make the shard, unless it is there. What is damaged is left out of it, and named in the note."""
    done = _done(piece, files)
    if done is not None:
        return done
    images: list[bytes] = []
    labels, names, damaged = [], [], []
    sums = np.zeros((3, 3), dtype=np.int64)
    for found in piece.images.read():
        try:
            if found.data is None:
                raise DamagedDataset(found.name, "has no image bytes", "store the images in the file")
            data, pixels = stored(found.data, found.name, piece.options)
        except DamagedDataset as error:
            damaged.append(str(error))
            continue
        sums += _sums(pixels)
        images.append(data)
        labels.append(found.label)
        names.append(found.name)
    encoded = encode_shard(images, labels, names)
    shard = Shard(piece.name, len(images), len(encoded), hashlib.sha256(encoded).hexdigest())
    note = Note(shard, piece.stamp, tuple((n, s, q) for n, s, q in sums.tolist()), tuple(damaged))
    files.put(piece.name, encoded)
    files.put(_note(piece), json.dumps(asdict(note)).encode())
    return note


def finish(packing: Packing, notes: dict[str, Note], files: Files, skip_corrupt: bool) -> Manifest:
    """Write the manifest, and remove what is no part of the set.

    notes: by the pieces' names.

    ConfigError, which names every damaged image, unless they are to be left out.
    """
    train, test = ([notes[piece.name] for piece in pieces] for pieces in (packing.train, packing.test))
    damaged = [line for note in train + test for line in note.damaged]
    if damaged and not skip_corrupt:
        raise ConfigError(
            f"{len(damaged)} of {total_images(packing.pieces)} images cannot be read:\n"
            + "\n".join(f"  {line}" for line in damaged)
            + "\nmend them and run the same command again, or leave them out by --skip-corrupt"
        )
    for name, found in (("training", train), ("test", test)):
        if not sum(note.shard.rows for note in found):
            raise ConfigError(f"no {name} image is left: all are damaged; mend some of them")
    sums = np.sum([note.sums for note in train], axis=0, dtype=object)
    mean, std = statistics_of_sums([(int(n), int(s), int(q)) for n, s, q in sums], WHITE)
    manifest = Manifest(
        packing.classes,
        tuple(note.shard for note in train),
        tuple(note.shard for note in test),
        mean,
        std,
        packing.options.short_side,
        packing.options.quality,
        packing.kind,
        packing.digest,
        tuple(damaged),
    )
    files.put(MANIFEST, manifest.encode())
    clean(files, manifest)
    return manifest


def clean(files: Files, manifest: Manifest) -> None:
    """Remove notes, shards of an earlier attempt with other options, and the folder of temporary files if
    empty.
    """
    kept = {MANIFEST, *(shard.name for shard in manifest.train + manifest.test)}
    for entry in list(files.entries("")):
        if OURS.fullmatch(entry.path) and entry.path not in kept:
            files.delete(entry.path)
    files.delete(f"{TEMPORARY}/none")


def stored(data: bytes, name: str, options: Options) -> tuple[bytes, Tensor]:
    """Return an image's bytes as they are stored, and its pixels, uint8 [3, H, W].

    Raises DamagedDataset if it cannot be read.

    JPEG and PNG that need no resizing keep their bytes; the rest becomes JPEG. What images in memory are refused for
    is refused here too, and EXIF's orientation is not applied here either.
    """
    opened(name, data)
    known, pixels = data.startswith(KEPT_AS_THEY_ARE), decode(data, name)
    if options.short_side is not None and min(pixels.shape[1:]) > options.short_side:
        pixels, known = shortened(pixels, options.short_side), False
    if known:
        return data, pixels
    if max(pixels.shape[1:]) > LARGEST_JPEG:
        raise DamagedDataset(name, f"has {max(pixels.shape[1:])} pixels on a side, too many for JPEG", "cut it smaller")
    return encode_jpeg(pixels, quality=options.quality).numpy().tobytes(), pixels


def _sums(pixels: Tensor) -> np.ndarray:
    """Return [3, 3]: of each channel the number of pixels, their sum and the sum of their squares."""
    values = pixels.flatten(1).to(torch.int32)  # squares are below 2**16, and their sums are taken in int64
    n = torch.full((3,), values.shape[1])
    return torch.stack([n, values.sum(1), (values * values).sum(1)], 1).numpy()


def _done(piece: Piece, files: Files) -> Note | None:
    """Return the note on a piece that was packed before, if its shard is still whole."""
    try:
        found = json.loads(files.get(_note(piece)))
        sums = tuple((n, s, q) for n, s, q in found["sums"])
        note = Note(Shard(**found["shard"]), found["stamp"], sums, tuple(found["damaged"]))
    except (MissingFile, ValueError, KeyError, TypeError):
        return None
    ours = (note.stamp, note.shard.name) == (piece.stamp, piece.name)
    return note if ours and verify_shard(files, note.shard) is None else None


def _note(piece: Piece) -> str:
    return f"{NOTES}/{piece.name}.json"


def _stamp(images: Images, options: Options) -> str:
    how = [options.short_side, options.quality, version("torchvision")]
    return _digest([images.stamp(), how])


def _digest(meaning: object) -> str:
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()


def total_images(pieces: Iterable[Piece]) -> int:
    """Return the number of images in the pieces, damaged ones included."""
    return sum(len(piece.images) for piece in pieces)
