"""The end of a lineage before its last round: its loss diverged, or the study's stop_below ends it."""

from dataclasses import dataclass

from lth_ray.config import Metric
from lth_ray.lottery.kept.records import Record
from lth_ray.lottery.measurements import measurements


@dataclass(frozen=True)
class StopRule:
    """Study.stop_below: a lineage ends after the first pruned round whose metric is worse than `bound`."""

    bound: float
    metric: Metric

    def reason(self, judged: float | None) -> str | None:
        """Return why a lineage ends at this value; None where it goes on."""
        if judged is None or not self.metric.beats(self.bound, judged):
            return None
        return f"its {self.metric.called} {judged:.4f} is {self.metric.worse_side} stop_below = {self.bound}"

    def __str__(self) -> str:
        return f"its {self.metric.called} is worse than stop_below = {self.bound}"

    def milder(self, other: "StopRule | None") -> "StopRule":
        """Return that of two rules which ends less."""
        return self if other is None or self.metric.beats(other.bound, self.bound) else other


def ending(diverged_at: int | None, judged: float | None, rule: StopRule | None) -> str | None:
    """Return why a lineage ends with a training; None where it goes on.

    diverged_at: the step at which its loss was not finite any more, or None.
    judged: see `Metric.judged`.
    rule: of its round, see `Lineage.stop_rule`.
    """
    if diverged_at is not None:
        return f"its loss became NaN or infinite by step {diverged_at}"
    return rule.reason(judged) if rule else None


def ending_of(record: Record, rule: StopRule | None) -> str | None:
    """Return `ending` of a training's record."""
    judged = rule.metric.judged(measurements(record)) if rule else None
    return ending(record.diverged_at, judged, rule)
