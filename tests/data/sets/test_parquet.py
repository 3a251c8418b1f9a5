"""parquet:PATH sets."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lth_ray.config import ConfigError, Data
from lth_ray.data import DamagedDataset, MissingDataset, catalogue, identify, load
from lth_ray.data.packed.packing import Options, plan_packing


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
    with pytest.raises(
        MissingDataset, match=r"neither test-\*.parquet nor validation-\*.parquet nor .*; a set needs images to test on"
    ):
        identify(data(folder))
    (folder / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DamagedDataset, match="1 of 2 files of the split train; complete the copy"):
        identify(data(folder))


@pytest.mark.parametrize(
    ("labels", "columns", "why"),
    [
        ([0, -1], {}, "label -1 in column label; use a split that is labelled"),
        ([0, 2**40], {}, "label 1099511627776 in column label; number the classes from 0 up, under 1048576"),
        ([0, None], {}, "column label is int64 with 1 missing"),
        ([0, 1], {"label": "class"}, "has the columns image, class; one must be called label, labels or fine_label"),
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


def test_a_set_as_the_hub_has_it(tmp_path: Path, encode, random_images, write_parquet) -> None:
    """A column `labels`, a smaller set beside the whole one, a test set whose labels are kept secret."""
    encoded = [encode(array) for array in random_images(6)]
    place = tmp_path / "data"
    for number, part in enumerate((slice(0, 2), slice(2, 4))):
        write_parquet(place / f"train-0000{number}-of-00002-1a2b3c.parquet", encoded[part], [0, 2], label="labels")
    write_parquet(place / "train-small-00000-of-00001.parquet", encoded[:1], [7], label="labels")
    write_parquet(place / "test-00000-of-00001.parquet", encoded[4:5], [-1], label="labels")
    write_parquet(place / "validation-00000-of-00001.parquet", encoded[5:], [1], label="labels")
    loaded = load(data(tmp_path))
    assert loaded.train.labels.tolist() == [0, 2, 0, 2]
    assert (loaded.test.labels.tolist(), loaded.num_classes) == ([1], 3)
    packed = plan_packing(tmp_path, Options())
    assert [(len(p.train), len(p.test)) for p in [packed]] == [(2, 1)]
    assert [image.label for piece in packed.pieces for image in piece.images.read()] == [0, 2, 0, 2, 1]
    (place / "train-00001-of-00002-1a2b3c.parquet").unlink()
    with pytest.raises(DamagedDataset, match="1 of 2 files of the split train; complete the copy"):
        identify(data(place))


def test_a_damaged_test_set_is_not_replaced_by_another(image_set, encode, random_images, write_parquet) -> None:
    folder, _ = image_set
    write_parquet(folder / "validation-0.parquet", [encode(random_images(1)[0])], [0])
    (folder / "test-00000-of-00001.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DamagedDataset, match=r"test-0+-of-0+1.parquet: is not a readable Parquet file"):
        identify(data(folder))


@pytest.mark.parametrize(
    "metadata",
    [b"{", b"[1, 2]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"info": []}', b'{"info": {"features": {"label": 3}}}',
     b'{"info": {"features": {"label": {"names": "abc"}}}}', b'{"info": {"features": {"label": {"names": [1, 2]}}}}'],
)  # fmt: skip
def test_somebody_else_s_metadata_names_no_classes(
    metadata: bytes, tmp_path: Path, encode, random_images, write_parquet
) -> None:
    encoded = [encode(array) for array in random_images(2)]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}-0.parquet", encoded, [0, 1], metadata={b"huggingface": metadata})
    assert identify(data(tmp_path)).num_classes == 2


def test_flipped_bits_are_an_error_or_nothing_but_other_pixels(image_set) -> None:
    """Wherever a bit is flipped, the file is refused or read: no other error, and no crash."""
    folder, _ = image_set
    path = folder / "train-00000-of-00002.parquet"
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        spoiled = bytearray(whole)
        spoiled[draw.integers(len(whole))] ^= 1 << draw.integers(8)
        path.write_bytes(bytes(spoiled))
        catalogue._identify.cache_clear()
        catalogue._load.cache_clear()
        try:
            load(data(folder))
        except ConfigError:
            refused += 1
    assert refused > 30


def test_a_path_with_a_nul_is_no_name() -> None:
    with pytest.raises(ConfigError, match=r"Data.name = 'parquet:a\\x00b': it holds a NUL character"):
        data("a\0b")
