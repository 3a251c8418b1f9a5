"""The error barrier of a ticket: the mean over its pairs of copies, for the ticket's and the lineage's own runs."""

import re
from collections import defaultdict
from collections.abc import Callable

from lth_ray.lottery import BranchResult, Plan
from lth_ray.lottery.kept.records import TableRecord
from lth_ray.record.mlflow.runs import Metric, milliseconds

BRANCH, MEASURED = "barrier", ("lmc_error_barrier", "lmc_train_error_barrier")
INSTABILITY = "instability"


class Barriers:
    """The pairs of each ticket's barriers."""

    def __init__(self, plan: Plan) -> None:
        self._pairs: dict[tuple[str, int, str], list[BranchResult]] = defaultdict(list)
        self._labels: dict[tuple[str, int], set[str]] = defaultdict(set)
        self._spawned: dict[tuple[str, int, int | None], str] = {}
        for result in plan.branches:
            if result.path == BRANCH:
                if result.parameters.get("initialisations", "shared") == "shared":
                    place = result.lineage.id, result.round, result.parameters.get("spawn_step")
                    self._spawned.setdefault(place, result.label)
                self._pairs[result.lineage.id, result.round, result.label].append(result)
                self._labels[result.lineage.id, result.round].add(result.label)

    def metrics(self, result: BranchResult, step: int, record_of: Callable[[str], TableRecord | None]) -> list[Metric]:
        """Return the means over the pairs that `result` is one of, at `step`; none before all of them are
        measured.

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
        found = []
        for name in MEASURED:
            values = [value for record in records if (value := record.measurements[name]) is not None]
            if len(values) == len(records):
                found.append((f"{name}{suffix}", sum(values) / len(values), step, moment))
        return found

    def instability(self, result: BranchResult, record_of: Callable[[str], TableRecord | None]) -> list[Metric]:
        """Return the mean error barrier at the step where the copies parted, so that it can be drawn against
        k.

        That is an optimizer step as a ticket's others. Of several barriers from one step the study's first
        gives it.
        """
        step = result.parameters.get("spawn_step")
        if step is None or self._spawned.get((result.lineage.id, result.round, step)) != result.label:
            return []
        means = self.metrics(result, step, record_of)[:1]
        return [(INSTABILITY, value, step, moment) for _, value, step, moment in means]
