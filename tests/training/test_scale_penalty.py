"""Train.scale_l1: the sub-gradient of a penalty on the scales of batch norms."""

from collections.abc import Callable

import pytest
import torch

from lth_ray.training import Clock
from tests.training.setups import Setting


@pytest.mark.parametrize("group", [None, 10])
def test_the_penalty_is_on_scales_alone(setting: Callable[..., Setting], group: int | None) -> None:
    """By plain SGD: w' = w - lr (g + l1 sign(w)) for scales, and the same g as without for all."""
    ends = []
    for penalty in (0.0, 0.1):
        made = setting(masked=False, scale_l1=penalty, lr=0.5, batch_norm_group=group)
        pause = next(iter(made.pauses(made.begin(), 12, clock=Clock(0.0))))
        ends.append({name: value.clone() for name, value in pause.run.model.state_dict().items()})
    plain, penalised = ends
    for name, value in plain.items():
        difference = penalised[name] - value
        if name == "norm.weight":
            torch.testing.assert_close(difference, torch.full_like(value, -0.5 * 0.1))
        else:
            assert not difference.any()
