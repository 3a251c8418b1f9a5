"""Training under a mask that changes: what grows begins at zero, what is pruned is zero, and resuming is exact."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.pruning import Regrowth
from lth_ray.training import Clock, Pause, Start, Team, stored_beside
from tests.training.setups import SEEDS, Setting, bits, clone, everything, restart
from tests.training.teams import together

Make = Callable[..., Setting]
RULES = {
    "rigl": Regrowth("rigl", every=3, fraction=0.4, end=10),
    "set": Regrowth("set", every=3, fraction=0.4, end=10, seed=21),
}
each = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
OPTIMIZERS = {
    "momentum": {"momentum": 0.9, "weight_decay": 1e-3},
    "adam": {"optimizer": "adam", "lr": 1e-2},
    "averages": {"momentum": 0.9, "ema_decay": 0.9},
}


def resumed(pause: Pause) -> Start:
    """As from a checkpoint, which holds the mask."""
    start, run = restart(pause), pause.run
    return Start(
        start.step, start.model, clone(stored_beside(run)), start.journal, start.loss_sum, start.loss_steps,
        {name: list(values) for name, values in run.history.items()},
    )  # fmt: skip


def all_of(pause: Pause) -> Any:
    return everything(pause), bits(pause.run.mask), pause.run.history


def state(run: Any, name: str) -> list[torch.Tensor]:
    """Return what the optimizer holds of each weight of a parameter."""
    parameter = dict(run.model.named_parameters())[name]
    held = run.optimizer.state.get(parameter, {}).values()
    return [value for value in held if value.shape == parameter.shape]


@each
@pytest.mark.parametrize("train", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_pruned_weights_are_zero_at_every_step_and_grown_ones_begin_there(
    setting: Make, rule: Regrowth, train: dict[str, Any]
) -> None:
    made, masks = setting(**train), []
    assert made.mask is not None
    counts = {name: int(keeps.count_nonzero()) for name, keeps in made.mask.items()}
    for pause in made.pauses(made.begin(), 12, clock=Clock(0.0), regrowth=rule):
        run = pause.run
        assert run.mask is not None
        for name, keeps in run.mask.items():
            assert int(keeps.count_nonzero()) == counts[name]
            for held in (run.model.state_dict()[name], *state(run, name)):
                assert not held[~keeps].any()
        before = masks[-1] if masks else made.mask
        if rule.due(pause.step - 1):  # step 0 is the first
            moved = {name: run.mask[name] & ~before[name] for name in before}
            assert any(grown.any() for grown in moved.values())
            for name, grown in moved.items():
                for held in (run.model.state_dict()[name], *state(run, name)):
                    assert not held[grown].any()
        else:
            assert bits(run.mask) == bits(before)
        masks.append(clone(run.mask))
    assert any(bits(mask) != bits(made.mask) for mask in masks)
    grown = {name: masks[9][name] & ~masks[8][name] for name in made.mask}  # which two steps have trained since
    trained = torch.cat([run.model.state_dict()[name][kept] for name, kept in grown.items()])
    enough = torch.all if rule.method == "rigl" else torch.any  # chance grows dead weights as well
    assert bool(enough(trained != 0))
    assert made.mask is not run.mask
    rows = zip(*(run.history[column] for column in ("step", "layer", "kept", "dropped")), strict=True)
    assert all(dropped == rule.count(kept, step) for step, _, kept, dropped in rows)
    assert sorted(set(run.history["step"])) == [0, 3, 6, 9]


def test_the_weights_with_the_highest_gradients_grow(setting: Make) -> None:
    """By the gradients of all weights over the first batch, taken by hand."""
    made, rule = setting(options={"dropout": 0.0}), RULES["rigl"]
    pause = made.trained(made.begin(), 1, regrowth=rule)
    assert made.mask is not None
    assert pause.run.mask is not None
    model = made.model()
    model.load_state_dict(made.initial)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, keeps in made.mask.items():
            parameters[name].masked_fill_(~keeps, 0.0)
    stream = made.recipe.task.stream(made.dataset, SEEDS.order, SEEDS.augmentation, range(40))
    images, labels = stream.batch(0, model)
    torch.nn.functional.cross_entropy(model.train()(images), labels).backward()
    for name, keeps in made.mask.items():
        weight, gradient = parameters[name].detach().flatten(), parameters[name].grad
        assert gradient is not None
        count = int(0.4 * int(keeps.count_nonzero()))
        kept = keeps.flatten().nonzero().flatten()
        after = keeps.flatten().clone()
        after[kept[weight[kept].abs().argsort(stable=True)[:count]]] = False
        outside = (~after).nonzero().flatten()
        after[outside[gradient.flatten()[outside].abs().argsort(descending=True, stable=True)[:count]]] = True
        assert torch.equal(pause.run.mask[name].flatten(), after)


@each
@pytest.mark.parametrize("train", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_checkpoint_at_any_step_changes_nothing(setting: Make, rule: Regrowth, train: dict[str, Any]) -> None:
    made = setting(**train)
    whole = all_of(made.trained(made.begin(), 12, regrowth=rule))
    saved = [resumed(pause) for pause in made.pauses(made.begin(), 12, clock=Clock(0.0), regrowth=rule)]
    for start in saved[:11]:
        assert all_of(made.trained(start, 12, first=0, regrowth=rule)) == whole


def test_a_team_has_one_mask(setting: Make) -> None:
    made = setting(batch_size=48, batch_norm_group=12, momentum=0.9)

    def work(team: Team) -> str:
        return str(all_of(made.trained(made.begin(), 8, team=team, regrowth=RULES["rigl"])))

    first, second = together(2, work)
    assert first == second
