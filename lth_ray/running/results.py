"""The results of a study: tables, figures and comparisons of what is finished, and a ledger of a run's steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lth_ray.config import ConfigError, nearest
from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.record.report import long_tables, overview
from lth_ray.record.report.tables import Row, framed
from lth_ray.store import Store

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from lth_ray.record.figures.mask_distances import Distances


@dataclass(frozen=True)
class Ending:
    """The reason why a job ended before its last piece.

    failed: not so where that is a result of the study (its loss diverged, stop_below) or a user's wish (cancelled).
    """

    reason: str
    failed: bool = True


@dataclass(frozen=True, repr=False)
class Results:
    """A study's results as they are in the store now, complete or not: of `run`, or of `open` without running.

    failures: {job: why it failed}.
    ended: {job: why it ended early}, without there being anything wrong with the run.
    tables: the paths of the tables that the run has written, in the store.

    Each method reads the store anew. In a notebook the results show themselves as a table.
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
        return self._framed(ticket_rows(self.plan, self.store))

    def branches(self) -> "pandas.DataFrame":
        """Return a row a branch result: the columns of tickets() for its own training, branch, index, and its
        parameters.
        """
        return self._framed(branch_rows(self.plan, self.store))

    def curves(self) -> "pandas.DataFrame":
        """Return a row for each evaluation in a ticket's training.

        Its columns are those of tickets() that say whose it is, step, epoch, lr, and of the losses (means over
        examples) and the metric those that were measured.
        """
        return long_tables.curves(self.tickets(), self.store)

    def summary(self) -> "pandas.DataFrame":
        """Return a row for each kind of subnetwork and round: means over seeds, with n and 95 % t-intervals.

        Tickets have "" in the column branch. test_accuracy and early_stop_step stand with _min, _max and
        _half_width, that of the interval; seeds is n, and runs is more where a branch has copies.
        """
        return overview.summary_of(self.plan, self.store)

    def comparisons(self) -> "pandas.DataFrame":
        """Return a row for each kind of ticket and round, and what it is compared `against`: the dense network or a
        control.

        difference is that of the metric on the test set, paired by seed, with _half_width of its 95 % t-interval.
        The verdicts are in the columns matching, superiority and faster, with their p, corrected by Holm.
        """
        return overview.comparisons_of(self.plan, self.store)

    def mask_distances(self) -> "list[Distances]":
        """Return how far the masks of a dense training's epochs are from each other, an entry an arm with
        `EarlyBird`.
        """
        from lth_ray.record.report.looks import mask_distances

        return mask_distances(self.plan, self.store)

    def plot(self, figure: str = "", title: str | None = None, caption: str = "") -> "Figure":
        """Draw one of the report's figures of what is finished, as a matplotlib Figure.

        figure: "accuracy", or what else the study's networks are judged by, is also the default; "curves",
            "instability", "densities" and all others have the names of their files in the report.
        title: by default the study's name and what the figure shows.

        Raises ConfigError where there is no figure of that name, or nothing of it was measured.
        """
        from lth_ray.record.report.pictures import drawing, figure_names

        metric = self.plan.study.data.metric
        names = figure_names(metric)
        if (figure or metric.name) not in names:
            raise ConfigError(f"plot({figure!r}): there is no such figure; {nearest(figure, names)}")
        drawn = drawing(self.plan, self.store, figure or metric.name, title, caption)
        if drawn is None:
            raise ConfigError(
                f"plot({figure!r}): study {self.plan.study.name!r} has nothing finished that it would show"
            )
        return drawn

    def ledger(self) -> dict[str, Any]:
        """Return the ledger of one invocation: unique_steps and naive_steps of the whole study, and seconds.

        unique_steps are the sum of trained_steps (counted in the loop; restored_steps of them only made a
        lost state again, and are none of the study's), resumed_steps (in checkpoints), others_steps (trained
        by another run meanwhile), reused_steps (in the store before) and undone_steps. scoring_flops are those of
        the scores by which this run has found masks (SNIP, GraSP, synaptic flow). Results that were opened
        have run nothing, and theirs is empty.
        """
        return dict(self.counts)

    def __repr__(self) -> str:
        return "\n".join([f"Results of {self.plan.study.name!r} in {self.store.uri}", *self._facts()])

    def _repr_html_(self) -> str:
        return overview.in_html(self.plan, self.store, self._facts())

    def _facts(self) -> list[str]:
        said = [overview.finished(self.plan, self.store)]
        for what, endings in (("failed", self.failures), ("ended early", self.ended)):
            job = next(iter(endings), "")
            more = f" and {len(endings) - 1} more" if len(endings) > 1 else ""
            said += [f"{what}: {job}{more}: {endings[job]}"] if endings else []
        return said

    def _framed(self, rows: Sequence[Row]) -> "pandas.DataFrame":
        return framed(rows, self.plan.study.data.metric, storage=self.store.uri)
