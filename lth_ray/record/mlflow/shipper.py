"""The shipper of finished tickets and branches to MLflow, a thread of the driver; training never waits for
it.

The record is what the store holds; MLflow is a view of it that may lag or be down. Only small ids are queued, and what
the thread could not ship, `replay` ships later, nothing twice.
"""

import logging
import queue
import threading
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from lth_ray.config import ConfigError
from lth_ray.lottery import BranchResult, Lineage, Plan
from lth_ray.record.mlflow.destination import Destination, destination
from lth_ray.record.mlflow.provenance import commit_of, script_folder
from lth_ray.record.mlflow.recent import UnfinishedError
from lth_ray.record.mlflow.tracking import Tracking
from lth_ray.store import Store, live_runs

Item = tuple[Lineage, int] | BranchResult
FLUSH_EVERY_S = 10.0  # how far a lineage's own run may lag behind its tickets
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 60.0  # before the next attempt at a server that is down
THREAD = "lth_ray-shipper"
OUTAGE = 2  # failures in a row that are not the fault of what was shipped


class RecordError(RuntimeError):
    """A record that MLflow does not take: it cannot be written to."""


class Shipper:
    """A thread with a queue of finished results; MLflow is imported, and its server first called, in the thread.

    tracking_uri: see `destination`. question: what the study asks, such as its script's docstring.
    catch_up: begin with what is finished in the store and not in MLflow yet.
    warn: is told once that MLflow cannot be written to, and at the end how much was left behind.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        tracking_uri: str | None = None,
        *,
        question: str = "",
        catch_up: bool = True,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.destination = destination(store.uri, tracking_uri)
        self._plan, self._store, self._question, self._catch_up = plan, store, question, catch_up
        self._results = results_by_key(plan)
        self._warn = warn or (lambda text: warnings.warn(text, stacklevel=3))
        self._warned = False
        self._counts = Counter(shipped=0, present=0)
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._waiting: list[Item] = []
        self._failed: list[Item] = []
        self._tracking: Tracking | None = None
        self._closing, self._giving_up = threading.Event(), threading.Event()
        self._flush_at = 0.0
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        self._thread.start()

    def ticket(self, lineage: Lineage, number: int) -> None:
        """Queue a finished ticket."""
        self._queue.put((lineage, number))

    def branch(self, result: BranchResult) -> None:
        """Queue a finished branch result."""
        self._queue.put(result)

    def segment(self, key: str) -> None:
        """Queue every ticket and branch result that the finished segment or table `key` gives."""
        for item in self._results.get(key, ()):
            self._queue.put(item)

    def close(self, timeout_s: float = 30.0) -> dict[str, int]:
        """Ship what is queued, waiting about `timeout_s` at most.

        Returns how many results were shipped, were present already, and were left behind.
        """
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout_s)
        self._giving_up.set()
        left = len(self._failed) + len(self._waiting) + self._queue.qsize()
        if self._thread.is_alive() or left:
            self._warn(
                f"{left or 'some'} results of {self._plan.study.name} are not in MLflow at {self.destination.uri} yet; "
                "they are safe in the store, and `lth-ray replay` ships them"
            )
        return {**self._counts, "left": left}

    # In the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        logging.getLogger("urllib3.connectionpool").addFilter(_is_others)
        wait_s = FIRST_WAIT_S
        if self._catch_up:
            self._attempt(lambda: self._waiting.extend(finished(self._plan, self._store)))
        while not self._closing.is_set():
            if self._ship():
                wait_s = FIRST_WAIT_S
                self._gather(FLUSH_EVERY_S)
            else:
                self._closing.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                self._gather(0)
        self._gather(0)
        self._waiting += self._failed
        self._failed = []
        if self._ship() and self._tracking is not None:
            self._attempt(self._tracking.close)

    def _gather(self, timeout_s: float) -> None:
        """Take over what is queued, waiting `timeout_s` for the first."""
        try:
            item = self._queue.get(timeout=timeout_s) if timeout_s else self._queue.get_nowait()
            while True:
                if item is not None:
                    self._waiting.append(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            return

    def _ship(self) -> bool:
        """Ship what is waiting; return False in an outage, when it goes on waiting."""
        succeeded, in_a_row = 0, 0
        while self._waiting and in_a_row < OUTAGE and not self._giving_up.is_set():
            item = self._waiting[0]
            if self._attempt(lambda item=item: self._record(item)):  # type: ignore[misc]
                succeeded, in_a_row = succeeded + 1, 0
            else:
                self._failed.append(item)
                in_a_row += 1
            self._waiting.pop(0)
        if in_a_row >= OUTAGE or (in_a_row and not succeeded):
            self._waiting, self._failed = self._failed + self._waiting, []
            return False
        return self._flush()

    def _flush(self) -> bool:
        if self._tracking is None or time.monotonic() < self._flush_at:
            return True
        self._flush_at = time.monotonic() + FLUSH_EVERY_S
        return self._attempt(self._tracking.flush)

    def _record(self, item: Item) -> None:
        if self._tracking is None:
            self._tracking = opened(self._plan, self._store, self.destination, self._question, self._warn)
            self._flush_at = time.monotonic() + FLUSH_EVERY_S
        self._counts["shipped" if send(self._tracking, item) else "present"] += 1

    def _attempt(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except UnfinishedError:  # a branch may be done before the ticket it hangs on: it is tried again
            return False
        except Exception as error:  # whatever is wrong with the recorder, it must not cost training anything
            if not self._warned:
                self._warned = True
                self._warn(f"{unreachable(self.destination, error)}; the study goes on, and it is tried again")
            return False
        return True


def _is_others(entry: logging.LogRecord) -> bool:
    """Keep urllib3 from telling of each attempt of the thread: the user is told once."""
    return entry.threadName != THREAD


def replay(
    plan: Plan, store: Store, tracking_uri: str | None = None, *, question: str = "", commit: str | None = None
) -> dict[str, int]:
    """Ship every finished result of a plan that is not in MLflow yet; again, it ships nothing.

    commit: of the script that declared it, "" where that is unknown; by default of the one that runs now.
    Returns how many were shipped, were present already, and failed (each with a warning).
    Raises RecordError where MLflow cannot be written to.
    """
    where = destination(store.uri, tracking_uri)
    counts, in_a_row = Counter(shipped=0, present=0, failed=0), 0
    try:
        tracking = opened(plan, store, where, question, thorough=True, commit=commit)
    except Exception as error:
        raise RecordError(unreachable(where, error)) from error
    flush_at = time.monotonic() + FLUSH_EVERY_S
    for item in finished(plan, store):
        try:
            counts["shipped" if send(tracking, item) else "present"] += 1
            if time.monotonic() > flush_at:  # what is killed then has little to send again
                tracking.flush()
                flush_at = time.monotonic() + FLUSH_EVERY_S
            in_a_row = 0
        except Exception as error:  # of one damaged record, or of the server
            counts["failed"] += 1
            in_a_row += 1
            if in_a_row > OUTAGE:
                raise RecordError(unreachable(where, error)) from error
            warnings.warn(f"not recorded: {error}", stacklevel=2)
    tracking.close(running=bool(live_runs(store, plan.study.name)))
    return dict(counts)


def opened(
    plan: Plan,
    store: Store,
    where: Destination,
    question: str,
    warn: Callable[[str], None] | None = None,
    thorough: bool = False,
    commit: str | None = None,
) -> Tracking:
    declared_by = commit_of(script_folder()) if commit is None else commit
    return Tracking(plan, store, where, question, declared_by, warn, thorough)


def send(tracking: Tracking, item: Item) -> bool:
    """Send an item; return whether it was new."""
    return tracking.branch(item) if isinstance(item, BranchResult) else tracking.ticket(*item)


def unreachable(where: Destination, error: Exception) -> str:
    if isinstance(error, ConfigError):
        return str(error)
    first_line = (str(error).splitlines() or [""])[0][:300]
    return f"MLflow at {where.uri} cannot be written to ({type(error).__name__}: {first_line})"


def results_by_key(plan: Plan) -> dict[str, list[Item]]:
    """Return {key: the tickets and branch results that this segment or table gives}, tickets before their
    branches.
    """
    found: dict[str, list[Item]] = defaultdict(list)
    for lineage in plan.lineages:
        for r in lineage.rounds:
            found[r.segment.key].append((lineage, r.number))
    for result in plan.branches:
        found[result.key].append(result)
    return found


def finished(plan: Plan, store: Store) -> Iterator[Item]:
    """Yield every result whose segment or table is in the store, tickets before branches."""
    there = (store.segments() | store.tables()) & plan.keys
    for key, items in results_by_key(plan).items():
        if key in there:
            yield from items


__all__ = ["RecordError", "Shipper", "finished", "replay"]
