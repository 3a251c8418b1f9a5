"""Carries out whatever a plan asks for."""

from lth_ray.data import Dataset
from lth_ray.lottery.execute import Outcome, execute
from lth_ray.lottery.measure import measure
from lth_ray.lottery.task import AnyTask, TableTask
from lth_ray.store import Store


def carry_out(task: AnyTask, store: Store, dataset: Dataset, device: str, checkpoint_every_s: float) -> Outcome:
    """Trains or measures. Raises MissingState where something it needs is not there any more."""
    if isinstance(task, TableTask):
        return measure(task, store, dataset, device)
    return execute(task, store, dataset, device, checkpoint_every_s)
