"""Checkpoints of unfinished segments, written behind the training's back."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch

from lth_ray import probes
from lth_ray.store import Store
from lth_ray.training import Run, stored_beside


class Checkpoints:
    """A writer of one checkpoint of a training at a time: that goes on while the copy of its state is hashed
    and written.

    written: called when one is in storage. What a write raises is raised by the next `save`, or at the end of the
    block, within which it must be used.
    """

    def __init__(self, store: Store, written: Callable[[], None] = lambda: None) -> None:
        self.store, self.written = store, written
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="lth_ray-checkpoint")
        self._pending: Future[None] | None = None

    def save(self, *kept: tuple[str, Run, Mapping[str, Any]]) -> None:
        """Copy the states of (key, run, journal) and have them written, each a checkpoint of its own.

        Waits for those before where they are not done yet.
        """
        self.wait()
        copies = [
            (key, run.step, on_host(run.model.state_dict()), on_host(stored_beside(run)), journal)
            for key, run, journal in kept
        ]
        self._pending = self._pool.submit(self._write, copies)

    def wait(self) -> None:
        """Wait until the last one is in storage."""
        if self._pending is not None:
            self._pending.result()
        self._pending = None

    def _write(self, copies: Sequence[tuple[str, int, Any, Any, Mapping[str, Any]]]) -> None:
        for copied in copies:
            self.store.save_checkpoint(*copied)
            probes.point("checkpointed")
        self.written()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._pool.shutdown()


def on_host(value: Any) -> Any:
    """Return a copy of nested state, its tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {name: on_host(item) for name, item in value.items()}
    return [on_host(item) for item in value] if isinstance(value, list) else value
