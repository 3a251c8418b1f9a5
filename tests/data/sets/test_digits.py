"""scikit-learn's digits."""

import numpy as np
import torch

from lth_ray.config import Data
from lth_ray.data import identify, load

DIGITS = Data("digits", batch_size=60, validation=200)
DIGEST = "dd60170eeba8dd2a6c7b9bb7a883aa3c429569ab1eca2ad7e290f4474b267d40"


def test_sizes_and_identity() -> None:
    identity, data = identify(DIGITS), load(DIGITS)
    assert (identity.n_train, identity.n_validation, identity.n_test) == (1197, 200, 400)
    assert data.validation is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (1197, 200, 400)
    assert identity.input_shape == data.input_shape == (1, 8, 8)
    assert identity.digest == data.digest == DIGEST


def test_they_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    theirs = sorted(zip(map(tuple, images.astype(np.uint8).tolist()), labels.tolist(), strict=True))
    data = load(DIGITS)
    assert data.validation is not None
    ours = [
        (tuple(image.flatten().tolist()), int(label))
        for split in (data.train, data.validation, data.test)
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    assert sorted(ours) == theirs


def test_the_test_set_is_constant() -> None:
    other = load(Data("digits", batch_size=10, validation=0, split_seed=9))
    assert torch.equal(other.test.images, load(DIGITS).test.images)
    assert other.validation is None
    assert load(DIGITS).test.labels[:10].tolist() == [0, 1, 8, 0, 1, 3, 7, 9, 3, 8]
    assert load(DIGITS).test.labels.bincount().min() >= 30
