"""Block floating point: its formula to the bit, unbiased rounding, and trainings in it that are resumed bit for bit."""

import copy
import math
import struct
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray import models
from lth_ray.config import ConfigError, Train, steps
from lth_ray.training import Clock
from lth_ray.training.block_float import BlockFloat, Stream, rounded, rounded_layers, rounding_draws
from lth_ray.training.loop import Eager, train
from lth_ray.training.optimizers import build_optimizer
from lth_ray.training.segment import begin
from tests.training.setups import SEEDS, Setting, bits, everything, restart
from tests.training.test_masks import pruned_bits

Make = Callable[..., Setting]
CPU = torch.device("cpu")


def by_hand(block: list[float], word: int, draws: list[float] | None = None) -> list[float]:
    """The formula with Python's floats: one exponent for the block, which leaves word - 2 bits behind the point."""
    largest = max(abs(x) for x in block)
    if largest == 0:
        return [0.0] * len(block)
    unit = 2.0 ** (math.floor(math.log2(largest)) - (word - 2))
    most = 2 ** (word - 1) - 1
    whole = [round(x / unit) for x in block]
    if draws is not None:
        below = [math.floor(x / unit) for x in block]
        whole = [n + (u < x / unit - n) for n, x, u in zip(below, block, draws, strict=True)]
    return [max(-most, min(most, n)) * unit for n in whole]


def some(*shape: int) -> torch.Tensor:
    """Numbers of many sizes, with zeros, powers of two and what lies next to them."""
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(shape, generator=generator) * 2.0 ** torch.randint(-30, 30, shape, generator=generator)
    flat = values.view(-1)
    flat[::7] = 0.0
    flat[1::11] = 2.0 ** torch.randint(-30, 30, flat[1::11].shape, generator=generator).float()
    flat[2::13] = torch.nextafter(flat[1::11][:1], torch.tensor(math.inf)).item()
    return values


@pytest.mark.parametrize("word", [3, 5, 8, 16])
@pytest.mark.parametrize("shape", [(40, 3, 3, 3), (64, 20), (50,)], ids=["convolution", "linear", "bias"])
def test_it_is_its_formula_to_the_bit(word: int, shape: tuple[int, ...]) -> None:
    values = some(*shape)
    drawn = rounding_draws(5, values.numel(), CPU).view(shape)
    for draws in (None, drawn):
        slices = zip(values.view(len(values), -1).tolist(), drawn.view(len(values), -1).tolist(), strict=True)
        expected = [by_hand(block, word, None if draws is None else own) for block, own in slices]
        found = rounded(values, word, draws)
        assert torch.equal(found.view(len(values), -1), torch.tensor(expected)), draws
        assert torch.equal(rounded(found, word), found), "what is such a number stays"
    assert not torch.equal(rounded(values, word), rounded(values, word, drawn))


def test_zeros_stay_zeros_and_what_diverges_is_seen() -> None:
    values = torch.tensor([[0.0, 0.0], [1.0, 0.0], [math.inf, 1.0], [math.nan, 1.0], [1e-45, 0.0]])
    for draws in (None, rounding_draws(1, 10, CPU).view(5, 2)):
        found = rounded(values, 8, draws)
        assert bits(found[:2]) == bits(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        assert found[2:4].isnan().all()
        assert found[4].isfinite().all()


def test_draws_are_those_of_their_place_alone() -> None:
    drawn = rounding_draws(7, 100_001, CPU)
    assert torch.equal(rounding_draws(7, 10, CPU), drawn[:10])
    assert not torch.equal(rounding_draws(8, 10, CPU), drawn[:10])
    assert 0 <= drawn.min() < 1e-4
    assert 1 - 1e-4 < drawn.max() < 1
    assert float(drawn.double().mean()) == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / len(drawn)))


@pytest.mark.parametrize("value", [0.3, -0.3, 77.9, -100.25, 0.001])
def test_rounding_is_unbiased(value: float) -> None:
    """Within 4 standard errors over 10^6 draws of a number next to one that sets the block's unit to 1."""
    n = 1_000_000
    block = torch.full((1, n + 1), value)
    block[0, -1] = 64.0
    found = rounded(block, 8, rounding_draws(11, n + 1, CPU).view(1, -1))[0, :-1].double()
    value = float(block[0, 0])
    assert set(found.unique().tolist()) == {float(math.floor(value)), float(math.ceil(value))}
    share = value - math.floor(value)
    assert abs(float(found.mean()) - value) < 4 * math.sqrt(share * (1 - share) / n)


def test_tensors_steps_and_groups_have_draws_of_their_own() -> None:
    values = torch.rand(8, 50, generator=torch.Generator().manual_seed(1))
    streams = [Stream(1, (3, 0)), Stream(1, (3, 1)), Stream(1, (4, 0)), Stream(2, (3, 0))]
    found = [stream.rounded(values, 6, name) for stream in streams for name in ("conv:1", "conv:2")]
    assert len({bits(one) for one in found}) == 8
    assert torch.equal(Stream(1, (3, 0)).rounded(values, 6, "conv:1"), found[0])


MEANS: dict[str, dict[str, Any]] = {
    "momentum": {"momentum": 0.9, "weight_decay": 1e-3},
    "plain": {},
    "nesterov, clipped": {"momentum": 0.9, "nesterov": True, "clip_norm": 0.5},
    "groups": {"momentum": 0.9, "batch_norm_group": 10},
}


@pytest.mark.parametrize("fields", MEANS.values(), ids=MEANS)
def test_two_segments_equal_one(setting: Make, fields: dict[str, Any]) -> None:
    made = setting(precision="bfp8", **fields)
    whole = everything(made.trained(made.begin(), 9))
    half = restart(made.trained(made.begin(), 4))
    assert everything(made.trained(half, 9)) == whole
    saved = [restart(pause) for pause in made.pauses(made.begin(), 9, clock=Clock(0.0))]
    assert everything(made.trained(saved[6], 9, first=0)) == whole
    plain = setting(**fields)
    assert everything(plain.trained(plain.begin(), 9)) != whole


def test_the_seed_and_the_bits_set_the_result(setting: Make) -> None:
    ends = {
        bits(made.trained(made.begin(), 3).run.model.state_dict()["conv.weight"])
        for made in (setting(precision=precision) for precision in ("fp32", "bf16", "bfp8", "bfp12"))
    }
    assert len(ends) == 4


def test_pruned_weights_and_their_momentum_are_zero_after_every_step_and_all_are_such_numbers(setting: Make) -> None:
    made = setting(precision="bfp8", momentum=0.9, weight_decay=1e-2)
    taken = 0
    for pause in made.pauses(made.begin(), 8, clock=Clock(0.0)):
        taken += 1
        assert pruned_bits(made, pause.run.model) == {struct.pack("<d", 0.0)}
        for _, parameter in pause.run.model.named_parameters():
            momentum = pause.run.optimizer.state[parameter]["momentum_buffer"]
            for tensor in (parameter.detach(), momentum):
                assert torch.equal(rounded(tensor, 8), tensor)
        for parameter, kept in pause.run.kept:
            momentum = pause.run.optimizer.state[parameter]["momentum_buffer"]
            assert not momentum[kept == 0].any()
            assert momentum[kept == 1].any()
    assert taken == 8


def test_a_step_is_the_authors_order(setting: Make) -> None:
    """Gradients are rounded, then comes SGD, then weights and momentum are: one step done by hand."""
    made = setting(precision="bfp8", momentum=0.9, weight_decay=1e-2, masked=False, lr=0.1)
    run = begin("key", made.recipe, made.model(), made.dataset, None, SEEDS, made.begin())
    train(run, 2)
    assert run.low is not None
    twins = {name: torch.nn.Parameter(p.detach().clone()) for name, p in run.model.named_parameters()}
    plain = build_optimizer(made.recipe.train, twins.values())
    plain.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    run.gradients.compute(run.batches.batch(run.step, run.model), Eager(run)._group_loss)
    stream = Stream(SEEDS.dropout, (2,))
    for name, parameter in run.model.named_parameters():
        assert parameter.grad is not None
        twins[name].grad = stream.rounded(parameter.grad, 8, f"{name} gradient")
    plain.step()
    run.optimizer.zero_grad()
    train(run, 3)
    for name, parameter in run.model.named_parameters():
        weight, momentum = twins[name].detach(), plain.state[twins[name]]["momentum_buffer"]
        assert not torch.equal(rounded(weight, 8), weight)
        assert torch.equal(parameter, stream.rounded(weight, 8, f"{name} weight"))
        found = run.optimizer.state[parameter]["momentum_buffer"]
        assert torch.equal(found, stream.rounded(momentum, 8, f"{name} momentum_buffer"))


class Chain(torch.nn.Module):
    """Two linear layers and an output, the first used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.output = torch.nn.Linear(6, 6, bias=False), torch.nn.Linear(6, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.first(self.first(x)))
        return logits


def test_activations_and_errors_are_rounded_behind_every_layer_but_the_last() -> None:
    torch.manual_seed(0)
    model = Chain()
    inputs = torch.randn(5, 6)
    low, stream = BlockFloat(model, 4, 9), Stream(9, (2, 1))
    with low.forward(2, 1):
        outputs = model(inputs)
    weight = model.first.weight.detach()
    first = stream.rounded(inputs @ weight.T, 4, "first:1 activation")
    second = stream.rounded(first @ weight.T, 4, "first:2 activation")
    last = model.output.weight.detach()
    torch.testing.assert_close(outputs, second @ last.T, rtol=1e-6, atol=1e-6)
    flows = torch.randn(5, 3)
    outputs.backward(flows)
    error = stream.rounded(flows @ last, 4, "first:2 error")
    before = stream.rounded(error @ weight, 4, "first:1 error")
    assert model.first.weight.grad is not None
    torch.testing.assert_close(model.first.weight.grad, error.T @ first + before.T @ inputs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model(inputs), inputs @ weight.T @ weight.T @ last.T)  # hooks are gone


@pytest.mark.parametrize("name", ["lenet_20_10", "conv2", "cifar_resnet8_4", "cifar_vgg11_4", "resnet18"])
def test_the_layer_that_is_left_is_the_one_that_is_called_last(name: str) -> None:
    shape = (3, 32, 32)
    model = models.build(name, 10, input_shape=shape).eval()
    called: list[torch.nn.Module] = []
    layers = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    for layer in layers:
        layer.register_forward_hook(lambda own, *_: called.append(own))
    model(torch.zeros(2, *shape))
    low = [layer for _, layer in rounded_layers(model)]
    assert len(low) == len(layers) - 1
    assert called[-1] not in low


def test_a_measurement_draws_nothing(setting: Make) -> None:
    made = setting(precision="bfp8", evaluate_every=steps(1))
    twice = [made.trained(made.begin(), 1).journal["test_loss"] for _ in range(2)]
    assert twice[0] == twice[1]
    rough, fine = (setting(precision=name).trained(made.begin(), 0).journal["test_loss"] for name in ("bfp3", "fp32"))
    assert rough != fine


def test_workers_do_not_matter_beyond_the_groups_they_share(setting: Make) -> None:
    """The draws of a group are those of its number in the batch, whoever takes it through the network."""
    made = setting(precision="bfp8", batch_norm_group=10, masked=False, options={"dropout": 0.0})  # which draws, too
    run = begin("key", made.recipe, made.model(), made.dataset, None, SEEDS, made.begin())
    inputs, labels = run.batches.batch(0, run.model)[:2]
    group = inputs[:10], labels[:10]
    first, second, again = (Eager(run)._group_loss(group, number)[0].detach() for number in (0, 1, 0))
    assert float(first) == float(again) != float(second)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"precision": "bfp8", "compile": True}, "Train.compile = True: block floating point"),
        ({"precision": "bfp8", "replicates": 4}, "Train.replicates = 4: block floating point"),
        ({"precision": "bfp8", "optimizer": "adam"}, "Train.optimizer = 'adam'"),
        ({"precision": "bfp1"}, "block floating point of 2 to 16 bits"),
        ({"precision": "bfp17"}, "block floating point of 2 to 16 bits"),
        ({"precision": "fp16"}, "give 'fp32', 'bf16'"),
    ],
)
def test_what_cannot_be_trained_so_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        Train(steps(10), lr=0.1, **fields)
