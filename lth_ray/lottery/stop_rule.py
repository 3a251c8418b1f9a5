"""Study.stop_below: a lineage ends after the first pruned round that is worse than a bound."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lth_ray.config import Metric
from lth_ray.lottery.measurements import measurements


@dataclass(frozen=True)
class StopRule:
    """A rule that ends a lineage whose metric (validation, else test, at the last step) is worse than
    `bound`.
    """

    bound: float
    metric: Metric

    def ends(self, record: Mapping[str, Any]) -> bool:
        """Return whether a lineage ends at the record of one of its pruned rounds."""
        return self.reason(self.metric.judged(measurements(record))) is not None

    def reason(self, judged: float | None) -> str | None:
        """Return why a lineage ends at this value; None where it goes on."""
        if judged is None or not self.metric.beats(self.bound, judged):
            return None
        return f"its {self.metric.called} {judged:.4f} is {self.metric.worse_side} stop_below = {self.bound}"

    def milder(self, other: "StopRule | None") -> "StopRule":
        """Return of two rules the one that ends less."""
        return self if other is None or self.metric.beats(other.bound, self.bound) else other
