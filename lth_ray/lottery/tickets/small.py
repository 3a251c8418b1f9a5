"""Tickets as physically smaller networks: the weights that are left, and a history that builds the network again."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.lottery.tickets.exporting import written
from lth_ray.models import Shrinking, build_small, shrinking
from lth_ray.models.flops import forward_flops, uses_of_weights

FORMAT = "lth_ray smaller network 1"
TOLERANCE = 1e-4  # of the largest output: sums of fewer numbers, in another order

Example = tuple[Any, ...]
Json = dict[str, Any]


def smaller(network: nn.Module, mask: Mapping[str, Tensor], example: Example) -> tuple[nn.Module, Shrinking]:
    """Return the network without the units that `mask` removes whole, and what it keeps; in evaluation mode.

    network: with its weights, pruned ones at zero. Raises ConfigError where there is no such unit, with the layers in
    which units were left and why, and where the smaller network does not give what `network` gives.
    """
    how = shrinking(network, mask, example)
    if not how:
        why = "; ".join(f"{layer}: {reason}" for layer, reason in how.left_in.items())
        raise ConfigError(
            "--shrink: the mask removes no channel, head or neuron whole, with all that belongs to it"
            + (f" ({why})" if why else "")
            + "; prune by Prune(structure=...), or leave --shrink out"
        )
    small = build_small(network, how).eval()
    _compare(small, network.eval(), example)
    return small, how


def history_of(
    network: nn.Module, small: nn.Module, how: Shrinking, example: Example, made_by: Mapping[str, Any]
) -> Json:
    """Return what rebuilds a smaller network from the whole one, as plain data.

    made_by: what makes the whole one: "name", "options", "num_classes" and "input_shape" of models.build.
    """
    numbers = {}
    for which, one in (("whole", network), ("small", small)):
        flops = forward_flops(one, uses_of_weights(one, example))
        numbers[which] = {"parameters": sum(p.numel() for p in one.parameters()), "forward_flops": flops}
    return {
        "format": FORMAT,
        "network": dict(made_by),
        **numbers,
        "left_in": dict(how.left_in),
        "kept": {
            name: [None if axis is None else axis.tolist() for axis in axes] for name, axes in how.kept.items()
        },
    }  # fmt: skip


def save_small(small: nn.Module, history: Json, to: str | os.PathLike[str], about: Mapping[str, str]) -> None:
    """Write the weights to the safetensors file `to`, and the history beside it, as .json."""
    beside = history_file(to)
    state = {name: value.clone().contiguous() for name, value in small.state_dict().items()}
    text = json.dumps({**history, "about": dict(about)})
    written(beside, lambda path: Path(path).write_text(text))
    written(to, lambda path: save_file(state, path, metadata={"format": "pt", **about}))


def history_file(of: str | os.PathLike[str]) -> Path:
    path = Path(of)
    if path.suffix == ".json":
        raise ConfigError(f"--to {path}: the history goes to a .json beside the weights; give a .safetensors")
    return path.with_suffix(".json")


def load_small(path: str | os.PathLike[str], model: nn.Module | Callable[[], nn.Module] | None = None) -> nn.Module:
    """Return the smaller network that `lth-ray export --shrink` wrote, with its weights, in evaluation mode.

    path: of the safetensors file; its history lies beside it, as .json.
    model: the whole network, or a function that makes it, where it is of one's own function: any weights will do.

    Raises ConfigError, naming file and tensor, for files that are no such network and for another whole network.
    """
    beside = history_file(path)
    try:
        history = json.loads(beside.read_text())
        state = load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise ConfigError(f"{path}: no smaller network with its history {beside.name} beside it ({error})") from error
    if not isinstance(history, dict) or history.get("format") != FORMAT:
        raise ConfigError(f"{beside}: not the history of a smaller network; give what export --shrink wrote")
    small = build_small(_whole(history, model, beside), _read(history, beside))
    try:
        small.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"{path} does not fit the network that {beside.name} tells of: {error}") from error
    return small.eval()


def _whole(history: Json, model: nn.Module | Callable[[], nn.Module] | None, where: Path) -> nn.Module:
    network = model if isinstance(model, nn.Module) or model is None else model()
    made_by = history.get("network", {})
    if network is None and not made_by.get("name"):
        raise ConfigError(
            f"{where}: the network is of the function {made_by.get('function', '?')}; give load_small(..., model=) the "
            "whole network that it makes"
        )
    if network is None:
        shape = made_by.get("input_shape")
        network = models.build(
            made_by["name"],
            made_by["num_classes"],
            input_shape=None if shape is None else tuple(shape),
            **made_by.get("options", {}),
        )
    own = network.state_dict()
    for name, axes in history.get("kept", {}).items():
        if name not in own or len(axes) != own[name].dim():
            raise ConfigError(f"{where}: the smaller network keeps a part of {name!r}, which this whole one has not so")
        for size, axis in zip(own[name].shape, axes, strict=True):
            if axis is not None and not all(isinstance(one, int) and 0 <= one < size for one in axis):
                raise ConfigError(f"{where}: {name!r} has no such positions as are kept of it; give its own network")
    return network


def _read(history: Json, where: Path) -> Shrinking:
    try:
        kept = {
            name: tuple(None if axis is None else torch.tensor(axis, dtype=torch.int64) for axis in axes)
            for name, axes in history["kept"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{where}: what the smaller network keeps is not told as it should be ({error})") from error
    return Shrinking(kept, left_in=history.get("left_in", {}))


@torch.no_grad()
def _compare(small: nn.Module, whole: nn.Module, example: Example) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.rand(one.shape, generator=generator) if isinstance(one, Tensor) and one.is_floating_point() else one
        for one in example
    ]
    ours, theirs = (_first(model(*inputs)) for model in (small, whole))
    apart = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-6))
    if not apart <= TOLERANCE:
        raise ConfigError(
            f"--shrink: the smaller network differs from the masked one by {apart:.2g} of the largest output, so "
            "nothing was written; leave --shrink out"
        )


def _first(outputs: Any) -> Tensor:
    found: Tensor = next(one for one in tree_leaves(outputs) if isinstance(one, Tensor))
    return found
