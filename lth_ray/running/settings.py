"""What every trial of a run is given beside its job."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lth_ray.running.notices import Reader
from lth_ray.running.workers import Workers
from lth_ray.store import Store
from lth_ray.training import Clock


@dataclass(frozen=True)
class Settings:
    """scratch: a folder of the driver's machine for what Ray writes and nobody reads. board: of Notices, or None."""

    store: Store
    data_root: str | None
    workers: Workers = Workers()
    checkpoint_every_s: float = 60.0
    checkpoint_every_steps: int | None = None
    scratch: str = ""
    board: Any = None

    @contextmanager
    def clock(self, reader: str | None) -> Iterator[Clock]:
        """When a training takes checkpoints. reader: its name on the board; None reads no notices."""
        every = self.checkpoint_every_s, self.checkpoint_every_steps
        if self.board is None or reader is None:
            yield Clock(*every)
            return
        with Reader(self.board, reader).reading() as read:
            yield Clock(*every, notices=lambda: read.count, written=read.answer)
