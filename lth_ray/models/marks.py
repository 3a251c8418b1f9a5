"""Marks on the positions of tensors, which tell what is one unit and what may not be moved; and operations on
them.

A tensor's values depend on units through its positions: entry [b, c, y, x] of an image behind a convolution on unit c.
Moving data moves the marks with it; where two marks meet in one value they are of one unit.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FIXED = 0  # the mark of what keeps its place: inputs, outputs, positions in an image


@dataclass(frozen=True)
class Marked:
    """The shape of a tensor, and the marks on its positions.

    marks: int64 tensors of as many axes, of size 1 along an axis on which a mark does not depend. A weight has one for
    each of its axes, an activation one or none. What no mark depends on is fixed along all of its axes, unless it is
    `even`: the same number everywhere, or drawn alike everywhere.
    """

    shape: tuple[int, ...]
    marks: tuple[Tensor, ...] = ()
    even: bool = False

    def viewed(self, *shape: int) -> "Marked":
        """Return it in another shape of as many positions, of which -1 stands for one size."""
        if -1 in shape:
            rest = -math.prod(shape)
            shape = tuple(math.prod(self.shape) // rest if size == -1 else size for size in shape)
        return Marked(shape, tuple(_viewed(one, self.shape, shape) for one in self.marks), self.even)


class Book:
    """A record of marks: how many there are, which are of one unit, and which were seen together."""

    def __init__(self) -> None:
        self.number = 1  # FIXED
        self.pairs: list[NDArray[np.int64]] = []
        self.seen: list[NDArray[np.int64]] = []

    def named(self, shape: Sequence[int]) -> Marked:
        """Return a tensor with a mark of its own for each position along each axis."""
        marks = []
        for axis, size in enumerate(shape):
            if size > 1:
                marks.append(torch.arange(self.number, self.number + size).view(_along(axis, size, len(shape))))
                self.number += size
                self.see(marks[-1])
        return Marked(tuple(shape), tuple(marks))

    def see(self, *marks: Tensor) -> None:
        """Note that an operation treats the positions of a mark alike.

        Units that are not seen alike are not exchanged.
        """
        self.seen.extend(one.flatten().numpy() for one in marks)

    def unite(self, first: Tensor, second: Tensor) -> None:
        """Note that marks which meet are of one unit."""
        pairs = torch.stack(torch.broadcast_tensors(first, second)).flatten(1).numpy()
        self.pairs.append(pairs[:, pairs[0] != pairs[1]])

    def fix(self, *marks: Tensor) -> None:
        for one in marks:
            self.unite(one, torch.tensor(FIXED))

    def units(self) -> NDArray[np.int64]:
        """Return the unit of each mark, numbered from 0, which is that of FIXED."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components  # slow to import

        rows, columns = np.concatenate([*self.pairs, np.zeros((2, 0), np.int64)], axis=1)
        graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(self.number, self.number))
        found: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
        assert found[FIXED] == 0
        return found

    def roles(self, units: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return a number for each unit, which two units share where all operations have seen both equally
        often.
        """
        found = np.zeros(int(units.max()) + 1, np.uint64)
        drawn = np.random.default_rng(0).integers(2**64, size=len(self.seen), dtype=np.uint64, endpoint=False)
        for marks, number in zip(self.seen, drawn, strict=True):
            np.add.at(found, units[marks], number)
        return found


def moved(given: Marked, shape: Sequence[int], move: Callable[[Tensor], Tensor]) -> Marked:
    """Return what a movement of data makes of a tensor: the marks are moved as it is."""
    return Marked(tuple(shape), tuple(_compact(move(one.expand(given.shape))) for one in given.marks), given.even)


def joined(book: Book, given: Sequence[Marked], axis: int, shape: Sequence[int], apart: bool = False) -> Marked:
    """Join tensors side by side along an axis; along the others, unless they are `apart`, they are of the
    same units.

    What has no mark there is fixed.
    """
    waiting, marks = [list(one.marks) for one in given], []
    for rest in waiting:
        while rest:
            axes = _axes(rest[0])
            parts = [_taken(book, others, axes) for others in waiting]
            varying = axes.union(*map(_axes, parts))
            if apart or axis in varying:
                sizes = [
                    [size if place in {axis, *varying} else 1 for place, size in enumerate(one.shape)] for one in given
                ]
                marks.append(torch.cat([part.expand(size) for part, size in zip(parts, sizes, strict=True)], axis))
                continue
            marks.append(next(part for part in parts if part.dim()))
            for part, one in zip(parts, given, strict=True):
                if not one.even:
                    book.unite(marks[-1], part)
    return Marked(tuple(shape), tuple(map(_compact, marks)), all(one.even for one in given))


def _taken(book: Book, marks: list[Tensor], axes: set[int]) -> Tensor:
    """Take from `marks` what varies along one of the axes; FIXED where nothing does."""
    sharing = [mark for mark in marks if _axes(mark) & axes]
    marks[:] = [mark for mark in marks if not _axes(mark) & axes]
    for other in sharing[1:]:
        book.unite(sharing[0], other)
    return sharing[0] if sharing else torch.tensor(FIXED)


def met(book: Book, *given: Marked) -> Marked:
    """Mark what an operation on each position by itself gives, of tensors that are broadcast against each
    other.
    """
    shape = torch.broadcast_shapes(*(one.shape for one in given))
    given = tuple(one.viewed(*[1] * (len(shape) - len(one.shape)), *one.shape) for one in given)
    marks: list[Tensor] = []
    for one in given:
        book.see(*one.marks)
        for mark in one.marks:
            sharing = [other for other in marks if _axes(mark) & _axes(other)]
            for other in sharing:
                book.unite(mark, other)
            if not sharing:
                marks.append(mark)
    for mark, one in itertools.product(marks, given):
        varying = any(one.shape[axis] > 1 for axis in _axes(mark)) and not one.even
        if varying and not any(_axes(mark) & _axes(own) for own in one.marks):
            book.fix(mark)
    return Marked(tuple(shape), tuple(marks), all(one.even for one in given))


def mixed(book: Book, given: Marked, axes: Iterable[int]) -> Marked:
    """Mark what an operation over some axes gives that does not look at the order along them, and keeps them
    (a softmax).
    """
    among = {axis % len(given.shape) for axis in axes}
    book.see(*given.marks)
    marks = []
    for mark in given.marks:
        if not _axes(mark) <= among and _axes(mark) & among:  # one unit of all that is mixed with it
            first = _first(mark, among)
            book.unite(mark, first)
            mark = first
        marks.append(mark)
    return replace(given, marks=tuple(marks))


def reduced(book: Book, given: Marked, axes: Iterable[int], keep: bool = False) -> Marked:
    """Mark the same where one number is left along these axes (a mean): what depends on nothing else has no
    mark then.
    """
    among = {axis % len(given.shape) for axis in axes}
    found = mixed(book, given, among)
    marks = [_first(mark, among) for mark in found.marks if not _axes(mark) <= among]
    shape = [1 if axis in among else size for axis, size in enumerate(given.shape)]
    whole = Marked(tuple(shape), tuple(marks), given.even)
    return whole if keep else whole.viewed(*(size for axis, size in enumerate(shape) if axis not in among))


def placed(book: Book, given: Marked, axes: Iterable[int]) -> Marked:
    """Mark what an operation gives that looks at places along these axes (a kernel, a look-up): marks along
    them are fixed.
    """
    among = {axis % len(given.shape) for axis in axes}
    book.see(*given.marks)
    book.fix(*(mark for mark in given.marks if _axes(mark) & among))
    return replace(given, marks=tuple(mark for mark in given.marks if not _axes(mark) & among))


def multiplied(book: Book, a: Marked, b: Marked) -> Marked:
    """Mark a matrix product, [..., n, k] by [..., k, m]."""
    rows = a.viewed(*a.shape, 1)
    columns = b.viewed(*b.shape[:-2], 1, *b.shape[-2:])
    return reduced(book, met(book, rows, columns), [-2])


def convolved(book: Book, given: Marked, weight: Marked, groups: int, transposed: bool) -> Marked:
    """Mark the convolution of an image [B, C, ...] by a weight [O, C / groups, ...], transposed [C, O /
    groups, ...]: [B, O].

    A group of a grouped convolution is one unit: all of its inputs and outputs have their places in it.
    """
    given, weight = (_without_places(book, one) for one in (given, weight))
    batch, channels = given.shape
    if groups == 1:
        columns = weight if transposed else moved(weight, weight.shape[::-1], Tensor.t)
        return multiplied(book, given, columns)
    apart = placed(book, weight, [1]).viewed(groups, -1, weight.shape[1])
    inputs = reduced(book, given.viewed(batch, groups, channels // groups), [2], keep=True)
    outputs = met(book, inputs, reduced(book, apart, [1, 2] if transposed else [2], keep=True).viewed(1, groups, -1))
    size = weight.shape[1] if transposed else apart.shape[1]
    return Marked((batch, groups, size), outputs.marks).viewed(batch, groups * size)


def _without_places(book: Book, given: Marked) -> Marked:
    """Return the first two axes, with what lies behind them."""
    behind = placed(book, given, range(2, len(given.shape)))
    return Marked(given.shape[:2], tuple(mark.flatten(1)[:, : mark.shape[1]] for mark in behind.marks), given.even)


def _axes(mark: Tensor) -> set[int]:
    """Return the axes along which a mark varies."""
    return {axis for axis, size in enumerate(mark.shape) if size > 1}


def _first(mark: Tensor, axes: Iterable[int]) -> Tensor:
    """Return the first of a mark's positions along some axes."""
    for axis in axes:
        mark = mark.narrow(axis, 0, 1)
    return mark


def _along(axis: int, size: int, rank: int) -> list[int]:
    return [size if other == axis else 1 for other in range(rank)]


def _viewed(mark: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    return _compact(mark.expand(before).reshape(after))


def _compact(mark: Tensor) -> Tensor:
    """Return a mark of size 1 along each axis on which it does not depend."""
    for axis, stride in enumerate(mark.stride()):
        if stride == 0:  # expanded: there is nothing to compare
            mark = mark.narrow(axis, 0, 1)
    for axis, size in enumerate(mark.shape):
        if size > 1 and bool((mark == mark.narrow(axis, 0, 1)).all()):
            mark = mark.narrow(axis, 0, 1)
    return mark
