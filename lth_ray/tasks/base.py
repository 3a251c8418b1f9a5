"""The base of tasks: what the training loop, evaluation and planning ask of one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from lth_ray.config import ConfigError, Metric, TaskConfig, Train
from lth_ray.data import Identity
from lth_ray.tasks.own import checked, own_function

Batch = tuple[Tensor, ...]  # inputs first; the first axis of each tensor runs over the examples
Step = Callable[[Any, Any], tuple[Any, ...]]  # (network, batch) -> mean loss, metrics of the user's own
Loaded = Any  # a data set ready to train on, of the task's own kind
Config_ = TypeVar("Config_", bound=TaskConfig)


@dataclass(frozen=True)
class Evaluation:
    """The mean loss and metric over n units (images, rows, tokens).

    more: other numbers that curves show beside them, by name.
    """

    loss: float
    value: float
    n: int
    more: Mapping[str, float] = field(default_factory=dict)


class Stream(Protocol):
    """A source of the batches of a training.

    carried: what the last step has left for the next, see `carry_on`.
    """

    steps_per_epoch: int

    @property
    def carried(self) -> Mapping[str, Tensor]: ...

    def batch(self, step: int, model: torch.nn.Module | None = None) -> Batch:
        """Return this process's part of the global batch of the step-th step (from 0).

        model: with its present weights, for tasks whose batches depend on them.
        """

    def carry_on(self, carried: Mapping[str, Tensor]) -> None:
        """Take up what the last step left for the next, and keep it as `carried`.

        It is tensors [examples of this process's part, ...] in the order of the batch; empty for tasks that
        carry nothing. What is of another length for each example is filled up with zeros, beside its length.
        """

    def close(self) -> None:
        """End what helps to make batches; to be called once no more are needed."""


class Task(ABC, Generic[Config_]):
    """A kind of learning, and how it is judged, as `config` declares it. Holds no state of its own.

    Sums, not means, are what evaluation adds up, so that they can be added over batches and workers: `sums` of a batch
    are one float64 tensor, and `evaluation` turns their total into a mean loss and the metric. A metric that is made
    from no sums (mean average precision) has `kept` of a batch what it must know of each example; `judged` is given
    that of all examples, in their order.
    """

    carries: bool = False  # whether its steps leave something for the next
    searches: bool = False  # whether what networks say is searched for, in more calls than one

    def __init__(self, config: Config_) -> None:
        self.config = config

    @property
    def metric(self) -> Metric:
        """The metric that its networks are judged by."""
        return self.config.metric

    def check(self, train: Train) -> None:
        """Raise ConfigError for a recipe of training that it cannot follow."""

    @abstractmethod
    def identify(self, data_root: str | Path | None = None) -> Identity:
        """Return digest and sizes, without loading more than these need.

        Raise ConfigError for what is wrong with them.
        """

    @abstractmethod
    def load(self, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0) -> Loaded:
        """Return the examples, on `device` where they are kept in memory.

        loaders: processes that prepare batches.
        """

    @abstractmethod
    def stream(self, loaded: Loaded, order_seed: int, augmentation_seed: int, part: range | None = None) -> Stream:
        """Return training batches.

        part: the positions of each global batch that this process takes; None for all.
        """

    @abstractmethod
    def splits(self, loaded: Loaded) -> Mapping[str, Any]:
        """Return what training's evaluations measure: {"validation": ..., "test": ...}.

        The first is missing where none is held out.
        """

    def measured(self, split: Any) -> Any:
        """Return the examples of a split that evaluations measure: all of them."""
        return split

    @abstractmethod
    def examples(self, loaded: Loaded, split: Any, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """Yield every example of a process's share (rank, world) of a split once, in batches."""

    @abstractmethod
    def evidence(self, loaded: Loaded, order: int, number: int = 0) -> Batch:
        """Return training examples whose gradients a pruning criterion looks at, without augmentation.

        The number-th batch (inputs, targets, ...) in the order drawn by a seed.
        """

    @abstractmethod
    def loss(self, train: Train) -> Step:
        """Return the training loss of this task, as a function of a model and a batch.

        Where steps carry something on, it returns that as a third value: {name: [examples, ...]}, for `carry_on`.
        """

    def caller(self, model: Callable[..., Any]) -> Callable[[Batch], Any]:
        """Return what gives the network's outputs for batches of a split, in evaluation mode and in their order: of a
        network that carries a state from one to the next it keeps that; one that a batch takes many passes of (a game)
        it asks as often.
        """
        return lambda batch: model(batch[0])

    @abstractmethod
    def sums(self, outputs: Any, batch: Batch) -> Tensor:
        """Return float64 [k]: sums over a batch of what the metric is made from, the loss first, the number
        of units last.

        outputs: what the network gave for the batch's inputs, in evaluation mode.
        """

    def kept(self, outputs: Any, batch: Batch) -> Tensor | None:
        """Return what the metric has to know of each example by itself, float64 [examples, k], k the same for all
        batches of a split; None where sums are all it needs.
        """
        return None

    def judged(self, sums: Tensor, kept: Tensor) -> Evaluation:
        """Return the mean loss and the metric of summed `sums` and of what was `kept` of all examples."""
        raise NotImplementedError(f"{type(self).__name__} keeps something of each example, and does not judge by it")

    @abstractmethod
    def evaluation(self, sums: Tensor) -> Evaluation:
        """Return the mean loss and the metric of summed `sums`."""

    @abstractmethod
    def example(self, identity: Identity) -> tuple[Any, ...]:
        """Return what the network is called with for one example of zeros: to count operations, to trace, to
        export.
        """

    def examples_a_step(self, identity: Identity) -> int:
        """Return how many times its `example` a step's batch is, by which operations are counted."""
        return self.config.batch_size

    def classes(self, identity: Identity) -> int | None:
        """Return the number of classes that the targets int64 [B] of batches are of; None where they are none."""
        return None

    def chance(self, identity: Identity) -> float | None:
        """Return the metric of a network that has learnt nothing; None where that is not known."""
        return None

    def told(self, carried: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Return what the state that the whole batch carries tells of training so far, for its curves."""
        return {}

    def between(self, loaded: Loaded, ends: Iterable[torch.nn.Module]) -> Loaded:
        """Return the examples on which the networks between two trained ones are measured: those that there are,
        unless what a network is trained on comes from its own doing.

        ends: one after the other, each of use until the next.
        """
        return loaded

    def step(self, train: Train) -> Step:
        """Return what a training step computes: the study's own loss or step, else the task's loss."""
        own = train.loss if train.step is None else train.step
        if own is not None and self.carries:
            raise ConfigError(
                f"{own_function(train)}: {type(self.config).__name__} carries a state from step to step, which a loss "
                "of one's own would not pass on; leave it out"
            )
        return self.loss(train) if own is None else lambda model, batch: checked(train, own(model, batch))
