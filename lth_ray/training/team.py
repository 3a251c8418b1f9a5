"""The processes that train one network together, as the loop sees them.

Stock DDP rebuilds its gradient buckets after the first step, so that with three workers and more a resumed training
is not bit for bit the uninterrupted one. Here everything that a step exchanges lies in one flat buffer that is laid
out once: one all-reduce a step, in the same order for ever.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


class TeamBroken(RuntimeError):
    """A failed exchange: another process of the team, its host or the network between them is gone."""


@contextmanager
def _exchange() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:  # no peer's fault: new workers would meet it again
        raise
    except RuntimeError as error:  # what gloo and NCCL raise for a peer that is gone
        raise TeamBroken(str(error)) from error


@dataclass(frozen=True)
class Team:
    """This process's place among those that train together. Every method is a collective: all call it, or none.

    words: the process group for what is no tensor; None for the default one.
    """

    rank: int = 0
    size: int = 1
    words: Any = field(default=None, compare=False, repr=False)

    @classmethod
    def present(cls) -> "Team":
        """Return that of the default process group; alone where there is none."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    def patient(self, seconds: float) -> "Team":
        """Return the team with a group of its own for what the leader does alone while the others wait, for so long.

        By gloo, whatever sums gradients: a GPU's group would count the wait against the time it has for an exchange,
        and spin.
        """
        if self.size == 1:
            return self
        with _exchange():
            return replace(self, words=dist.new_group(backend="gloo", timeout=timedelta(seconds=seconds)))

    @property
    def leads(self) -> bool:
        """True for the process that reads and writes storage for all."""
        return self.rank == 0

    def add(self, values: Tensor) -> Tensor:
        """Sum `values` over all, in place."""
        if self.size > 1:
            with _exchange():
                dist.all_reduce(values)
        return values

    def begin_add(self, values: Tensor) -> Any:
        """Begin to sum `values` over all, in place; they are not to be touched until `finish` has what this returns."""
        if self.size == 1:
            return None
        with _exchange():
            return dist.all_reduce(values, async_op=True)

    def finish(self, begun: Any) -> None:
        """Wait for a sum: on a GPU its stream does, not this process."""
        if begun is not None:
            with _exchange():
                begun.wait()

    def largest(self, values: list[int], device: torch.device) -> list[int]:
        """Return the largest that any process gives, number by number."""
        if self.size == 1:
            return values
        held = torch.tensor(values, dtype=torch.int64, device=device)
        with _exchange():
            dist.all_reduce(held, op=dist.ReduceOp.MAX)
        return [int(value) for value in held.tolist()]

    def gather(self, part: Tensor) -> Tensor:
        """Return the parts of all, which are of one size, along their first axis and in the order of ranks."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        with _exchange():
            dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def meet(self) -> None:
        """Wait until all are here."""
        if self.size > 1:
            with _exchange():
                dist.barrier(group=self.words)

    def by_leader(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in the leading process, which alone calls it; what it raises there is
        raised in all.
        """
        if self.size == 1:
            return work()
        answer: list[Any] = [None, None]
        if self.leads:
            try:
                answer[0] = work()
            except Exception as error:
                answer[1] = error
        with _exchange():
            dist.broadcast_object_list(answer, src=0, group=self.words)
        if answer[1] is not None:
            raise answer[1]
        found: T = answer[0]
        return found


ALONE = Team()
