"""Runs trained together: each is what it would be by itself.

A GPU stacks them and a CPU takes their steps in turn; both ways are tried here, on a CPU.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from lth_ray import data, models
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches
from lth_ray.training import Clock, Recipe, Run, evaluate, replicate, train_together
from lth_ray.training import train as train_alone
from lth_ray.training.compiled.captured import rehearse
from lth_ray.training.compiled.static_batches import Copied, Gathered
from lth_ray.training.together.in_turn import InTurn
from lth_ray.training.together.joint import JointStepper
from lth_ray.training.together.replicates import in_turn, stack
from tests.conftest import IMAGES
from tests.doubled import InDouble
from tests.training.compiled.test_fused import farthest
from tests.training.setups import bits, clone
from tests.training.test_resume import each

LENET = "lenet_16_12"
DENSITIES = (None, 0.7, 0.2, 0.01)  # of each replicate's weights; None has no mask
ALL = ["sgd", "momentum", "nesterov", "adam", "adamw", "weight decay", "label smoothing", "schedule"]
Way = Callable[[Sequence[Run]], JointStepper]
both = pytest.mark.parametrize("way", [stack, in_turn])


def a_run(
    number: int,
    model: str = LENET,
    dtype: torch.dtype = torch.float64,
    augment: str = "none",
    batch_size: int = 32,
    **given: Any,
) -> Run:
    """The number-th replicate: weights, mask, order and augmentation of its own."""
    config = Data("digits", batch_size=batch_size, validation=0, augment=augment, augment_padding=1)
    fields: dict[str, Any] = {"length": steps(200), "lr": 0.05, "backend": "eager", **given}
    recipe = Recipe(Model(model), config, Train(**fields), data.identify(config))
    dataset = data.load(config)
    network = models.build(model, 10, (1, 8, 8), seed=number).to(dtype)
    mask = random_mask(network, number)
    batches = Batches(dataset.train, dataset.mean, dataset.std, batch_size, number, 100 + number, augment, 1)
    in_dtype = InDouble(batches) if dtype == torch.float64 else batches
    return Run(f"run {number}", recipe, network, in_dtype, 0, mask, 0)


def random_mask(network: torch.nn.Module, number: int) -> dict[str, torch.Tensor] | None:
    density, generator = DENSITIES[number % len(DENSITIES)], torch.Generator().manual_seed(number)
    if density is None:
        return None
    weights = models.prunable(network).items()
    mask = {name: torch.rand(weight.shape, generator=generator) < density for name, weight in weights}
    with torch.no_grad():
        for name, weight in weights:
            weight.mul_(mask[name])
    return mask


def some(count: int = 4, **given: Any) -> list[Run]:
    return [a_run(number, **given) for number in range(count)]


def copied(runs: list[Run], others: list[Run]) -> None:
    """Gives `runs` what a checkpoint of `others` holds."""
    for run, other in zip(runs, others, strict=True):
        run.model.load_state_dict(clone(other.model.state_dict()))
        run.optimizer.load_state_dict(clone(other.optimizer.state_dict()))
        run.step, run.loss_steps = other.step, other.loss_steps
        run.loss_sum += float(other.loss_sum)


def state(run: Run) -> Any:
    return bits([run.model.state_dict(), run.optimizer.state_dict(), run.loss_sum, run.step, run.loss_steps])


def masks_hold(run: Run) -> bool:
    """Return whether pruned weights and their moments are zero."""
    for parameter, kept in run.kept:
        tensors = [parameter.detach(), *(v for v in run.optimizer.state.get(parameter, {}).values() if v.dim())]
        if any(bool(tensor[kept == 0].any()) for tensor in tensors):
            return False
    return True


@each(ALL)
@both
def test_each_is_its_single_run_over_50_steps(way: Way, train: dict[str, Any]) -> None:
    together, alone = some(**train), some(**train)
    train_together(way(together), 50)
    for ours, single in zip(together, alone, strict=True):
        train_alone(single, 50)
        optimizers = [run.optimizer.state_dict() for run in (ours, single)]
        assert optimizers[0]["param_groups"] == optimizers[1]["param_groups"]
        assert [*optimizers[0]["state"]] == [*optimizers[1]["state"]]
        assert farthest(ours, single) < 1e-9
        assert (ours.step, ours.loss_steps) == (50, 50)
        assert masks_hold(ours)
        assert (ours.backend, single.backend) == ("replicated", "eager")


@pytest.mark.parametrize("model", ["cifar_resnet8_2", "conv2_2"])
@each(["nesterov", "adam"])
def test_convolutions_and_batch_norm(train: dict[str, Any], model: str) -> None:
    given = {**train, "model": model, "augment": "flip"}
    together, alone = some(3, **given), some(3, **given)
    train_together(stack(together), 20)
    for ours, single in zip(together, alone, strict=True):
        train_alone(single, 20)
        assert farthest(ours, single) < 1e-9
        for own, other in zip(ours.model.buffers(), single.model.buffers(), strict=True):
            assert float((own - other).abs().max()) < 1e-9
        assert masks_hold(ours)


def test_a_cpu_takes_their_steps_in_turn() -> None:
    assert isinstance(replicate(some(2)), InTurn)


@each(["momentum", "adam"])
@pytest.mark.parametrize("model", ["lenet_37_11", "conv2_3", "cifar_resnet8_3"])
def test_in_turn_each_has_the_bits_of_its_single_run(train: dict[str, Any], model: str) -> None:
    """Of sizes that fill no vector of the processor's, in batches that fill none: neither place, company nor number
    changes a bit, since all are those of one that is alone.
    """
    given = {**train, "model": model, "dtype": torch.float32, "lr": 0.01, "augment": "flip", "batch_size": 27}
    together, turned, alone = some(3, **given), some(5, **given), some(3, **given)
    train_together(replicate(together), 12)
    train_together(replicate(turned[::-1]), 12)
    for ours, moved, single in zip(together, turned[:3], alone, strict=True):
        train_alone(single, 12)
        assert state(ours) == state(single) == state(moved)
        assert masks_hold(ours)


@each(["momentum", "adam"])
@pytest.mark.parametrize("stop", [1, 37])
@both
def test_resuming_changes_no_bit(way: Way, train: dict[str, Any], stop: int) -> None:
    whole, begun, resumed = (some(**train) for _ in range(3))
    train_together(way(whole), 60)
    train_together(way(begun), stop)
    copied(resumed, begun)
    train_together(way(resumed), 60)
    assert [state(run) for run in resumed] == [state(run) for run in whole]


def test_one_goes_on_by_itself() -> None:
    together, alone, later = (some(2, optimizer="adam", lr=1e-2) for _ in range(3))
    train_together(stack(together), 20)
    copied(later, together)
    for run, single in zip(later, alone, strict=True):
        train_alone(run, 40)
        train_alone(single, 40)
        assert farthest(run, single) < 1e-9


@both
def test_the_others_change_nothing(way: Way) -> None:
    """Only how many there are may: a product of more is another product."""
    runs, others = some(4), [a_run(number) for number in (0, 5, 6, 7)]
    for group in (runs, others):
        train_together(way(group), 30)
    assert state(runs[0]) == state(others[0])


@both
def test_one_that_has_left_stays_as_it_is(way: Way) -> None:
    runs, whole = (some(3, milestones=[steps(7)]) for _ in range(2))
    together = way(runs)
    train_together(together, 5)
    ended = runs[1]
    together.leave(ended)
    left, rate = state(ended), ended.optimizer.param_groups[0]["lr"]
    train_together(together, 9)
    assert ended.optimizer.param_groups[0]["lr"] == rate
    train_together(way(whole), 9)
    assert state(ended) == left
    assert [run.key for run in together.runs] == ["run 0", "", "run 2"]
    assert [state(runs[number]) for number in (0, 2)] == [state(whole[number]) for number in (0, 2)]
    assert together.step == 9
    assert len(together.finite()) == 3


@both
def test_steps_taken_at_a_time_change_no_bit(way: Way) -> None:
    runs, often = some(augment="none", dtype=torch.float32), some(augment="none", dtype=torch.float32)
    train_together(way(runs), 130)
    replicates = way(often)
    due = 0
    while replicates.step < 130:
        clock = Clock(every_steps=7)
        clock.begin(replicates.step)
        due += train_together(replicates, 130, clock)
    assert due == 130 // 7
    assert [state(run) for run in runs] == [state(run) for run in often]


def test_images_by_position_give_the_same_bits() -> None:
    gathered, made = some(dtype=torch.float32), some(dtype=torch.float32)
    for run in made:
        run.batches.positions = lambda step, number: None  # type: ignore[attr-defined]
    kinds = []
    for runs in (gathered, made):
        replicates = stack(runs)
        train_together(replicates, 70)
        kinds.append(type(replicates.feed))
    assert kinds == [Gathered, Copied]
    assert [state(run) for run in gathered] == [state(run) for run in made]


@pytest.mark.parametrize("model", [LENET, "cifar_resnet8_2"])
@both
def test_all_are_measured_at_once(way: Way, model: str) -> None:
    runs = some(3, model=model, dtype=torch.float32, lr=0.01)
    replicates = way(runs)
    train_together(replicates, 10)
    dataset = data.load(runs[0].recipe.data)
    test, batches = dataset.test, list(IMAGES.examples(dataset, dataset.test))
    for run, measured in zip(runs, replicates.evaluate(dataset, test), strict=True):
        single = evaluate(run.model, batches, IMAGES, run.recipe.train)
        assert measured.loss == pytest.approx(single.loss, rel=1e-5)
        assert measured.value == pytest.approx(single.value, abs=2 / single.n)
        assert measured.n == single.n == len(test)
        assert run.model.training


@both
def test_a_measurement_may_set_the_loss_back(way: Way) -> None:
    runs = some(2)
    replicates = way(runs)
    train_together(replicates, 5)
    runs[0].loss_sum.zero_()
    before = float(runs[1].loss_sum)
    train_together(replicates, 6)
    assert 0 < float(runs[0].loss_sum) < 10
    assert float(runs[1].loss_sum) > before


def test_a_rehearsal_counts_for_nothing() -> None:
    runs, others = some(optimizer="adam", lr=1e-2), some(optimizer="adam", lr=1e-2)
    replicates = stack(others)
    train_together(replicates, 1)
    rehearse(replicates.take_step, replicates.changed())
    train_together(replicates, 20)
    train_together(stack(runs), 20)
    assert [state(run) for run in runs] == [state(run) for run in others]


def test_bf16_is_near_its_single_run() -> None:
    given: dict[str, Any] = {"dtype": torch.float32, "precision": "bf16", "momentum": 0.9, "lr": 0.01}
    together, alone = some(2, **given), some(2, **given)
    train_together(stack(together), 10)
    for ours, single in zip(together, alone, strict=True):
        train_alone(single, 10)
        assert float(ours.loss_sum) == pytest.approx(float(single.loss_sum), rel=1e-2)
