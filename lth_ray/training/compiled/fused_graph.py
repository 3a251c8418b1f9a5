"""A network's own graph with each batch norm, and what follows it, as one compiled operation.

The network itself stays as it is: the graph calls the same layers, which keep their parameters and statistics.
"""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from lth_ray.models.structure import ADDITIONS, RELUS, graph_of, is_a, replaceable, writes_into
from lth_ray.training.backends import FUSED_NORM, backend_of
from lth_ray.training.compiled.fused_norm import FusedNorm
from lth_ray.training.kernels import library
from lth_ray.training.recipe import Recipe
from lth_ray.training.supermask import Supermask

WIDE = 256  # channels above which oneDNN's convolutions are slower in channels_last (benchmarks/README.md)
Kernels = Mapping[torch.dtype, library.LayerKernels]


def fused_graph(model: nn.Module, recipe: Recipe) -> fx.GraphModule | None:
    """Return what trains `model` if its backend is "fused_norm"; None for another, and where kernels are not
    to be had.
    """
    if backend_of(recipe, learned=isinstance(model, Supermask)) != FUSED_NORM:
        return None
    parameter = next(model.parameters())
    half = recipe.train.precision == "bf16"
    found = library.norm_kernels(parameter.dtype, half) if parameter.device.type == "cpu" else {}
    return with_wide_in_nchw(fuse_norms(model, found)) if found else None


def fuse_norms(model: nn.Module, kernels: Kernels) -> fx.GraphModule:
    """Return the graph of `model` in which norm, norm -> ReLU, norm -> + and norm -> + -> ReLU are one
    operation each.
    """
    traced = graph_of(model)
    for node in list(traced.graph.nodes):
        if replaceable(traced, node):
            _fuse(traced, node, kernels)
    traced.graph.lint()
    traced.recompile()
    return traced


def with_wide_in_nchw(traced: fx.GraphModule) -> fx.GraphModule:
    """Give convolutions of more than WIDE channels, and them alone, images and weights in NCHW; in place."""
    for node in list(traced.graph.nodes):
        layer = traced.get_submodule(node.target) if node.op == "call_module" else None
        if not isinstance(layer, nn.Conv2d) or len(node.args) != 1:
            continue
        if max(layer.in_channels, layer.out_channels) > WIDE:
            layer.weight.data = layer.weight.data.contiguous()
            with traced.graph.inserting_before(node):
                node.args = (traced.graph.call_method("contiguous", node.args),)
    traced.recompile()
    return traced


def _fuse(traced: fx.GraphModule, norm: fx.Node, kernels: Kernels) -> None:
    """Put one operation in the place of `norm` and of what follows it."""
    addition = _only_user(traced, norm, ADDITIONS)
    others = [node for node in addition.all_input_nodes if node is not norm] if addition is not None else []
    added = others[0] if others else None  # none: a number is added, or the norm to itself
    if addition is not None and addition.args[0] is not norm and writes_into(traced, addition):
        added = None  # which it is added to in place, and others may read
    followed = norm if addition is None or added is None else addition
    relu = _only_user(traced, followed, RELUS)
    end = followed if relu is None else relu
    if len(end.users) > 1 and any(writes_into(traced, user) for user in end.users):
        return  # two readers of one result would not see the same
    readers = list(end.users)
    layer: Any = traced.get_submodule(str(norm.target))
    name = f"fused_{norm.name}"
    traced.add_submodule(name, FusedNorm(layer, kernels, relu=relu is not None, uses=min(2, len(readers))))
    with traced.graph.inserting_before(end):
        fused = traced.graph.call_module(name, (norm.args[0], *([] if added is None else [added])))
        parts = [traced.graph.call_function(operator.getitem, (fused, i)) for i in range(2)] if len(readers) > 1 else []
    for number, reader in enumerate(readers):
        reader.replace_input_with(end, parts[min(number, 1)] if parts else fused)
    for node in dict.fromkeys((end, followed, norm)):
        traced.graph.erase_node(node)


def _only_user(traced: fx.GraphModule, node: fx.Node, kinds: tuple[Any, ...]) -> fx.Node | None:
    """Return the one node that reads `node`, where it is a call of one of these kinds and of tensors alone."""
    users = list(node.users)
    if len(users) != 1 or not is_a(traced, users[0], kinds) or users[0].kwargs.keys() - {"inplace"}:
        return None
    return users[0]
