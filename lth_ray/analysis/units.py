"""Which axes of a network's tensors run over the same hidden units, read off its torch.fx trace.

The units that one layer puts out are those that the next takes in, and an addition makes those of its two sides the
same. One permutation of a group of units, applied along each of its axes, leaves the network's function as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth_ray.analysis import operations
from lth_ray.config import ConfigError


@dataclass(frozen=True)
class Units:
    """The hidden units of a network, in groups.

    sizes: units in each group. axes: by name in the state dict, the group along each axis of the tensor, None for an
    axis of inputs, outputs or kernel positions; tensors without units are left out. Behind a flattened image an axis
    is longer than its group: each unit has a block of it, all equally long and in order.
    """

    sizes: tuple[int, ...]
    axes: Mapping[str, tuple[int | None, ...]]


def hidden_units(model: nn.Module) -> Units:
    """The groups of units of `model`. Its inputs and outputs are in none, as they have a meaning.

    Errors: ConfigError for a network that torch.fx cannot trace, an operation that is not known to treat units by
    themselves, and a grouped convolution.
    """
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # whatever the network's own code raises when it meets no numbers
        raise ConfigError(
            f"torch.fx cannot trace {type(model).__name__} ({error}): leave alignment out for this network"
        ) from error
    return _Reader(model).read(graph)


_LAST = -1  # instead of a number of axes behind the units: they are on the last of an unknown number of axes


@dataclass(frozen=True)
class _Signal:
    """An activation [B, units, ...]: its group, and the number of axes behind the units (None: not known of inputs)."""

    group: int
    spatial: int | None


class _Groups:
    """Groups of units that can be merged. A size of None is not known; a fixed group is not permuted."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._sizes: list[int | None] = []
        self._fixed: list[bool] = []

    def new(self, size: int | None, fixed: bool = False) -> int:
        self._parents.append(len(self._parents))
        self._sizes.append(size)
        self._fixed.append(fixed)
        return len(self._parents) - 1

    def root(self, group: int) -> int:
        while self._parents[group] != group:
            group = self._parents[group]
        return group

    def merge(self, first: int, second: int) -> int:
        first, second = self.root(first), self.root(second)
        sizes = {size for size in (self._sizes[first], self._sizes[second]) if size is not None}
        if len(sizes) > 1:
            raise ConfigError(
                f"units of {self._sizes[first]} and {self._sizes[second]} meet where they must be the same: "
                "leave alignment out for this network"
            )
        self._parents[second] = first
        self._sizes[first] = sizes.pop() if sizes else None
        self._fixed[first] |= self._fixed[second]
        return first

    def fix(self, group: int) -> None:
        self._fixed[self.root(group)] = True

    def size(self, group: int) -> int | None:
        """Of a group that may be permuted; None for a fixed one."""
        return None if self._fixed[self.root(group)] else self._sizes[self.root(group)]


class _Reader:
    """One pass over a graph: what group is found along which axis of which tensor."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._groups = _Groups()
        self._signals: dict[fx.Node, _Signal | None] = {}  # None: a size, no activation
        self._axes: dict[tuple[int, int], int] = {}  # (id of a tensor, axis): tied tensors are one

    def read(self, graph: fx.Graph) -> Units:
        for node in graph.nodes:
            if node.op == "placeholder":
                self._signals[node] = _Signal(self._groups.new(None, fixed=True), None)
            elif node.op == "output":
                for signal in self._inputs(node):
                    self._groups.fix(signal.group)
            else:
                self._signals[node] = self._result(node)
        return self._units()

    def _inputs(self, node: fx.Node) -> list[_Signal]:
        return [signal for source in node.all_input_nodes if (signal := self._signals[source]) is not None]

    def _result(self, node: fx.Node) -> _Signal | None:
        """What `node` makes of its inputs; ConfigError where that is not known."""
        module = self._model.get_submodule(str(node.target)) if node.op == "call_module" else None
        inputs = self._inputs(node)
        result: _Signal | None = None
        if module is not None and len(inputs) == 1:
            result = self._of_module(module, inputs[0])
        elif node.target in operations.SIZES:
            return None
        elif node.target in operations.UNITWISE and len(inputs) == 1:
            result = inputs[0]
        elif node.target in operations.PAIRWISE and inputs:
            result = self._paired(inputs)
        elif inputs:
            result = _reshaped(node, inputs[0])
        if result is None:
            raise ConfigError(
                f"alignment does not know what {_described(node, module)} does to hidden units: "
                "use a network of ungrouped convolutions, linear layers, batch norm, pooling and elementwise operations"
            )
        return result

    def _of_module(self, module: nn.Module, signal: _Signal) -> _Signal | None:
        if isinstance(module, tuple(operations.CONVOLUTIONS)) and module.groups == 1:
            spatial = next(axes for kind, axes in operations.CONVOLUTIONS.items() if isinstance(module, kind))
            return _Signal(self._layer(module, signal), spatial) if signal.spatial in (None, spatial) else None
        if isinstance(module, nn.Linear):
            if signal.spatial not in (None, 0, _LAST):
                return None
            return _Signal(self._layer(module, signal), 0 if signal.spatial == 0 else _LAST)
        if isinstance(module, _BatchNorm):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                self._claim(tensor, 0, signal.group)
            return signal
        if isinstance(module, nn.Flatten):
            return _flattened(signal, module.start_dim, module.end_dim)
        return signal if isinstance(module, operations.UNITWISE_MODULES) else None

    def _layer(self, layer: Any, signal: _Signal) -> int:
        """The group that a convolution or linear layer puts out: that of its last use, if it is used again."""
        self._claim(layer.weight, 1, signal.group)
        made = self._axes.get((id(layer.weight), 0))
        group = self._groups.new(layer.weight.shape[0]) if made is None else made
        self._claim(layer.weight, 0, group)
        self._claim(layer.bias, 0, group)
        return group

    def _claim(self, tensor: torch.Tensor | None, axis: int, group: int) -> None:
        if tensor is not None:
            known = self._axes.get((id(tensor), axis))
            self._axes[id(tensor), axis] = group if known is None else self._groups.merge(known, group)

    def _paired(self, inputs: list[_Signal]) -> _Signal | None:
        first, second = inputs[0], inputs[-1]
        spatial = {signal.spatial for signal in inputs} - {None} or {None}
        return _Signal(self._groups.merge(first.group, second.group), spatial.pop()) if len(spatial) == 1 else None

    def _units(self) -> Units:
        numbers: dict[int, int] = {}
        sizes: list[int] = []
        axes: dict[str, tuple[int | None, ...]] = {}
        for name, tensor in self._model.state_dict(keep_vars=True).items():
            along: list[int | None] = []
            for axis, length in enumerate(tensor.shape):
                group = self._axes.get((id(tensor), axis))
                size = None if group is None else self._groups.size(group)
                if group is None or size is None:
                    along.append(None)
                    continue
                if length % size:
                    raise ConfigError(
                        f"{name!r}: an axis of {length} cannot be of {size} units in equal blocks: leave alignment out"
                    )
                root = self._groups.root(group)
                if root not in numbers:
                    numbers[root] = len(sizes)
                    sizes.append(size)
                along.append(numbers[root])
            if along.count(None) < len(along):
                axes[name] = tuple(along)
        return Units(tuple(sizes), axes)


def _described(node: fx.Node, module: nn.Module | None) -> str:
    if module is None:
        return repr(getattr(node.target, "__name__", node.target))
    grouped = "grouped " if getattr(module, "groups", 1) > 1 else ""
    return f"the {grouped}{type(module).__name__} {node.target!r}"


def _reshaped(node: fx.Node, signal: _Signal) -> _Signal | None:
    """Means over all positions, and flattening."""
    arguments: tuple[Any, ...] = node.args[1:]
    if node.target in operations.MEANS and signal.spatial not in (None, 0, _LAST):
        dims: Any = node.kwargs.get("dim", arguments[0] if arguments else None)
        keeps = node.kwargs.get("keepdim", arguments[1] if len(arguments) > 1 else False)
        given = {dims} if isinstance(dims, int) else set(dims or ())
        behind = {dim % (signal.spatial + 2) for dim in given} == set(range(2, signal.spatial + 2))
        return _Signal(signal.group, signal.spatial if keeps else 0) if behind else None
    if node.target in operations.FLATTENINGS:
        start = node.kwargs.get("start_dim", arguments[0] if arguments else 0)
        end = node.kwargs.get("end_dim", arguments[1] if len(arguments) > 1 else -1)
        return _flattened(signal, start, end)
    if node.target in operations.VIEWS:  # x.view(n, -1), with n taken to be the batch
        shape = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], tuple) else arguments
        return _flattened(signal, 1, shape[1]) if len(shape) == 2 else None
    return None


def _flattened(signal: _Signal, start: Any, end: Any) -> _Signal | None:
    return _Signal(signal.group, 0) if (start, end) == (1, -1) and signal.spatial != _LAST else None
