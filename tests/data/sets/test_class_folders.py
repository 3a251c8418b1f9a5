"""Class folders and their images, found alike for folder:PATH and for packing."""

import os
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from lth_ray.config import Data
from lth_ray.data import DamagedDataset, Dataset, MissingDataset, Split, catalogue, identify, load
from lth_ray.data.packed.packing import Options, plan_packing
from lth_ray.data.sets.class_folders import find_class_folders


@pytest.fixture
def place(tmp_path: Path, encode) -> Path:
    """Two classes of two images each, of whose pixels each has a number of its own."""
    for number, name in enumerate(("train/cat/0.png", "train/cat/1.png", "train/dog/0.png", "test/dog/0.png")):
        write(tmp_path / name, encode, number)
    return tmp_path


def write(path: Path, encode, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(np.full((4, 4, 3), number, np.uint8)))


def loaded(place: Path) -> Dataset:
    catalogue._identify.cache_clear()
    catalogue._load.cache_clear()
    return load(Data(f"folder:{place}", batch_size=1, validation=0))


def numbers(split) -> list[tuple[int, int]]:
    """(pixel, label) of each image."""
    assert isinstance(split, Split)
    return list(zip(split.images[:, 0, 0, 0].tolist(), split.labels.tolist(), strict=True))


def packed(place: Path) -> list[tuple[str, int]]:
    """(file, label) of each training image that packing would take."""
    return [(f.name, f.label) for p in plan_packing(place, Options()).train for f in p.images.files]  # type: ignore[attr-defined]


def test_what_begins_with_a_dot_is_no_class_and_no_image(place: Path, encode) -> None:
    before, as_packed = loaded(place), packed(place)
    for split in ("train", "test"):
        (place / split / ".ipynb_checkpoints").mkdir()
        write(place / split / ".git" / "0.png", encode, 9)
        write(place / split / "dog" / ".ipynb_checkpoints" / "0.png", encode, 9)
        (place / split / "dog" / "._0.png").write_bytes(b"what macOS keeps beside a file")
    after = loaded(place)
    assert numbers(after.train) == numbers(before.train) == [(0, 0), (1, 0), (2, 1)]
    assert numbers(after.test) == [(3, 1)]
    assert (after.num_classes, after.digest) == (2, before.digest)
    assert packed(place) == as_packed == [("train/cat/0.png", 0), ("train/cat/1.png", 0), ("train/dog/0.png", 1)]


def test_images_lie_as_deep_as_torchvision_finds_them(place: Path, encode) -> None:
    for number, name in enumerate(("cat/2024/b.png", "cat/2024/a/0.png", "cat/1999/0.JFIF", "dog/x.png/0.png"), 4):
        write(place / "train" / name, encode, number)
    (place / "train" / "cat" / "1999" / "0.JFIF").write_bytes((place / "train" / "cat" / "0.png").read_bytes())
    (place / "train" / "bird").symlink_to(place / "train" / "dog", target_is_directory=True)
    theirs = [
        (str(Path(path).relative_to(place)), label)
        for path, label in ImageFolder(str(place / "train"), is_valid_file=lambda path: True).samples
    ]
    assert packed(place) == theirs
    assert [label for _, label in theirs] == [0, 0, 1, 1, 1, 1, 1, 2, 2]
    assert numbers(loaded(place).train) == [(2, 0), (7, 0), (0, 1), (1, 1), (0, 1), (4, 1), (5, 1), (2, 2), (7, 2)]


@pytest.mark.parametrize("name", ["wolf", "wolf/2024", "wolf.png"])
def test_a_class_without_images_is_named(place: Path, name: str) -> None:
    (place / "train" / name).mkdir(parents=True)
    (place / "train" / name / "notes.txt").touch()
    for look in (identify, lambda _: plan_packing(place, Options())):
        with pytest.raises(DamagedDataset, match=rf"train: no images in {name.split('/')[0]}; put some there"):
            look(Data(f"folder:{place}", batch_size=1, validation=0))


def a_pipe(path: Path) -> None:
    os.mkfifo(path / "pipe.png")


def a_loop(path: Path) -> None:
    (path / "again").symlink_to(path, target_is_directory=True)


def a_longer_loop(path: Path) -> None:
    (path / "deep").mkdir()
    (path / "deep" / "again").symlink_to(path.parent, target_is_directory=True)


def itself(path: Path) -> None:
    (path / "self.png").symlink_to("self.png")


def nothing(path: Path) -> None:
    (path / "lost.png").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (a_pipe, "pipe.png: is no regular file; remove it"),
        (a_loop, "cat/again: is a link to a folder that it lies in; remove the link"),
        (a_longer_loop, "is a link to a folder that it lies in; remove the link"),
        (itself, "self.png: cannot be read (Too many levels of symbolic links); remove it or mend the link"),
        (nothing, "lost.png: cannot be read (No such file or directory); remove it or mend the link"),
    ],
)
def test_what_is_no_file_is_named(place: Path, spoil, why: str) -> None:
    spoil(place / "train" / "cat")
    for look in (identify, lambda _: plan_packing(place, Options())):
        with pytest.raises(DamagedDataset) as refused:
            look(Data(f"folder:{place}", batch_size=1, validation=0))
        assert why in str(refused.value)


def test_an_empty_file_is_named_by_a_plan(place: Path) -> None:
    (place / "test" / "dog" / "1.png").touch()
    with pytest.raises(DamagedDataset, match=r"dog/1\.png: is an empty file; replace it by a fresh copy, or remove it"):
        identify(Data(f"folder:{place}", batch_size=1, validation=0))


def test_the_first_test_folder_that_has_classes_is_taken(place: Path) -> None:
    (place / "test").rename(place / "val")
    (place / "test" / ".cache").mkdir(parents=True)
    assert [file.name for file in find_class_folders(place, "x").test] == ["val/dog/0.png"]
    (place / "val").rename(place / "held_out")
    with pytest.raises(
        MissingDataset, match=r"^x: looked for .*train and one of .*test, .*validation, .*val, each with"
    ):
        find_class_folders(place, "x")
