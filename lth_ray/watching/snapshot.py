"""A snapshot of a study at one moment: plain data that a terminal shows and a file in the storage carries."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lth_ray.config import ACCURACY, Metric

VERSION = 4  # of the file: what was written by another version is not read

# A letter a round.
DONE, REUSED, NOW, TO_COME, ENDED, CUT = "d", "r", "n", ".", "x", "c"
THERE = (DONE, REUSED, CUT)  # a ticket
ANOTHER_RUN = "another run"  # of the same storage, which is at it
SLOT = "a free slot"  # what waits for this alone could start at once
ROUND, COPY = re.compile(r"/round(\d+)/"), re.compile(r"-\d+$")


@dataclass(frozen=True)
class Work:
    """A training that goes on now, at `step` of the `steps` that it takes; a measurement takes none.

    kind: of its job ("dense", "lineage", "branch", "table" or "state").
    round: of a lineage's training, else None.
    steps_per_s: None where it has not been watched for long enough.
    """

    job: str
    kind: str
    round: int | None
    step: int
    steps: int
    steps_per_s: float | None = None

    @property
    def watched(self) -> bool:
        """True where its steps have been heard of: a training of a second is over before."""
        return self.steps > 0 and (self.step > 0 or self.steps_per_s is not None)

    @property
    def doing(self) -> str:
        """The share of it that is done, "training" before any of its steps was heard of, or "measuring"."""
        return f"{100 * self.share:.0f} %" if self.watched else "training" if self.steps else "measuring"

    @property
    def branch(self) -> str:
        """A branch or measurement in words, "random mask of round 4"; "" for other work."""
        found = ROUND.search(self.job) if self.kind in ("branch", "table") else None
        if found is None:
            return ""
        path = (COPY.sub("", part).replace("_", " ") for part in self.job[found.end() :].split("/"))
        return f"{', then '.join(path)} of round {found[1]}"

    @property
    def called(self) -> str:
        """The work in words, "k0/seed0: random mask of round 4", or the name of its job."""
        found = ROUND.search(self.job)
        return f"{self.job[: found.start()]}: {self.branch}" if found and self.branch else self.job

    @property
    def share(self) -> float:
        """The share of it that is done, in [0, 1]."""
        return min(1.0, self.step / self.steps) if self.steps else 0.0


@dataclass(frozen=True)
class Line:
    """A lineage.

    rounds: a letter a round, the dense one first: trained by this run, reused from the store, trained now,
        still to come, never to come, or a ticket whose mask cuts the network in two.
    remaining: by round, in [0, 1]; None where unknown.
    values: by round, of the metric on the test set; None where unknown.
    work: what it stands on or is at, or one of its branches where nothing else of it is.
    waits_for: SLOT, ANOTHER_RUN and which, or the job that must be done before it goes on; "" where it does not wait.
    ended: why it ended early.
    words: what they do, of a line that stands for several lineages.
    """

    lineage: str
    rounds: str
    remaining: tuple[float | None, ...]
    values: tuple[float | None, ...]
    work: Work | None = None
    waits_for: str = ""
    ended: str = ""
    words: str = ""

    @property
    def finished(self) -> bool:
        """True where nothing of it is left to do."""
        return NOW not in self.rounds and TO_COME not in self.rounds

    @property
    def last(self) -> int | None:
        """The last round that has a ticket."""
        there = [number for number, state in enumerate(self.rounds) if state in THERE]
        return there[-1] if there else None


@dataclass(frozen=True)
class Ended:
    """A job that ended early, for the same reason as `others` more."""

    job: str
    others: int
    reason: str

    def __str__(self) -> str:
        more = f" and {self.others:,} more" if self.others else ""
        return f"{self.job}{more}: {self.reason}"


@dataclass(frozen=True)
class Snapshot:
    """A study as a run of it sees it, or, where `run` is empty, as it lies in the store.

    began, at: the run's start and this moment, seconds since the epoch.
    over: the run has ended.
    unique_steps, naive_steps: of the whole study, with and without sharing.
    reused_steps: in the store before the run.
    steps_left: of the whole study.
    pieces_left: trainings and measurements that are not done.
    trainings, branches: (done, in all).
    dense_runs: their number.
    steps_per_s: of all trainings together.
    beside: work that is no lineage's own (dense runs and branches).
    ended: every reason why jobs ended early.
    last: the piece that was finished last.
    metric: what networks are judged by.
    hides_metric: where it would mean nothing.
    room: what waits for room in the cluster.
    stopping: why the run is being stopped, or was.
    """

    study: str
    run: str
    host: str
    pid: int
    began: float
    at: float
    over: bool
    unique_steps: int
    naive_steps: int
    reused_steps: int
    steps_left: int
    pieces_left: int
    trainings: tuple[int, int]
    branches: tuple[int, int]
    dense_runs: int
    lines: tuple[Line, ...]
    beside: tuple[Work, ...] = ()
    ended: tuple[Ended, ...] = ()
    steps_per_s: float | None = None
    seconds_left: float | None = None
    last: str = ""
    metric: Metric = ACCURACY
    hides_metric: bool = False
    room: tuple[str, ...] = ()
    stopping: str = ""

    @property
    def share(self) -> float:
        """The share of the study's steps that is done, in [0, 1]."""
        return max(0.0, 1 - self.steps_left / self.unique_steps) if self.unique_steps else 1.0

    @property
    def finished(self) -> int:
        """The lineages of which nothing is left to do."""
        return sum(line.finished for line in self.lines)

    @property
    def at_work(self) -> list[Work]:
        """Every training and measurement that goes on now, each once."""
        works = [*(line.work for line in self.lines if line.work is not None), *self.beside]
        return list(dict.fromkeys(works))


def to_record(snapshot: Snapshot) -> dict[str, Any]:
    """Return it as JSON; shares are rounded to what is shown."""
    fields = {**asdict(snapshot), "metric": snapshot.metric.document}
    return {"version": VERSION, **{name: _rounded(value) for name, value in fields.items()}}


def from_record(record: Mapping[str, Any] | None) -> Snapshot | None:
    """Return what `to_record` wrote; None for what another version wrote, or nothing."""
    if record is None or record.get("version") != VERSION:
        return None
    fields = {name: value for name, value in record.items() if name != "version"}
    own: dict[str, Any] = {name: tuple(fields[name]) for name in ("trainings", "branches", "room")}
    own["metric"] = Metric.read(fields["metric"])
    own["lines"] = tuple(_line(line) for line in fields["lines"])
    own["beside"] = tuple(Work(**work) for work in fields["beside"])
    own["ended"] = tuple(Ended(**ended) for ended in fields["ended"])
    return Snapshot(**{**fields, **own})


def _line(fields: Mapping[str, Any]) -> Line:
    columns = {name: tuple(fields[name]) for name in ("remaining", "values")}
    work = Work(**fields["work"]) if fields["work"] else None
    return Line(**{**fields, **columns, "work": work})


def _rounded(value: Any) -> Any:
    """Return numbers with five digits after the point: hundreds of lineages are to stay small."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def grouped(jobs: Iterable[tuple[str, str]]) -> tuple[Ended, ...]:
    """Return every reason once.

    jobs: (job, why it ended early).
    """
    named: dict[str, list[str]] = {}
    for job, reason in jobs:
        named.setdefault(reason, []).append(job)
    return tuple(Ended(names[0], len(names) - 1, reason) for reason, names in named.items())


def duration(seconds: float | None) -> str:
    """Return seconds in the form people read."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
