"""Places365 as it is published, of few images, packed."""

from pathlib import Path

import pytest

from lth_ray.config import Data
from lth_ray.data import DamagedDataset, MissingDataset, identify
from lth_ray.data.packed.layouts import find_layout
from lth_ray.data.packed.reading import open_packed

PLACES = Data("places365", batch_size=2, validation=0)
CLASSES = ("/a/airfield", "/a/apartment_building/outdoor", "/b/bar")


@pytest.fixture
def made(tmp_path: Path, photo) -> Path:
    source = tmp_path / "source"
    (source / "val_256").mkdir(parents=True)
    (source / "categories_places365.txt").write_text("".join(f"{name} {i}\n" for i, name in enumerate(CLASSES)))
    train = []
    for label, name in enumerate(CLASSES):
        folder = source / "data_256_standard" / name[1:]
        folder.mkdir(parents=True)
        for j in range(2):
            (folder / f"{j:08d}.jpg").write_bytes(photo(2 * label + j))
            train.append(f"{name}/{j:08d}.jpg {label}\n")
    (source / "places365_train_standard.txt").write_text("".join(train))
    for j in range(2):
        (source / "val_256" / f"Places365_val_{j:08d}.jpg").write_bytes(photo(10 + j))
    (source / "places365_val.txt").write_text("Places365_val_00000000.jpg 2\nPlaces365_val_00000001.jpg 0\n")
    return source


def test_it_is_packed_and_found_by_its_name(made: Path, pack, photo, tmp_path: Path) -> None:
    manifest = pack(made, tmp_path / "places365")
    assert manifest.classes == ("airfield", "apartment_building/outdoor", "bar")
    assert manifest.source == "torchvision Places365"
    found = open_packed(str(tmp_path / "places365"))
    assert found is not None
    shards = found.split("test", 8).shards
    assert [(shards.row(i).label, bytes(shards.row(i).data)) for i in range(2)] == [(2, photo(10)), (0, photo(11))]
    identity = identify(PLACES, tmp_path)
    assert (identity.n_train, identity.n_test, identity.num_classes) == (6, 2, 3)
    assert identity.input_shape == (3, 224, 224)


def test_where_it_is_looked_for_and_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingDataset, match=r"no manifest.json in .*places365; .*lth-ray data pack .*train_standard"):
        identify(PLACES, tmp_path)


def test_what_is_missing_is_named(made: Path) -> None:
    (made / "val_256" / "Places365_val_00000001.jpg").unlink()
    with pytest.raises(DamagedDataset, match=r"Places365_val_00000001.jpg: is listed in places365_val.txt and cannot"):
        find_layout(made, 1)
    listed = made / "places365_val.txt"
    listed.write_text("Places365_val_00000000.jpg 3\n")
    with pytest.raises(DamagedDataset, match=r"places365_val.txt: line 1 is no name and class"):
        find_layout(made, 1)
    (made / "val_256").rename(made / "else")
    with pytest.raises(MissingDataset, match=r"no folder val_256 or val_large, whose images places365_val.txt lists"):
        find_layout(made, 1)
    listed.unlink()
    with pytest.raises(MissingDataset, match=r"is there, and not places365_val.txt; copy the whole devkit"):
        find_layout(made, 1)
