"""Curvature against the dense Hessian of a network of some 200 weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, hessian

from lth_ray.analysis import Hessian, largest_eigenvalues, trace
from lth_ray.config import ConfigError

NAMES = ("0.weight", "3.weight")


def network() -> nn.Module:
    """148 + 39 weights, float64, smooth, with a batch norm and dropout, which evaluation mode settles."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(10, 13), nn.BatchNorm1d(13), nn.Tanh(), nn.Linear(13, 3), nn.Dropout(0.5)).double()
    layers[1].running_mean.uniform_(-1, 1)
    layers[1].running_var.uniform_(0.5, 2)
    return layers


def batches(sizes: tuple[int, ...] = (40, 25)) -> list[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(n, 10, generator=generator).double(), torch.randint(3, (n,), generator=generator)) for n in sizes
    ]


def mask_of(model: nn.Module, keep: float = 0.7) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    parameters = dict(model.named_parameters())
    return {name: torch.rand(parameters[name].shape, generator=generator) < keep for name in NAMES}


def dense(model: nn.Module, mask: dict[str, torch.Tensor], given: list[tuple[torch.Tensor, ...]]) -> torch.Tensor:
    """Every second derivative by torch.func, of the mean over all examples at once, in the kept weights."""
    held = {name: value.detach() for name, value in model.state_dict().items()}
    inputs, labels = (torch.cat(parts) for parts in zip(*given, strict=True))
    kept = {name: mask[name].flatten().nonzero().flatten() for name in mask}

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = vector.split([len(at) for at in kept.values()])
        moved = {name: held[name].flatten().index_put((kept[name],), part).view_as(held[name])
                 for name, part in zip(kept, parts, strict=True)}  # fmt: skip
        return F.cross_entropy(functional_call(model.eval(), {**held, **moved}, (inputs,)), labels)

    start = torch.cat([held[name].flatten()[at] for name, at in kept.items()])
    matrix: torch.Tensor = hessian(loss)(start)
    return matrix


def test_it_is_the_dense_hessian() -> None:
    model, given = network(), batches()
    mask = mask_of(model)
    matrix = dense(model, mask, given)
    model.train()
    found = Hessian(model, mask, given)
    assert found.size == len(matrix) == sum(int(keeps.sum()) for keeps in mask.values())
    assert 100 < found.size < 200
    columns = torch.stack([found.times(unit) for unit in torch.eye(found.size, dtype=torch.float64)])
    assert torch.allclose(columns, matrix, rtol=1e-9, atol=1e-12)
    assert model.training
    expected = torch.linalg.eigvalsh(matrix).flip(0)
    top = largest_eigenvalues(found, count=3, tolerance=1e-10)
    assert top.values == pytest.approx(expected[:3].tolist(), rel=1e-8)
    assert top.iterations < found.size
    rough = largest_eigenvalues(found, tolerance=1e-2)
    assert rough.iterations < top.iterations
    assert abs(rough.values[0] - float(expected[0])) <= rough.residuals[0] <= 1e-2 * float(expected[0])


def test_the_trace_is_within_its_error() -> None:
    model, given = network(), batches()
    mask = mask_of(model)
    matrix = dense(model, mask, given)
    found = trace(Hessian(model, mask, given), vectors=100)
    assert abs(found.value - float(matrix.trace())) < 3 * found.error
    off = (matrix.square().sum() - matrix.diag().square().sum()) * 2  # the variance of z H z for random signs z
    assert found.error == pytest.approx(math.sqrt(float(off) / 100), rel=0.3)
    assert math.isnan(trace(Hessian(model, mask, given), vectors=1).error)
    assert trace(Hessian(model, mask, given), vectors=4, seed=1) != trace(Hessian(model, mask, given), vectors=4)


def test_a_quadratic_has_its_matrix_and_each_of_its_eigenvalues_once() -> None:
    """L = sum of d w^2 / 2, whose Hessian is diagonal with 5 twice: random signs give the trace exactly."""
    d = torch.tensor([5.0, 5.0, -9.0, 2.0, 0.0])
    model = nn.Linear(5, 1, bias=False)
    mask = {"weight": torch.ones(1, 5, dtype=torch.bool)}
    batch = [(torch.zeros(1, 5), torch.zeros(1))]
    found = Hessian(model, mask, batch, lambda model, batch: ((d * model.weight.square()).sum() / 2,))
    assert trace(found, vectors=2).value == pytest.approx(3.0)
    assert trace(found, vectors=2).error == pytest.approx(0.0, abs=1e-5)
    assert largest_eigenvalues(found).values == pytest.approx([5.0])  # not -9, which is greater in size
    assert sorted(largest_eigenvalues(found, count=5, tolerance=0).values) == pytest.approx([-9, 0, 2, 5, 5], abs=1e-5)
    linear = Hessian(model, mask, batch, lambda model, batch: (model.weight.sum(),))
    assert largest_eigenvalues(linear).values == (0.0,)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mixed = nn.Linear(4, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.mixed(x).chunk(3, -1)
        return F.scaled_dot_product_attention(query, key, value).mean(1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mixed = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        last: torch.Tensor = self.mixed(x)[0][:, -1]
        return last


@pytest.mark.parametrize("kind", [Attention, Recurrent])
def test_fused_operations_without_second_derivatives_are_not_used(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind()
    mask = {name: torch.ones_like(one, dtype=torch.bool) for name, one in model.named_parameters() if one.dim() > 1}
    batch = [(torch.randn(6, 5, 4), torch.randint(3, (6,)))]
    found = Hessian(model, mask, batch)
    vector, step = torch.randn(found.size), 1e-2
    start = {name: one.detach().clone() for name, one in model.named_parameters()}
    gradients = []
    for sign in (1, -1):
        parts = vector.split([start[name].numel() for name in mask])
        with torch.no_grad():
            for name, part in zip(mask, parts, strict=True):
                dict(model.named_parameters())[name].copy_(start[name] + sign * step * part.view_as(start[name]))
        weights = [dict(model.named_parameters())[name] for name in mask]
        loss = F.cross_entropy(model(batch[0][0]), batch[0][1])
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]))
    model.load_state_dict(start)
    difference = (gradients[0] - gradients[1]) / (2 * step)
    assert torch.allclose(found.times(vector), difference, rtol=2e-2, atol=2e-3)


def test_what_has_no_hessian_is_said() -> None:
    model, given = network(), batches()
    mask = mask_of(model)
    with pytest.raises(ConfigError, match="mask: it keeps no weight"):
        Hessian(model, {name: torch.zeros_like(keeps) for name, keeps in mask.items()}, given)
    with pytest.raises(ConfigError, match=r"'9\.weight': the model has none"):
        Hessian(model, {"9.weight": mask["0.weight"]}, given)
    with pytest.raises(ConfigError, match="batches: there is none"):
        Hessian(model, mask, [])
    rounded = Hessian(model, mask, given, lambda model, batch: (model(batch[0]).argmax(1).double().mean(),))
    with pytest.raises(ConfigError, match="does not depend on these weights"):
        rounded.times(torch.zeros(rounded.size, dtype=torch.float64))
