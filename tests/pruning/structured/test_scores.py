"""Scores of units on layers made by hand, ThiNet's order and factors, and masks of units."""

import pytest
import torch
from torch import nn

from lth_ray import models, pruning
from lth_ray.config import ConfigError
from lth_ray.models import unit_layers
from lth_ray.pruning.evidence import Evidence
from lth_ray.pruning.structured import check_units_are_left, guarded, rebuilt, score_units, shuffled_units
from lth_ray.pruning.structured.masks import with_units
from lth_ray.pruning.structured.thinet import grams_of_outputs, greedy_order, rescales, sampled_parts

IMAGE = (torch.zeros(1, 2, 4, 4),)


class Two(nn.Module):
    """A convolution with batch norm [2 -> 3], another one [3 -> 4] and an output of both [7 -> 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(2, 3, 3, padding=1, stride=2), nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 4, 2, dilation=1)
        self.output = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm1(self.conv1(images)))
        logits: torch.Tensor = self.output(torch.tanh(self.conv2(x)).flatten(1))
        return logits


@pytest.fixture
def network() -> Two:
    torch.manual_seed(3)
    made = Two()
    with torch.no_grad():
        made.norm1.weight.copy_(torch.tensor([0.5, -2.0, 1.0]))
        made.norm1.bias.copy_(torch.tensor([1.0, 0.3, -0.2]))
    return made


def full(layers: tuple[models.UnitLayer, ...]) -> dict[str, torch.Tensor]:
    return {layer.name: torch.ones(layer.size, dtype=torch.bool) for layer in layers}


def test_norms_of_filters(network: Two) -> None:
    layers = unit_layers(network, IMAGE)
    kept = full(layers)
    kept["conv1.weight"][2] = False
    weight, next_one = network.conv1.weight.detach(), network.conv2.weight.detach()
    for criterion, norm in {
        "l1": lambda x: x.abs().sum(),
        "magnitude": lambda x: x.abs().sum(),
        "l2": torch.norm,
    }.items():
        found = score_units(criterion, network, layers, kept)
        assert torch.allclose(found["conv1.weight"], torch.stack([norm(weight[0]), norm(weight[1]), torch.tensor(0.0)]))
        assert torch.allclose(found["conv2.weight"], torch.stack([norm(row[:2]) for row in next_one]))
    distances = score_units("geometric_median", network, layers, kept)["conv1.weight"]
    assert torch.allclose(distances[:2], (weight[0] - weight[1]).norm().expand(2))
    with pytest.raises(ConfigError, match=r"'bn_scale': no batch norm scales the units of conv2.weight"):
        score_units("bn_scale", network, layers, kept)
    scales = score_units("bn_scale", network, layers[:1], full(layers[:1]))
    assert scales["conv1.weight"].tolist() == [0.5, 2.0, 1.0]
    random = score_units("random", network, layers, kept, seed=5)
    assert torch.equal(
        random["conv2.weight"], score_units("random", network, layers, full(layers), seed=5)["conv2.weight"]
    )


def test_several_weights_that_make_a_unit_are_averaged_or_added() -> None:
    network = models.build("cifar_resnet20_4", seed=0)
    layers = unit_layers(network, (torch.zeros(1, 3, 32, 32),))
    parameters, (stream, *_) = dict(network.named_parameters()), layers
    each = torch.stack([parameters[one.name].detach().abs().sum((1, 2, 3)) for one in stream.weights])
    for coupled, expected in {"mean": each.mean(0), "sum": each.sum(0)}.items():
        found = score_units("l1", network, layers, full(layers), coupled=coupled)
        assert torch.allclose(found[stream.name], expected)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_taylor_is_the_change_of_the_loss_to_first_order(network: Two, mode: str) -> None:
    """By a small step of all that makes a unit towards zero."""
    network.double()
    layers = unit_layers(network, IMAGE)
    images, labels = torch.randn(6, 2, 4, 4, dtype=torch.double), torch.tensor([0, 1, 1, 0, 1, 0])
    found = score_units("taylor", network, layers, full(layers), batch=(images, labels), mode=mode)
    network.train(mode == "train")
    parameters, step = dict(network.named_parameters()), 1e-5

    def loss() -> torch.Tensor:
        with torch.no_grad():
            return nn.functional.cross_entropy(network(images), labels)

    for layer in layers:
        for unit in range(layer.size):
            only = torch.arange(layer.size) == unit
            ends = []
            for sign in (-1, 1):
                before = {name: one.detach().clone() for name, one in parameters.items()}
                with torch.no_grad():
                    for one in (*layer.weights, *layer.own):
                        values = one.of(parameters[one.name])[only].flatten()
                        one.fill(
                            parameters[one.name], only, (values * (1 + sign * step)).view_as(parameters[one.name][unit])
                        )
                ends.append(loss())
                with torch.no_grad():
                    for name, one in before.items():
                        parameters[name].copy_(one)
            assert float((ends[1] - ends[0]).abs() / (2 * step)) == pytest.approx(
                float(found[layer.name][unit]), abs=1e-7
            )


def test_thinets_parts_add_up_to_what_the_next_layer_puts_out(network: Two) -> None:
    network.double().eval()
    layers = unit_layers(network, IMAGE)
    images = torch.randn(5, 2, 4, 4, dtype=torch.double)
    mask = {name: torch.ones_like(one, dtype=torch.bool) for name, one in network.named_parameters()}
    evidence = Evidence(network, mask, None, [(images, torch.zeros(5))], seed=1)
    with torch.no_grad():
        taken = torch.relu(network.norm1(network.conv1(images)))
        behind = torch.tanh(network.conv2(taken)).flatten(1)
        calls = {
            "conv1.weight": (network.conv2, taken, network.conv2(taken), "thinet/conv1.weight/conv2/0"),
            "conv2.weight": (network.output, behind, network.output(behind), "thinet/conv2.weight/output/0"),
        }
        parts = {
            layer.name: sampled_parts(*calls[layer.name][:3], layer.read[0], 1, calls[layer.name][3])
            for layer in layers
        }
    for name, gram in grams_of_outputs(evidence, layers).items():
        assert torch.allclose(gram, parts[name].T @ parts[name], atol=1e-12)
    assert parts["conv1.weight"].shape == (50, 3) and parts["conv2.weight"].shape == (50, 4)  # noqa: PT018
    with torch.no_grad():
        x = torch.relu(network.norm1(network.conv1(images)))
        y = network.conv2(x) - network.conv2.bias[:, None, None]
        last = network.output(torch.tanh(network.conv2(x)).flatten(1)) - network.output.bias
        single = [
            network.conv2(x * (torch.arange(3) == c)[:, None, None]) - network.conv2.bias[:, None, None]
            for c in range(3)
        ]
    rows = torch.stack(single).permute(1, 2, 3, 4, 0).reshape(-1, 3)  # every number there is, by channel
    for row in parts["conv1.weight"]:
        assert (rows - row).abs().sum(1).min() < 1e-12
    sums = parts["conv1.weight"].sum(1)
    assert all((y.flatten() - one).abs().min() < 1e-12 for one in sums)
    assert all((last.flatten() - one).abs().min() < 1e-12 for one in parts["conv2.weight"].sum(1))
    assert len(sums.unique()) > 10  # places and filters are drawn


def test_thinet_removes_greedily_what_adds_up_to_least() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 6, dtype=torch.double)
    x[:, 4] = -x[:, 1] + 0.01 * torch.randn(40)  # the two cancel
    kept = torch.tensor([True, True, True, False, True, True])
    removed: list[int] = []
    for _ in range(5):
        rest = [c for c in range(6) if c not in removed and kept[c]]
        removed.append(min(rest, key=lambda c: float(x[:, [*removed, c]].sum(1).square().sum())))
    order = greedy_order(x.T @ x, kept)
    assert [int((order.masked_fill(~kept, -1) == place).nonzero()[0]) for place in range(5)] == removed
    assert {1, 4} <= set(removed[removed.index(1) :][:2]) | set(removed[removed.index(4) :][:2])


def test_thinets_factors_solve_the_normal_equations(network: Two) -> None:
    torch.manual_seed(1)
    x, kept = torch.randn(30, 5, dtype=torch.double), torch.tensor([True, False, True, True, False])
    y, left = x.sum(1), x[:, kept]
    factors = rescales(x.T @ x, kept)
    assert torch.allclose(left.T @ left @ factors[kept], left.T @ y, atol=1e-10)
    assert torch.equal(factors[~kept], torch.ones(2, dtype=torch.double))


@pytest.mark.parametrize("in_turn", [False, True])
def test_next_layers_are_rebuilt(network: Two, in_turn: bool) -> None:
    """By least squares on what each puts out; in turn the second layer is that of the network without the first's."""
    network.double().eval()
    layers, images = unit_layers(network, IMAGE), torch.randn(6, 2, 4, 4, dtype=torch.double)
    evidence = Evidence(network, {}, None, [(images, torch.zeros(6))], seed=1)
    before, after = full(layers), full(layers)
    after["conv1.weight"][1] = after["conv2.weight"][2] = False
    state = {name: value.clone() for name, value in network.state_dict().items()}
    found = rebuilt(evidence, layers, before, after, in_turn)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert {name for name in state if not torch.equal(found[name], state[name])} == {"conv2.weight", "output.weight"}
    masked = with_units({**before, "conv1.weight": after["conv1.weight"]}, layers, dict(network.named_parameters()))
    with torch.no_grad():
        taken = torch.relu(network.norm1(network.conv1(images)))
        whole = network.conv2(taken)
        parts = sampled_parts(network.conv2, taken, whole, layers[0].read[0], 1, "thinet/conv1.weight/conv2/0")
        wanted = torch.linalg.lstsq(parts[:, [0, 2]], parts.sum(1)).solution
        ratio = found["conv2.weight"] / state["conv2.weight"]
        for unit, factor in zip((0, 2), wanted, strict=True):
            assert torch.allclose(ratio[:, unit], factor)
        assert torch.allclose(ratio[:, 1], torch.ones_like(ratio[:, 1]))  # it goes
        if in_turn:
            for name in ("conv1.weight", "conv1.bias", "norm1.weight", "norm1.bias"):
                network.get_parameter(name).mul_(masked[name])
            network.conv2.weight.copy_(found["conv2.weight"] * masked["conv2.weight"])
            whole = network.conv2(torch.relu(network.norm1(network.conv1(images))))
        behind = torch.tanh(whole).flatten(1)
        use = "thinet/conv2.weight/output/0"
        parts = sampled_parts(network.output, behind, network.output(behind), layers[1].read[0], 1, use)
        wanted = torch.linalg.lstsq(parts[:, [0, 1, 3]], parts.sum(1)).solution
        ratio = found["output.weight"] / state["output.weight"]
        assert torch.allclose(ratio[:, [0, 1, 3]], wanted.expand(2, 3))


def test_thinet_names_what_it_cannot_rebuild() -> None:
    network = models.build("cifar_resnet20_4")
    network.blocks[0].conv2 = nn.ConvTranspose2d(4, 4, 3, padding=1, bias=False)  # type: ignore[index,union-attr,operator]
    layers = unit_layers(network, (torch.zeros(1, 3, 32, 32),))
    with pytest.raises(
        ConfigError, match=r"'thinet': 'blocks.0.conv2.weight' reads the units of 'blocks.0.conv1.weight'"
    ):
        score_units("thinet", network, layers, full(layers), batch=(torch.zeros(1, 3, 32, 32), torch.zeros(1)))


def test_criteria_of_units_rank_no_weights(network: Two) -> None:
    for criterion in pruning.criteria.OF_UNITS:
        with pytest.raises(ConfigError, match="ranks units"):
            pruning.score(criterion, network, pruning.dense_mask(network), batch=(torch.zeros(1), torch.zeros(1)))


def test_the_best_unit_of_each_layer_is_above_all() -> None:
    scores = {"a": torch.tensor([3.0, 5.0, 4.0]), "b": torch.tensor([1.0, 2.0])}
    kept = {"a": torch.tensor([True, False, True]), "b": torch.tensor([True, True])}
    found = guarded(scores, kept)
    assert found["a"].tolist() == [3.0, 5.0, torch.inf] and found["b"].tolist() == [1.0, torch.inf]  # noqa: PT018
    left = pruning.prune_counts(found, kept, 2)
    assert left["a"].tolist() == [False, False, True] and left["b"].tolist() == [False, True]  # noqa: PT018
    with pytest.raises(ConfigError, match="3 of the 4 units would go, and 2 layers keep one each"):
        check_units_are_left({"": [2, 2]}, {"": 3})
    with pytest.raises(ConfigError, match="2 of the 2 units of 'b' would go, and 1 layer keeps one each"):
        check_units_are_left({"a": [3], "b": [2]}, {"a": 2, "b": 2})


@pytest.mark.parametrize("scope", ["random", "layer", "global"])
def test_units_are_shuffled(scope: str) -> None:
    kept = {"a": torch.arange(20) < 5, "b": torch.arange(30) < 1}
    found = [shuffled_units(kept, seed, scope) for seed in range(20)]
    for one in found:
        counts = {name: int(units.count_nonzero()) for name, units in one.items()}
        assert sum(counts.values()) == 6 and min(counts.values()) >= 1  # noqa: PT018
        assert scope == "global" or counts == {"a": 5, "b": 1}
    assert len({tuple(one["a"].tolist()) for one in found}) > 10
    assert torch.stack([one["b"] for one in found]).any(0).count_nonzero() > 8
