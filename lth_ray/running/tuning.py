"""Ray Tune around the plan: the only place where trials are started."""

import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray import tune

from lth_ray.config import ConfigError, Launch
from lth_ray.data import absolute
from lth_ray.lottery import Plan, StopRule, make_trials
from lth_ray.running.elsewhere import Elsewhere
from lth_ray.running.machine.guard import Guard
from lth_ray.running.machine.home import check_home, private_token
from lth_ray.running.machine.rooms import Wait, asked_by
from lth_ray.running.machine.signals import Signals, kept
from lth_ray.running.machine.unpublished import any_port
from lth_ray.running.notices import Draining, last_checkpoints, made_here
from lth_ray.running.results import Ending
from lth_ray.running.scheduler import LineageScheduler
from lth_ray.running.settings import Settings
from lth_ray.running.trial import Given, trial
from lth_ray.running.watch import Halted, Interrupted, Watch
from lth_ray.running.workers import Workers
from lth_ray.store import Store
from lth_ray.store.claims import Claims
from lth_ray.watching.showing import following

SPENT = 3  # the exit code where --max-gpu-hours are
MAX_FAILURES = 5  # of a trial's process; errors of a study's own are reported, not retried
DRAINING_POLL_S = 2.0
HEARD_S = 10.0  # that the notices may take to answer
QUIET = {
    "ray": logging.ERROR,
    "ray.tune.execution.tune_controller": logging.CRITICAL,  # tracebacks of lost processes
    "ray.tune.tune": logging.CRITICAL,  # it lists what did not complete; so do we, with why
}
LOOPBACK = "127.0.0.1"  # of a Ray of one's own: nobody else has anything to do with it
OBJECT_STORE_BYTES = 100 * 2**20  # trials exchange keys, never tensors


def fit(plan: Plan, store: Store, launch: Launch, watch: Watch, scratch: Path, signals: Signals) -> None:
    """Run `plan.jobs` to their ends.

    Raises Interrupted on a signal and when the budget is spent, Halted where it cannot go on.
    """
    if not launch.verbose:
        for name, level in QUIET.items():
            logging.getLogger(name).setLevel(level)
    workers = Workers.asked(launch)
    places = {data.called: absolute(data.called, launch.data_root) for data in plan.identities}
    stall_s = 60 * launch.stall_after_min
    with ExitStack() as stack:
        guard = stack.enter_context(Guard(watch.board, signals, stall_s))
        stack.enter_context(connected(launch, scratch))
        if launch.concurrent is None:
            workers.check_cluster(ray.cluster_resources())
        notices = made_here()
        settings = Settings(
            store,
            places,
            workers,
            launch.checkpoint_every_s,
            launch.checkpoint_every_steps,
            str(scratch / "train"),
            notices,
            _stop_rules(plan),
            plan.study.name,
        )
        claims = Claims(store, watch.board.run) if watch.board.run else None
        if claims is not None:
            stack.callback(claims.give_all_back)
        scheduler = LineageScheduler(
            lambda: launch.concurrent or workers.slots(ray.cluster_resources()),
            plan.priorities,
            _stop_rules(plan),
            settings.cancelled,
            ahead=1,
            elsewhere=Elsewhere(claims, watch.board.on_elsewhere),
        )
        configs = [Given.of(trial, settings) for trial in make_trials(plan.jobs, workers.gpu_type)]
        tuner = tune.Tuner(
            tune.with_resources(
                lambda config: trial(config["trial"]), lambda config: workers.placement(config["trial"]["jobs"][0])
            ),
            param_space={"trial": tune.sample_from(InTurn(configs))},
            tune_config=tune.TuneConfig(scheduler=scheduler, reuse_actors=True, num_samples=len(configs)),
            run_config=tune.RunConfig(
                name="run",
                storage_path=str(scratch / "tune"),
                callbacks=[Listener(watch, scheduler, launch, notices)],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                progress_reporter=tune.CLIReporter(),  # says nothing; a notebook's would clear what its cell shows
                verbose=0,
            ),
        )
        guard.start(lambda: _needs(watch, scheduler, workers, notices))
        with following(watch.board, lambda within_s: ray.get(notices.at_work.remote(), timeout=within_s)):
            try:
                tuner.fit()
            except (SystemExit, KeyboardInterrupt) as error:  # Interrupted, or what Ray makes of one raised within it
                watch.board.on_stopping(_why(error, signals.halted))
                if signals.halted is None or not signals.halted.lost:
                    last_checkpoints(notices)
                if signals.halted is not None:
                    raise signals.halted from None
                raise
            finally:
                guard.rest()
        cancelled = settings.cancelled()
        for job in plan.jobs:
            if job.id in scheduler.endings:
                watch.on_end(job, scheduler.endings[job.id])
            elif any(piece.key not in scheduler.done for piece in job.pieces):
                is_asked = job.id in cancelled  # its trial ended before the scheduler looked
                reason = "it was cancelled" if is_asked else "Tune ended before it was done"
                watch.on_end(job, Ending(reason, failed=not is_asked))


def _why(error: BaseException, halted: Halted | None) -> str:
    """Return why a run is being stopped, in words."""
    if halted is not None:
        return halted.reason
    return "its --max-gpu-hours are spent" if getattr(error, "code", None) == SPENT else "interrupted"


def _needs(watch: Watch, scheduler: LineageScheduler, workers: Workers, notices: Any) -> dict[str, Wait]:
    """Return {job: the room that it has asked for and has not, and since when}."""
    producers, needs = watch.board.producers, ray.get(notices.needs.remote(), timeout=HEARD_S)
    found = {producers[key].id: Wait(*need) for key, need in needs.items()}
    if not workers.number:
        what = asked_by(1, workers.resources)
        found |= {job: Wait(what, time.time() - for_s) for job, for_s in scheduler.unplaced().items()}
    return found


def _held(launch: Launch) -> float:
    """Return the GPUs, or without any the cores, of a trial at work; later rounds with fewer workers count as
    the first.
    """
    return (launch.gpus_per_worker or launch.cpus_per_worker) * max(1, launch.workers)


def has_own_ray(launch: Launch) -> bool:
    """Return whether it starts a Ray, and does not join the cluster asked for, or the one that this is a job
    of.
    """
    return not (launch.address or os.environ.get("RAY_JOB_ID") or os.environ.get("RAY_ADDRESS"))


@contextmanager
def connected(launch: Launch, scratch: Path) -> Iterator[None]:
    """Join the cluster asked for, or the one this is a job of; else start a Ray of its own.

    A bare ray.init() would join whatever cluster it finds on the machine. Raises ConfigError where none answers.
    """
    level = logging.INFO if launch.verbose else logging.ERROR
    quiet: dict[str, Any] = {"log_to_driver": launch.verbose, "logging_level": level, "configure_logging": True}
    if ray.is_initialized():  # by the script that called `run`, whose Ray it stays
        yield
        return
    if not has_own_ray(launch):
        if launch.address:
            _check_address(launch.address)
        try:
            with kept():
                ray.init(address=launch.address or "auto", **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = repr(launch.address) if launch.address else "$RAY_ADDRESS"
            why = (str(error).splitlines() or [""])[0]
            raise ConfigError(f"--address {where}: no Ray cluster answers ({why}); start one or leave it out") from None
    else:
        check_home(launch)
        private_token()
        try:
            with kept(), any_port():
                ray.init(
                    address="local",
                    num_cpus=launch.cpus,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    _node_ip_address=LOOPBACK,
                    _temp_dir=str(scratch / "ray"),
                    **quiet,
                )
        except Exception as error:  # Ray gives its processes half a minute, which a busy machine may take
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise Halted(f"Ray did not start: {why}", lost=True) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise ConfigError where one cannot join: ray.init would try for minutes, and not say that a token is
    wrong.
    """
    from lth_ray.running.doctor.finding import PROBLEM
    from lth_ray.running.doctor.joining import admitted, form

    wrong = form(address)
    if wrong is None and address != "auto":
        wrong = admitted(address)[-1]
    if wrong is not None and wrong.result == PROBLEM:
        raise ConfigError(f"--address {address!r}: {wrong.found}; {wrong.remedy}")


def _stop_rules(plan: Plan) -> dict[str, StopRule]:
    """Return {key of a ticket's training: the rule that ends its lineage}; the mildest, of lineages that
    share a ticket.
    """
    found: dict[str, StopRule] = {}
    for lineage in plan.lineages:
        for r in lineage.rounds:
            rule = lineage.stop_rule(r.number)
            if rule is not None:
                found[r.segment.key] = rule.milder(found.get(r.segment.key))
    return found


class InTurn:
    """The configs of trials, one for each sample that Tune draws of them.

    Of a grid of them Tune copies all for each trial: of thousands that takes longer than short trainings do.
    """

    def __init__(self, configs: Iterable[Given]) -> None:
        self._left = iter(configs)

    def __call__(self, config: object) -> Given:
        return next(self._left)

    def __deepcopy__(self, _: object) -> "InTurn":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return none of them: Tune pickles its search space into a snapshot, which is never restored from."""
        return InTurn, ((),)


class Listener(tune.Callback):
    """A callback that passes Tune's results on to the driver's watch."""

    def __init__(self, watch: Watch, scheduler: LineageScheduler, launch: Launch, notices: Any) -> None:
        self.watch, self.scheduler = watch, scheduler
        self.jobs = {job.id: job for job in watch.results.plan.jobs}
        self.max_hours, self.held, self.on_gpus = launch.max_gpu_hours, _held(launch), launch.gpus_per_worker > 0
        self.notices, self.draining, self.looked, self.endings = notices, Draining(), 0.0, 0

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its callbacks into a snapshot, which is never restored from; the store
        is the state.
        """
        return {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        if not result.get("failed"):
            self.watch.on_piece(self.scheduler.jobs[result["key"]], result)

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        for job_id in islice(self.scheduler.endings, self.endings, None):
            self.watch.on_end(self.jobs[job_id], self.scheduler.endings[job_id])
        self.endings = len(self.scheduler.endings)
        hours = self.scheduler.spent_s / 3600 * self.held
        if self.max_hours is not None and hours >= self.max_hours:
            kind = "GPU-hours" if self.on_gpus else "core-hours"
            self.watch.console.print(f"stopping: {hours:.3g} {kind} are spent of --max-gpu-hours {self.max_hours:g}")
            raise Interrupted(SPENT)
        if time.monotonic() - self.looked > DRAINING_POLL_S:
            self.looked = time.monotonic()
            with suppress(Exception):  # the head may be away for a moment, and nothing hangs on this
                if self.draining.news():
                    self.notices.give.remote()
