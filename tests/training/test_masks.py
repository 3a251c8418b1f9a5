"""After every step a pruned weight is +0.0 and its momentum zero."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lth_ray.training import Clock, Start
from tests.training.setups import Setting, bits, clone, restart
from tests.training.test_resume import OPTIMIZERS

Make = Callable[..., Setting]


def pruned_bits(setting: Setting, model: torch.nn.Module) -> set[bytes]:
    """The distinct bit patterns of all pruned weights."""
    assert setting.mask is not None
    parameters = dict(model.named_parameters())
    values = torch.cat([parameters[name][~kept] for name, kept in setting.mask.items()]).tolist()
    return {struct.pack("<d", value) for value in values}


@pytest.mark.parametrize("train", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_pruned_weights_and_their_momentum_are_zero_after_every_step(setting: Make, train: dict[str, Any]) -> None:
    made = setting(**train)
    assert made.mask is not None
    taken = 0
    for pause in made.pauses(made.begin(), 8, clock=Clock(0.0)):
        taken += 1
        assert pause.step == taken
        assert pruned_bits(made, pause.run.model) == {struct.pack("<d", 0.0)}
        for parameter, kept in pause.run.kept:
            for name, value in pause.run.optimizer.state[parameter].items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    assert not value[kept == 0].any(), name
    assert taken == 8


def test_kept_weights_move(setting: Make) -> None:
    made = setting(momentum=0.9)
    assert made.mask is not None
    end = made.trained(made.begin(), 8).run.model.state_dict()
    moved = {name: (end[name] != made.initial[name]) & kept for name, kept in made.mask.items()}
    for name, kept in made.mask.items():
        assert moved[name].sum() > 0.7 * kept.sum()  # the rest feed dead units
    assert sum(int((~kept).sum()) for kept in made.mask.values()) > 100


def test_an_all_ones_mask_is_no_mask(setting: Make) -> None:
    made = setting(optimizer="adam", lr=1e-2)
    assert made.mask is not None
    ones = {name: torch.ones_like(kept) for name, kept in made.mask.items()}
    ends = []
    for mask in (None, ones):
        same = replace(made, mask=mask)
        ends.append(bits(same.trained(same.begin(), 8).run.model.state_dict()))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("train", [{"momentum": 0.9}, {"optimizer": "adam", "lr": 1e-2}], ids=["momentum", "adam"])
def test_the_momentum_of_newly_pruned_weights_is_dropped(setting: Make, train: dict[str, Any]) -> None:
    """A restored optimizer comes from a denser network."""
    made = setting(**train)
    dense = replace(made, mask=None)
    half = restart(dense.trained(dense.begin(), 4))
    for pause in made.pauses(half, 8, clock=Clock(0.0)):
        assert pruned_bits(made, pause.run.model) == {struct.pack("<d", 0.0)}


def test_weights_are_masked_before_the_first_step(setting: Make) -> None:
    made = setting()
    negative = {name: -value.abs() if value.is_floating_point() else value for name, value in made.initial.items()}
    end = made.trained(Start(0, clone(negative)), 0)
    assert pruned_bits(made, end.run.model) == {struct.pack("<d", 0.0)}


def test_clipping_counts_kept_gradients_alone(setting: Make) -> None:
    """The step taken by clipped SGD is as long as the bound, over kept weights alone."""
    made = setting(clip_norm=1e-3, lr=1.0)
    start = made.trained(made.begin(), 0).run.model.state_dict()
    before = torch.nn.utils.parameters_to_vector([start[name] for name, _ in made.model().named_parameters()])
    end = made.trained(made.begin(), 1).run.model
    length = (torch.nn.utils.parameters_to_vector(end.parameters()).detach() - before).norm()
    assert float(length) == pytest.approx(1e-3, rel=1e-2)


def test_masks_lie_in_memory_as_their_parameters_do(setting: Make) -> None:
    """One stride that differs would make the multiplication several times slower."""
    made = setting(channels_last=True)
    run = made.trained(made.begin(), 1).run
    for parameter, kept in run.kept:
        assert kept.stride() == parameter.stride()
