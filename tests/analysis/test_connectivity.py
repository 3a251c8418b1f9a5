"""The line between two copies, and what a walk along it may and may not change."""

import math

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lth_ray import models
from lth_ray.analysis import barrier, error_barrier, linear_path, walk
from lth_ray.config import ConfigError, Train, steps
from lth_ray.training import evaluate
from tests.conftest import IMAGES

fast = settings(max_examples=25, deadline=None)


class Net(nn.Module):
    """Batch norm, an integer buffer, dropout: what a copy may hold."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(6, 3)

    def forward(self, x):
        return self.output(self.dropout(torch.relu(self.norm(self.hidden(x)))))


def copy(seed):
    """A state of Net drawn from `seed`, running statistics and their count included."""
    generator = torch.Generator().manual_seed(seed)
    state = {name: torch.randn(value.shape, generator=generator) for name, value in Net().state_dict().items()}
    state["norm.running_var"] = state["norm.running_var"].abs() + 0.1
    state["norm.num_batches_tracked"] = torch.tensor(seed % 1000)
    return state


def data(n=40, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=generator), torch.randint(3, (n,), generator=generator)


def equal(first, second):
    """Bit for bit: -0.0 is not 0.0."""
    return all(
        torch.equal(value.reshape(-1).view(torch.uint8), second[name].reshape(-1).view(torch.uint8))
        for name, value in first.items()
    )


def clone(state):
    return {name: value.clone() for name, value in state.items()}


def test_a_line_computed_by_hand():
    """Logits (w, 0) with label 0: the loss is log(1 + exp(-w)), and the class is the wrong one at w < 0."""
    model = nn.Linear(1, 2, bias=False)
    a, b = {"weight": torch.tensor([[3.0], [0.0]])}, {"weight": torch.tensor([[-1.0], [0.0]])}
    path = linear_path(model, a, b, torch.ones(1, 1), torch.zeros(1, dtype=torch.long), points=5)
    assert list(path.columns) == ["alpha", "loss", "error"]
    assert path["alpha"].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert path["loss"].tolist() == pytest.approx([math.log1p(math.exp(-w)) for w in (-1, 0, 1, 2, 3)], rel=1e-6)
    assert path["error"].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]  # at w = 0 the first of equal logits is taken


def test_thirty_even_points_with_state_a_at_one():
    placed = walk(Net(), copy(1), copy(2), lambda model: {"bias": model.output.bias[0].item()})
    assert len(placed) == 30
    assert placed["alpha"].diff().dropna().tolist() == pytest.approx([1 / 29] * 29)
    a, b = float(copy(1)["output.bias"][0]), float(copy(2)["output.bias"][0])
    assert (placed["bias"].iloc[0], placed["bias"].iloc[-1]) == (b, a)
    assert placed["bias"].tolist() == pytest.approx([t * a + (1 - t) * b for t in placed["alpha"]], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@fast
@given(seeds=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), points=st.integers(2, 6))
def test_the_ends_are_the_copies_bit_for_bit(dtype, seeds, points):
    a, b = ({k: v.to(dtype) if v.is_floating_point() else v for k, v in copy(seed).items()} for seed in seeds)
    a["output.bias"][0], b["output.bias"][0] = -0.0, -0.0
    b["output.bias"][1] = math.inf
    model, seen = Net().to(dtype), []
    walk(model, a, b, lambda model: seen.append(clone(model.state_dict())) or {"n": 0.0}, points)
    assert equal(seen[0], b)
    assert equal(seen[-1], a)
    assert equal(model.state_dict(), a)
    assert all(state["norm.num_batches_tracked"] == a["norm.num_batches_tracked"] for state in seen[1:])


def test_with_stored_statistics_the_ends_errors_are_the_copies_own():
    inputs, labels = data()
    path = linear_path(Net(), copy(1), copy(2), inputs, labels, points=3)
    for row, seed in ((2, 1), (0, 2)):
        model = Net()
        model.load_state_dict(copy(seed))
        own = evaluate(model, [(inputs, labels)], IMAGES, Train(steps(1), lr=1.0))
        assert path["error"][row] == 1 - own.value
        assert path["loss"][row] == own.loss


@fast
@given(seed=st.integers(0, 10**6), points=st.integers(2, 7), batch_norm=st.sampled_from(["stored", "reestimate"]))
def test_the_barrier_of_a_state_with_itself_is_zero(seed, points, batch_norm):
    inputs, labels = data()
    given_ = {"statistics_from": [data(16, 1), data(16, 2)]} if batch_norm == "reestimate" else {}
    path = linear_path(Net(), copy(seed), copy(seed), inputs, labels, points, batch_norm, **given_)
    assert error_barrier(path) == 0.0
    assert barrier(path, "loss") == 0.0


@fast
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_a_barrier_is_at_least_zero_and_does_not_depend_on_the_rows_order(errors):
    path = pd.DataFrame({"alpha": [float(i) for i in range(len(errors))], "error": errors})
    assert error_barrier(path) == max(errors) - (errors[0] + errors[-1]) / 2
    assert error_barrier(path) >= 0
    assert error_barrier(path.iloc[::-1]) == error_barrier(path)


def test_a_barrier_with_a_missing_value_is_missing():
    path = pd.DataFrame({"alpha": [0.0, 0.5, 1.0], "loss": [1.0, math.nan, 2.0], "error": [0.1, 0.4, 0.2]})
    assert error_barrier(path) == pytest.approx(0.25)
    assert math.isnan(barrier(path, "loss"))
    with pytest.raises(ConfigError, match=r"losss.*loss"):
        barrier(path, "losss")


def test_reestimated_statistics_are_those_of_the_training_batches():
    inputs, labels = data()
    training = [data(32, 3), data(32, 4)]
    stored = linear_path(Net(), copy(1), copy(2), inputs, labels, 3)
    means = []

    def measure(model):
        means.append(model.norm.running_mean.clone())
        return {"n": 0.0}

    path = linear_path(Net(), copy(1), copy(2), inputs, labels, 3, "reestimate", training)
    assert path["loss"].tolist() != stored["loss"].tolist()
    walk(Net(), copy(1), copy(2), measure, 3, lambda model: [model.norm.running_mean.fill_(5.0)])
    assert all((mean == 5).all() for mean in means)
    model = Net()
    model.load_state_dict(copy(2))
    hidden = model.hidden(torch.cat([batch for batch, _ in training]))
    model.norm.running_mean.copy_(hidden.mean(0))
    model.norm.running_var.copy_(sum(model.hidden(batch).var(0) for batch, _ in training) / 2)
    own = evaluate(model, [(inputs, labels)], IMAGES, Train(steps(1), lr=1.0))
    assert path["loss"][0] == pytest.approx(own.loss, rel=1e-5)


@pytest.mark.parametrize(
    "given_",
    [
        lambda x, y: (x, y),
        lambda x, y: ([(x[:17], y[:17]), (x[17:], y[17:])], None),
        lambda x, y: (lambda: iter([(x[:17], y[:17]), (x[17:], y[17:])]), None),
        lambda x, y: (torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=9), None),
    ],
    ids=["tensor", "list", "function", "loader"],
)
def test_every_form_of_the_data_gives_one_line(given_):
    inputs, labels = data()
    path = linear_path(Net(), copy(1), copy(2), *given_(inputs, labels), points=3)
    assert path["loss"].tolist() == pytest.approx(
        linear_path(Net(), copy(1), copy(2), inputs, labels, 3)["loss"].tolist()
    )


def test_a_long_tensor_goes_through_the_network_in_pieces():
    sizes = []
    model = Net()
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    linear_path(model, copy(1), copy(2), *data(4500), points=2)
    assert sizes == [2000, 2000, 500] * 2


x, y = data()
BATCHES = [(x, y)]
BAD = {
    "an iterator is used up": ({"inputs": iter(BATCHES)}, "inputs = a list_iterator.*list of"),
    "a generator": ({"inputs": (batch for batch in BATCHES)}, "inputs = a generator"),
    "no data": ({"inputs": 3}, "inputs = a int"),
    "no labels": ({"inputs": x}, "labels: found none for the 40"),
    "too few labels": ({"inputs": x, "labels": y[:3]}, "labels: found 3 for the 40"),
    "no images": ({"inputs": x[:0], "labels": y[:0]}, "at least one"),
    "labels twice": ({"inputs": BATCHES, "labels": y}, "leave labels out"),
    "no batch": ({"inputs": []}, "inputs holds no batch"),
    "a bare tensor for a batch": ({"inputs": (x, y)}, "inputs holds a Tensor"),
    "one point": ({"points": 1}, "points = 1"),
    "batch_norm": ({"batch_norm": "restimate"}, "did you mean reestimate"),
    "reestimate from nothing": ({"batch_norm": "reestimate"}, "statistics_from: .*training batches"),
    "stored, and batches": ({"statistics_from": BATCHES}, "statistics_from: not used"),
    "statistics from an iterator": (
        {"batch_norm": "reestimate", "statistics_from": iter(BATCHES)}, "statistics_from = a list_iterator",
    ),
    "statistics from no batch": ({"batch_norm": "reestimate", "statistics_from": []}, "statistics_from holds no batch"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_one_clear_error(changes, message):
    with pytest.raises(ConfigError, match=message):
        linear_path(**{"model": Net(), "state_a": copy(1), "state_b": copy(2), "inputs": BATCHES} | changes)


def test_different_architectures_are_refused_before_anything_is_overwritten():
    model = models.build("lenet_20_10", seed=0)
    before = clone(model.state_dict())
    narrow, deep = (models.build(name).state_dict() for name in ("lenet_20_9", "lenet_20_10_10"))
    with pytest.raises(ConfigError, match=r"'fc2.weight': state_a has shape \(10, 20\), state_b has shape \(9, 20\)"):
        linear_path(model, clone(before), narrow, x, y)
    with pytest.raises(ConfigError, match=r"'fc3.weight': state_a has none, state_b has shape"):
        linear_path(model, clone(before), deep, x, y)
    with pytest.raises(ConfigError, match=r"'fc2.weight': the model has shape .* the states has"):
        linear_path(model, narrow, clone(narrow), x, y)
    assert equal(model.state_dict(), before)


def test_a_state_that_is_the_models_own_memory_is_refused():
    model = Net()
    for states in ((model.state_dict(), copy(1)), (copy(1), model.state_dict())):
        with pytest.raises(ConfigError, match="model's own memory"):
            linear_path(model, *states, x, y)


def test_a_model_is_left_with_state_a_in_its_mode_even_when_a_measurement_fails():
    model = Net().train()
    linear_path(model, copy(1), copy(2), x, y, 2, "reestimate", BATCHES)
    assert equal(model.state_dict(), copy(1))
    assert all(module.training for module in model.modules())
    with pytest.raises(ZeroDivisionError):
        walk(model, copy(3), copy(2), lambda model: {"n": 1 / 0})
    assert equal(model.state_dict(), copy(3))
    assert all(parameter.requires_grad for parameter in model.parameters())
