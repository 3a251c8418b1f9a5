"""After every step a pruned weight is +0.0 and its momentum zero."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lth_ray.models import tied
from lth_ray.training import Clock, Start, averages, train_segment
from tests.training.setups import SEEDS, Setting, bits, clone, restart
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


class Shared(torch.nn.Module):
    """A linear layer that is used twice, and another whose weight is the first's."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)
        self.output = torch.nn.Linear(64, num_classes)
        self.second.weight = self.first.weight

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.first(self.first(images.flatten(1)).relu()).relu()
        logits: torch.Tensor = self.output(self.second(x).relu())
        return logits


def away_from_zero(model: torch.nn.Module, batch: Any) -> Any:
    """A loss that draws every weight to 1, so that a pruned one has a gradient whatever the images are."""
    loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
    return loss + 0.1 * sum(((weight - 1) ** 2).sum() for weight in model.parameters()), {}


@pytest.mark.parametrize("own_loss", [None, away_from_zero], ids=["loss", "own loss"])
@pytest.mark.parametrize("decay", [None, 0.9], ids=["plain", "averaged"])
@pytest.mark.parametrize("model", [None, Shared], ids=["separate", "tied"])
@pytest.mark.parametrize("train", [{"momentum": 0.9, "weight_decay": 1e-2}, {"optimizer": "adam"}], ids=["sgd", "adam"])
def test_so_they_are_in_tied_and_averaged_networks_with_a_loss_of_one_s_own(
    setting: Make, train: dict[str, Any], model: Any, decay: float | None, own_loss: Any
) -> None:
    """Under each of their names, and in averages."""
    made = setting(**({"model": model} if model else {}), lr=1e-3, loss=own_loss, ema_decay=decay, **train)
    assert made.mask is not None
    network = made.model()
    if decay is not None:
        averages.attach(network)
    names = {name: [name] for name in made.mask}
    for other, name in tied(network).items():
        names.get(name, []).append(other)
    assert model is None or names["first.weight"] == ["first.weight", "second.weight"]
    start = Start(0, clone(network.state_dict()))
    pauses = train_segment(
        "key", made.recipe, network, made.dataset, made.mask, SEEDS, start, 6, pauses=frozenset(range(7))
    )
    taken = moved = 0
    for pause in pauses:
        taken += 1
        run, state = pause.run, pause.run.model.state_dict()
        means = averages.named(run.model)
        assert len(means) == (0 if decay is None else len(list(network.parameters())))
        for name, kept in made.mask.items():
            held = [*(state[one] for one in names[name]), *([means[name]] if means else [])]
            for tensor in held:
                assert set(bits_of(tensor[~kept])) == {struct.pack("<d", 0.0)}, name
                moved += int(tensor[kept].count_nonzero())
        for parameter, keeps in run.kept:
            tensors = [one for one in run.optimizer.state[parameter].values() if one.shape == parameter.shape]
            assert len(tensors) == (1 if "momentum" in train else 2)
            assert all(tensor[keeps != 0].any() and not tensor[keeps == 0].any() for tensor in tensors)
    assert taken == 6
    assert moved > 0


def bits_of(values: torch.Tensor) -> list[bytes]:
    return [struct.pack("<d", value) for value in values.flatten().tolist()]


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
