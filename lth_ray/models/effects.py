"""The effects of PyTorch's operations on marks, by their names in torch.ops.aten."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lth_ray.models.marks import FIXED, Book, Marked, convolved, joined, met, mixed, moved, multiplied, placed, reduced

Shapes = Sequence[tuple[int, ...]]  # of its results
Arguments = Mapping[str, Any]  # by the operation's own names, with Marked in place of tensors
Effect = Callable[[Book, Any, Arguments, Shapes], list[Marked] | None]  # None: not known

# the same everywhere, or drawn alike everywhere
NEW = frozenset({
    "bernoulli", "empty", "empty_like", "full", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones",
    "ones_like", "rand", "rand_like", "randn", "randn_like", "zeros", "zeros_like",
})  # fmt: skip
_VIEWS = (
    "_reshape_alias", "_to_copy", "_unsafe_view", "alias", "clone", "detach", "lift_fresh", "squeeze", "unsqueeze",
    "view",
)  # fmt: skip
_MOVES = (
    "expand", "flip", "permute", "repeat", "roll", "select", "slice", "split", "split_with_sizes", "t", "transpose",
    "unbind", "unsafe_split",
)  # fmt: skip
# beside those that PyTorch itself tags as pointwise
_POINTWISE = ("_prelu_kernel", "bernoulli_", "copy_", "hardswish_", "native_dropout")
_REDUCTIONS = ("amax", "amin", "linalg_vector_norm", "logsumexp", "mean", "norm", "prod", "std", "sum", "var")
_BATCH_NORMS = (
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "native_batch_norm",
)
_PLACES = re.compile(
    r"(?:(?:_?adaptive_)?(?:avg|max)_pool|upsample_(?:nearest|linear|bilinear|bicubic|trilinear))(\d)d(?:_with_indices)?"
)


def effect_of(operation: Any) -> Effect | None:
    """Return what an operation of torch.ops.aten does to the marks of its arguments, None where that is not
    known.
    """
    name = operation.__name__.partition(".")[0]
    if name in EFFECTS or name.removesuffix("_") in (*_VIEWS, *_MOVES):
        return EFFECTS.get(name) or EFFECTS[name.removesuffix("_")]
    if torch.Tag.pointwise in operation.tags:
        return _pointwise
    return _places if _PLACES.fullmatch(name) else None


def _given(arguments: Arguments) -> list[Marked]:
    return [one for one in tree_leaves(list(arguments.values())) if isinstance(one, Marked)]


def _view(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    """Mark the same numbers in the same order."""
    return [_given(arguments)[0].viewed(*shapes[0])]


def _move(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    given, *how = arguments.values()

    def move(number: int) -> Callable[[Tensor], Tensor]:
        return lambda mark: result if isinstance(result := operation(mark, *how), Tensor) else result[number]

    return [moved(given, shape, move(number)) for number, shape in enumerate(shapes)]


def _restrided(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked] | None:
    """Mark the same numbers in another layout in memory."""
    return [arguments["self"]] if shapes[0] == arguments["self"].shape else None


def _pad(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    """Mark padding: a constant around an image is the same for all units; beside them it is fixed."""
    given, pads = arguments["self"], list(zip(*[iter(arguments["pad"])] * 2, strict=True))
    marks = []
    for mark in given.marks:
        sizes = reversed(mark.shape[len(mark.shape) - len(pads) :])
        own = [pad if size > 1 else (0, 0) for size, pad in zip(sizes, pads, strict=True)]
        marks.append(operation(mark, [width for pad in own for width in pad], FIXED))
    return [Marked(shapes[0], tuple(marks))]


def _pointwise(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    return [met(book, *_given(arguments))] * len(shapes)


def _join(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    axis = arguments.get("dim", 0) % len(shapes[0])
    parts = [one for one in arguments["tensors"] if one.shape != (0,)]
    stacked = operation.__name__.startswith("stack")
    if stacked:
        parts = [one.viewed(*one.shape[:axis], 1, *one.shape[axis:]) for one in parts]
    return [joined(book, parts, axis, shapes[0], apart=stacked)]


def _reduce(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    given, axes = arguments["self"], arguments.get("dim")
    axes = [axes] if isinstance(axes, int) else axes or range(len(given.shape))
    return [reduced(book, given, axes, arguments.get("keepdim", False))]


def _weight_norm(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    directions, lengths = arguments["v"], arguments["g"]
    norms = reduced(book, directions, set(range(len(directions.shape))) - {arguments.get("dim", 0)}, keep=True)
    return [met(book, directions, lengths, norms), norms]


def _softmax(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    return [mixed(book, arguments["self"], [arguments["dim"]])]


def _layer_norm(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    given, *scales = _given(arguments)
    found = mixed(book, given, range(-len(arguments["normalized_shape"]), 0))
    return [met(book, found, *scales), *map(Marked, shapes[1:])]


def _group_norm(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    given, *scales = _given(arguments)
    batch, channels, groups = (arguments[name] for name in ("N", "C", "group"))
    apart = mixed(book, given.viewed(batch, groups, channels // groups, arguments["HxW"]), [2, 3])
    return [_scaled(book, apart.viewed(*given.shape), scales), *map(Marked, shapes[1:])]


def _batch_norm(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    given, *scales = _given(arguments)
    return [_scaled(book, given, scales), *map(Marked, shapes[1:])]


def _scaled(book: Book, given: Marked, scales: Sequence[Marked]) -> Marked:
    """Mark an image and what there is one of for each channel."""
    behind = [1] * (len(given.shape) - 2)
    return met(book, given, *(one.viewed(*one.shape, *behind) for one in scales))


def _product(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    *added, a, b = _given(arguments)
    if len(b.shape) == 1:
        return [multiplied(book, a, b.viewed(-1, 1)).viewed(*shapes[0])]
    return [met(book, multiplied(book, a, b), *added)]


def _convolution(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    given, weight, *bias = _given(arguments)
    found = met(book, convolved(book, given, weight, arguments["groups"], arguments["transposed"]), *bias)
    behind = [1] * (len(shapes[0]) - 2)
    return [Marked(shapes[0], found.viewed(*found.shape, *behind).marks)]


def _places(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked]:
    """Mark what pooling and resizing give."""
    found = _PLACES.fullmatch(operation.__name__.partition(".")[0])
    assert found is not None
    left = placed(book, _given(arguments)[0], range(-int(found[1]), 0))
    return [Marked(shape, left.marks) for shape in shapes]


def _look_up(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked] | None:
    """Mark rows that are looked up in a table [rows, columns]."""
    table, *numbers = _given(arguments)
    beside = isinstance(arguments["indices"], list | tuple) and len(arguments["indices"]) > 1  # of other axes
    if len(table.shape) != 2 or len(numbers) != 1 or beside:
        return None
    book.fix(*numbers[0].marks)
    lead = [1] * (len(shapes[0]) - 1)
    return [Marked(shapes[0], tuple(mark.view(*lead, -1) for mark in placed(book, table, [0]).marks))]


def _gather(book: Book, operation: Any, arguments: Arguments, shapes: Shapes) -> list[Marked] | None:
    """Mark numbers that are chosen by their positions along an axis, of which any may be chosen."""
    given, axis, index = arguments["self"], arguments["dim"] % len(arguments["self"].shape), arguments["index"]
    beside = [size for other, size in enumerate(given.shape) if other != axis]
    if beside != [size for other, size in enumerate(shapes[0]) if other != axis]:
        return None
    book.fix(*index.marks)
    return [Marked(shapes[0], placed(book, given, [axis]).marks)]


EFFECTS: dict[str, Effect] = {
    **dict.fromkeys(_VIEWS, _view), **dict.fromkeys(_MOVES, _move), **dict.fromkeys(_POINTWISE, _pointwise),
    **dict.fromkeys(("cat", "stack"), _join),
    **dict.fromkeys(_REDUCTIONS, _reduce), **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax"), _softmax),
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm"), _layer_norm), "native_group_norm": _group_norm,
    **dict.fromkeys(_BATCH_NORMS, _batch_norm), **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm", "mv"), _product),
    "convolution": _convolution, "constant_pad_nd": _pad, "gather": _gather, "embedding": _look_up,
    "_weight_norm_interface": _weight_norm,
    "index": _look_up, "as_strided_": _restrided,
}  # fmt: skip
