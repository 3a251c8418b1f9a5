"""Captured steps: the bits of eager ones, wherever training stops."""

from typing import Any

import pytest
import torch

from lth_ray.training import Clock, capture, train
from lth_ray.training.compiled.captured import Captured
from tests.gpu.setups import OPTIMIZERS, Case, a_case, masks_hold
from tests.training.setups import bits, everything, restart

pytestmark = pytest.mark.gpu
LENET: tuple[str, tuple[int, int, int]] = ("lenet_300_100", (1, 28, 28))
RESNET: tuple[str, tuple[int, int, int]] = ("cifar_resnet20", (3, 32, 32))
MORE: dict[str, dict[str, Any]] = {
    **OPTIMIZERS,
    "clipping": {"momentum": 0.9, "clip_norm": 0.1},
    "flips": {"momentum": 0.9, "augment": "flip"},
    "bf16": {**OPTIMIZERS["adam"], "precision": "bf16"},
}


def pair(case: Case) -> tuple[Any, Any]:
    """The same run twice, the first of them captured."""
    ours, eager = case.run(), case.run()
    ours.stepper = capture(ours) or ours.stepper
    assert isinstance(ours.stepper, Captured)
    return ours, eager


@pytest.mark.parametrize("name", MORE)
def test_a_lenet_has_the_bits_of_eager_steps(device: torch.device, name: str) -> None:
    ours, eager = pair(a_case(device, *LENET, **MORE[name]))
    for stop in (1, 40, 150):
        for run in (ours, eager):
            train(run, stop)
        assert bits([ours.model.state_dict(), ours.loss_sum]) == bits([eager.model.state_dict(), eager.loss_sum])
    assert ours.optimizer.param_groups[0]["lr"] == eager.optimizer.param_groups[0]["lr"]
    assert masks_hold(ours)
    assert (ours.backend, eager.backend) == ("fused" if name in OPTIMIZERS or name == "flips" else "eager", "eager")


@pytest.mark.parametrize("name", ["nesterov", "adam"])
@pytest.mark.parametrize("model", [RESNET, ("conv2", (3, 32, 32))], ids=["resnet20", "conv2"])
def test_convolutional_networks_are_near_eager_steps(device: torch.device, name: str, model: Any) -> None:
    ours, eager = pair(a_case(device, *model, augment="crop_flip", **OPTIMIZERS[name]))
    for run in (ours, eager):
        train(run, 5)
    for own, other in zip(ours.model.state_dict().values(), eager.model.state_dict().values(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)
    assert masks_hold(ours)


@pytest.mark.parametrize("name", ["nesterov", "adam"])
@pytest.mark.parametrize("model", [LENET, RESNET], ids=["lenet", "resnet20"])
def test_resuming_changes_no_bit(device: torch.device, name: str, model: Any) -> None:
    case = a_case(device, *model, **OPTIMIZERS[name])
    whole = case.trained(None, 40)
    assert isinstance(whole.run.stepper, Captured)
    saved = [restart(pause) for pause in case.pauses(None, 40, clock=Clock(every_steps=9))]
    for start in saved[:-1:2]:
        assert everything(case.trained(start, 40, first=0)) == everything(whole)
    assert everything(case.trained(None, 40, clock=Clock(every_steps=7))) == everything(whole)


def test_it_learns(device: torch.device) -> None:
    journal = a_case(device, *LENET, optimizer="adam", lr=1.2e-3).trained(None, 150).journal
    assert journal["train_loss"][-1] < journal["train_loss"][0] / 2


def test_memory_does_not_grow_from_round_to_round(device: torch.device) -> None:
    import gc

    case, held = a_case(device, *LENET, optimizer="adam", lr=1.2e-3), []
    for _ in range(6):
        case.trained(None, 20)
        gc.collect()
        torch.cuda.synchronize()
        held.append(torch.cuda.memory_allocated())
    assert held[-1] <= held[1] + (1 << 20)
