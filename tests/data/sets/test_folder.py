"""folder:PATH sets."""

from pathlib import Path

import numpy as np
import pytest

from lth_ray.config import Data
from lth_ray.data import DamagedDataset, MissingDataset, catalogue, identify, load


def data(path: Path) -> Data:
    return Data(f"folder:{path}", batch_size=2, validation=1)


@pytest.fixture
def image_set(tmp_path: Path, encode, random_images) -> Path:
    arrays = iter(random_images(20))
    for split, names in (("train", ("cat", "dog", "ant")), ("test", ("dog", "cat"))):
        for name in names:
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(2):
                (folder / f"{i}.PNG").write_bytes(encode(next(arrays)))
            (folder / "notes.txt").write_text("not an image")
    return tmp_path


def test_classes_are_folders_in_the_order_of_their_names(image_set: Path, random_images) -> None:
    loaded, identity = load(data(image_set)), identify(data(image_set))
    assert loaded.test.labels.tolist() == [1, 1, 2, 2]
    assert loaded.num_classes == identity.num_classes == 3
    assert np.array_equal(loaded.test.images.numpy(), random_images(20)[[8, 9, 6, 7]].transpose(0, 3, 1, 2))
    assert (identity.n_train, identity.n_validation, identity.n_test) == (5, 1, 4)
    assert identity.digest == loaded.digest


def test_identity_is_of_labels_and_bytes_not_of_names(image_set: Path, tmp_path_factory) -> None:
    before = identify(data(image_set)).digest
    renamed = image_set.rename(tmp_path_factory.mktemp("other") / "name")
    for split in ("train", "test"):
        (renamed / split / "cat").rename(renamed / split / "cow")  # ant, cow, dog: the order is as before
    assert identify(data(renamed)).digest == before
    (renamed / "train" / "ant" / "1.PNG").rename(renamed / "train" / "dog" / "2.PNG")
    catalogue._identify.cache_clear()
    assert identify(data(renamed)).digest != before


@pytest.mark.parametrize("name", ["validation", "val"])
def test_other_names_of_the_test_set(image_set: Path, name: str) -> None:
    (image_set / "test").rename(image_set / name)
    assert identify(data(image_set)).n_test == 4


def test_what_is_missing_or_unknown_is_named(image_set: Path) -> None:
    (image_set / "test" / "dog").rename(image_set / "test" / "wolf")
    with pytest.raises(DamagedDataset, match="test: classes not in train: wolf"):
        identify(data(image_set))
    (image_set / "test").rename(image_set / "held_out")
    with pytest.raises(MissingDataset, match=r"looked for .*train and one of .*test, .*validation, .*val, each with"):
        identify(data(image_set))


def test_a_split_without_images(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
    with pytest.raises(DamagedDataset, match=r"train: no images in cat; put some there \(.*\.png.*\), or remove the"):
        identify(data(tmp_path))
