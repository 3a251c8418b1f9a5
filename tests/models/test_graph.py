"""The dependency graph: any order of the units of a group leaves a network's function as it is, and none is missed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torchvision import models as zoo
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import MBConvConfig

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.models import coupled


def vgg():
    with torch.device("meta"):  # without the 120 million weights of its own classifier
        network = zoo.VGG(zoo.vgg.make_layers([8, "M", 12, "M"], batch_norm=True), num_classes=3, init_weights=False)
    network.features.to_empty(device="cpu")
    network.classifier = nn.Sequential(nn.Linear(12 * 49, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3))
    return network


def convnext():
    return zoo.ConvNeXt([CNBlockConfig(8, 12, 2), CNBlockConfig(12, None, 1)], num_classes=3, layer_scale=0.5)


def efficientnet():
    blocks = [MBConvConfig(1, 3, 1, 8, 8, 1), MBConvConfig(4, 3, 2, 8, 12, 2)]
    return zoo.EfficientNet(blocks, dropout=0.2, num_classes=3, last_channel=20)


# the smallest of each family: (network, image side, groups, units)
FAMILIES = {
    "resnet, basic blocks": (lambda: zoo.ResNet(zoo.resnet.BasicBlock, [1, 2, 1, 1], 3), 32, 9, 2048),
    "resnet, bottlenecks": (lambda: zoo.ResNet(zoo.resnet.Bottleneck, [1] * 4, 3, width_per_group=8), 32, 13, 4144),
    "resnext": (lambda: zoo.ResNet(zoo.resnet.Bottleneck, [1] * 4, 3, groups=4, width_per_group=4), 32, 9, 3920),
    "vgg, batch norm": (vgg, 32, 3, 36),
    "mobilenet v3": (lambda: zoo.mobilenet_v3_small(num_classes=3), 32, 27, 4872),
    "densenet": (lambda: zoo.DenseNet(4, (2, 3), 8, 2, num_classes=3), 32, 12, 76),
    "convnext": (convnext, 32, 5, 132),
    "vision transformer": (lambda: zoo.VisionTransformer(32, 8, 2, 4, 32, 48, num_classes=3), 32, 5, 136),
    "efficientnet": (efficientnet, 32, 8, 148),
    "googlenet": (lambda: zoo.GoogLeNet(num_classes=3, init_weights=False), 64, 61, 9584),
    "shufflenet v2": (lambda: zoo.ShuffleNetV2([1, 2, 1], [8, 8, 16, 32, 40], num_classes=3), 32, 15, 148),
    "swin": (lambda: zoo.SwinTransformer([4, 4], 16, [2, 1], [2, 4], [4, 4], num_classes=3), 32, 8, 312),
}


def stirred(model, seed=0):
    """In float64 and evaluation mode, with no two of its units alike."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.double().eval().state_dict().items():
        if value.is_floating_point():
            spread = 0.5 if value.dim() < 2 else 1 / value[0].numel() ** 0.5
            value.copy_(torch.randn(value.shape, generator=generator, dtype=value.dtype) * spread)
        if name.endswith("running_var") or ("norm" in name and name.endswith("weight")):
            value.uniform_(0.5, 1.5, generator=generator)
    return model


def cycle(units):
    order = np.empty_like(units)
    order[units] = np.roll(units, 1)
    return order


def permuted(state, coupling, seed=1):
    """A state dict with the units of each group in a random order, in which none keeps its place."""
    draw = np.random.default_rng(seed)
    orders = [cycle(draw.permutation(size)) for size in coupling.sizes]
    starts = np.cumsum([0, *coupling.sizes])
    comes = np.concatenate([start + order for start, order in zip(starts, orders, strict=False)] or [[]]).astype(int)
    found = {name: value.clone() for name, value in state.items()}
    for name, axes in coupling.units.items():
        for axis, units in enumerate(axes):
            order = np.argsort(units, kind="stable")[(units < 0).sum() :]
            first = np.searchsorted(units[order], np.arange(starts[-1]))
            rank, source = np.arange(len(order)) - first[units[order]], np.arange(len(units))
            source[order] = order[first[comes[units[order]]] + rank]
            found[name] = found[name].index_select(axis, torch.from_numpy(source))
    return found


@torch.no_grad()
def called(model, state, inputs):
    model.load_state_dict(state)
    outputs = model(*inputs)
    return outputs[0] if isinstance(outputs, tuple) else outputs


def check(model, inputs):
    """That a random order of its units leaves the function of a network, and changes its tensors."""
    coupling = coupled(model, tuple(one[:1] for one in inputs))
    state = {name: value.clone() for name, value in stirred(model).state_dict().items()}
    inputs = tuple(one.double() if one.is_floating_point() else one for one in inputs)
    before, shuffled = called(model, state, inputs), permuted(state, coupling)
    assert before.std() > 1e-3
    assert torch.allclose(called(model, shuffled, inputs), before, rtol=1e-9, atol=1e-9 * float(before.abs().max()))
    for name in coupling.units:
        assert not torch.equal(state[name], shuffled[name]), name
    return coupling


def images(side, channels=3):
    return (torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0)),)


@pytest.mark.parametrize(("build", "side", "groups", "units"), FAMILIES.values(), ids=FAMILIES)
def test_any_order_of_units_leaves_the_function_of_the_families(build, side, groups, units):
    torch.manual_seed(0)
    coupling = check(build(), images(side))
    assert (len(coupling.sizes), sum(coupling.sizes)) == (groups, units)


class Forward(nn.Module):
    """A network whose forward is given."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self._forward = forward

    def forward(self, *inputs):
        return self._forward(self, *inputs)


class Words(nn.Module):
    """Embedded words, a recurrent layer and an output for the last."""

    def __init__(self, recurrent):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.recurrent = recurrent(6, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.output = nn.Linear(10, 3)

    def forward(self, words):
        return self.output(self.recurrent(self.embedding(words))[0][:, -1])


def attention(m, x):
    attended = m.attention(x, x, x)[0]
    return m.output(m.norm(x + attended).mean(1))


def causal(m, x):
    """Two heads of attention to earlier positions, as networks for text write it down."""
    x = m.a(x).flatten(2).transpose(1, 2)
    queries, keys, values = (one.unflatten(2, (2, 3)).transpose(1, 2) for one in m.heads(x).chunk(3, -1))
    earlier = torch.tril(torch.ones(x.shape[1], x.shape[1])) == 0
    weights = (queries @ keys.transpose(-1, -2)).masked_fill(earlier, -torch.inf).softmax(-1)
    return m.output((weights @ values).transpose(1, 2).flatten(2))


conv = nn.Conv2d
NETWORKS = {
    # name: (forward, layers, sizes of the groups)
    "concatenated": (
        lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 1)), {"a": conv(3, 4, 3), "b": conv(3, 5, 3), "c": conv(9, 2, 3)},
        (4, 5),
    ),
    "flattened": (lambda m, x: m.b(m.a(x).flatten(1)), {"a": conv(3, 4, 3), "b": nn.Linear(4 * 36, 2)}, (4,)),
    "halves of unlike use": (
        lambda m, x: m.b(torch.cat([m.a(x)[:, :2].relu(), m.a(x)[:, 2:].sigmoid()], 1)),
        {"a": conv(3, 5, 3), "b": conv(5, 2, 3)}, (2, 3),
    ),
    "grouped": (
        lambda m, x: m.c(m.b(m.a(x))), {"a": conv(3, 6, 3), "b": conv(6, 9, 3, groups=3), "c": conv(9, 2, 1)}, (3,)
    ),
    "depthwise, with a multiplier": (
        lambda m, x: m.c(m.b(m.a(x))), {"a": conv(3, 4, 3), "b": conv(4, 8, 3, groups=4), "c": conv(8, 2, 1)}, (4,)
    ),
    "transposed": (
        lambda m, x: m.c(m.b(m.a(x))),
        {"a": conv(3, 4, 3), "b": nn.ConvTranspose2d(4, 6, 3), "c": nn.ConvTranspose2d(6, 2, 3)}, (4, 6),
    ),
    "group norm": (
        lambda m, x: m.b(m.n(m.a(x))), {"a": conv(3, 6, 3), "n": nn.GroupNorm(3, 6), "b": conv(6, 2, 1)}, (3,)
    ),
    "softmax and scale": (
        lambda m, x: m.b(m.s * torch.softmax(m.a(x).mean((2, 3)), 1)),
        {"a": conv(3, 6, 3), "s": nn.Parameter(torch.ones(6)), "b": nn.Linear(6, 2)}, (6,),
    ),
    "own multiplication": (
        lambda m, x: torch.addmm(m.c, torch.relu(x.flatten(1) @ m.a), m.b),
        {"a": nn.Parameter(torch.ones(192, 7)), "b": nn.Parameter(torch.ones(7, 2)), "c": nn.Parameter(torch.ones(2))},
        (7,),
    ),
    "padded with channels": (
        lambda m, x: m.b(F.pad(m.a(x), (1, 1, 1, 1, 0, 2))), {"a": conv(3, 4, 3), "b": conv(6, 2, 3)}, (4,)
    ),
    "written into": (
        lambda m, x: m.b(F.pad(m.a(x), (1, 1, 1, 1)).add_(x.mean())), {"a": conv(3, 4, 3), "b": conv(4, 2, 3)}, (4,)
    ),
    "weight norm": (
        lambda m, x: m.b(m.a(x)), {"a": weight_norm(conv(3, 4, 3)), "b": weight_norm(conv(4, 2, 3))}, (4,)
    ),
    "attention": (
        lambda m, x: attention(m, m.a(x).flatten(2).transpose(1, 2)),
        {"a": conv(3, 8, 3), "attention": nn.MultiheadAttention(8, 4, batch_first=True), "norm": nn.LayerNorm(8),
         "output": nn.Linear(8, 2)}, (8, 4),
    ),
    "causal attention": (
        causal, {"a": conv(3, 4, 3), "heads": nn.Linear(4, 18), "output": nn.Linear(6, 2)}, (4, 2)
    ),
    "inputs added": (lambda m, x: m.b(m.a(x) + x), {"a": conv(3, 3, 3, padding=1), "b": conv(3, 2, 3)}, ()),
    "places told apart": (
        lambda m, x: m.b(m.a(x) * torch.arange(4.0)[:, None, None]), {"a": conv(3, 4, 3), "b": conv(4, 2, 3)}, ()
    ),
    "zeros written into": (
        lambda m, x: m.b(m.a(x) + zeros_and(x, 4)), {"a": conv(3, 4, 3, padding=1), "b": conv(4, 2, 3)}, ()
    ),
}  # fmt: skip


def zeros_and(x, channels):
    found = torch.zeros(len(x), channels, *x.shape[2:], dtype=x.dtype)
    found[:, :3] = x
    return found


@pytest.mark.parametrize(("forward", "layers", "sizes"), NETWORKS.values(), ids=NETWORKS)
def test_any_order_of_units_leaves_the_function(forward, layers, sizes):
    assert check(Forward(forward, **layers), images(8)).sizes == sizes


@pytest.mark.parametrize("recurrent", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(recurrent):
    words = torch.randint(11, (4, 7), generator=torch.Generator().manual_seed(0))
    coupling = check(Words(recurrent), (words,))
    assert coupling.sizes == (6, 5, 5, 5, 5)  # of the embedding, and of each layer in each direction
    gates = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}[recurrent]
    assert coupling.units["recurrent.weight_hh_l0"][0].tolist() == [6, 7, 8, 9, 10] * gates
    assert coupling.units["recurrent.weight_hh_l0"][1].tolist() == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("name", ["lenet_12_9", "conv2_8", "cifar_resnet20_4", "cifar_vgg11_4"])
def test_our_own_networks(name):
    shape = (3, 32, 32)
    coupling = check(models.build(name, input_shape=shape, seed=0), images(32))
    hidden = [key for key, _ in models.build(name, input_shape=shape).named_parameters() if key.endswith("weight")][:-1]
    assert all(min(coupling.units[key][0]) >= 0 for key in hidden)  # whatever a layer puts out but the last


def test_translators_that_turn_sentences_round():
    tokens = torch.randint(2, 30, (2, 2, 6), generator=torch.Generator().manual_seed(0))
    coupling = check(models.build("gnmt_2_8", num_classes=30, input_shape=(2, 6), seed=0), (tokens,))
    assert set(coupling.sizes) == {8}


UNKNOWN = {
    "numbers looked at": (lambda m, x: m.a(x) if x.sum() > 0 else x, "cannot be called without numbers"),
    "sorted": (lambda m, x: m.a(x).sort(1)[0], r"Forward calls sort"),
    "summed up": (lambda m, x: m.layer(x).cumsum(1), r"Forward calls cumsum"),
    "picked": (lambda m, x: m.a(x).mean((2, 3))[:, [1, 0, 3, 2]], r"Forward calls index"),
    "in a layer": (lambda m, x: m.layer(x), r"the Sorted 'layer.1' calls sort"),
    "sizes that do not fit": (lambda m, x: m.a(x) + m.a(x)[:, :2], "cannot be called without numbers.*broadcast"),
}


class Sorted(nn.Module):
    def forward(self, x):
        return x.sort(1)[0]


@pytest.mark.parametrize(("forward", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_one_clear_error_for_what_is_not_known(forward, message):
    layer = nn.Sequential(conv(3, 4, 3), Sorted()) if "layer" in message else conv(3, 4, 3)
    model = Forward(forward, a=conv(3, 4, 3), layer=layer)
    with pytest.raises(ConfigError, match=message):
        coupled(model, (torch.zeros(1, 3, 8, 8),))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_network_is_left_as_it_was():
    model = stirred(vgg()).float().train()
    before, random = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    coupled(model, (torch.zeros(1, 3, 32, 32),))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
