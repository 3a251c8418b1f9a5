"""What every trial of a run is given beside its jobs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from lth_ray.config import Data
from lth_ray.data import Dataset, load
from lth_ray.lottery import stops
from lth_ray.running import history
from lth_ray.running.notices import Reader
from lth_ray.running.workers import Workers
from lth_ray.store import StorageError, Store
from lth_ray.training import Clock


@dataclass(frozen=True)
class Settings:
    """places: {name of a data set of the study: where the driver has found it}, as `absolute` gives them.
    scratch: a folder of the driver's machine for what Ray writes and nobody reads. board: of Notices, or None.
    stop_below: {key of a ticket's training: the accuracy under which its lineage ends there}. study: its name.
    """

    store: Store
    places: Mapping[str, tuple[str, str | None]]
    workers: Workers = Workers()
    checkpoint_every_s: float = 60.0
    checkpoint_every_steps: int | None = None
    scratch: str = ""
    board: Any = None
    stop_below: Mapping[str, float] = field(default_factory=dict)
    study: str = ""

    def dataset(self, data: Data, device: str) -> Dataset:
        """The images where the driver has found them, whatever this process's working directory is."""
        name, root = self.places[data.name]
        return load(replace(data, name=name), root, device, self.workers.loaders)

    def cancelled(self) -> set[str]:
        """The lineages that a user has cancelled. A request that cannot be read now is read in a moment: that must not
        end the run."""
        try:
            return history.cancelled(self.store.impatient, self.study)
        except StorageError:
            return set()

    def ends_after(self, key: str, record: Mapping[str, Any] | None) -> bool:
        """Whether a lineage ends with the task `key`: its loss diverged, or its accuracy is under Study.stop_below."""
        if record is None:
            return False
        below = self.stop_below.get(key)
        return record["diverged_at"] is not None or (below is not None and stops(record, below))

    @contextmanager
    def clock(self, reader: str | None, *beside: str) -> Iterator[Clock]:
        """When a training takes checkpoints. reader: its name on the board; None reads no notices. beside: what is
        trained together with it."""
        every = self.checkpoint_every_s, self.checkpoint_every_steps
        if self.board is None or reader is None:
            yield Clock(*every)
            return
        with Reader(self.board, reader, beside).reading() as read:
            clock = Clock(*every, notices=lambda: read.count, written=read.answer)
            read.step = lambda: clock.step
            yield clock
