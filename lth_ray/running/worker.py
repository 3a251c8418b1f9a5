"""Ray Train around the one loop: pieces that several workers do together."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import takewhile
from typing import Any

import ray
import torch
from ray import train
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from lth_ray.lottery import Outcome, Piece, carry_out, stored
from lth_ray.running.machine.rooms import asked_by
from lth_ray.running.machine.unpublished import found_no_room
from lth_ray.running.settings import Settings
from lth_ray.running.trial import Failed, described
from lth_ray.store import Store
from lth_ray.training import Team, TeamBroken, accelerator
from lth_ray.training.process import keep_memory

# What Ray reads where a fit is started. Reports and ends are polled for, by default every 2 s.
ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
ROOM = (
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"  # how long workers wait for room before it is asked whether fewer will do
)
ROOM_S, ROOM_FOR_FEWER_S = "600", "30"
EXCHANGE_TIMEOUT_S = 600  # a worker may wait so long for the others: evaluation and decoding included
PUBLISHING_S = 3600  # and so long for the first one, while it reads and writes the storage for all
LOST_TOO_OFTEN = 5
LOST = train.TrainingFailedError, RayActorError, OutOfMemoryError  # the latter two where Ray Train's own process was
POLL_S = 0.2
LATER_S = 3.0  # between two attempts: until Ray has noticed what is gone


def share(config: dict[str, Any]) -> None:
    """Do a worker's share: the pieces in turn. The first worker posts what came of each on the run's notices."""
    settings: Settings = config["settings"]
    keep_memory()
    torch.set_num_threads(settings.workers.threads)
    device = get_device()
    accelerator.same_bits(device)
    accelerator.compile_by(settings.workers.threads)
    team = Team.present().patient(PUBLISHING_S)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    for piece in config["pieces"]:
        if team.by_leader(lambda key=piece.key: ray.get(settings.notices.failure.remote(key))) is not None:  # type: ignore[misc]
            return
        try:
            accelerator.check_there(settings.workers.gpus)
            outcome = _do(piece, settings, str(device), team)
        except TeamBroken:
            raise
        except Exception as error:  # Ray Train starts workers again whatever they raised: they are told to leave it
            if not accelerator.is_beyond_use(error):
                ray.get(settings.notices.fail.remote(piece.key, described(error)))
            raise
        if team.leads:
            ray.get(settings.notices.post.remote(piece.key, outcome))
        if settings.ends_after(piece.key, outcome.record):
            return


def _do(piece: Piece, settings: Settings, device: str, team: Team) -> Outcome:
    dataset = settings.dataset(piece.recipe, device)
    with settings.clock(piece.key if team.leads else None) as clock:
        return carry_out(piece, settings.store, dataset, device, clock, team)


def fit(pieces: Sequence[Piece], settings: Settings, gpu_type: str | None) -> Iterator[Outcome]:
    """Do `pieces` in turn by a team of workers; yield each outcome as soon as it is there. Raise Failed.

    Where workers are lost, it goes on by new ones from the last checkpoint.
    """
    room_s = ROOM_FOR_FEWER_S if settings.workers.least is not None else ROOM_S
    os.environ.update({name: os.environ.get(name, value) for name, value in (ENVIRONMENT | {ROOM: room_s}).items()})
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    left, lost, mark = list(pieces), 0, (0, 0)
    while left:
        found = stored(left[0], settings.store)  # a trial that is started again, or workers that were lost
        if found is not None:
            yield found
            left.pop(0)
            continue
        size = settings.workers.choose(left[0], ray.cluster_resources())
        settings.notices.need.remote(left[0].key, asked_by(size, settings.workers.resources))
        alike = list(takewhile(lambda piece: settings.workers.sizes(piece) == settings.workers.sizes(left[0]), left))
        try:
            for outcome in done_by(trainer(alike, settings, size, gpu_type), alike, settings):
                yield outcome
                left.pop(0)
            continue
        except LOST as error:
            no_room = found_no_room(getattr(error, "controller_failure", None))
            before, mark = mark, _reached(left, settings.store)
            lost = (lost if mark == before else 0) + (not no_room)  # which the cluster may have later
            if lost == LOST_TOO_OFTEN:
                raise Failed(f"workers were lost {lost} times on end; the last time: {error}") from error
        time.sleep(LATER_S)


def _reached(left: Sequence[Piece], store: Store) -> tuple[int, int]:
    """Return how far it is: (pieces left, step of the first one's checkpoint).

    Spot workers may be lost any number of times, so long as that changes between.
    """
    checkpoint = store.newest_checkpoint(left[0].key) if left else None
    return len(left), checkpoint.step if checkpoint else 0


def done_by(trainer: TorchTrainer, pieces: Sequence[Piece], settings: Settings) -> Iterator[Outcome]:
    """Yield what the trainer's workers have done of `pieces`, as it comes; raise what `trainer.fit` raises,
    and Failed.
    """
    notices = settings.notices
    with ThreadPoolExecutor(1) as pool:
        fitting = pool.submit(trainer.fit)
        for piece in pieces:
            outcome = None
            while outcome is None:
                ended = wait([fitting], POLL_S).done
                outcome = ray.get(notices.take.remote(piece.key))
                why = ray.get(notices.failure.remote(piece.key))
                if why is not None:
                    raise Failed(why)
                if outcome is None and ended:
                    fitting.result()
                    return
            yield outcome
        fitting.result()


def trainer(pieces: Sequence[Piece], settings: Settings, size: int, gpu_type: str | None) -> TorchTrainer:
    """Return Ray Train's trainer.

    It replaces lost workers by as many, in a few seconds; where fewer might do, that is left to us.
    """
    workers = settings.workers
    retries = 0 if workers.fewest(size) < size else LOST_TOO_OFTEN
    return TorchTrainer(
        share,
        train_loop_config={"pieces": pieces, "settings": settings},
        torch_config=TorchConfig(timeout_s=EXCHANGE_TIMEOUT_S),
        scaling_config=train.ScalingConfig(
            num_workers=size,
            use_gpu=workers.gpus > 0,
            resources_per_worker=workers.resources,
            accelerator_type=gpu_type,
        ),
        run_config=train.RunConfig(
            name=pieces[0].key,
            storage_path=settings.scratch,
            failure_config=train.FailureConfig(max_failures=retries, controller_failure_limit=0),
        ),
    )
