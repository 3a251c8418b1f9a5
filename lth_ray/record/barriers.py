"""The error barrier of a ticket: the mean over its pairs of copies, for the ticket's and the lineage's own runs."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from lth_ray.lottery import BranchResult, Plan
from lth_ray.record.runs import Metric, milliseconds

Record = Mapping[str, Any]
BRANCH, MEASURED = "barrier", ("lmc_error_barrier", "lmc_train_error_barrier")


class Barriers:
    """The pairs of each ticket's barriers."""

    def __init__(self, plan: Plan) -> None:
        self._pairs: dict[tuple[str, int, str], list[BranchResult]] = defaultdict(list)
        self._labels: dict[tuple[str, int], set[str]] = defaultdict(set)
        for result in plan.branches:
            if result.path == BRANCH:
                self._pairs[result.lineage.id, result.round, result.label].append(result)
                self._labels[result.lineage.id, result.round].add(result.label)

    def metrics(self, result: BranchResult, step: int, record_of: Callable[[str], Record | None]) -> list[Metric]:
        """The means over the pairs that `result` is one of, at `step`; none before all of them are measured.

        Where a ticket has several barriers, their names carry what tells them apart.
        Timestamps come from the records, so that what is sent twice coincides.
        """
        pairs = self._pairs.get((result.lineage.id, result.round, result.label), [])
        records = [record for record in (record_of(pair.key) for pair in pairs) if record is not None]
        if not pairs or len(records) < len(pairs):
            return []
        alone = len(self._labels[result.lineage.id, result.round]) == 1
        suffix = (
            "" if alone else re.sub(r"[^\w.-]+", "_", result.label.removeprefix(BRANCH))
        )  # what MLflow takes in a metric's name
        moment = max(milliseconds(record) for record in records)
        return [
            (f"{name}{suffix}", sum(record["measurements"][name] for record in records) / len(records), step, moment)
            for name in MEASURED
        ]
