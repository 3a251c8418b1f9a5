"""Ray Train around the one loop: a task that several workers do together."""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import ray
import torch
from ray import train
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

from lth_ray import data
from lth_ray.lottery import AnyTask, Outcome, carry_out
from lth_ray.running.settings import Settings
from lth_ray.training import Team, TeamBroken

# What Ray reads where a fit is started. Reports and ends are polled for, by default every 2 s.
ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "30",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
EXCHANGE_TIMEOUT_S = 600  # a worker may wait so long for the others: evaluation and decoding included
LOST_TOO_OFTEN = 5
LATER_S = 3.0  # between two attempts: until Ray has noticed what is gone


class Lost(RuntimeError):  # noqa: N818
    """Workers were lost again and again."""


def share(config: dict[str, Any]) -> Outcome:
    """What each worker does; Ray Train hands on what the first of them returns."""
    task, settings = config["task"], config["settings"]
    torch.set_num_threads(settings.workers.threads)
    device = get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    team = Team.present()
    dataset = data.load(task.recipe.data, settings.data_root, str(device), settings.workers.loaders)
    with settings.clock(f"{task.key}/{team.rank}" if team.leads else None) as clock:
        return carry_out(task, settings.store, dataset, str(device), clock, team)


def fit(task: AnyTask, settings: Settings, gpu_type: str | None) -> Outcome:
    """Does `task` by a team of workers; where some are lost, by a new one that goes on from the last checkpoint.

    Raises what a worker raised, and Lost.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    lost: list[Exception] = []
    while len(lost) < LOST_TOO_OFTEN:
        size = settings.workers.choose(task, ray.cluster_resources())
        try:
            outcome: Outcome = trainer(task, settings, size, gpu_type).fit().return_value
            return outcome
        except train.ControllerError as error:
            if not isinstance(error.controller_failure, WorkerGroupStartupTimeoutError):
                lost.append(error)  # else the cluster has no room for them now: they wait for it
        except train.WorkerGroupError as error:
            own = raised(error.worker_failures)
            if own is not None:
                raise own from error
            lost.append(error)
        time.sleep(LATER_S)
    raise Lost(f"workers were lost {LOST_TOO_OFTEN} times; the last time: {lost[-1]}")


def trainer(task: AnyTask, settings: Settings, size: int, gpu_type: str | None) -> TorchTrainer:
    """Ray Train's, without retries of its own: ours may go on with another number of workers."""
    workers = settings.workers
    return TorchTrainer(
        share,
        train_loop_config={"task": task, "settings": settings},
        torch_config=TorchConfig(timeout_s=EXCHANGE_TIMEOUT_S),
        scaling_config=train.ScalingConfig(
            num_workers=size, use_gpu=workers.gpus > 0, resources_per_worker=workers.resources,
            accelerator_type=gpu_type,
        ),
        run_config=train.RunConfig(
            name=task.key, storage_path=settings.scratch,
            failure_config=train.FailureConfig(max_failures=0, controller_failure_limit=0),
        ),
    )  # fmt: skip


def raised(failures: Mapping[int, Exception]) -> Exception | None:
    """What a worker's own work raised, as against the loss of a worker, which breaks the others' exchange."""
    for failure in failures.values():
        cause = getattr(failure, "_base_exc", failure)
        if not isinstance(cause, (TeamBroken, ray.exceptions.RayError)) and isinstance(cause, Exception):
            return cause
    return None
