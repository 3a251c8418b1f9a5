"""The metric that a network is judged by, as everything that shows or compares it needs to know it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """The one number by which networks of a task are compared, besides their loss.

    name: of its columns: test_NAME, validation_NAME, test_NAME_at_early_stop.
    better: "higher" or "lower".
    lowest, highest: the range of its values.
    scale, unit, decimals: how it is shown: value * scale, with so many decimals, in this unit.
    margin: of a matching verdict where a study states none, in the metric's own values; 0 where studies must
        state one.
    words: what it is called in a sentence and on an axis; its name by default.
    comparative: what a network is than another that it beats.
    logarithmic: whether its error, and so a barrier, is its logarithm.
    is_share: whether it is a share of the examples, so that none smaller than one of them can be told.
    signature: how it was computed, in the words and with the version of the library that did.
    """

    name: str
    better: str
    lowest: float = -math.inf
    highest: float = math.inf
    scale: float = 1.0
    unit: str = ""
    decimals: int = 3
    margin: float = 0.0
    words: str = ""
    comparative: str = ""
    is_share: bool = False
    logarithmic: bool = False
    signature: str = ""

    def column(self, split: str) -> str:
        """Return the column of its values on a split: "test" or "validation"."""
        return f"{split}_{self.name}"

    def judged(self, columns: Mapping[str, Any]) -> float | None:
        """Return what a network is judged by: its value on the validation set, else on the test set; None
        without both.
        """
        value = columns.get(self.column(self.judging([columns])))
        return None if value is None or not is_there(value) else float(value)

    def judging(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Return the split by which networks are judged: validation where all of `rows` have it, else test."""
        held_out = all(is_there(columns.get(self.column("validation"))) for columns in rows)
        return "validation" if held_out else "test"

    @property
    def at_early_stop(self) -> str:
        """The column of its test value at the step of least validation loss."""
        return f"{self.column('test')}_at_early_stop"

    def error(self, value: float) -> float:
        """Return `value` as an error, of which less is better: its distance from the best value where there
        is one.
        """
        if self.logarithmic:
            return math.log(value)
        if self.better == "lower":
            return value
        return self.highest - value if math.isfinite(self.highest) else -value

    def beats(self, value: float, other: float) -> bool:
        """Return whether `value` is better than `other`."""
        return value > other if self.better == "higher" else value < other

    @property
    def worse_side(self) -> str:
        """The side on which a worse value lies: "under" or "over"."""
        return "under" if self.better == "higher" else "over"

    def worst(self, values: Iterable[float | None]) -> float | None:
        """Return the worst of some values; None where one of them is missing, as of a loss that diverged."""
        found = list(values)
        measured = [value for value in found if value is not None]
        if not found or len(measured) < len(found):
            return None
        return min(measured) if self.better == "higher" else max(measured)

    def gain(self, value: float, other: float) -> float:
        """Return by how much `value` is better than `other`, in the metric's own values; negative where it is
        worse.
        """
        return value - other if self.better == "higher" else other - value

    def printed(self, value: float | None) -> str:
        """Return the value as it is printed, with its unit; "-" for none."""
        return "-" if value is None else f"{self.bare(value)}{self.unit and ' ' + self.unit}"

    def bare(self, value: float) -> str:
        """Return the value as it is printed where its unit is said elsewhere."""
        return f"{value * self.scale:.{self.decimals}f}"

    def difference(self, value: float, sign: bool = False) -> str:
        """Return a difference of two values as it is printed: of values in per cent in percentage points.

        sign: print a + as well.
        """
        rounded = round(self.scale * value, self.decimals) + 0.0  # no negative zero
        unit = f" {self.points}" if self.points else ""
        return f"{rounded:{'+' if sign and rounded else ''}.{self.decimals}f}{unit}"

    @property
    def points(self) -> str:
        """The unit of a difference."""
        return "pp" if self.unit == "%" else self.unit

    def brief(self, value: float | None) -> str:
        """Return the value in as few characters as will do; "-" for none."""
        return "-" if value is None else f"{value * self.scale:.{max(self.decimals - 1, 0)}f}{self.unit}"

    @property
    def document(self) -> dict[str, Any]:
        """Its fields as plain data for records, whose JSON has no infinity."""
        return {name: None if value in (math.inf, -math.inf) else value for name, value in asdict(self).items()}

    @classmethod
    def read(cls, document: Mapping[str, Any] | None) -> "Metric":
        """Return the metric of a record; accuracy for records older than other metrics."""
        if document is None:
            return ACCURACY
        known = {name: value for name, value in document.items() if value is not None and name in cls.__match_args__}
        return cls(**known)

    @property
    def called(self) -> str:
        """Its name in a sentence."""
        return self.words or self.name

    @property
    def title(self) -> str:
        """Its name on an axis: "accuracy (%)", "perplexity, lower is better"."""
        return self.with_unit(self.called) + (", lower is better" if self.better == "lower" else "")

    @property
    def barrier(self) -> str:
        """The name of a barrier of its error on an axis: "error barrier (%)", "barrier of the log-perplexity"."""
        return f"barrier of the log-{self.called}" if self.logarithmic else self.with_unit("error barrier")

    def with_unit(self, what: str) -> str:
        """Return `what` with the unit behind it, where there is one: "error barrier (%)"."""
        return what + (f" ({self.unit})" if self.unit else "")

    @property
    def beating(self) -> str:
        """The words for one that beats another: "more accurate", "of better R²"."""
        return self.comparative or f"of better {self.called}"


def is_there(value: Any) -> bool:
    """Return whether a value was measured: neither None nor NaN."""
    return value is not None and value == value


ACCURACY = Metric(
    "accuracy",
    "higher",
    0.0,
    1.0,
    scale=100.0,
    unit="%",
    decimals=2,
    margin=0.002,
    comparative="more accurate",
    is_share=True,
)
R2 = Metric("r2", "higher", highest=1.0, margin=0.01, words="R²")
RMSE = Metric("rmse", "lower", lowest=0.0, margin=0.01, words="root mean square error")
PERPLEXITY = Metric("perplexity", "lower", lowest=1.0, decimals=2, logarithmic=True)
RETURN = Metric("return", "higher", decimals=1, words="mean return", comparative="of higher return")
SCORE = Metric("return", "higher", decimals=3, words="mean score", comparative="of higher score")
