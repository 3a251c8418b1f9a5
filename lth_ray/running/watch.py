"""The driver's watch, which acts as results arrive."""

from typing import Any

from rich.console import Console

from lth_ray.lottery import Job
from lth_ray.record import Shipper
from lth_ray.running.ledger import enter
from lth_ray.running.results import Ending, Results
from lth_ray.watching.progress import Board

HALTED = 5  # the exit code of a run that could not go on


class Interrupted(SystemExit):
    """An interruption: Ctrl-C or SIGTERM arrived, or the budget is spent; what is in the store stays."""


class Halted(Interrupted):
    """An end of a run that cannot go on, for `reason`.

    lost: its Ray is gone.
    """

    def __init__(self, reason: str, lost: bool = False) -> None:
        super().__init__(HALTED)
        self.reason, self.lost = reason, lost


class Watch:
    """The driver's acts as results arrive: progress, the record, the ledger. It never decides anything."""

    def __init__(self, results: Results, board: Board, shipper: Shipper, console: Console) -> None:
        self.results, self.board, self.shipper, self.console = results, board, shipper, console
        self.seen: set[str] = set()

    def on_piece(self, job: Job, result: dict[str, Any]) -> None:
        """Take in a piece that is in the store (or was already, where a lost report is given again)."""
        if result["key"] in self.seen:
            return
        self.seen.add(result["key"])
        enter(self.results.counts, self.results.plan, result)
        self.board.on_piece(job, result)
        self.shipper.segment(result["key"])

    def on_end(self, job: Job, ending: Ending) -> None:
        """Take in a job that ended before its last piece; to be told again is fine."""
        (self.results.failures if ending.failed else self.results.ended)[job.id] = ending.reason
        self.board.on_end(job, ending.reason)
