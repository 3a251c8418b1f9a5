"""The results of a run: tables of tickets and branches, and a ledger of the steps."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.record.report.tables import framed
from lth_ray.store import Store

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Ending:
    """The reason why a job ended before its last piece.

    failed: not so where that is a result of the study (its loss diverged, stop_below) or a user's wish (cancelled).
    """

    reason: str
    failed: bool = True


@dataclass(frozen=True)
class Results:
    """A study's results as they are in the store now, complete or not.

    failures: {job: why it failed}.
    ended: {job: why it ended early}, without there being anything wrong with the run.
    tables: the paths of the tables that the run has written, in the store.
    """

    plan: Plan
    store: Store
    counts: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()

    def tickets(self) -> "pandas.DataFrame":
        """Return a row a ticket, as a pandas frame.

        Its columns are lineage, arm, each varied field, seed, rewind_step, round, remaining_weights,
        sparsity, test_accuracy, test_error, validation_accuracy, early_stop_step,
        test_accuracy_at_early_stop, train_steps, backend, key, content. Shares and accuracies lie in [0, 1];
        of another metric, such as R², the columns have its name, and `attrs["metric"]` of the frame says what
        it is. A value that was not measured is missing.
        """
        return framed(ticket_rows(self.plan, self.store), self.plan.study.data.metric)

    def branches(self) -> "pandas.DataFrame":
        """Return a row a branch result: the columns of tickets() for its own training, branch, index, and its
        parameters.
        """
        return framed(branch_rows(self.plan, self.store), self.plan.study.data.metric)

    def ledger(self) -> dict[str, Any]:
        """Return the ledger of one invocation: unique_steps and naive_steps of the whole study, and seconds.

        unique_steps are the sum of trained_steps (counted in the loop; restored_steps of them only made a
        lost state again, and are none of the study's), resumed_steps (in checkpoints), others_steps (trained
        by another run meanwhile), reused_steps (in the store before) and undone_steps. scoring_flops are those of
        the scores by which this run has found masks (SNIP, GraSP, synaptic flow).
        """
        return dict(self.counts)
