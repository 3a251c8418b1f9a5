"""Channels pruned by the scales of batch norms, in a study; the penalty that makes scales sparse."""

from typing import Any

import pytest
import torch
from torch import nn

from lth_ray import models
from lth_ray.config import ConfigError, Data, Model, Prune, RandomReinit, Train, steps
from lth_ray.data import Identity
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.lottery.execution.ranking import prune_by, ranking
from lth_ray.lottery.mask_rules import pruning_rule
from lth_ray.training import Recipe


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


SHAPE = (3, 32, 32)
SCALES = 64 + 128 + 256 * 2 + 512 * 4  # of VGG-11, here an eighth as wide


@pytest.mark.parametrize("share", [0.3, 0.7, 0.77])
def test_slimming_counts_channels_over_all_layers_and_leaves_each_its_last(share: float) -> None:
    """Liu et al. 2017: one threshold for all scales. Those of the first layer and of one within are all the lowest."""
    network = models.build("cifar_vgg11_8", 10, SHAPE, seed=0)
    scales = models.scale_parameters(network)
    assert sum(map(len, scales.values())) == SCALES // 8
    low, generator = [next(iter(scales)), list(scales)[3]], torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, scale in scales.items():
            drawn = torch.rand(scale.shape, generator=generator)
            scale.copy_(0.01 * drawn if name in low else 1 + drawn)
            scale[::2] *= -1  # the sign says nothing
    rule = pruning_rule(Prune("bn_scale", structure="channels", fraction=share, rounds=1))
    given = (
        Data("digits", batch_size=60, validation=0),
        Train(steps(9), lr=0.1),
        Identity("0" * 64, 600, 0, 60, SHAPE, 10),
    )
    ranked = ranking(network, rule, Recipe(Model("cifar_vgg11_8"), *given))
    scores = lambda mask: ranked.score("bn_scale", network, mask)  # noqa: E731
    mask = ranked.whole(prune_by(ranked, rule, scores, ranked.everything, 1, 0))
    kept = {name: mask[name] for name in scales}
    total = SCALES // 8
    assert sum(int(keeps.sum()) for keeps in kept.values()) == total - round(share * total)
    assert all(torch.equal(mask[name.replace("norm", "conv")].flatten(1).any(1), keeps) for name, keeps in kept.items())
    everything = torch.cat([scale.abs() for scale in scales.values()])
    gone = torch.cat([~keeps for keeps in kept.values()])
    for name in low:  # all but the highest of a layer in which none is above the threshold
        assert torch.equal(kept[name].nonzero().flatten(), scales[name].abs().argmax()[None])
    spared = torch.cat([keeps & (name in low) for name, keeps in kept.items()])
    assert everything[gone].max() < everything[~gone & ~spared].min()


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
