"""The run of a lineage: a point for each of its rounds, gathered and sent a few at a time."""

from collections.abc import Sequence

from lth_ray.lottery import Lineage
from lth_ray.lottery.kept.records import Record
from lth_ray.lottery.stop_rule import ending_of
from lth_ray.record.mlflow.runs import ROUNDS, Metric, ended, point
from lth_ray.record.mlflow.sending import Sender


class LineageRun:
    """The content of a lineage's run, and what it is still to be sent.

    recorded: its tag lth.rounds, "round=content ..." of the points that are there; set after the points are.
    """

    def __init__(self, sender: Sender, run_id: str, lineage: Lineage, status: str, recorded: str) -> None:
        self.id = run_id
        self._sender, self._lineage, self._status = sender, lineage, status
        self._rounds = {int(number): content for number, _, content in (r.partition("=") for r in recorded.split())}
        self._pending: list[Metric] = []
        self._last = lineage.prune.num_rounds
        self._ended_at = 0

    @property
    def is_complete(self) -> bool:
        """True where every round is there, up to the last or to the one that ends the lineage."""
        return all(number in self._rounds for number in range(self._last + 1))

    def add(self, number: int, record: Record) -> None:
        """Take up the point of round `number`, unless it is there."""
        if ending_of(record, self._lineage.stop_rule(number)) is not None:
            self._last = min(self._last, number)
        self._ended_at = max(self._ended_at, ended(record))
        content = record.content[:8]
        if self._rounds.get(number) != content:
            self._rounds[number] = content
            self._pending += point(record, number)

    def flush(self, beside: Sequence[Metric] = ()) -> None:
        """Send the new points and the status. What could not be sent is sent the next time.

        beside: what branches add, at rounds that may have been sent long ago.
        """
        if self._pending or beside:
            recorded = " ".join(f"{number}={content}" for number, content in sorted(self._rounds.items()))
            if not self.is_complete:
                self._set_status("RUNNING")
            self._sender.log(self.id, [*self._pending, *beside], {ROUNDS: recorded})
            self._pending = []
        if self.is_complete:
            self._set_status("FINISHED")

    def stop(self) -> None:
        """Note that nobody goes on with the lineage now."""
        if self._status == "RUNNING":
            self._set_status("KILLED")

    def _set_status(self, status: str) -> None:
        if status == self._status:
            return
        self._sender.set_status(self.id, status, self._ended_at or None)
        self._status = status
