"""Checkpoints of an unfinished segment, written behind the training's back."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch

from lth_ray import probes
from lth_ray.store import Store
from lth_ray.training import Run


class Checkpoints:
    """Saves one checkpoint at a time: training goes on while its copy of a state is hashed and written.

    written: called when one is in storage. What a write raises is raised by the next `save`, or at the end of the
    block, within which it must be used.
    """

    def __init__(self, store: Store, key: str, written: Callable[[], None] = lambda: None) -> None:
        self.store, self.key, self.written = store, key, written
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="lth_ray-checkpoint")
        self._pending: Future[None] | None = None

    def save(self, run: Run, journal: Mapping[str, Any]) -> None:
        """Copies the run's state and has it written; waits for the checkpoint before where that is not done yet."""
        self.wait()
        model, optimizer = on_host(run.model.state_dict()), on_host(run.optimizer.state_dict())
        self._pending = self._pool.submit(self._write, run.step, model, optimizer, journal)

    def wait(self) -> None:
        """Until the last one is in storage."""
        if self._pending is not None:
            self._pending.result()
        self._pending = None

    def _write(self, step: int, model: Any, optimizer: Any, journal: Mapping[str, Any]) -> None:
        self.store.save_checkpoint(self.key, step, model, optimizer, journal)
        self.written()
        probes.point("checkpointed")

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
    """A copy of nested state, its tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {name: on_host(item) for name, item in value.items()}
    return [on_host(item) for item in value] if isinstance(value, list) else value
