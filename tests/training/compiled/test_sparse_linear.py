"""Sparse products: those of the dense layer, and the trajectory of training by autograd."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lth_ray import models, pruning
from lth_ray.config import ConfigError, Data, Model, Text, Train, steps
from lth_ray.data import Identity
from lth_ray.data.text import catalogue
from lth_ray.training import Pause, Recipe, Seeds, Start, backend_of, train_segment
from lth_ray.training.compiled import sparse_linear
from lth_ray.training.compiled.sparse_linear import Products, pays, sparse_layers
from lth_ray.training.kernels import library
from tests.tasks.text.chained import chain
from tests.training.setups import clone, everything, restart

needed = pytest.mark.skipif(library.linear_kernels(torch.float64) is None, reason="the compiled kernels were not built")


class Conv1D(nn.Module):
    """Transformers' layer, whose weight is [inputs, outputs]."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.randn(outputs))

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], -1)


Conv1D.__module__ = "transformers.pytorch_utils"
LAYERS = {
    "wide": lambda: nn.Linear(200, 67),
    "tall, without a bias": lambda: nn.Linear(33, 300, bias=False),
    "transposed": lambda: Conv1D(67, 200),
}


@needed
@pytest.mark.parametrize("rows", [(4, 17), (64,), (3, 43, 1)], ids=str)
@pytest.mark.parametrize("density", [0.39, 0.1, 0.004])
@pytest.mark.parametrize("kind", LAYERS)
def test_products_and_gradients_are_the_dense_ones(kind: str, density: float, rows: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind]().double()
    mask = torch.rand(layer.weight.shape) < density
    mask.view(-1)[0] = True
    layer.weight.data *= mask
    width = layer.weight.shape[0 if kind == "transposed" else 1]
    inputs, errors = torch.randn(*rows, width).double(), None
    kernels = library.linear_kernels(torch.float64)
    assert kernels is not None
    products = Products(sparse_layers(layer, {id(layer.weight): mask}, kernels))
    assert len(products.layers) == 1
    found = []
    for number in range(2):
        given = inputs.clone().requires_grad_()
        layer.zero_grad()
        if number:
            with products:
                outputs = layer(given)
            assert "Product" in str(outputs.grad_fn) or kind == "transposed"
        else:
            outputs = layer(given)
        errors = torch.randn_like(outputs) if errors is None else errors
        outputs.backward(errors)
        assert layer.weight.grad is not None
        of_bias = [] if layer.bias is None else [layer.bias.grad]
        found.append([outputs.detach(), given.grad, layer.weight.grad * mask, *of_bias])
        if number:
            assert not layer.weight.grad[~mask].any()
    for dense, sparse in zip(*found, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-11)


@needed
def test_what_is_dense_stays_autograds() -> None:
    kernels = library.linear_kernels(torch.float32)
    assert kernels is not None
    few, narrow, many, bare = nn.Linear(64, 64), nn.Linear(64, 10), nn.Linear(64, 64), nn.Linear(64, 64)
    network = nn.ModuleList([few, narrow, many, bare])
    masks = {id(few.weight): 0.1, id(narrow.weight): 0.1, id(many.weight): 0.5, id(bare.weight): 0.0}
    kept = {
        of: (torch.arange(4096 if of != id(narrow.weight) else 640) < share * 640).float()
        for of, share in masks.items()
    }
    kept[id(many.weight)] = (torch.arange(4096) % 2).float()
    shaped = {id(one.weight): kept[id(one.weight)].view(one.weight.shape) for one in (few, narrow, many, bare)}
    layers = sparse_layers(network, shaped, kernels)
    assert list(layers) == [id(few.weight)]
    few.weight.data *= shaped[id(few.weight)].bool()
    with Products(layers):
        assert "Product" in str(few(torch.randn(40, 64)).grad_fn)
        for dense in (few(torch.randn(31, 64)), few(torch.randn(64)), many(torch.randn(40, 64))):
            assert "Product" not in str(dense.grad_fn)
    assert "Product" not in str(few(torch.randn(40, 64)).grad_fn)
    assert [pays(kept, 100) for kept in (0, 1, 39, 40, 100)] == [False, True, True, False, False]


@needed
def test_a_bias_that_is_no_plain_vector_is_added_by_autograd() -> None:
    kernels = library.linear_kernels(torch.float32)
    assert kernels is not None
    torch.manual_seed(0)
    layer, turned, inputs = nn.Linear(64, 64), Conv1D(64, 64), torch.randn(40, 64)
    mask = torch.rand(64, 64) < 0.1
    for one in (layer, turned):
        one.weight.data *= mask
    layers = {id(one.weight): mask for one in (layer, turned)}
    long, single = torch.randn(128), torch.randn(1)
    for bias in (long[::2], single.expand(64), single, long[:64]):
        expected = F.linear(inputs, layer.weight, bias), torch.addmm(bias, inputs, turned.weight)
        with Products({**sparse_layers(layer, layers, kernels), **sparse_layers(turned, layers, kernels)}):
            found = F.linear(inputs, layer.weight, bias), torch.addmm(bias, inputs, turned.weight)
        torch.testing.assert_close(found, expected)
        assert all(("Product" in str(one.grad_fn)) is (bias.stride() == (1,) and len(bias) == 64) for one in found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("text")
    for seed, (name, lines) in enumerate({"train": 60, "valid": 6, "test": 8}.items()):
        (place / f"{name}.txt").write_text(chain(lines, seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "cache_dir", lambda: place / "cache")
        catalogue._found.cache_clear()
        yield place
    catalogue._found.cache_clear()


def trained(
    folder: Path, model: str, density: float, backend: str, start: Start | None = None, last: int = 12, **given: Any
) -> Pause:
    order = "contiguous" if model.startswith("lstm") else "shuffled"
    data = Text(f"text:{folder}", batch_size=8, window=8, order=order, level="byte")
    train = Train(
        steps(12), **{"optimizer": "adam", "lr": 0.01, "evaluate_every": steps(6), "backend": backend, **given}
    )
    bare = Recipe(Model(model), data, train, Identity("0", 1000, 0, 10, (8,), 256, "int64"))
    recipe = replace(bare, identity=bare.task.identify())
    network = models.build(model, 256, (8,), seed=0, dropout=0.1).double()
    initial = clone(network.state_dict())
    dense = pruning.dense_mask(network)
    mask = pruning.prune(pruning.score("random", network, dense, seed=0), dense, 1 - density)
    dataset = recipe.task.load()
    seeds = Seeds(order=11, augmentation=12, dropout=13)
    *_, end = train_segment("key", recipe, network, dataset, mask, seeds, start or Start(0, initial), last, first=0)
    return end


CASES: dict[str, dict[str, Any]] = {
    "transformer_lm_1_32_2": {"clip_norm": 1.0},  # whose output is tied to the embedding
    "lstm_lm_1_32": {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 1e-2, "lr": 0.1},
}


@needed
@pytest.mark.parametrize("model", CASES)
def test_the_trajectory_is_that_of_autograd_and_resumes_bit_for_bit(model: str, folder: Path) -> None:
    given = CASES[model]
    sparse, eager = (trained(folder, model, 0.1, backend, **given) for backend in ("sparse", "eager"))
    assert (sparse.run.backend, eager.run.backend) == ("sparse", "eager")
    ours, theirs = sparse.run.model.state_dict(), eager.run.model.state_dict()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-9)
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)  # another order of sums
    for column in ("train_loss", "test_perplexity"):
        assert sparse.journal[column] == pytest.approx(eager.journal[column], rel=1e-9)
    for parameter, kept in sparse.run.kept:
        assert not parameter.detach()[kept == 0].any()
    if model.startswith("transformer"):
        half = trained(folder, model, 0.1, "sparse", last=6, **given)
        again = trained(folder, model, 0.1, "sparse", restart(half), **given)
        assert everything(again) == everything(sparse)


@needed
def test_where_nothing_is_sparse_it_is_autograd_that_trains(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = trained(folder, "transformer_lm_1_32_2", 0.5, "sparse", last=2)
    assert many.run.backend == "eager"
    monkeypatch.setattr(sparse_linear.library, "linear_kernels", lambda _: None)
    assert trained(folder, "transformer_lm_1_32_2", 0.1, "sparse", last=2).run.backend == "eager"


@needed
def test_a_library_of_other_sources_is_refused(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "source_digest", lambda *_: "another")
    library._has.cache_clear()
    assert library.linear_kernels(torch.float32) is None
    assert "sparse linear layers were built from other sources" in caplog.text
    library._has.cache_clear()


def test_it_is_asked_for_and_takes_masks_alone() -> None:
    text = Text("text:x", batch_size=8, window=8)
    read = Recipe(
        Model("lstm_lm_1_32"),
        text,
        Train(steps(9), lr=0.1, backend="sparse"),
        Identity("0", 99, 0, 9, (8,), 50, "int64"),
    )
    assert backend_of(read, masked=True) == "sparse"
    assert backend_of(replace(read, train=replace(read.train, backend="auto")), masked=True) == "eager"
    for state in ({}, {"masked": True, "frozen": True}, {"masked": True, "changing": True}):
        assert backend_of(read, **state) == "eager"
    images = Data("digits", batch_size=60, validation=0)
    named = Recipe(Model("lenet_300_100"), images, read.train, Identity("0", 600, 0, 60, (1, 8, 8), 10))
    assert backend_of(named, masked=True) == "fused"


@pytest.mark.parametrize("given", [{"precision": "bf16"}, {"compile": True}, {"replicates": 2}], ids=str)
def test_what_it_does_not_go_with_is_told(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"Train.backend = 'sparse' with Train.{next(iter(given))}"):
        Train(steps(9), lr=0.1, backend="sparse", **given)
