"""A study's MLflow record: an experiment, a run for each lineage, and nested runs for its tickets and branches.

Nothing is sent twice: a run that is finished is left alone, and one that was broken off is sent again whole; metrics of
the same value, step and timestamp coincide, so it does not matter where it stopped. Of any number of drivers that write
to one record, one at a time looks for a run and makes it where it is not there.
"""

import itertools
from dataclasses import replace
from typing import Any

from lth_ray.lottery import BranchResult, Costs, Lineage, Plan
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.record.mlflow import runs
from lth_ray.record.mlflow.barriers import Barriers
from lth_ray.record.mlflow.controls import Controls
from lth_ray.record.mlflow.database import prepared
from lth_ray.record.mlflow.destination import Destination, prepare_environment
from lth_ray.record.mlflow.experiment import READ, Identity, Run, find_experiment, read, runs_of
from lth_ray.record.mlflow.lineage_run import LineageRun
from lth_ray.record.mlflow.models import Models, new_model
from lth_ray.record.mlflow.provenance import made_by
from lth_ray.record.mlflow.recent import Records
from lth_ray.record.mlflow.rows import Rows
from lth_ray.record.mlflow.runs import Description, Metric
from lth_ray.record.mlflow.saved_views import SavedViews, Warn
from lth_ray.record.mlflow.sending import ByClient, Sender, log_batch, log_dataset, put_files
from lth_ray.record.mlflow.turns import Turns
from lth_ray.store import Store


class Tracking:
    """A writer to MLflow of what a plan's finished segments measured. For one thread of one process.

    Opening it reads the experiment's runs once; from then on one that is whole is found in a dict, by the
    tags that identify it and by its parent, because MLflow chooses run ids itself. Every method raises
    MLflow's errors.

    question: what the study asks.
    commit: of the code that asks it.
    warn: is told once where views cannot be written, and where a database file had to be made anew.
    thorough: all of such a file is read to see whether it is whole.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        where: Destination,
        question: str = "",
        commit: str = "",
        warn: Warn | None = None,
        thorough: bool = False,
    ) -> None:
        prepare_environment()
        prepared(where, warn, thorough)
        from mlflow.tracking import MlflowClient

        self._plan, self._store, self._commit = plan, store, commit
        self._cost, self._made_by = Costs(plan), made_by()
        self._client: Any = MlflowClient(tracking_uri=where.uri)
        self._experiment = find_experiment(self._client, plan.study.name, where, question, commit)
        self._rows = Rows.of(where.uri, self._experiment)
        self._sender: Sender = self._rows or ByClient(self._client)
        self._views = SavedViews(self._client, self._experiment, warn)
        self._models = Models(self._client, self._experiment, store)
        self._runs: dict[Identity, Run] = {}
        self._unanswered: set[Identity] = set()  # asked to be made, and MLflow may have done it
        self._names: set[str] = set()
        self._lineages: dict[str, LineageRun] = {}
        self._tickets: dict[tuple[str, int], str] = {}
        self._records = Records(store)
        self._beside: dict[str, dict[Metric, None]] = {}  # {run: what branches add to it}
        self._sent: dict[Identity, tuple[Run, int | None]] = {}  # branches that wait for that, with their ends
        self._barriers, self._controls = Barriers(plan), Controls(plan)
        self._turns = Turns(store, plan.study.name)
        with self._turns.next():  # whoever has one from now on makes us look again
            pass
        self._read_runs()

    def ticket(self, lineage: Lineage, number: int) -> bool:
        """Record a finished ticket; return False where that is done already. Raise UnfinishedError."""
        record = self._records.segment(lineage.rounds[number].segment.key)
        parent = self._lineage(lineage)
        parent.add(number, record)
        cost = self._cost.of_ticket(lineage, number, self._records.cost)
        run_id, is_new = self._send(runs.describe_ticket(lineage, number, record, cost), parent.id, record)
        self._views.ticket(lineage, number, record)
        self._tickets[lineage.id, number] = run_id
        return is_new

    def branch(self, result: BranchResult) -> bool:
        """Record a finished branch result, under its ticket's run; that goes first where it is not there yet.

        What it adds to the runs above is sent with that of others, by `flush`; then only it is whole.
        """
        record = self._records.finished(result.key)
        ticket = result.lineage.id, result.round
        if ticket not in self._tickets:
            self.ticket(result.lineage, result.round)
        description = runs.describe_branch(result, record, self._cost.of_branch(result, self._records.cost))
        parent = self._tickets[ticket]
        run, is_new = self._fill(description, parent)
        last = result.lineage.rounds[result.round].segment.last
        means = self._barriers.metrics(result, last, self._records.table)
        instability = self._barriers.instability(result, self._records.table)
        by_round = self._barriers.metrics(result, result.round, self._records.table)
        controls = self._controls.metrics(result, self._records.trained)
        if is_new:
            above = self._lineage(result.lineage).id
            for run_id, metrics in (parent, means + instability), (above, by_round + controls):
                self._beside.setdefault(run_id, {}).update(dict.fromkeys(metrics))
            self._sent[*description.identity, parent] = run, description.ended
        self._views.branch(result.lineage, result.round, means + instability + controls)
        return is_new

    def flush(self, last: bool = False) -> None:
        """Send what runs have gained since the last time by others, and what that gives to views.

        last: the views too, however long they take.
        """
        for lineage in self._lineages.values():
            lineage.flush([*self._beside.get(lineage.id, ())])
            self._beside.pop(lineage.id, None)
        for run_id, metrics in list(self._beside.items()):
            if metrics:
                self._sender.log(run_id, [*metrics], {})
            del self._beside[run_id]
        for identity, (run, ended) in list(self._sent.items()):
            self._finish(identity, run, ended)
            del self._sent[identity]
        self._views.write(last)

    def close(self, running: bool = False) -> None:
        """Settle the status of every lineage: FINISHED where its last round is there, else KILLED.

        running: somebody goes on with the study, whose unfinished lineages stay RUNNING.
        """
        try:
            self.flush(last=True)
            if not running:
                for run in self._lineages.values():
                    run.stop()
        finally:
            if self._rows is not None:
                self._rows.close()

    # ----------------------------------------------------------------------------------------------------------------

    def _read_runs(self) -> None:
        """Fill the dict of runs, and end those of lineages that the study has dropped since it was broken
        off.
        """
        asked = {runs.lineage_digest(lineage) for lineage in self._plan.lineages}
        every = self._rows.runs(READ) if self._rows else runs_of(self._client, self._experiment)
        for found in every:
            tags = found.tags
            self._names.add(found.name)
            if runs.DIGEST not in tags:
                continue
            identity, run = read(found)
            self._runs[identity] = run
            is_lineage, is_ours = tags.get(runs.KIND) == "lineage", tags.get(runs.STORAGE) == self._store.uri
            if is_lineage and is_ours and run.status == "RUNNING" and tags[runs.DIGEST] not in asked:
                self._sender.set_status(run.id, "KILLED")

    def _lineage(self, lineage: Lineage) -> LineageRun:
        if lineage.id not in self._lineages:
            dense = self._records.segment(lineage.dense.key)
            run, _ = self._fill(runs.describe_lineage(lineage, dense, self._store.uri), "")
            self._lineages[lineage.id] = LineageRun(self._sender, run.id, lineage, run.status, run.rounds)
        return self._lineages[lineage.id]

    def _send(self, description: Description, parent: str, ticket: SegmentRecord | None = None) -> tuple[str, bool]:
        """Return the id of a ticket's run, which is whole once it is FINISHED, and whether that is new.

        ticket: its record, as it has a model besides.
        """
        run, is_new = self._fill(description, parent, ticket)
        if is_new and not run.whole:
            self._finish((*description.identity, parent), run, description.ended)
        return run.id, is_new

    def _finish(self, identity: Identity, run: Run, ended: int | None) -> None:
        self._sender.set_status(run.id, "FINISHED", ended)
        self._runs[identity] = replace(run, whole=True, status="FINISHED")

    def _fill(self, description: Description, parent: str, ticket: SegmentRecord | None = None) -> tuple[Run, bool]:
        """Return the run of a description, and whether anything had to be sent for it."""
        identity = (*description.identity, parent)
        run = self._runs.get(identity)
        if run is not None and (run.whole or identity in self._sent):
            return run, False
        run, model, is_filled = self._begun(description, parent, ticket)
        self._runs[identity] = run
        if run.whole or is_filled:
            return run, is_filled
        model_id = model.model_id if model else None
        log_batch(self._client, run.id, description.metrics, description.params, {}, model_id, description.usage)
        put_files(self._client, run.id, run.artifacts, description.files)
        if description.dataset:
            log_dataset(self._client, run.id, description.dataset)
        if ticket:
            self._models.finish(model, ticket)
        return run, True

    def _begun(self, description: Description, parent: str, ticket: SegmentRecord | None) -> tuple[Run, Any, bool]:
        """Return the run of a description, looked for and made where it is not there, its model unless it is whole,
        and whether it was made with all that it holds.

        In a turn of its own, where both are looked for once more if another driver had one since ours were read,
        whether that one is known to be alive or not.
        """
        identity, has_model = (*description.identity, parent), ticket is not None
        while True:
            with self._turns.next() as turn:
                knows = turn.alone and identity not in self._unanswered
                run = self._runs.get(identity) if knows else self._search(identity)
                model = self._models.of_run(run.id) if run is not None and has_model and not run.whole else None
                if run is not None and (run.whole or model is not None or not has_model):
                    return run, model, False
                if not turn.surely():  # this process was stopped for so long that another may have taken its turn
                    continue
                self._unanswered.add(identity)
                is_filled = False
                if run is None:
                    description = replace(description, name=self._free(description.name))
                    written = self._written(description, parent, ticket)
                    run, is_filled = written or self._create(description, parent), written is not None
                    self._names.add(description.name)
                model = self._models.begin(description, run.id) if has_model and not is_filled else None
                self._unanswered.discard(identity)
                return run, model, is_filled

    def _search(self, identity: Identity) -> Run | None:
        tagged = f"tags.`{runs.DIGEST}` = '{identity[0]}'"
        found = map(read, runs_of(self._client, self._experiment, tagged))
        return next((run for known, run in found if known == identity), None)

    def _free(self, name: str) -> str:
        """Return `name`, with a number where a run of another key has it: what was trained again is told from
        what was.
        """
        numbered = (name if number == 1 else f"{name} ({number})" for number in itertools.count(1))
        return next(one for one in numbered if one not in self._names)

    def _written(self, description: Description, parent: str, ticket: SegmentRecord | None) -> Run | None:
        """Return a new run, written whole into MLflow's tables; None where the client is to make it.

        A ticket has an end by that; the others are added to.
        """
        if self._rows is None:
            return None
        model = new_model(self._store, description, ticket) if ticket else None
        return self._rows.add(description, self._tags(description, parent), "FINISHED" if ticket else "RUNNING", model)

    def _tags(self, description: Description, parent: str) -> dict[str, str]:
        own = {runs.PARENT: parent, runs.COMMIT: self._commit, **self._made_by}
        return description.tags | {key: value for key, value in own.items() if value}

    def _create(self, description: Description, parent: str) -> Run:
        tags = self._tags(description, parent)
        info = self._client.create_run(
            self._experiment, start_time=description.started, tags=tags, run_name=description.name
        ).info
        return Run(info.run_id, info.artifact_uri, False, info.status, "")
