"""Ray Tune around the plan: the only place where trials are started."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray import tune

from lth_ray.config import ConfigError, Launch
from lth_ray.data import absolute
from lth_ray.lottery import Plan, StopRule, bundles
from lth_ray.running.home import check_home
from lth_ray.running.notices import Draining, a_board, last_checkpoints
from lth_ray.running.results import Ending
from lth_ray.running.scheduler import LineageScheduler
from lth_ray.running.settings import Settings
from lth_ray.running.showing import following
from lth_ray.running.signals import signals
from lth_ray.running.trial import trial
from lth_ray.running.watch import Interrupted, Watch
from lth_ray.running.workers import Workers
from lth_ray.store import Store

MAX_FAILURES = 5  # of a trial's process; errors of a study's own are reported, not retried
DRAINING_POLL_S = 2.0
HEARD_S = 10.0  # that the board may take to answer
OBJECT_STORE_BYTES = 100 * 2**20  # trials exchange keys, never tensors


def fit(plan: Plan, store: Store, launch: Launch, watch: Watch, scratch: Path) -> None:
    """Runs `plan.jobs` to their ends. Raises Interrupted on a signal and when the budget is spent."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune.execution.tune_controller").setLevel(logging.CRITICAL)  # tracebacks of lost processes
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # it lists what did not complete; so do we, with why
    workers = Workers.asked(launch)
    places = {data.called: absolute(data.called, launch.data_root) for data in plan.identities}
    with connected(launch, scratch):
        if launch.concurrent is None:
            workers.check_cluster(ray.cluster_resources())
        board = a_board()
        settings = Settings(
            store, places, workers, launch.checkpoint_every_s, launch.checkpoint_every_steps,
            str(scratch / "train"), board, _stop_rules(plan), plan.study.name,
        )  # fmt: skip
        scheduler = LineageScheduler(
            lambda: launch.concurrent or workers.slots(ray.cluster_resources()),
            plan.priorities, _stop_rules(plan), settings.cancelled, ahead=1,
        )  # fmt: skip
        configs = [{"jobs": [*bundle], "settings": settings} for bundle in bundles(plan.jobs, workers.gpu_type)]
        tuner = tune.Tuner(
            tune.with_resources(
                lambda config: trial(config["trial"]), lambda config: workers.placement(config["trial"]["jobs"][0])
            ),
            param_space={"trial": tune.grid_search(configs)},
            tune_config=tune.TuneConfig(scheduler=scheduler, reuse_actors=True),
            run_config=tune.RunConfig(
                name="run",
                storage_path=str(scratch / "tune"),
                callbacks=[Listener(watch, scheduler, launch, board)],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                verbose=0,
            ),
        )
        with signals(), following(watch.board, lambda: ray.get(board.at_work.remote(), timeout=HEARD_S)):
            try:
                tuner.fit()
            except (SystemExit, KeyboardInterrupt):  # Interrupted, or what Ray makes of one that is raised within it
                last_checkpoints(board)
                raise
        cancelled = settings.cancelled()
        for job in plan.jobs:
            if job.id in scheduler.endings:
                watch.on_end(job, scheduler.endings[job.id])
            elif any(task.key not in scheduler.done for task in job.tasks):
                is_asked = job.id in cancelled  # its trial ended before the scheduler looked
                reason = "it was cancelled" if is_asked else "Tune ended before it was done"
                watch.on_end(job, Ending(reason, failed=not is_asked))


def _held(launch: Launch) -> float:
    """GPUs, or without any cores, of a trial at work; later rounds with fewer workers are counted as the first."""
    return (launch.gpus_per_worker or launch.cpus_per_worker) * max(1, launch.workers)


@contextmanager
def connected(launch: Launch, scratch: Path) -> Iterator[None]:
    """Joins the cluster asked for, or the one this is a job of; else starts a Ray of its own.

    A bare ray.init() would join whatever cluster it finds on the machine. Raises ConfigError where none answers.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if ray.is_initialized():  # by the script that called `run`, whose Ray it stays
        yield
        return
    if launch.address or os.environ.get("RAY_JOB_ID") or os.environ.get("RAY_ADDRESS"):
        if launch.address:
            _check_address(launch.address)
        try:
            ray.init(address=launch.address or "auto", **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = repr(launch.address) if launch.address else "$RAY_ADDRESS"
            why = (str(error).splitlines() or [""])[0]
            raise ConfigError(f"--address {where}: no Ray cluster answers ({why}); start one or leave it out") from None
    else:
        check_home(launch)
        ray.init(
            address="local", num_cpus=launch.cpus, object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=launch.workers > 0,  # Ray Train asks it for the workers that a dead trial has left behind
            _temp_dir=str(scratch / "ray"), **quiet,
        )  # fmt: skip
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raises ConfigError where one cannot join: ray.init would try for minutes, and not say that a token is wrong."""
    from lth_ray.running.doctor.finding import PROBLEM
    from lth_ray.running.doctor.joining import admitted, form

    wrong = form(address)
    if wrong is None and address != "auto":
        wrong = admitted(address)[-1]
    if wrong is not None and wrong.result == PROBLEM:
        raise ConfigError(f"--address {address!r}: {wrong.found}; {wrong.remedy}")


def _stop_rules(plan: Plan) -> dict[str, StopRule]:
    """{key of a ticket's training: the rule that ends its lineage}; the mildest, of lineages that share a ticket."""
    found: dict[str, StopRule] = {}
    for lineage in plan.lineages:
        rule = lineage.stop_rule
        if rule is not None:
            found |= {r.segment.key: rule.milder(found.get(r.segment.key)) for r in lineage.rounds[1:]}
    return found


class Listener(tune.Callback):
    """Passes Tune's results on to the driver's watch."""

    def __init__(self, watch: Watch, scheduler: LineageScheduler, launch: Launch, board: Any) -> None:
        self.watch, self.scheduler = watch, scheduler
        self.jobs = {job.id: job for job in watch.results.plan.jobs}
        self.max_hours, self.held, self.on_gpus = launch.max_gpu_hours, _held(launch), launch.gpus_per_worker > 0
        self.board, self.draining, self.looked, self.endings = board, Draining(), 0.0, 0

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks into a snapshot, which is never restored from: the store is the state."""
        return {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        if not result.get("failed"):
            self.watch.on_task(self.scheduler.jobs[result["key"]], result)

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        for job_id in islice(self.scheduler.endings, self.endings, None):
            self.watch.on_end(self.jobs[job_id], self.scheduler.endings[job_id])
        self.endings = len(self.scheduler.endings)
        hours = self.scheduler.spent_s / 3600 * self.held
        if self.max_hours is not None and hours >= self.max_hours:
            kind = "GPU-hours" if self.on_gpus else "core-hours"
            self.watch.console.print(f"stopping: {hours:.3g} {kind} are spent of --max-gpu-hours {self.max_hours:g}")
            raise Interrupted(3)
        if time.monotonic() - self.looked > DRAINING_POLL_S:
            self.looked = time.monotonic()
            with suppress(Exception):  # the head may be away for a moment, and nothing hangs on this
                if self.draining.news():
                    self.board.give.remote()
