"""torch.nn.utils.prune's naming, both ways, against that library itself."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.lottery.tickets.prune_naming import from_prune_naming, to_prune_naming

Tensors = dict[str, torch.Tensor]


def pruned_network(seed: int = 3) -> nn.Module:
    """Pruned twice, by layer and structured, by the library: it has hooks, and masks of both kinds."""
    network = models.build("lenet_20_10", input_shape=(1, 8, 8), seed=seed)
    prune.l1_unstructured(network.get_submodule("fc1"), "weight", amount=0.5)
    prune.l1_unstructured(network.get_submodule("fc1"), "weight", amount=0.25)
    prune.ln_structured(network.get_submodule("fc2"), "weight", amount=2, n=2, dim=0)
    return network


def test_what_the_library_pruned_is_read() -> None:
    network = pruned_network()
    state, mask = from_prune_naming(network.state_dict(), "it")
    assert set(mask) == {"fc1.weight", "fc2.weight"}
    assert {name: int(keeps.sum()) for name, keeps in mask.items()} == {"fc1.weight": 480, "fc2.weight": 160}
    assert torch.equal(state["fc1.weight"] * mask["fc1.weight"], network.get_submodule("fc1").weight)
    assert torch.equal(state["fc1.weight"], network.get_parameter("fc1.weight_orig"))  # what was pruned, too
    plain = models.build("lenet_20_10", input_shape=(1, 8, 8), seed=0)
    assert state.keys() == plain.state_dict().keys()


def test_there_and_back_is_the_same() -> None:
    given = pruned_network().state_dict()
    again = to_prune_naming(*from_prune_naming(given, "it"))
    assert again.keys() == given.keys()
    assert all(torch.equal(again[name], value) and again[name].dtype == value.dtype for name, value in given.items())


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda given: {other: value for other, value in given.items() if other != name}


def setting(name: str, value: torch.Tensor) -> Callable[[Tensors], Tensors]:
    return lambda given: {**given, name: value}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("fc1.weight_mask"), "'fc1.weight_orig' and no 'fc1.weight_mask'"),
        (setting("fc1.weight_mask", torch.ones(20, 60)), r"_mask' has shape \(20, 60\), the weights \(20, 64"),
        (setting("fc1.weight_mask", torch.full((20, 64), 0.5)), "other values than 0 and 1"),
        (setting("fc1.weight", torch.ones(20, 64)), "both 'fc1.weight' and 'fc1.weight_orig'"),
        (setting("output.bias", torch.full((10,), float("nan"))), "'output.bias' has values that are NaN"),
        (lambda given: {"fc1.weight": torch.ones(2)}, "holds no pruned parameter: .*before prune.remove"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[Tensors], Tensors], message: str) -> None:
    with pytest.raises(ConfigError, match=f"mine.safetensors.*{message}"):
        from_prune_naming(change(dict(pruned_network().state_dict())), "mine.safetensors")
