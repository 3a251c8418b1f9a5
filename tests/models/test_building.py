"""Names, options, factories, torchvision's networks and pretrained weights."""

import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lth_ray import models
from lth_ray.config import ConfigError

UNKNOWN = [
    ("lenet300", "lenet_300_100"), ("resnet19", "resnet18"), ("conv3", "conv2"), ("cifar_resnt20", "cifar_resnet20"),
    ("cifar_resnet21", "cifar_resnet20"), ("cifar_vgg12", "cifar_vgg11"), ("lenet_0", "lenet_300_100"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "suggestion"), UNKNOWN)
def test_an_unknown_name_is_met_with_the_nearest(name, suggestion):
    with pytest.raises(ConfigError, match=name) as caught:
        models.build(name)
    assert suggestion in str(caught.value)


def test_names_list_our_networks_and_torchvisions_classifiers():
    names = models.names()
    assert {"lenet_300_100", "conv6", "cifar_resnet20[_WIDTH]", "resnet50", "squeezenet1_0", "inception_v3"} <= {*names}
    assert not [name for name in names if "segmentation" in name or "maskrcnn" in name or "r3d" in name]


@pytest.mark.parametrize(
    ("name", "shape"),
    [("resnet18", (3, 32, 32)), ("squeezenet1_0", (3, 64, 64)), ("inception_v3", (3, 96, 96)), ("googlenet", None)],
)
def test_torchvision_networks_give_logits(name, shape):
    model = models.build(name, num_classes=3, input_shape=shape, seed=0)
    assert model.training
    assert model(torch.rand(2, *(shape or (3, 64, 64)))).shape == (2, 3)


def test_resnet50_has_its_25_5_million_weights():
    prunable = models.prunable(models.build("resnet50", num_classes=1000))
    assert sum(weight.numel() for weight in prunable.values()) == 25_502_912
    assert len(prunable) == 54


@pytest.mark.parametrize(
    ("name", "shape"), [("resnet18", (1, 28, 28)), ("vit_b_32", (3, 32, 32)), ("alexnet", (3, 8, 8))]
)
def test_torchvision_networks_refuse_images_they_cannot_take(name, shape):
    with pytest.raises(ConfigError, match=name):
        models.build(name, input_shape=shape)


@pytest.mark.parametrize("name", ["conv2", "cifar_resnet20", "resnet18"])
def test_an_unknown_option(name):
    with pytest.raises(ConfigError, match="dropuot"):
        models.build(name, dropuot=0.5)


def test_a_width_in_the_name_is_not_also_an_option():
    with pytest.raises(ConfigError, match="width"):
        models.build("cifar_resnet20_8", width=16)
    assert models.build("cifar_resnet20", width=4).output.in_features == 16


class Tiny(nn.Module):
    def __init__(self, num_classes: int, hidden: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))


def test_a_factory_gets_what_it_accepts():
    assert models.build(Tiny, 5, (1, 8, 8), hidden=6).layers[3].weight.shape == (5, 6)
    assert models.build(lambda: nn.Linear(2, 2), 5, (1, 8, 8)).out_features == 2
    seen = {}
    models.build(lambda **given: seen.update(given) or nn.Identity(), 5, (1, 8, 8), depth=3)
    assert seen == {"num_classes": 5, "input_shape": (1, 8, 8), "depth": 3}


def test_a_factory_that_does_not_fit():
    with pytest.raises(ConfigError, match=r"Tiny.*'depth'"):
        models.build(Tiny, depth=3)
    with pytest.raises(ConfigError, match="returned a int"):
        models.build(lambda: 3)


@pytest.mark.parametrize("name", ["lenet_30_10", "cifar_resnet8_4", "squeezenet1_1", Tiny])
def test_a_seed_decides_the_weights_and_leaves_torchs_generator_alone(name):
    before = torch.get_rng_state()
    first, again, other = (models.build(name, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_without_a_seed_torchs_generator_decides():
    torch.manual_seed(3)
    first = models.build("lenet_5")
    torch.manual_seed(3)
    assert torch.equal(first.fc1.weight, models.build("lenet_5").fc1.weight)
    assert not torch.equal(first.fc1.weight, models.build("lenet_5").fc1.weight)


DEVIATIONS = [  # name, init, parameter, standard deviation of its normal
    ("lenet_300_100", "default", "fc1.weight", (2 / (784 + 300)) ** 0.5),
    ("lenet_300_100", "kaiming", "fc1.weight", (2 / 784) ** 0.5),
    ("lenet_300_100", 0.05, "fc1.weight", 0.05),
    ("conv4", "default", "conv3.weight", (2 / (9 * (64 + 128))) ** 0.5),
    ("cifar_resnet20", "default", "blocks.7.conv2.weight", (2 / (9 * 64)) ** 0.5),
    ("cifar_resnet20", "glorot", "blocks.7.conv2.weight", (2 / (9 * 128)) ** 0.5),
]


@pytest.mark.parametrize(("name", "init", "parameter", "deviation"), DEVIATIONS)
def test_initialisations_are_the_stated_normals(name, init, parameter, deviation):
    model = models.build(name, init=init, seed=0)
    weight = model.get_parameter(parameter).detach()
    assert weight.std().item() == pytest.approx(deviation, rel=0.03)
    assert abs(weight.mean().item()) < 5 * deviation / weight.numel() ** 0.5
    assert weight.abs().max() > 3.2 * deviation  # a normal's tail, which a uniform of this deviation has not
    biases = [value for key, value in model.named_parameters() if key.endswith("bias")]
    assert all(not bias.any() for bias in biases)
    assert all((module.weight == 1).all() for module in model.modules() if isinstance(module, nn.BatchNorm2d))


@pytest.mark.parametrize(("name", "parameter"), [("lenet_20_30", "fc2.weight"), ("conv2_4", "conv2.weight")])
def test_orthogonal_weights_are_orthogonal_and_as_large_as_relu_asks(name, parameter):
    weight = models.build(name, init="orthogonal", seed=0).get_parameter(parameter).detach().double().flatten(1)
    rows, columns = weight.shape
    product = weight @ weight.T if rows <= columns else weight.T @ weight
    assert torch.allclose(product, 2 * torch.eye(min(rows, columns), dtype=torch.double), atol=1e-5)
    other = models.build(name, init="orthogonal", seed=1).get_parameter(parameter).detach().double().flatten(1)
    assert not torch.allclose(weight, other, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "parameter", "few"),
    [("lenet_300", "fc1.weight", 15), ("conv2_64", "conv2.weight", 15), ("lenet_8_400", "fc2.weight", 8)],
)
def test_sparse_weights_are_those_of_fifteen_inputs(name, parameter, few):
    model = models.build(name, init="sparse", seed=0)
    weight = model.get_parameter(parameter).detach().flatten(1)
    assert set(weight.count_nonzero(1).tolist()) == {few}
    assert weight[weight != 0].square().mean().item() == pytest.approx(2 / few, rel=0.15)
    assert len(set(weight.nonzero()[:, 1].tolist())) > 0.7 * weight.shape[1]  # other inputs for every unit
    assert all(not value.any() for key, value in model.named_parameters() if key.endswith("bias"))


def halves(network, generator, input_shape):
    """Draw normal weights of variance 1 / (2 inputs of the network)."""
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(std=(2 * math.prod(input_shape)) ** -0.5, generator=generator)


def test_an_initialisation_of_ones_own_draws_from_the_seed():
    first, again, other = (models.build("lenet_30", 10, (1, 28, 28), halves, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.fc1.weight, other.fc1.weight)
    assert first.fc1.weight.std().item() == pytest.approx((2 * 784) ** -0.5, rel=0.03)
    assert first.fc1.bias.any()  # the function alone says what becomes of biases


def grown(network, generator):
    network.add_module("more", nn.Linear(2, 2))


def spoilt(network):
    nn.init.constant_(network.fc1.bias, math.nan)


@pytest.mark.parametrize(
    ("init", "said"),
    [
        (lambda weights, generator: None, "it is called with those of network, generator, num_classes, input_shape"),
        (lambda network, mean: None, "it is called with those of"),
        (lambda network: network, "returned a Lenet: change the network's weights in place"),
        (grown, "has changed which tensors the network has"),
        (spoilt, r"'fc1\.bias' has values that are NaN"),
    ],
)  # fmt: skip
def test_an_initialisation_of_ones_own_that_is_of_no_use(init, said):
    with pytest.raises(ConfigError, match=rf"Model\.init = .*{said}"):
        models.build("lenet_5", init=init, seed=0)


def test_torchvision_keeps_its_own_initialisation():
    torch.manual_seed(0)
    import torchvision

    expected = torchvision.models.squeezenet1_1(num_classes=4).state_dict()
    torch.manual_seed(0)
    given = models.build("squeezenet1_1", 4).state_dict()
    assert all(torch.equal(expected[key], given[key]) for key in expected)


@pytest.mark.parametrize("init", ["golrot", -1.0, 0.0, float("nan")])
def test_an_unknown_initialisation(init):
    with pytest.raises(ConfigError, match=r"Model\.init"):
        models.build("lenet_5", init=init)


def test_pretrained_weights_are_read_from_safetensors(tmp_path):
    source, target = (models.build("cifar_resnet8_4", seed=seed) for seed in (1, 2))
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    models.load_weights(target, tmp_path / "weights.safetensors")
    assert all(torch.equal(value, target.state_dict()[key]) for key, value in source.state_dict().items())


def test_pretrained_weights_that_do_not_fit_name_the_file_and_the_tensor(tmp_path):
    path, model = tmp_path / "weights.safetensors", models.build("lenet_5")
    with pytest.raises(ConfigError, match=r"weights\.safetensors"):
        models.load_weights(model, path)
    save_file(models.build("lenet_6").state_dict(), path)
    with pytest.raises(ConfigError, match=r"fc1\.weight.*\(6, 784\)"):
        models.load_weights(model, path)
    save_file(models.build("lenet_5_5").state_dict(), path)
    with pytest.raises(ConfigError, match=r"unknown tensors .fc2\."):
        models.load_weights(model, path)
    path.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ConfigError, match="not a readable safetensors"):
        models.load_weights(model, path)
