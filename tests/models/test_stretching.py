"""Layers that correspond in two networks of a family, and masks stretched by hand."""

import pytest
import torch

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.models.stretching import corresponding, stretched


def shapes(name: str, classes: int = 10, shape: tuple[int, int, int] = (3, 32, 32)) -> dict[str, tuple[int, ...]]:
    network = models.build(name, classes, input_shape=shape)
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def test_a_mask_stretched_by_hand() -> None:
    keeps = torch.tensor([[True, False, True], [False, False, True]])
    wide = stretched(keeps, (4, 6))
    first, second = [True, True, False, False, True, True], [False] * 4 + [True] * 2
    assert wide.tolist() == [first, first, second, second]
    assert torch.equal(stretched(wide, (2, 3)), keeps)
    assert stretched(keeps, (2, 3)) is keeps
    kernel = torch.arange(2 * 1 * 3).view(2, 1, 3)
    assert stretched(kernel, (2, 2, 3)).tolist() == [[[0, 1, 2], [0, 1, 2]], [[3, 4, 5], [3, 4, 5]]]


def test_deeper_networks_repeat_layers_within_their_stages() -> None:
    pairs = corresponding(shapes("cifar_resnet20_4"), shapes("cifar_resnet32_4"))
    blocks = {int(own.split(".")[1]): int(of.split(".")[1]) for own, of in pairs.items() if own.startswith("blocks")}
    assert blocks == {
        0: 0, 1: 0, 2: 1, 3: 1, 4: 2,  # 3 blocks of stage 1 in 5
        5: 3, 6: 4, 7: 4, 8: 5, 9: 5,  # the strided block, and 2 in 4
        10: 6, 11: 7, 12: 7, 13: 8, 14: 8,
    }  # fmt: skip
    assert pairs["output.weight"] == "output.weight"
    assert pairs["blocks.5.shortcut.weight"] == "blocks.3.shortcut.weight"
    back = corresponding(shapes("cifar_resnet32_4"), shapes("cifar_resnet20_4"))
    assert [back[f"blocks.{i}.conv1.weight"] for i in (0, 1, 2)] == [f"blocks.{i}.conv1.weight" for i in (0, 1, 3)]


def test_vgg_19_takes_over_vgg_16_s_layers_in_their_order() -> None:
    pairs = corresponding(shapes("cifar_vgg16_4"), shapes("cifar_vgg19_4"))
    layers = [int(pairs[f"layers.{i}.conv.weight"].split(".")[1]) for i in range(16)]
    assert layers == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 10, 11, 12]
    assert layers == sorted(layers)


def test_widths_and_an_output_layer_apart() -> None:
    given, own = shapes("cifar_resnet8_4"), shapes("cifar_resnet8_8", classes=100)
    pairs = corresponding(given, own, apart={"output.weight", "output.bias"})
    assert pairs.keys() == own.keys() - {"output.weight", "output.bias"}
    assert all(name == of for name, of in pairs.items())
    with pytest.raises(ConfigError, match=r"layer 'output' is \[101, 32\].*101 units are no multiple of 10"):
        corresponding(given, shapes("cifar_resnet8_8", classes=101))


REFUSED = {
    "fewer stages": (("cifar_vgg11_4", "cifar_vgg19_4"), r"layer 'layers\.\d+' has no counterpart: .* 8 runs of equal"),
    "another family": (("cifar_resnet20_4", "cifar_vgg16_4"), "layers 'layers' are none of the ticket's network"),
    "no such layer": (("lenet_10_5", "conv2_4"), "layer 'conv1' has no counterpart|layers 'conv"),
    "widths": (("cifar_resnet8_4", "cifar_resnet8_6"), r"layer 'conv' is \[6, 3, 3, 3\].*6 units are no multiple of 4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_its_layer(case: str) -> None:
    (given, own), why = REFUSED[case]
    with pytest.raises(ConfigError, match=why):
        corresponding(shapes(given), shapes(own))


def test_inputs_that_are_places_of_an_image_are_not_stretched() -> None:
    given, own = (shapes("lenet_20_10", shape=shape) for shape in ((1, 8, 8), (1, 16, 16)))
    with pytest.raises(ConfigError, match=r"is \[20, 256\].*\[20, 64\]: its inputs are no units of another layer"):
        corresponding(given, own)
    with pytest.raises(ConfigError, match=r"layer 'conv' is \[4, 3, 3, 3\].*Data.channels = 3"):
        corresponding(shapes("cifar_resnet8_4", shape=(1, 28, 28)), shapes("cifar_resnet8_4"))
    pooled = [shapes("cifar_vgg11_4", shape=(3, side, side)) for side in (28, 32, 64)]
    assert corresponding(pooled[0], pooled[1]) == corresponding(pooled[2], pooled[1])  # global average pooling
