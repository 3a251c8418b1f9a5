"""parquet:PATH sets."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lth_ray.config import ConfigError, Data
from lth_ray.data import DamagedDataset, MissingDataset, catalogue, identify, load


def data(path: Path | str, **fields: int) -> Data:
    return Data(f"parquet:{path}", **{"batch_size": 2, "validation": 0, **fields})


@pytest.fixture
def image_set(tmp_path: Path, encode, random_images, write_parquet):
    """Two training shards of 3 images and a test shard of 2; returns the folder and the images."""
    arrays = random_images(8)
    encoded = [encode(array) for array in arrays]
    write_parquet(tmp_path / "train-00000-of-00002.parquet", encoded[:3], [0, 1, 2])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", encoded[3:6], [3, 4, 0])
    write_parquet(tmp_path / "test-00000-of-00001.parquet", encoded[6:], [1, 2])
    return tmp_path, arrays.transpose(0, 3, 1, 2)


def test_images_and_labels_in_reading_order(image_set) -> None:
    folder, arrays = image_set
    loaded, identity = load(data(folder)), identify(data(folder))
    assert np.array_equal(loaded.train.images.numpy(), arrays[:6])
    assert loaded.train.labels.tolist() == [0, 1, 2, 3, 4, 0]
    assert np.array_equal(loaded.test.images.numpy(), arrays[6:])
    assert (identity.n_train, identity.n_validation, identity.n_test) == (6, 0, 2)
    assert identity.num_classes == loaded.num_classes == 5
    assert identity.input_shape == loaded.input_shape == (3, 6, 6)
    assert identity.digest == loaded.digest
    values = arrays[:6].astype(np.float64) / 255
    assert loaded.mean == pytest.approx(values.mean((0, 2, 3)), abs=1e-6)
    assert loaded.std == pytest.approx(values.std((0, 2, 3)), abs=1e-6)


def test_validation_images_are_held_out_of_any_set(image_set) -> None:
    folder, _ = image_set
    loaded = load(data(folder, validation=2))
    assert loaded.validation is not None
    assert sorted(loaded.train.labels.tolist() + loaded.validation.labels.tolist()) == [0, 0, 1, 2, 3, 4]
    assert identify(data(folder, validation=2)).n_train == 4
    with pytest.raises(ConfigError, match=r"Data.validation = 6: there are 6 training images in all"):
        identify(data(folder, validation=6))


def test_identity_is_of_the_content_not_of_the_place(
    image_set, tmp_path: Path, encode, random_images, write_parquet
) -> None:
    folder, _ = image_set
    moved = tmp_path / "moved" / "data"
    moved.mkdir(parents=True)
    for path in folder.glob("*.parquet"):
        (moved / path.name).write_bytes(path.read_bytes())
    assert identify(data(moved.parent)) == identify(data(folder))  # also found one folder down
    assert identify(data("moved"), folder) == identify(data(folder))  # relative to the data root
    before = identify(data(moved)).digest
    write_parquet(moved / "test-00000-of-00001.parquet", [encode(a) for a in random_images(2, seed=1)], [1, 2])
    catalogue._identify.cache_clear()
    assert identify(data(moved)).digest != before


def test_columns_of_cifar100s_layout_and_a_validation_split_as_test_set(
    tmp_path: Path, encode, random_images, write_parquet
) -> None:
    encoded = [encode(array) for array in random_images(3)]
    names = {"info": {"features": {"fine_label": {"names": ["a", "b", "c", "d"], "_type": "ClassLabel"}}}}
    metadata = {b"huggingface": json.dumps(names).encode()}
    for split in ("train", "validation"):
        write_parquet(tmp_path / f"{split}-0.parquet", encoded, [0, 1, 1], "img", "fine_label", metadata)
    assert identify(data(tmp_path)).num_classes == 4
    assert load(data(tmp_path)).test.labels.tolist() == [0, 1, 1]


def test_image_size(image_set) -> None:
    folder, _ = image_set
    assert identify(data(folder, image_size=4)).input_shape == (3, 4, 4)
    assert load(data(folder, image_size=4)).train.images.shape == (6, 3, 4, 4)


def test_what_is_missing_is_named(image_set) -> None:
    folder, _ = image_set
    with pytest.raises(MissingDataset, match=r"no train-\*.parquet in .*nowhere"):
        identify(data(folder / "nowhere"))
    (folder / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(MissingDataset, match=r"neither test-\*.parquet nor validation-\*.parquet in"):
        identify(data(folder))
    (folder / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DamagedDataset, match="1 of 2 files of the split train; complete the copy"):
        identify(data(folder))


@pytest.mark.parametrize(
    ("labels", "columns", "why"),
    [
        ([0, -1], {}, "label -1 in column label; use a split that is labelled"),
        ([0, None], {}, "column label is int64 with 1 missing"),
        ([0, 1], {"label": "class"}, "has the columns image, class; one must be called label or fine_label"),
        ([0, 1], {"image": "picture"}, "has the columns picture, label; one must be called image or img"),
        ([], {}, "the split train has no rows"),
    ],
)
def test_tables_of_another_layout(tmp_path, encode, random_images, write_parquet, labels, columns, why) -> None:
    encoded = [encode(array) for array in random_images(len(labels))]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}-0.parquet", encoded, labels, **columns)
    with pytest.raises(DamagedDataset, match=why):
        identify(data(tmp_path))


def test_damaged_files_and_rows_are_named(image_set, write_parquet, encode, random_images) -> None:
    folder, _ = image_set
    good = encode(random_images(1)[0])
    cases = [([good, None], r"test-0+-of-0+1.parquet: row 1 has no image bytes"), ([good, good[:40]], "row 1: ")]
    for rows, why in cases:
        write_parquet(folder / "test-00000-of-00001.parquet", rows, [0, 1])
        with pytest.raises(DamagedDataset, match=why):
            load(data(folder))
    path = folder / "test-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DamagedDataset, match=r"test-00000-of-00001.parquet: is not a readable Parquet file"):
        load(data(folder))


def test_real_images_of_many_sizes(shared_data: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        [path] = (shared_data / "imagenet_sample").glob(f"{split}-*.parquet")
        pq.write_table(pq.ParquetFile(path).read().slice(0, 8), tmp_path / f"{split}-0.parquet")
    with pytest.raises(ConfigError, match=r"give Data.image_size=...."):
        load(data(tmp_path))
    loaded = load(data(tmp_path, image_size=48))
    assert loaded.train.images.shape == (8, 3, 48, 48)
    assert all(0.3 < mean < 0.6 for mean in loaded.mean)
