"""The driver: Study -> plan -> trials under Ray Tune -> results."""

import os
import time
import uuid
from contextlib import nullcontext
from dataclasses import replace

from rich.console import Console

from lth_ray.config import Launch, Study, launched
from lth_ray.data.packed.shard_cache import settle_cache
from lth_ray.lottery import Plan, branch_rows, check_found, make_plan, priced, ticket_rows
from lth_ray.record import Shipper, write_tables
from lth_ray.running import history
from lth_ray.running.ledger import opened
from lth_ray.running.machine.home import check_home
from lth_ray.running.machine.scratch import Scratch
from lth_ray.running.machine.signals import Signals
from lth_ray.running.planning import check_workers
from lth_ray.running.results import Results
from lth_ray.running.watch import Halted, Watch
from lth_ray.store import StorageError, Store, live
from lth_ray.store.bundling import bundling
from lth_ray.watching.live_lines import left_at
from lth_ray.watching.progress import Board
from lth_ray.watching.showing import published, shown

CLOSING_S, CLOSING_IN_A_HURRY_S = 60.0, 10.0  # what MLflow's last writes may take

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no csv, json and tensorboard files for each trial
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune's own snapshot is never restored from: the store is
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a model's own function may read a file that lies where the study was started
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
}


def run(study: Study, launch: Launch | None = None, *, question: str = "", console: Console | None = None) -> Results:
    """Run what is left of a study and return its results.

    Raises ConfigError and StorageError before any work starts where something is wrong; a job that fails is
    named in Results.failures, and stops only what depends on it.

    question: what the study asks, for the record.
    """
    launch, console = launch or Launch(), console or Console(stderr=True)
    began = time.monotonic()
    plan, store = prepare(study, launch)
    results = Results(plan, store, opened(plan))

    def say(text: str) -> None:
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)

    for one in history.older_tickets(store, plan) if plan.jobs else ():
        say(str(one))
    history.clear_cancelled(store, plan.study.name)
    with (
        Scratch() as scratch,
        Signals(say, scratch.end) as signals,
        live(store, plan.study.name, uuid.uuid4().hex[:12]) as this,
    ):
        history.remember(store, plan, question)
        shipper = Shipper(
            plan,
            store,
            launch.tracking_uri,
            question=question,
            warn=lambda text: console.print(text, style="yellow", markup=False),
        )
        closing_s, board = CLOSING_S, Board(plan, this)
        try:
            if plan.jobs:
                with published(board, store), bundling(store):
                    _tune(results, launch, Watch(results, board, shipper, console), scratch, signals)
        except (SystemExit, KeyboardInterrupt):
            closing_s = CLOSING_IN_A_HURRY_S
            say(left_at(board.snapshot(over=True)))
            raise
        finally:
            shipper.close(closing_s)
            results.counts["seconds"] = round(time.monotonic() - began, 1)
    return _with_tables(results)


def prepare(study: Study, launch: Launch) -> tuple[Plan, Store]:
    """Return what there is to do, and where. What can be known to be wrong is found here, before Ray starts."""
    study = launched(study, launch)
    store = Store.open(launch.storage)
    history.check_same_study(store, study)
    plan = priced(make_plan(study, launch.data_root, store))
    check_found(plan.study, store)
    check_workers(plan, launch)
    if plan.jobs:
        check_home(launch)
    return plan, store


def _tune(results: Results, launch: Launch, watch: Watch, scratch: Scratch, signals: Signals) -> None:
    """Run the plan's jobs as trials of one Tuner; once more where a Ray of the run's own was lost."""
    os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
    settle_cache()
    from lth_ray.running.tuning import fit, has_own_ray

    for again in (True, False):
        try:
            with nullcontext() if launch.quiet else shown(watch.board, watch.console):
                fit(results.plan, results.store, launch, watch, scratch.folder, signals)
            return
        except Halted as halted:
            if not (again and halted.lost and has_own_ray(launch)):
                raise
            text = f"{halted.reason}; it is started again, once"
            watch.console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
        signals.halted = None
        scratch.end()


def _with_tables(results: Results) -> Results:
    plan, store = results.plan, results.store
    rows = ticket_rows(plan, store), branch_rows(plan, store)
    try:
        return replace(results, tables=write_tables(store, plan.study.name, *rows, plan.study.data.metric))
    except StorageError as error:  # what was trained is not lost by that
        results.failures["tables"] = str(error)
        return results
