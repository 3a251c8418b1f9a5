"""The order generator: golden values, which every stored result depends on."""

import numpy as np
import pytest

from lth_ray.data import order
from lth_ray.data.order import AUGMENTATION, ORDER, SPLIT, draws, permutation

GOLDEN_DRAWS = [
    (0, 0, AUGMENTATION, [213000021201967259, 4455796210202625458, 2055444239878205049]),
    (0, 0, ORDER, [15003734204198539638, 13859618513508960101, 12389738016430293093]),
    (0, 0, SPLIT, [15023647771317767168, 8110679283269960230, 5528858672019317250]),
    (7, 3, AUGMENTATION, [8098161801208144601, 3055863425615074499, 18120323410851185807]),
    (2**64 - 1, 1, ORDER, [6154726451028752251, 4443233897815447799, 12747342170989622636]),
]
GOLDEN_PERMUTATIONS = [
    (0, 0, [5, 3, 7, 8, 2, 4, 1, 0, 6, 9]),
    (0, 1, [3, 5, 2, 7, 4, 6, 8, 9, 1, 0]),
    (1, 0, [0, 6, 5, 3, 4, 9, 7, 8, 2, 1]),
    (123456789, 42, [8, 6, 0, 3, 9, 7, 4, 1, 2, 5]),
]


@pytest.mark.parametrize(("seed", "epoch", "stream", "expected"), GOLDEN_DRAWS)
def test_draws_are_golden(seed: int, epoch: int, stream: int, expected: list[int]) -> None:
    assert draws(seed, epoch, 3, stream).tolist() == expected


@pytest.mark.parametrize(("seed", "epoch", "expected"), GOLDEN_PERMUTATIONS)
def test_permutations_are_golden(seed: int, epoch: int, expected: list[int]) -> None:
    assert permutation(seed, epoch, 10).tolist() == expected


def test_a_long_permutation_is_golden() -> None:
    order = permutation(0, 0, 55_000)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(55_000))
    assert order[:5].tolist() == [12569, 42502, 35289, 26576, 22685]


@pytest.mark.parametrize("n", [0, 1, 4, 5, 1000])
def test_a_draw_does_not_depend_on_how_many_are_drawn(n: int) -> None:
    assert draws(3, 5, n).tolist() == draws(3, 5, 1001)[:n].tolist()


def test_seeds_epochs_and_streams_are_apart() -> None:
    words = [draws(s, e, 1000, k) for s in range(3) for e in range(3) for k in (AUGMENTATION, ORDER, SPLIT)]
    assert len(set(np.concatenate(words).tolist())) == 27_000


def test_equal_draws_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    tied = np.array([5, 1] * 500, dtype=np.uint64)
    monkeypatch.setattr(order, "draws", lambda *_: tied)
    assert permutation(0, 0, 1000).tolist() == [*range(1, 1000, 2), *range(0, 1000, 2)]


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(OverflowError):
        draws(-1, 0, 4)
