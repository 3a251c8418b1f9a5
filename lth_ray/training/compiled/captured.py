"""Training steps of launch-bound networks as one CUDA graph, which is replayed once a step.

The kernels are those of `lth_ray.training.loop.Eager`, in its order, so that weights have the same bits as well:
what is saved is the time to launch them one by one. Hence capturing is no backend of its own. It is how a GPU carries
out "fused" of fully connected networks and "fused_norm" or "eager" of small convolutional ones; the device is in the
record's environment. `Train(backend="eager")` turns it off.
"""

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lth_ray.config import Data, block_bits
from lth_ray.models.structure import FULLY_CONNECTED
from lth_ray.tasks import Evaluation
from lth_ray.tasks.base import Loaded
from lth_ray.training.backends import UPDATES, backend_of
from lth_ray.training.clock import AT_A_TIME
from lth_ray.training.compiled.static_batches import Feed, feed
from lth_ray.training.loop import Run, evaluate_eagerly, network_loss, set_rate, update
from lth_ray.training.optimizers import begin_state, build_optimizer
from lth_ray.training.recipe import Recipe
from lth_ray.training.stepper import Stepper
from lth_ray.training.supermask import Supermask

LAUNCH_BOUND = re.compile(r"(lenet|conv|cifar_resnet|cifar_vgg)\d*(_\d+)*")  # lth_ray.models.families
REHEARSALS = 3  # of a step before it is captured, so that libraries have set themselves up (torch's notes on graphs)


def captures(recipe: Recipe) -> bool:
    """Return whether steps of this recipe may be captured: they are alike, wait for no device, draw nothing, and a
    batch is one group.
    """
    train, name = recipe.train, recipe.model.name
    images = type(recipe.data) is Data  # and no task of its kind, which may judge otherwise
    plain = images and train.loss is None and train.step is None and not train.compile and not train.sync_batch_norm
    small = isinstance(name, str) and LAUNCH_BOUND.fullmatch(name) is not None
    draws = bool(recipe.model.options.get("dropout")) or block_bits(train.precision) is not None
    once = train.average_from is None and train.sam_radius is None
    whole = recipe.group == recipe.data.batch_size and once
    alike = train.backend == "auto" and plain and whole and not draws and train.optimizer in UPDATES
    return alike and (small or (not isinstance(name, str) and recipe.structure == FULLY_CONNECTED))


def capture(run: Run) -> "Captured | None":
    """Return captured steps for a run on a GPU whose recipe allows them; None for another."""
    alone = run.team.size == 1 and not isinstance(run.model, Supermask)
    return Captured(run) if run.device.type == "cuda" and alone and captures(run.recipe) else None


@dataclass
class Captured(Stepper):
    """A run's steps over tensors that stay where they are; on a CPU the same steps are called, not captured.

    rate: the present step's, where the optimizer reads it.
    replay: takes a step; None before the first.
    """

    run: Run
    rate: Tensor = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    feed: Feed = field(init=False)
    replay: "Replay | None" = None

    def __post_init__(self) -> None:
        self.rate = rate_on(self.run.device)
        self.optimizer = build_optimizer(self.run.recipe.train, self.run.model.parameters(), self.rate)
        self.loss_of = network_loss(self.run)

    @property
    def name(self) -> str:
        return backend_of(self.run.recipe, frozen=self.run.frozen)

    def advance(self, limit: int) -> int:
        run = self.run
        self.replay = self.replay or self._begin()
        taken = self.feed.begin(run.step, min(limit, AT_A_TIME))
        for number in range(taken):
            self.feed.place(number)
            self.rate.fill_(run.recipe.lr(run.step + number))
            self.replay()
        return taken

    def settle(self) -> None:
        """Give the run's own optimizer the rate of its last step; weights and moments are the run's
        throughout.
        """
        if self.replay is not None:
            set_rate(self.run, self.run.step - 1)

    def close(self) -> None:
        if self.replay is not None:
            self.replay.end()
            self.replay = None

    def evaluate(self, dataset: Loaded, split: Any) -> list[Evaluation]:
        return [evaluate_eagerly(self.run, dataset, split)]

    def step(self) -> None:
        """Take the step that is captured."""
        loss, *_ = self.loss_of(tuple(tensor[0] for tensor in self.feed.batch()))
        loss.backward()
        update(self.run, self.optimizer)
        self.run.loss_sum += loss.detach()

    def _begin(self) -> "Replay":
        """Set up the first step, from where the run is now."""
        run = self.run
        begin_state(run.optimizer)
        self.optimizer.state.update(run.optimizer.state)  # the same tensors
        self.feed = feed([run.batches], run.step)
        moments = [value for state in run.optimizer.state.values() for value in state.values()]
        weights = [parameter.detach() for parameter in run.model.parameters()]
        return captured(self.step, [*weights, *run.model.buffers(), *moments, run.loss_sum], run.device)


def rate_on(device: torch.device) -> Tensor:
    """Return a learning rate for kernels to read: theirs take a float32."""
    return torch.zeros((), dtype=torch.float32 if device.type == "cuda" else torch.float64, device=device)


@dataclass
class Replay:
    """A step that is taken at each call. graph: of the step, on a GPU; `end` gives its memory back."""

    take: Callable[[], object]
    graph: Any = None

    def __call__(self) -> None:
        self.take()

    def end(self) -> None:
        if self.graph is not None:
            self.graph.reset()


def captured(step: Callable[[], None], state: Sequence[Tensor], device: torch.device) -> Replay:
    """Return what takes `step` again and again: on a GPU a graph of it, elsewhere itself.

    What the step reads and changes must stay where it is, and gradients be None before and after it, so that
    they live in the graph's own memory.

    state: all that it changes, which is left as it was.
    """
    if device.type != "cuda":
        return Replay(step)
    with torch.cuda.device(device), collected():
        main, side = torch.cuda.current_stream(), side_stream(device)
        side.wait_stream(main)
        with torch.cuda.stream(side):
            rehearse(step, state)
        main.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # a thread of the process may use the device meanwhile, such as one that stores a checkpoint
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            step()
    return Replay(graph.replay, graph)


@lru_cache(maxsize=64)
def side_stream(device: torch.device) -> Any:
    """Return the one stream on which steps are rehearsed and captured on a device.

    cuBLAS keeps a workspace for each stream and thread, which a new stream at each capture would add up. It is taken in
    the rehearsal, outside of every graph's memory, so that the end of one graph frees none that another one uses.
    """
    return torch.cuda.Stream(device)


@contextmanager
def collected() -> Iterator[None]:
    """Collect garbage now and not within the block: a run and its stepper know each other, and a graph or memory that
    is freed while another one is captured breaks that.
    """
    gc.collect()
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def rehearse(step: Callable[[], None], state: Sequence[Tensor], times: int = REHEARSALS) -> None:
    """Take `step` a few times and put back all of `state`, so that none of them counts."""
    began = [tensor.clone() for tensor in state]
    for _ in range(times):
        step()
    for tensor, before in zip(state, began, strict=True):
        tensor.copy_(before)
