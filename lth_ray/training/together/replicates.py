"""Runs of one recipe trained together: their weights, batches and masks differ, their steps are taken as one.

Every parameter is stacked along a new first axis and the network is mapped over it (torch.func.vmap), so that a layer
of all of them is one batched product. The optimizer is an ordinary one over the stacked parameters: it works element by
element, so that each run's update is its own. A run's result is that of training it by itself up to rounding, and under
a backend of its own, "replicated". It does not depend on what the others are, nor on its place among them, but its last
bits may on their number.

That is for GPUs, where a small network's step is bound by its launches and the step of all is captured as one CUDA
graph. On a CPU the runs take their steps in turn (lth_ray.training.together.in_turn): there a stacked product's bits
may depend on the place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.func import stack_module_state, vmap

from lth_ray.models import functional
from lth_ray.store import Tensors
from lth_ray.tasks import Evaluation
from lth_ray.tasks.base import Batch, Loaded
from lth_ray.training.backends import REPLICATED
from lth_ray.training.clock import AT_A_TIME
from lth_ray.training.compiled.captured import Replay, captured, rate_on
from lth_ray.training.compiled.static_batches import Feed, feed
from lth_ray.training.loop import Run, set_rate
from lth_ray.training.loss import precision_context
from lth_ray.training.optimizers import begin_state, build_optimizer, mask_gradients
from lth_ray.training.together.in_turn import InTurn
from lth_ray.training.together.joint import JointStepper, stand_in
from lth_ray.training.together.replicable import check_alike, check_replicable, check_steps

Joint = TypeVar("Joint", bound=JointStepper)


@dataclass
class Replicates(JointStepper):
    """Runs in lockstep, made by `replicate`.

    From the first step on it is the stacked tensors that are trained; a run's own are written by `settle` and
    not read again.

    parameters, buffers: {name: [R, ...]} of all runs.
    kept: (parameter, its masks as floats).
    loss_sums: float64 [R]; each run's `loss_sum` is a part of it.
    replay: takes a step of all; None before the first.
    """

    runs: Sequence[Run]
    parameters: Tensors
    buffers: Tensors
    kept: list[tuple[Tensor, Tensor]]
    loss_sums: Tensor
    rate: Tensor
    optimizer: torch.optim.Optimizer
    pairs: list[tuple[Tensor, Tensor]] = field(init=False)  # (a run's own tensor, its part of a stacked one)
    feed: Feed = field(init=False)
    call: Callable[[Tensors, tuple[Tensor, ...]], Any] = field(init=False)
    replay: Replay | None = None
    name = REPLICATED

    def __post_init__(self) -> None:
        self.call = functional(self.runs[0].model)

    def advance(self, limit: int) -> int:
        self.replay = self.replay or self._begin()
        begun, taken = self.step, self.feed.begin(self.step, min(limit, AT_A_TIME))
        for number in range(taken):
            self.feed.place(number)
            self.rate.fill_(self.recipe.lr(begun + number))
            self.replay()
        return taken

    @torch.no_grad()
    def settle(self) -> None:
        if self.replay is None:
            return
        torch._foreach_copy_([own for own, _ in self.pairs], [part for _, part in self.pairs])
        for run in self.runs:
            if run.key:  # a stand-in has the optimizer of the run that left
                set_rate(run, run.step - 1)

    def close(self) -> None:
        if self.replay is not None:
            self.replay.end()
            self.replay = None

    def leave(self, run: Run) -> None:
        state = (value for values in run.optimizer.state.values() for value in values.values())
        own = {id(tensor) for tensor in (*run.model.state_dict(keep_vars=True).values(), *state)}
        self.pairs = [pair for pair in self.pairs if id(pair[0]) not in own]
        run.loss_sum = run.loss_sum.clone()
        self.runs = [stand_in(one) if one is run else one for one in self.runs]

    def take_step(self) -> None:
        """Take the step that is captured: one of every run."""
        losses = vmap(self._loss)(self.parameters, self.buffers, self.feed.batch())
        losses.sum().backward()  # no run's loss depends on another's weights
        mask_gradients(self.kept)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.loss_sums += losses.detach()

    @torch.no_grad()
    def evaluate(self, dataset: Loaded, split: Any) -> list[Evaluation]:
        model, task = self.runs[0].model, self.recipe.task
        batches = task.examples(dataset, split)
        model.eval()
        found = [vmap(self._sums, in_dims=(0, 0, None))(self.parameters, self.buffers, batch) for batch in batches]
        model.train()
        return [task.evaluation(own) for own in torch.stack(found).sum(0)]

    def finite(self) -> list[bool]:
        values = [parameter.detach().reshape(len(parameter), -1) for parameter in self.parameters.values()]
        weights = [value.isfinite().all(1) for value in values]
        found: list[bool] = torch.stack([self.loss_sums.isfinite(), *weights]).all(0).tolist()
        return found

    def _network(self, parameters: Tensors, buffers: Tensors) -> Callable[..., Any]:
        """Return one run's network, as a function of its inputs.

        Running statistics of batch norm are changed in place.
        """
        return lambda *inputs: whole(self.call(parameters | buffers, inputs))

    def _sums(self, parameters: Tensors, buffers: Tensors, batch: Batch) -> Tensor:
        with precision_context(self.recipe.train.precision, batch[0].device):
            return self.recipe.task.sums(self._network(parameters, buffers)(batch[0]), batch)

    def _loss(self, parameters: Tensors, buffers: Tensors, batch: Batch) -> Tensor:
        with precision_context(self.recipe.train.precision, batch[0].device):
            loss: Tensor = self.recipe.task.loss(self.recipe.train)(self._network(parameters, buffers), batch)[0]
            return loss

    def _begin(self) -> Replay:
        """Stack the optimizers' states and set up the first step."""
        self.pairs = []
        for name, stacked in (self.parameters | self.buffers).items():
            own = (run.model.state_dict(keep_vars=True)[name] for run in self.runs)
            self.pairs += zip(own, stacked.detach(), strict=True)
        for run in self.runs:
            begin_state(run.optimizer)
        for name, parameter in self.parameters.items():
            states = [run.optimizer.state.get(run.model.get_parameter(name), {}) for run in self.runs]
            check_steps(states)
            for key in states[0]:
                values = [state[key] for state in states]
                value = values[0].clone() if key == "step" else _laid_out(torch.stack(values))
                self.optimizer.state[parameter][key] = value
                self.pairs += zip(values, value.expand(len(values)) if key == "step" else value, strict=True)
        self.feed = feed([run.batches for run in self.runs], self.step)
        return captured(self.take_step, self.changed(), self.loss_sums.device)

    def changed(self) -> list[Tensor]:
        """Return all that a step changes."""
        moments = [value for state in self.optimizer.state.values() for value in state.values()]
        weights = [parameter.detach() for parameter in self.parameters.values()]
        return [*weights, *self.buffers.values(), *moments, self.loss_sums]


def whole(outputs: Any) -> Any:
    """Return a network's outputs in float32, where they are bfloat16: mapped over networks a loss is taken apart before
    autocast would do so, as it does for one network.
    """
    return outputs.float() if isinstance(outputs, Tensor) and outputs.dtype == torch.bfloat16 else outputs


def replicate(runs: Sequence[Run]) -> JointStepper:
    """Make runs of one recipe at one step ready to be trained together, in the way of their device.

    Errors: ConfigError where the runs differ in more than weights, masks, buffers and batches, or their recipe has
    what cannot be stacked.
    """
    return stack(runs) if runs[0].device.type == "cuda" else in_turn(runs)


def in_turn(runs: Sequence[Run]) -> InTurn:
    """Make runs ready as `replicate` does, to be trained in turn whatever the device."""
    _check(runs)
    return _begun(InTurn(runs))


def stack(runs: Sequence[Run]) -> Replicates:
    """Make runs ready as `replicate` does, to be trained as one whatever the device."""
    _check(runs)
    first, recipe = runs[0], runs[0].recipe
    stacked, buffers = stack_module_state([run.model for run in runs])
    parameters = {
        name: _laid_out(value.detach()).requires_grad_(value.requires_grad) for name, value in stacked.items()
    }
    loss_sums = torch.stack([run.loss_sum for run in runs])
    for run, part in zip(runs, loss_sums, strict=True):
        run.loss_sum = part
    rate = rate_on(first.device)
    masked = sorted({name for run in runs for name in run.mask or {}})
    kept = [(parameters[name], _laid_out(_masks(runs, name))) for name in masked]
    optimizer = build_optimizer(recipe.train, parameters.values(), rate)
    return _begun(Replicates(runs, parameters, buffers, kept, loss_sums, rate, optimizer))


def _check(runs: Sequence[Run]) -> None:
    """Let pass runs that may be trained together, with all that was trained of them so far in their models."""
    check_replicable(runs[0].recipe)
    check_alike(runs)
    for run in runs:
        run.stepper.settle()


def _begun(joint: Joint) -> Joint:
    """Put `joint` in the place of what took its runs' steps so far; return it."""
    for run in joint.runs:
        run.stepper = joint
        run.model.train()
    return joint


def _laid_out(stacked: Tensor) -> Tensor:
    """Return matrices [R, outputs, inputs] with the outputs side by side in memory.

    Products of all give their gradients so: the optimizer's kernels want both alike, and need no copy then.
    """
    return stacked.mT.contiguous().mT if stacked.dim() == 3 else stacked


def _masks(runs: Sequence[Run], name: str) -> Tensor:
    """Return the masks of one parameter, [R, ...]; ones where a run has none."""
    own = [(run.model.get_parameter(name).detach(), (run.mask or {}).get(name)) for run in runs]
    return torch.stack([torch.ones_like(p) if mask is None else mask.to(p) for p, mask in own])
