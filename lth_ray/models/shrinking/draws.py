"""Dropout of a smaller network that draws what the whole one would draw, of which it takes its part.

Without it the smaller network's training would be another than the masked one's: a draw depends on how many there are.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from lth_ray.config import ConfigError
from lth_ray.models.detection import straight
from lth_ray.models.shrinking.positions import Shrinking

DROPOUTS: dict[type[nn.Module], int] = {  # and how many axes, from the first on, their draws differ along; 0: all
    nn.Dropout: 0, nn.Dropout1d: 2, nn.Dropout2d: 2, nn.Dropout3d: 2,
}  # fmt: skip


class DrawnAsWhole(nn.Module):
    """A dropout whose input has lost positions along some axes.

    whole: the dropout. kept: see `Shrinking.drawn`.
    """

    def __init__(self, whole: Any, kept: tuple[tuple[int, Tensor] | None, ...]) -> None:
        super().__init__()
        self.whole, self.axes = whole, DROPOUTS[type(whole)]
        self.kept = [(axis + 1, *one) for axis, one in enumerate(kept) if one is not None]

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or not self.whole.p:
            return inputs
        shape = [size if not self.axes or axis < self.axes else 1 for axis, size in enumerate(inputs.shape)]
        for axis, size, _ in self.kept:
            shape[axis] = size
        drawn = nn.functional.dropout(inputs.new_ones(shape), self.whole.p)
        for axis, _, positions in self.kept:
            drawn = drawn.index_select(axis, positions.to(drawn.device))
        return inputs * drawn


def draw_as_whole(small: nn.Module, how: Shrinking) -> nn.Module:
    """Put such dropouts where they are needed, in place."""
    for path, kept in how.drawn.items():
        small.set_submodule(path, DrawnAsWhole(small.get_submodule(path), kept))
    return small


class _Standing(nn.Module):
    """A tensor with an entry for each position of what a dropout gets, which shares its units with it."""

    places: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("places", torch.ones(shape, device="meta"))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.places


def with_places(model: nn.Module, example: tuple[Any, ...]) -> tuple[nn.Module, dict[str, str]]:
    """Return a copy of a network on the meta device, in which a buffer stands in for each dropout, and the names of
    these buffers: {buffer: dropout}.
    """
    tensors = (*model.named_parameters(), *model.named_buffers())
    without_numbers: dict[int, Any] = {
        id(one): nn.Parameter(_empty(one), one.requires_grad) if isinstance(one, nn.Parameter) else _empty(one)
        for _, one in tensors
    }
    copied = copy.deepcopy(model, without_numbers)
    shapes: dict[str, tuple[int, ...]] = {}
    dropouts = [(path, module) for path, module in copied.named_modules() if type(module) in DROPOUTS]
    if not dropouts:
        return copied, {}
    hooks = []
    for path, module in dropouts:

        def note(_: nn.Module, given: Any, path: str = path) -> None:
            shapes[path] = tuple(given[0].shape[1:])

        hooks.append(module.register_forward_pre_hook(note))
    dtype = next((one.dtype for _, one in tensors if one.is_floating_point()), None)
    inputs = tree_map(lambda one: _two(one, dtype) if isinstance(one, Tensor) else one, example)
    try:
        with torch.no_grad(), torch.device("meta"), straight(copied):
            copied.eval()(*inputs)
            if len(shapes) < len(dropouts):  # some serve training alone: GoogLeNet's auxiliary classifiers
                copied.train()(*inputs)
    except Exception as error:  # whatever the network's own code raises when it meets no numbers
        raise ConfigError(
            f"{type(model).__name__} cannot be called without numbers to find what its dropouts get "
            f"({type(error).__name__}: {error})"
        ) from error
    for hook in hooks:
        hook.remove()
    for path, shape in shapes.items():
        copied.set_submodule(path, _Standing(shape))
    return copied.train(model.training), {f"{path}.places": path for path in shapes}


def _two(example: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return two examples without numbers, in the network's precision: batch norm cannot be trained on one."""
    shape = 2 * example.shape[0], *example.shape[1:]
    return example.new_empty(shape, device="meta", dtype=dtype if example.is_floating_point() else None)


def _empty(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta")
