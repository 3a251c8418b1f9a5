"""SVHN from MATLAB files as they are published, of few images."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from lth_ray.config import Data
from lth_ray.data import DamagedDataset, MissingDataset, catalogue, identify, load
from lth_ray.data.sets import svhn

SVHN = Data("svhn", batch_size=2, validation=1)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(svhn, "SIZES", {"train": 5, "test": 3})
    (tmp_path / "SVHN").mkdir()
    for split, labels in (("train", [1, 10, 9, 2, 10]), ("test", [10, 1, 3])):
        write(tmp_path / "SVHN" / f"{split}_32x32.mat", labels)
    return tmp_path


def write(path: Path, labels: list[int]) -> None:
    images = np.random.default_rng(len(labels)).integers(0, 256, (32, 32, 3, len(labels)), dtype=np.uint8)
    savemat(path, {"X": images, "y": np.array(labels, dtype=np.uint8)[:, None]}, do_compression=True)


def test_images_and_labels(made: Path) -> None:
    identity = identify(SVHN, made)
    assert (identity.n_train, identity.n_test, identity.num_classes) == (4, 3, 10)
    data = load(SVHN, made)
    assert data.test.labels.tolist() == [0, 1, 3]  # 10 stands for the digit 0
    images = np.random.default_rng(3).integers(0, 256, (32, 32, 3, 3), dtype=np.uint8)
    assert np.array_equal(data.test.images[2].numpy(), images[:, :, :, 2].transpose(2, 0, 1))
    assert load(SVHN, made / "SVHN").digest == data.digest  # the folder itself is as good
    assert identify(Data("svhn", batch_size=1, validation=0, classes=[0, 1]), made).n_train == 3


def test_missing_files_are_named_with_the_places_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingDataset) as caught:
        identify(SVHN, tmp_path)
    for part in ("both train_32x32.mat and test_32x32.mat", str(tmp_path / "SVHN"), "no network", "--data-root"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([1, 2], r"test_32x32.mat: holds {'X': \(32, 32, 3, 2\), 'y': \(2, 1\)}; svhn has"),
        ([0, 1, 2], "labels 0 to 2; svhn has uint8 and 1 to 10"),
        (None, "test_32x32.mat: is not a readable MATLAB file"),
    ],
)
def test_a_foreign_file_is_named(made: Path, labels: list[int] | None, why: str) -> None:
    path = made / "SVHN" / "test_32x32.mat"
    if labels is None:
        path.write_bytes(b"<html>not found</html>")
    else:
        write(path, labels)
    catalogue._identify.cache_clear()
    with pytest.raises(DamagedDataset, match=why):
        load(SVHN, made)
