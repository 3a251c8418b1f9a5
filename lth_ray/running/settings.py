"""Settings that every trial of a run is given beside its jobs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lth_ray.config import ConfigError
from lth_ray.lottery import StopRule
from lth_ray.lottery.kept.records import Record
from lth_ray.lottery.stop_rule import ending_of
from lth_ray.running import history
from lth_ray.running.notices import Reader
from lth_ray.running.workers import Workers
from lth_ray.store import StorageError, Store
from lth_ray.tasks import task_of
from lth_ray.tasks.base import Loaded
from lth_ray.training import Clock, Recipe


@dataclass(frozen=True)
class Settings:
    """The settings of a run's trials.

    places: {data set of the study: (its name, data root) with absolute paths}: where the driver has found it.
    scratch: a folder of the driver's machine for what Ray writes and nobody reads.
    notices: of Notices, or None.
    stop_rules: {key of a ticket's training: the rule by which its lineage ends there}.
    study: its name.
    """

    store: Store
    places: Mapping[str, tuple[str, str | None]]
    workers: Workers = Workers()
    checkpoint_every_s: float = 60.0
    checkpoint_every_steps: int | None = None
    scratch: str = ""
    notices: Any = None
    stop_rules: Mapping[str, StopRule] = field(default_factory=dict)
    study: str = ""

    def dataset(self, recipe: Recipe, device: str) -> Loaded:
        """Return the examples where the driver has found them, whatever this process's working directory is.

        Raises ConfigError where they are not those that were planned with.
        """
        name, root = self.places[recipe.data.called]
        loaded = task_of(recipe.data.found_at(name)).load(root, device, self.workers.loaders)
        if getattr(loaded, "digest", recipe.identity.digest) != recipe.identity.digest:
            raise ConfigError(
                f"{type(recipe.data).__name__} {recipe.data.called!r}: this process finds other examples than the plan "
                "did; leave unseeded chance out of what makes them, or run the study again if their files have changed"
            )
        return loaded

    def cancelled(self) -> set[str]:
        """Return the lineages that a user has cancelled.

        A request that cannot be read now is read in a moment: that must not end the run.
        """
        try:
            return history.cancelled(self.store.impatient, self.study)
        except StorageError:
            return set()

    def ends_after(self, key: str, record: Record | None) -> bool:
        """Return whether a lineage ends with the piece `key`."""
        return record is not None and ending_of(record, self.stop_rules.get(key)) is not None

    @contextmanager
    def clock(self, reader: str | None, *beside: str) -> Iterator[Clock]:
        """Give the clock that tells a training when to take checkpoints.

        reader: its name there; None reads no notices.
        beside: what is trained together with it.
        """
        every = self.checkpoint_every_s, self.checkpoint_every_steps
        if self.notices is None or reader is None:
            yield Clock(*every)
            return
        with Reader(self.notices, reader, beside).reading() as read:
            clock = Clock(*every, notices=lambda: read.count, written=read.answer)
            read.step = lambda: clock.step
            yield clock
