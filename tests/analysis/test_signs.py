"""Sign flips, counted by hand and beside torch's own signs."""

import math

import pytest
import torch

from lth_ray.analysis import sign_flips
from lth_ray.config import ConfigError

#                          kept: a    b            c     d          pruned
START = {"w": torch.tensor([[1.0, -2.0], [3.0, 0.0], [5.0, -6.0]]), "bias": torch.tensor([7.0])}
FINAL = {"w": torch.tensor([[-1.0, -0.1], [3.5, 2.0], [-5.0, 6.0]]), "bias": torch.tensor([-7.0])}
INITIAL = {"w": torch.tensor([[-1.0, 2.0], [-0.1, -1e-30], [5.0, -6.0]]), "bias": torch.tensor([0.0])}
MASK = {"w": torch.tensor([[True, True], [True, True], [False, False]])}


def test_flips_by_hand() -> None:
    """Of a, b, c and d only a has flipped since the start; b, c and d since initialisation; a zero has no sign."""
    frame = sign_flips(START, FINAL, MASK, INITIAL)
    assert list(frame["layer"]) == ["w", "*"]
    expected = {
        "kept": 4,
        "sign_flips": 1,
        "sign_flips_since_init": 3,
        "signs_flipped": 0.25,
        "signs_flipped_since_init": 0.75,
    }
    for row in frame.to_dict("records"):
        assert {name: row[name] for name in expected} == expected


def test_layers_add_up_and_what_keeps_nothing_has_no_share() -> None:
    random = torch.Generator().manual_seed(0)
    names = ("a", "b", "none")
    before, after = ({name: torch.randn(50, 7, generator=random) for name in names} for _ in range(2))
    mask = {name: torch.rand(50, 7, generator=random) < (0.0 if name == "none" else 0.4) for name in names}
    frame = sign_flips(before, after, mask).set_index("layer")
    flips = {name: int((before[name][keeps].sign() != after[name][keeps].sign()).sum()) for name, keeps in mask.items()}
    assert {name: int(frame.loc[name, "sign_flips"]) for name in names} == flips
    assert frame.loc["*", "sign_flips"] == sum(flips.values())
    assert frame.loc["*", "signs_flipped"] == sum(flips.values()) / sum(int(keeps.sum()) for keeps in mask.values())
    assert math.isnan(frame.loc["none", "signs_flipped"])
    assert "sign_flips_since_init" not in frame


def test_states_of_other_networks_are_told() -> None:
    with pytest.raises(ConfigError, match="final has shape"):
        sign_flips(START, {"w": torch.zeros(2)}, MASK)
