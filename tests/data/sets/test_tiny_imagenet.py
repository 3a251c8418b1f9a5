"""Tiny-ImageNet as its archive unpacks, of few images."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lth_ray.config import Data
from lth_ray.data import DamagedDataset, MissingDataset, identify, load

TINY = Data("tiny_imagenet", batch_size=2, validation=0)
IDS = ("n02", "n01", "n03")


@pytest.fixture
def made(tmp_path: Path, encode: Callable[..., bytes], random_images: Callable[..., np.ndarray]) -> Path:
    """Three classes of two images each, and four to validate on. What images show is the place in `random_images`."""
    folder, images = tmp_path / "tiny-imagenet-200", random_images(10, 64, 64)
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(IDS))
    for i, name in enumerate(sorted(IDS)):
        (folder / "train" / name / "images").mkdir(parents=True)
        (folder / "train" / name / f"{name}_boxes.txt").write_text("not an image")
        for j in range(2):
            file = folder / "train" / name / "images" / f"{name}_{j}.JPEG"
            file.write_bytes(encode(images[2 * i + j]))
    lines = []
    for j, name in enumerate(("n03", "n01", "n01", "n02")):
        (folder / "val" / "images" / f"val_{j}.JPEG").write_bytes(encode(images[6 + j]))
        lines.append(f"val_{j}.JPEG\t{name}\t0\t0\t63\t63\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    return tmp_path


def test_images_and_labels(made: Path, random_images: Callable[..., np.ndarray]) -> None:
    identity, data = identify(TINY, made), load(TINY, made)
    assert (identity.n_train, identity.n_test, identity.num_classes, identity.input_shape) == (6, 4, 3, (3, 64, 64))
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]  # in the order of names, not of the list
    assert data.test.labels.tolist() == [2, 0, 0, 1]
    images = random_images(10, 64, 64).transpose(0, 3, 1, 2)
    assert np.array_equal(data.train.images.numpy(), images[:6])  # encoded without loss
    assert np.array_equal(data.test.images.numpy(), images[6:])
    half = Data("tiny_imagenet", batch_size=2, validation=0, image_size=32, part="b")
    assert load(half, made).train.images.shape == (3, 3, 32, 32)


def test_missing_files_are_named_with_the_places_and_the_remedy(made: Path, tmp_path: Path) -> None:
    (made / "tiny-imagenet-200" / "val" / "val_annotations.txt").unlink()
    with pytest.raises(MissingDataset) as caught:
        identify(TINY, made)
    for part in ("tiny-imagenet-200 lacks val/val_annotations.txt", str(made / "tiny_imagenet"), "--data-root"):
        assert part in str(caught.value)


def test_what_is_damaged_is_named(made: Path) -> None:
    folder = made / "tiny-imagenet-200"
    annotations = folder / "val" / "val_annotations.txt"
    listed = annotations.read_text()
    annotations.write_text(listed.replace("n02", "n09"))
    with pytest.raises(DamagedDataset, match=r"val_annotations.txt: line 4 names no class of wnids.txt"):
        identify(TINY, made)
    annotations.write_text(listed)
    (folder / "val" / "images" / "val_2.JPEG").unlink()
    with pytest.raises(DamagedDataset, match=r"val_2.JPEG: is missing, and val_annotations.txt lists it"):
        identify(TINY, made)
    shutil.rmtree(folder / "train" / "n01" / "images")
    with pytest.raises(DamagedDataset, match="n01/images: cannot be listed"):
        identify(TINY, made)
