"""Smaller networks of every family: the masked network's outputs, in evaluation and after a step of training."""

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch.utils._pytree import tree_leaves

from lth_ray.models.shrinking import build_small, shrinking
from tests.models.shrinking.masked import size_of, under, without_units
from tests.models.test_graph import FAMILIES, stirred

# what stays of all parameters; less of ConvNeXt, ViT and Swin goes, since LayerNorm holds on to their residual stream
ZOO = {
    "resnet18": (64, 0.444), "resnet50": (64, 0.444), "vgg16_bn": (32, 0.445), "mobilenet_v3_small": (64, 0.456),
    "densenet121": (64, 0.441), "convnext_tiny": (64, 0.690), "vit_b_16": (32, 0.669), "efficientnet_b0": (64, 0.457),
    "googlenet": (96, 0.443), "shufflenet_v2_x1_0": (64, 0.685),
}  # fmt: skip


def step(model, images, labels, mask):
    """Take one step of SGD with momentum and weight decay under a mask, as training does it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
    torch.manual_seed(1)
    loss = sum(F.cross_entropy(one, labels) for one in tree_leaves(model.train()(images)))
    loss.backward()
    for name, parameter in model.named_parameters():
        if name in mask and parameter.grad is not None:
            parameter.grad.mul_(mask[name])
    optimizer.step()
    return float(loss.detach())


def check(model, side, tolerance):
    """Compare the network under a mask of two thirds of its units with the smaller one; return what stays of it."""
    example = (torch.zeros(1, 3, side, side),)
    mask = without_units(model, example)
    how = shrinking(model, mask, example)
    masked = under(model, mask)
    small = build_small(masked, how, draws_as_whole=True)
    inner = {name: how.small(name, keeps) for name, keeps in mask.items()}
    images = torch.randn(
        4, 3, side, side, generator=torch.Generator().manual_seed(3), dtype=next(model.parameters()).dtype
    )
    labels = torch.tensor([0, 1, 2, 0])

    def compare():
        with torch.no_grad():
            ours, theirs = small.eval()(images), masked.eval()(images)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))

    compare()
    losses = step(small, images, labels, inner), step(masked, images, labels, mask)
    assert losses[0] == pytest.approx(losses[1], rel=tolerance)
    compare()
    for name, value in masked.state_dict().items():  # weights and running statistics
        torch.testing.assert_close(small.state_dict()[name], how.small(name, value), rtol=1e-4, atol=1e-5, msg=name)
    return how, size_of(small) / size_of(model)


SLOW = {"googlenet", "mobilenet v3", "resnet, basic blocks", "resnet, bottlenecks", "resnext", "swin"}


@pytest.mark.parametrize("family", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in FAMILIES])
def test_families_without_a_third_of_their_units(family):
    make, side, *_ = FAMILIES[family]
    torch.manual_seed(0)
    model = stirred(make())
    how, share = check(model, side, 1e-9)
    assert share < 0.9
    normed = family in ("convnext", "vision transformer", "swin")
    assert any("takes its statistics" in why for why in how.left_in.values()) == normed
    assert bool(how.left_in) == (normed or family.startswith("shufflenet"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_torchvision_without_a_third_of_their_units(name):
    side, stays = ZOO[name]
    torch.manual_seed(0)
    options = {"googlenet": {"init_weights": False}, "vit_b_16": {"image_size": side}}.get(name, {})
    model = getattr(torchvision.models, name)(weights=None, num_classes=3, **options)
    assert check(copy.deepcopy(model).double(), side, 1e-9)[1] == pytest.approx(stays, abs=0.002)
    example = (torch.zeros(1, 3, side, side),)
    mask = without_units(model, example)
    masked = under(model, mask).eval()
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        theirs = masked(images)
        ours = build_small(masked, shrinking(model, mask, example))(images)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * max(1.0, float(theirs.abs().max())))
