"""scikit-learn's 1,797 real 8x8 digits: a data set that needs no download."""

import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lth_ray.data.dataset import Source, Split, array_split, combined_digest
from lth_ray.data.errors import MissingDataset
from lth_ray.data.order import SPLIT, permutation

TEST_IMAGES = 400
TEST_SEED = 1797  # the test set is the same in every study, whatever its split_seed


def digits_source() -> Source:
    """Return 1,397 images to train on (and hold out from) and 400 to test; pixel values 0..16 are kept."""
    images, labels = _stored()
    order = permutation(TEST_SEED, 0, len(labels), SPLIT)
    test, train = np.sort(order[:TEST_IMAGES]), np.sort(order[TEST_IMAGES:])

    def read() -> tuple[Split, Split]:
        return array_split(images[train], labels[train], 16), array_split(images[test], labels[test], 16)

    def digest(rows: np.ndarray) -> str:
        return hashlib.sha256(images[rows].tobytes() + labels[rows].astype("<i8").tobytes()).hexdigest()

    return Source(combined_digest([digest(train)], [digest(test)]), len(train), len(test), (1, 8, 8), 10, read)


def _stored() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images, uint8 [1797, 1, 8, 8], and labels, from scikit-learn's own file: importing it takes
    seconds.
    """
    spec = importlib.util.find_spec("sklearn")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise MissingDataset("Data.name = 'digits': it comes with scikit-learn; pip install scikit-learn")
    path = Path(folders[0], "datasets", "data", "digits.csv.gz")
    if not path.is_file():
        raise MissingDataset(f"Data.name = 'digits': no {path}; install another version of scikit-learn")
    rows = np.loadtxt(gzip.decompress(path.read_bytes()).decode().splitlines(), delimiter=",", dtype=np.int64)
    return rows[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), rows[:, -1]
