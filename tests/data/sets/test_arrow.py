"""arrow:PATH sets, laid out as Hugging Face's datasets saves them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lth_ray.config import ConfigError, Data
from lth_ray.data import DamagedDataset, MissingDataset, identify, load

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def data(path: Path | str, **fields: int) -> Data:
    return Data(f"arrow:{path}", **{"batch_size": 2, "validation": 0, **fields})


def save_split(
    folder: Path,
    shards: Sequence[tuple[Sequence[bytes | None], Sequence[int | None]]],
    image: str = "image",
    label: str = "label",
    features: dict[str, Any] | None = None,
) -> None:
    """A folder as Dataset.save_to_disk writes it: Arrow streams, state.json, dataset_info.json."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{len(shards):05}.arrow" for i in range(len(shards))]
    schema = pa.schema({image: IMAGE, label: pa.int64()})
    for name, (images, labels) in zip(names, shards, strict=True):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
            for one, number in zip(images, labels, strict=True):  # a record batch each
                column = pa.array([{"bytes": one, "path": None}], type=IMAGE)
                stream.write_batch(pa.record_batch([column, pa.array([number], pa.int64())], schema=schema))
    told = {image: {"_type": "Image"}, label: {"names": [*"abcdefg"], "_type": "ClassLabel"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features or told}))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": n} for n in names], "_split": "x"}))


def save_dict(folder: Path, *splits: str) -> Path:
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": splits}))
    return folder


@pytest.fixture
def image_set(tmp_path: Path, encode: Callable[..., bytes], random_images: Callable[..., Any]) -> tuple[Path, Any]:
    """Two training files of 3 images, a secret test split, a validation split of 2; the folder and the images."""
    arrays = random_images(8)
    encoded = [encode(array) for array in arrays]
    save_split(tmp_path / "train", [(encoded[:3], [0, 1, 2]), (encoded[3:6], [3, 4, 0])])
    save_split(tmp_path / "validation", [(encoded[6:], [1, 2])])
    save_split(tmp_path / "test", [(encoded[:2], [-1, -1])])
    return save_dict(tmp_path, "test", "train", "validation"), arrays.transpose(0, 3, 1, 2)


def test_images_labels_and_the_split_that_has_labels(image_set: tuple[Path, Any]) -> None:
    folder, arrays = image_set
    loaded, identity = load(data(folder)), identify(data(folder))
    assert np.array_equal(loaded.train.images.numpy(), arrays[:6])
    assert loaded.train.labels.tolist() == [0, 1, 2, 3, 4, 0]
    assert np.array_equal(loaded.test.images.numpy(), arrays[6:])
    assert loaded.test.labels.tolist() == [1, 2]
    assert (identity.n_train, identity.n_validation, identity.n_test) == (6, 0, 2)
    assert identity.num_classes == 7  # that are named, also where no image shows them
    assert identity.digest == loaded.digest


def test_the_content_counts_and_not_the_place(image_set: tuple[Path, Any], tmp_path: Path) -> None:
    folder, _ = image_set
    digest = identify(data(folder)).digest
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in ("train", "validation", "test", "dataset_dict.json"):
        (folder / path).rename(moved / path)
    assert identify(Data("arrow:moved", batch_size=2, validation=0), tmp_path).digest == digest


def test_features_tell_the_columns(tmp_path: Path, encode: Any, random_images: Any) -> None:
    encoded = [encode(array) for array in random_images(4)]
    for split, part in (("train", encoded[:3]), ("test", encoded[3:])):
        save_split(tmp_path / split, [(part, range(len(part)))], image="scan", label="tumour")
    assert load(data(save_dict(tmp_path, "train", "test"))).train.labels.tolist() == [0, 1, 2]


def _spoiled(folder: Path, what: str) -> None:
    file, info = folder / "train" / "data-00001-of-00002.arrow", folder / "train" / "dataset_info.json"
    if what == "truncated":
        file.write_bytes(file.read_bytes()[:-200])
    elif what == "missing":
        file.unlink()
    elif what == "foreign":
        file.write_bytes(b"no arrow")
    elif what == "two images":
        image = {"_type": "Image"}
        info.write_text(json.dumps({"features": {"one": image, "two": image, "label": {"_type": "ClassLabel"}}}))
    elif what == "no JSON":
        info.write_text("{")
    elif what == "alone":
        (folder / "dataset_dict.json").unlink()
        (folder / "train" / "state.json").rename(folder / "state.json")
    elif what == "no test":
        save_dict(folder, "train", "unsupervised")


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        ("truncated", DamagedDataset, r"data-00001-of-00002.arrow: is not a readable Arrow file"),
        ("foreign", DamagedDataset, r"data-00001-of-00002.arrow: is not a readable Arrow file"),
        ("missing", DamagedDataset, r"data-00001-of-00002.arrow: is missing; complete the copy"),
        ("two images", DamagedDataset, r"one, two of the features one, two, label has the kind Image; let one have it"),
        ("no JSON", DamagedDataset, r"dataset_info.json: is not readable JSON"),
        ("alone", MissingDataset, r"one split alone.*train_test_split"),
        ("no test", MissingDataset, r"its splits are train, unsupervised; it needs train and one of test, validation"),
    ],
)
def test_what_is_wrong_is_named(image_set: tuple[Path, Any], what: str, kind: type[Exception], message: str) -> None:
    folder, _ = image_set
    _spoiled(folder, what)
    with pytest.raises(kind, match=message):
        load(data(folder))


def test_images_that_are_paths_alone_are_refused(tmp_path: Path, encode: Any, random_images: Any) -> None:
    encoded = [encode(array) for array in random_images(2)]
    save_split(tmp_path / "train", [([encoded[0], None], [0, 1])])
    save_split(tmp_path / "test", [(encoded[1:], [0])])
    with pytest.raises(DamagedDataset, match="row 1 has no image bytes; store the images in the file"):
        load(data(save_dict(tmp_path, "train", "test")))


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no .*dataset_dict.json; save train and test together"):
        identify(data(tmp_path / "nowhere"))
