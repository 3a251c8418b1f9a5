"""Training in plain processes: our loop and gloo, without Ray, a store or checkpoints; and when each step ended."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from lth_ray.lottery import Training
from lth_ray.lottery.execution.networks import build
from lth_ray.training import Clock, Start, Team, train_segment
from lth_ray.training.process import keep_memory


class Enough(Exception):
    """The benchmark has seen as many steps as it wants."""


class Stamping(Clock):
    """A clock that appends to `folder`/steps when each step ended, by the machine's monotonic clock, and ends training
    once `folder`/enough is there. Of a team the leader has a folder, the others None.
    """

    def __init__(self, folder: str | None, *clock: Any) -> None:
        super().__init__(*clock)
        self.folder = Path(folder) if folder else None
        self.steps = (self.folder / "steps").open("w", buffering=1) if self.folder else None

    def due(self, step: int) -> bool:
        if self.folder is not None and self.steps is not None:
            self.steps.write(f"{time.monotonic()}\n")
            if (self.folder / "enough").exists():
                raise Enough
        return super().due(step)


def start(size: int, training: Training, data_root: str | None, folder: Path) -> list[Any]:
    """Start so many processes that train `training` together until they are terminated."""
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_train, args=(rank, size, training, data_root, str(folder)), daemon=True)
        for rank in range(size)
    ]  # fmt: skip
    for process in processes:
        process.start()
    return processes


def _train(rank: int, size: int, training: Training, data_root: str | None, folder: str) -> None:
    keep_memory()  # as a worker of ours
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    segment = training.segment
    model = build(segment.recipe, seed=0)
    begin = Start(0, {name: value.clone() for name, value in model.state_dict().items()})
    dataset = segment.recipe.task.load(data_root)
    clock = Stamping(folder if rank == 0 else None)
    for _ in train_segment(
        training.key, segment.recipe, model, dataset, None, segment.seeds, begin, segment.last, clock=clock,
        team=Team.present(),
    ):  # fmt: skip
        pass
