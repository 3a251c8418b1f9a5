"""A ticket's controls beside it in its lineage's run: random reinitialisations and masks, round by round."""

import re
from collections import defaultdict
from collections.abc import Callable

from lth_ray.config import Metric as Judged
from lth_ray.lottery import BranchResult, Plan, measurements
from lth_ray.lottery.branches import controls
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.record.mlflow.runs import Metric, milliseconds

ODD = re.compile(r"[^\w.-]+")


class Controls:
    """The copies of each ticket's controls."""

    def __init__(self, plan: Plan) -> None:
        self._measured = (plan.study.data.metric.column("test"), "early_stop_step")
        self._copies: dict[tuple[str, int, str], list[BranchResult]] = defaultdict(list)
        of_controls = controls()
        for result in plan.branches:
            if result.path in of_controls:
                self._copies[result.lineage.id, result.round, result.label].append(result)

    def metrics(self, result: BranchResult, record_of: Callable[[str], SegmentRecord | None]) -> list[Metric]:
        """Return "test_accuracy.random_reinit" and such at step = round: the means over the copies that
        `result` is one of.

        There are none before all of them are there. Timestamps come from the records, so that what is sent
        twice coincides.
        """
        copies = self._copies.get((result.lineage.id, result.round, result.label), [])
        records = [record for record in (record_of(copy.key) for copy in copies) if record is not None]
        if not copies or len(records) < len(copies):
            return []
        moment = max(map(milliseconds, records)) + result.round
        found = []
        for name in self._measured:
            values = [value for value in (measurements(record)[name] for record in records) if value is not None]
            if values:
                found.append((control_metric(name, result.label), sum(values) / len(values), result.round, moment))
        return found


def control_metric(name: str, label: str) -> str:
    """Return what a lineage's run calls a control's measurement, in letters that MLflow takes."""
    return f"{name}.{ODD.sub('_', label)}"


def is_of_control(name: str, metric: Judged) -> bool:
    """Return whether a lineage's run has a control's measurement under this name."""
    return name.startswith((f"{metric.column('test')}.", "early_stop_step."))
