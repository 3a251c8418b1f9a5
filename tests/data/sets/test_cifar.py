"""CIFAR from Parquet files and from torchvision's folder."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lth_ray.config import Data
from lth_ray.data import DamagedDataset, MissingDataset, catalogue, identify, load
from lth_ray.data.sets import cifar
from lth_ray.data.sets.parquet import shards

CIFAR10 = Data("cifar10", batch_size=10, validation=100)


@pytest.fixture
def one_row_group(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first 1,000 real training and test images, with the published sizes set to that."""
    for split in ("train", "test"):
        table = pq.ParquetFile(shards(shared_data / "cifar10", split)[0]).read_row_group(0)
        (tmp_path / "cifar10").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "cifar10" / f"{split}-00000-of-00001.parquet")
    monkeypatch.setattr(cifar, "N_TRAIN", 1000)
    monkeypatch.setattr(cifar, "N_TEST", 1000)
    return tmp_path


def test_real_images(one_row_group: Path) -> None:
    data = load(CIFAR10, one_row_group)
    assert data.train.images.shape == (900, 3, 32, 32)
    assert data.num_classes == 10
    assert data.test.labels.bincount().tolist() == [90, 86, 107, 95, 107, 113, 113, 102, 86, 101]
    measured = data.train.images.double().mean((0, 2, 3)) / 255
    assert measured.tolist() == pytest.approx(data.mean, abs=0.02)
    assert load(CIFAR10, one_row_group / "cifar10").digest == data.digest  # the folder itself is as good


def test_the_whole_set_is_identified_without_decoding(shared_data: Path) -> None:
    identity = identify(CIFAR10, shared_data)
    assert (identity.n_train, identity.n_validation, identity.n_test) == (49_900, 100, 10_000)
    assert identity.digest == "fd6aa70f50e3b66f604a8e6b412dfaf0e4683deb2e864c5e2f47b6ec924c7ebf"


def test_a_part_of_it_is_refused(one_row_group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "N_TRAIN", 50_000)
    with pytest.raises(DamagedDataset, match=r"is not cifar10: .* are \(1000, 1000, .*, not \(50000, .*parquet:"):
        identify(CIFAR10, one_row_group)


def test_missing_files_are_named_with_the_places_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingDataset) as caught:
        identify(Data("cifar100", batch_size=10, validation=0), tmp_path)
    for part in ("train-*.parquet", "cifar-100-python", str(tmp_path / "cifar100"), "no network", "--data-root"):
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_torchvisions_folder_is_read_by_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    class Stored:
        data = np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3)
        targets = (3, 4)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list:
        (folder / name).write_bytes(name.encode())
    no_validation = Data("cifar10", batch_size=1, validation=0)
    assert identify(no_validation, tmp_path).n_train == 50_000
    with pytest.raises(DamagedDataset, match="cifar-10-batches-py: Dataset not found or corrupted"):
        load(no_validation, tmp_path)  # torchvision compares checksums before it unpickles
    monkeypatch.setattr(cifar, "_open", lambda *_: Stored)
    data = load(no_validation, tmp_path)
    assert np.array_equal(data.test.images.numpy(), Stored.data.transpose(0, 3, 1, 2))
    assert data.train.labels.tolist() == [3, 4]
    (folder / "test_batch").unlink()
    catalogue._identify.cache_clear()
    with pytest.raises(DamagedDataset, match=r"lacks .*test_batch"):
        identify(no_validation, tmp_path)
