"""Replicates under one graph: each is its single run."""

import gc
from typing import Any

import pytest
import torch

from lth_ray.training import evaluate, replicate, train, train_together
from tests.conftest import IMAGES
from tests.gpu.setups import OPTIMIZERS, Case, a_case, masks_hold
from tests.training.setups import bits, clone

pytestmark = pytest.mark.gpu
LENET: tuple[str, tuple[int, int, int]] = ("lenet_300_100", (1, 28, 28))


def runs_of(case: Case, count: int, **options: Any) -> list[Any]:
    dataset = case.dataset()  # one, so that images are gathered by position
    return [case.run(seed, dataset=dataset, **options) for seed in range(count)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_is_its_single_run_in_double_precision(device: torch.device, name: str) -> None:
    case = a_case(device, *LENET, backend="eager", **OPTIMIZERS[name])
    together, alone = (runs_of(case, 5, dtype=torch.float64) for _ in range(2))
    train_together(replicate(together), 50)
    for ours, single in zip(together, alone, strict=True):
        train(single, 50)
        for own, other in zip(ours.model.parameters(), single.model.parameters(), strict=True):
            assert float((own - other).detach().abs().max()) < 1e-9
        assert float((ours.loss_sum - single.loss_sum).abs()) < 1e-9
        assert masks_hold(ours)


@pytest.mark.parametrize("model", [LENET, ("cifar_resnet8_8", (3, 16, 16))], ids=["lenet", "resnet8"])
def test_each_is_near_its_single_run(device: torch.device, model: Any) -> None:
    case = a_case(device, *model, backend="eager", **OPTIMIZERS["nesterov"])
    together, alone = (runs_of(case, 8) for _ in range(2))
    replicates = replicate(together)
    train_together(replicates, 10)
    dataset = case.dataset()
    test = list(IMAGES.examples(dataset, dataset.test))
    measurements = replicates.evaluate(dataset, dataset.test)
    for ours, single, measured in zip(together, alone, measurements, strict=True):
        train(single, 10)
        for own, other in zip(ours.model.state_dict().values(), single.model.state_dict().values(), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-3)
        assert masks_hold(ours)
        assert measured.loss == pytest.approx(evaluate(ours.model, test, IMAGES, case.recipe.train).loss, rel=1e-4)


@pytest.mark.parametrize("model", [LENET, ("lenet_37_11", (1, 28, 28)), ("cifar_resnet8_8", (3, 16, 16))])
def test_neither_places_nor_the_others_change_a_bit(device: torch.device, model: Any) -> None:
    case = a_case(device, *model, **OPTIMIZERS["adam"])
    runs, turned = runs_of(case, 8), runs_of(case, 12)[::-1]
    others = [*turned[:3], *turned[4:9]]  # 11, 10, 9, and 7 to 3
    for group in (runs, others):
        train_together(replicate(group), 20)
    for number in range(3, 8):
        ours, other = runs[number], turned[11 - number]
        assert bits([ours.model.state_dict(), ours.optimizer.state_dict()]) == bits(
            [other.model.state_dict(), other.optimizer.state_dict()]
        )


def test_resuming_changes_no_bit(device: torch.device) -> None:
    case = a_case(device, *LENET, **OPTIMIZERS["adam"])
    whole, begun, resumed = (runs_of(case, 16) for _ in range(3))
    train_together(replicate(whole), 60)
    train_together(replicate(begun), 25)
    for run, other in zip(resumed, begun, strict=True):
        run.model.load_state_dict(clone(other.model.state_dict()))
        run.optimizer.load_state_dict(clone(other.optimizer.state_dict()))
        run.step = other.step
    train_together(replicate(resumed), 60)
    for ours, other in zip(resumed, whole, strict=True):
        assert bits([ours.model.state_dict(), ours.optimizer.state_dict()]) == bits(
            [other.model.state_dict(), other.optimizer.state_dict()]
        )


def test_memory_is_given_back(device: torch.device) -> None:
    case, held = a_case(device, *LENET, **OPTIMIZERS["adam"]), []
    for _ in range(4):
        train_together(replicate(runs_of(case, 32)), 5)
        gc.collect()
        torch.cuda.synchronize()
        held.append(torch.cuda.memory_allocated())
    assert held[-1] <= held[1] + (1 << 20)
