"""Channels pruned by the scales of batch norms, in a study; the penalty that makes scales sparse."""

from typing import Any

import pytest
import torch
from torch import nn

from lth_ray.config import ConfigError, Model, Prune, RandomReinit
from lth_ray.lottery import load_ticket, make_plan


class Small(nn.Module):
    """Two convolutions with batch norm."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.norm2 = nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.output = nn.Linear(8, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm1(self.conv1(images)))
        logits: torch.Tensor = self.output(torch.relu(self.norm2(self.conv2(x))).mean((2, 3)))
        return logits


CHANNELS = {"model": Model(Small), "prune": Prune("bn_scale", fraction=0.5, rounds=2), "train.scale_l1": 1e-2}


def test_rounds_prune_whole_channels_of_the_lowest_scales(lab: Any) -> None:
    ran = lab.run(lab.study(CHANNELS, branches=[RandomReinit(rounds=[1])]))
    assert not ran.failures
    dense, first, second = (load_ticket(ran.key(number), ran.store.uri) for number in range(3))
    for before, after, count in ((dense, first, 7), (first, second, round(7 / 2))):
        assert before.trained_state is not None
        ones = torch.ones(14, dtype=torch.bool)
        kept = torch.cat([before.mask[f"norm{n}.weight"] for n in (1, 2)]) if before.mask else ones
        scales = torch.cat([before.trained_state[f"norm{n}.weight"] for n in (1, 2)]).abs()
        expected = kept.clone()
        places = kept.nonzero().flatten()
        expected[places[scales[places].argsort(stable=True)[:count]]] = False
        assert torch.equal(torch.cat([after.mask[f"norm{n}.weight"] for n in (1, 2)]), expected)
        assert after.trained_state is not None
        for n in (1, 2):
            gone = ~after.mask[f"norm{n}.weight"]
            names = (f"conv{n}.weight", f"conv{n}.bias", f"norm{n}.weight", f"norm{n}.bias")
            assert set(names) <= set(after.mask)
            for name in names:
                assert not after.trained_state[name][gone].any()
                assert not after.mask[name][gone].any()
                assert after.mask[name][~gone].all()
    assert "output.weight" not in first.mask
    assert first.rewind_state is not None


REFUSED = {
    "criterion": ({"prune": Prune("bn_scale", fraction=0.5, rounds=1)}, "'bn_scale': the network has no batch norm"),
    "penalty": ({"train.scale_l1": 1e-4}, r"Train.scale_l1 = 0.0001: the network has no batch norm"),
    "globs": (
        {"model": Model(Small), "prune": Prune("bn_scale", fraction=0.5, rounds=1, exclude=["conv*"])},
        "Prune.exclude: glob 'conv",
    ),
    "all": (
        {"model": Model(Small), "prune": Prune("bn_scale", fraction=0.99, rounds=9)},
        "none of 14 weights would be left",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_without_batch_norm_is_refused_by_plan(lab: Any, name: str) -> None:
    changes, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study(changes))
