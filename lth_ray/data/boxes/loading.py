"""Sets of images with boxes: found, identified, and as tensors of one size in memory."""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lth_ray.config import Boxes, ConfigError
from lth_ray.config.tasks.boxes import OWN
from lth_ray.data.boxes.annotated import Annotation, Found, Picture, looked_at
from lth_ray.data.boxes.coco import coco
from lth_ray.data.boxes.voc import voc
from lth_ray.data.boxes.yolo import yolo
from lth_ray.data.cache import cached_array
from lth_ray.data.dataset import Identity
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.images import check_room, converted, opened
from lth_ray.data.order import SPLIT, permutation

FORMATS: Mapping[str, Callable[[Path], Found]] = {"voc": voc, "coco": coco, "yolo": yolo}


@dataclass(frozen=True)
class Pictures:
    """Some images of one size, with their boxes in its pixels.

    images: uint8 [n, 3, S, S].
    boxes: float32 [n, m, 4]: left, top, right, bottom; an image's own come first, and zeros fill up.
    labels: int64 [n, m]: the class of each from 1 up, negative where a box is passed over, and 0 for none.
    counts: int64 [n]: the boxes that are not passed over, which come first.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.images, self.boxes, self.labels, self.counts

    def take(self, rows: Tensor) -> "Pictures":
        """Return the images at these positions, in this order."""
        return Pictures(*(tensor.index_select(0, rows.to(tensor.device)) for tensor in self.tensors))

    def first(self, n: int) -> "Pictures":
        """Return the first n images, or all where there are fewer; they share memory."""
        return Pictures(*(tensor[:n] for tensor in self.tensors))

    def to(self, device: str | torch.device) -> "Pictures":
        return Pictures(*(tensor.to(device) for tensor in self.tensors))


@dataclass(frozen=True)
class PictureSet:
    """A set ready to train on.

    digest: as in Identity.
    """

    train: Pictures
    validation: Pictures | None
    test: Pictures
    classes: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class _Set:
    """The pictures of each of a set's own lists, in the order of their names, and the classes of all."""

    lists: Mapping[str, tuple[Picture, ...]]
    classes: tuple[str, ...]
    digest: str


def identify(config: Boxes, data_root: str | Path | None = None) -> Identity:
    """Return digest and sizes. Every annotation is read and checked, and of every image its header.

    Errors: MissingDataset, DamagedDataset, ConfigError for a split that leaves nothing.
    """
    found = _found(config, data_root)
    train, validation, test = map(len, _parts(config, found))
    shape = (3, config.image_size, config.image_size)
    check_room(train + validation + test, shape, config.image_size)
    return Identity(found.digest, train, validation, test, shape, len(found.classes) + 1)


def load(config: Boxes, data_root: str | Path | None = None, device: str | torch.device = "cpu") -> PictureSet:
    """Return the images on `device`. A process keeps the sets it used last: change no tensor in place."""
    plain = replace(config, batch_size=1, augment="none", score="map", evaluation_images=None)
    return _load(plain, _root(data_root), str(device))


@lru_cache(maxsize=4)
def _load(config: Boxes, root: str | None, device: str) -> PictureSet:
    found = _found(config, root)
    parts = _parts(config, found)
    most = max(1, *(len(picture.boxes) for picture in chain(*parts)))
    train, validation, test = (_pictures(part, found.classes, config, most).to(device) for part in parts)
    return PictureSet(train, validation if len(validation) else None, test, found.classes, found.digest)


def _root(data_root: str | Path | None) -> str | None:
    return None if data_root is None else str(data_root)


def _found(config: Boxes, data_root: str | Path | None) -> _Set:
    return _read(config.name, config.classes if config.classes is None else tuple(config.classes), _root(data_root))


@lru_cache(maxsize=4)
def _read(name: str, classes: tuple[str, ...] | None, root: str | None) -> _Set:
    """Return a set's pictures. Files are looked at once in the life of a process."""
    kind, _, path = name.partition(":")
    place = Path(root or "").expanduser() / Path(path).expanduser()
    if not place.is_dir():
        raise MissingDataset(f"Boxes.name = {name!r}: there is no folder {place}; give its path, or --data-root")
    given = FORMATS[kind](place)
    lists = {one: tuple(sorted(annotations, key=_place)) for one, annotations in given.lists.items()}
    for one, annotations in lists.items():
        if not annotations:
            raise DamagedDataset(place, f"its list {one!r} has no images", "fill it, or remove it")
    if len(lists) < 2:
        raise MissingDataset(f"Boxes.name = {name!r}: {place} has no list to test on, test or val; a set needs one")
    known = _classes(lists, classes or given.classes)
    with ThreadPoolExecutor() as pool:
        pictures = {one: tuple(pool.map(looked_at, annotations)) for one, annotations in lists.items()}
    if not any(not box.passed_over for picture in pictures["train"] for box in picture.boxes):
        raise DamagedDataset(place, "its images to train on have no boxes at all", "give the folder of its annotations")
    _tell_of_empty_ones(name, lists, pictures)
    return _Set(pictures, known, _digest(pictures, known))


def _place(one: Annotation | Picture) -> tuple[str, str]:
    """Return what images are sorted by, their names: lists of other formats have them in this order, too."""
    return one.image.stem, one.image.name


def _classes(lists: Mapping[str, Sequence[Annotation]], listed: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the classes in order: those that are listed, or that images to train on have.

    Raises DamagedDataset, naming the file, for a box of another class.
    """
    judged = "test" if "test" in lists else "val"
    own = chain(*(annotations for name, annotations in lists.items() if name != judged))
    known = set(listed or (box.name for one in own for box in one.boxes))
    for one in chain(*lists.values()):
        for box in one.boxes:
            if box.name not in known:
                raise DamagedDataset(
                    one.where,
                    f"has a box of the unknown class {box.name!r}",
                    f"the classes are {', '.join(sorted(known))}: mend it, or name all in Boxes(classes=[...])",
                )
    return tuple(sorted(known))


def _tell_of_empty_ones(
    name: str, lists: Mapping[str, Sequence[Annotation]], pictures: Mapping[str, Sequence[Picture]]
) -> None:
    """Warn of boxes that are passed over because they have no area."""
    empty = [
        annotation.where
        for one in lists
        for annotation, picture in zip(lists[one], pictures[one], strict=True)
        for _ in range(sum(box.passed_over for box in picture.boxes) - sum(box.passed_over for box in annotation.boxes))
    ]
    if empty:
        warnings.warn(
            f"Boxes.name = {name!r}: {len(empty)} boxes have no area, the first in {empty[0]}; they are neither "
            "trained on nor judged by",
            stacklevel=2,
        )


def _digest(pictures: Mapping[str, Sequence[Picture]], classes: Sequence[str]) -> str:
    """Return one sha256 of all that counts: the classes, and of each list its images' bytes and boxes."""
    lines = [f"classes {list(classes)}"]
    lines += [f"{name} {picture.meaning}" for name in sorted(pictures) for picture in pictures[name]]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _parts(config: Boxes, found: _Set) -> tuple[list[Picture], list[Picture], list[Picture]]:
    """Return the pictures to train on, to validate on and to test on."""
    lists, own = found.lists, config.validation == OWN
    test = lists["test"] if "test" in lists else lists["val"]
    if own and not ("test" in lists and "val" in lists):
        raise ConfigError(
            "Boxes.validation = 'own': the set has no validation list beside the one that it is tested on; give how "
            "many of its images to train on are held out"
        )
    left = list(lists["train"])
    if not own and "test" in lists:
        left = sorted([*left, *lists.get("val", ())], key=_place)
    drawn = 0 if own else config.validation
    wanted = config.train_images
    if drawn >= len(left) or (wanted or 0) > len(left) - drawn:
        field, given = ("validation", drawn) if drawn >= len(left) else ("train_images", wanted)
        raise ConfigError(f"Boxes.{field} = {given}: there are {len(left)} images to train on; give fewer")
    order = permutation(config.split_seed, 0, len(left), SPLIT)
    held, rest = np.sort(order[:drawn]), np.sort(order[drawn : None if wanted is None else drawn + wanted])
    validation = list(lists["val"]) if own else [left[i] for i in held]
    return [left[i] for i in rest], validation, list(test)


def _pictures(pictures: Sequence[Picture], classes: Sequence[str], config: Boxes, most: int) -> Pictures:
    """Return pictures as tensors. most: boxes that the set has in an image at most."""
    side, resize = config.image_size, config.resize
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    boxes, labels = np.zeros((len(pictures), most, 4), np.float32), np.zeros((len(pictures), most), np.int64)
    for row, picture in enumerate(pictures):
        scale = np.array(_size_in(picture.size, side, resize)) / np.array(picture.size)
        for column, box in enumerate(picture.boxes):
            boxes[row, column] = np.array(box.corners) * np.tile(scale, 2)
            labels[row, column] = -numbers[box.name] if box.passed_over else numbers[box.name]
    images = _decoded(pictures, side, resize) if pictures else np.zeros((0, 3, side, side), np.uint8)
    found = torch.from_numpy(labels)
    return Pictures(torch.from_numpy(images), torch.from_numpy(boxes), found, (found > 0).sum(1))


def _size_in(size: tuple[int, int], side: int, resize: str) -> tuple[int, int]:
    """Return the width and height that an image takes of a square."""
    if resize == "stretch":
        return side, side
    longer = max(size)
    return max(1, round(size[0] * side / longer)), max(1, round(size[1] * side / longer))


def _decoded(pictures: Sequence[Picture], side: int, resize: str) -> NDArray[np.uint8]:
    """Return uint8 [n, 3, S, S], from the cache if these very images were decoded before by this version of Pillow."""
    about = f"boxes {side} {resize} Pillow {PIL.__version__}"
    key = hashlib.sha256("\n".join([about, *(picture.content for picture in pictures)]).encode()).hexdigest()
    shape = (len(pictures), 3, side, side)

    def make() -> NDArray[np.uint8]:
        images = np.zeros(shape, np.uint8)
        with ThreadPoolExecutor() as pool:
            for row, image in enumerate(pool.map(lambda one: _decode(one, side, resize), pictures)):
                images[row, :, : image.shape[1], : image.shape[2]] = image
        return images

    return cached_array(key, shape, make)


def _decode(picture: Picture, side: int, resize: str) -> NDArray[np.uint8]:
    """Return an image in its new size, uint8 [3, height, width]. The orientation in EXIF is not applied."""
    where, data = str(picture.image), picture.image.read_bytes()
    if hashlib.sha256(data).hexdigest() != picture.content:
        raise DamagedDataset(where, "has changed since the set was identified", "run the study again")
    pixels = converted(where, opened(where, data), "RGB")
    small = pixels.resize(_size_in(picture.size, side, resize), Image.Resampling.BILINEAR)
    return np.asarray(small).transpose(2, 0, 1)
