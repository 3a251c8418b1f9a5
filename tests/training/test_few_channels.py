"""Strided 1x1 convolutions of a few channels: none is computed in channels_last on a CPU."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lth_ray.training import Start
from lth_ray.training.few_channels import few_in_nchw, is_endangered
from lth_ray.training.segment import begin
from tests.training.setups import SEEDS, Setting

Make = Callable[..., Setting]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((4, 8, 1, 2), True), ((7, 8, 1, (1, 2)), True), ((1, 8, 1, 2), True), ((8, 8, 1, 2), False),
        ((4, 8, 3, 2), False), ((4, 8, 1, 1), False),
    ],
)  # fmt: skip
def test_which_they_are(given: Any, expected: bool) -> None:
    assert is_endangered(nn.Conv2d(*given)) is expected


@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_they_see_images_and_weights_in_nchw_and_all_others_do_not(
    setting: Make, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, seen = setting("cifar_resnet8_4", channels_last=True, backend=backend), []
    plain = nn.Conv2d._conv_forward

    def noted(layer: nn.Conv2d, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen.append((is_endangered(layer), images.is_contiguous(), weight.stride()[-1] == 1))
        return plain(layer, images, weight, bias)

    run = begin("key", made.recipe, made.model(), made.dataset, made.mask, SEEDS, made.begin())
    monkeypatch.setattr(nn.Conv2d, "_conv_forward", noted)
    images, _ = run.batches.batch(0)
    run.forward(images.contiguous(memory_format=torch.channels_last))
    assert seen.count((True, True, True)) == 1  # the first of the two shortcuts that change their shape
    assert sum(endangered for endangered, *_ in seen) == 1
    assert sum(contiguous for _, contiguous, _ in seen) <= 2  # an image of one channel is laid out either way


def test_one_channel_and_one_pixel_have_the_strides_of_nchw(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie in both layouts, and would keep the strides of the other, as shortcuts pruned to one channel do."""
    layer, seen = nn.Conv2d(1, 4, 1, 2).to(memory_format=torch.channels_last), []
    few_in_nchw(layer)
    monkeypatch.setattr(nn.Conv2d, "_conv_forward", lambda _, images, weight, bias: seen.append((images, weight)))
    layer(torch.ones(2, 4, 4, 1).permute(0, 3, 1, 2))
    [(images, weight)] = seen
    assert images.stride() == (16, 16, 4, 1)
    assert weight.stride() == (1, 1, 1, 1)


def test_training_is_that_in_nchw(setting: Make) -> None:
    ends = []
    for layout in (True, False):
        made = setting("cifar_resnet8_4", channels_last=layout, backend="eager")
        ends.append(made.trained(Start(0, made.initial), 4).run.model.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-3, atol=1e-4)


def test_a_copy_computes_with_its_own_weights() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 1, 2)).to(memory_format=torch.channels_last)
    few_in_nchw(model)
    other, images = copy.deepcopy(model), torch.ones(1, 4, 2, 2)
    nn.init.zeros_(other[0].weight)
    nn.init.zeros_(other[0].bias)
    assert not other(images).any()
    assert model(images).all()
    assert model.state_dict().keys() == other.state_dict().keys() == {"0.weight", "0.bias"}
