"""Carries out whatever a plan asks for."""

from lth_ray.data import Dataset
from lth_ray.lottery.execute import Outcome, execute, nothing_left
from lth_ray.lottery.measure import measure
from lth_ray.lottery.realise import MissingState, stored_record
from lth_ray.lottery.task import AnyTask, TableTask
from lth_ray.store import Store, mask_path
from lth_ray.training import ALONE, Clock, Team


def carry_out(
    task: AnyTask, store: Store, dataset: Dataset, device: str, clock: Clock | None = None, team: Team = ALONE
) -> Outcome:
    """Trains or measures, alone or as one of a team whose leader alone writes to the store.

    Raises MissingState where something it needs is not there any more.
    """
    try:
        return _carry_out(task, store, dataset, device, clock, team)
    except MissingState as missing:
        try:  # a second run of the study may just have finished this, and removed what it started from
            return _carry_out(task, store, dataset, device, clock, team)
        except MissingState:
            raise missing from None  # which says why


def _carry_out(task: AnyTask, store: Store, dataset: Dataset, device: str, clock: Clock | None, team: Team) -> Outcome:
    if isinstance(task, TableTask):
        return measure(task, store, dataset, device, team)
    return execute(task, store, dataset, device, clock, team)


def stored(task: AnyTask, store: Store) -> Outcome | None:
    """The outcome of a task of which nothing is left to be done, by a look at the store alone; else None."""
    if isinstance(task, TableTask):
        record = stored_record(store, task.key, of_table=True)
        return None if record is None else Outcome(record, 0, 0.0)
    record = stored_record(store, task.record_key)
    lost = record is not None and record["mask"] is not None and not store.exists(mask_path(record["mask"]))
    return None if record is None or lost else nothing_left(task, store, record)
