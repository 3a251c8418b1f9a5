"""Training of the smaller network that a structured mask leaves, in the place of the masked one.

What is trained and measured is the network without the units that the mask removes whole (lth_ray.models.shrinking).
After `settle` the run's model and optimizer hold what they would hold after training under the mask, up to rounding, in
the whole network's coordinates: checkpoints, rewinding and pruning see nothing of the smaller one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth_ray.models import Shrinking, build_small, shrinking
from lth_ray.pruning import Mask
from lth_ray.tasks import Evaluation
from lth_ray.tasks.base import Loaded
from lth_ray.training.backends import SHRUNK, backend_of
from lth_ray.training.compiled.fused import fuse
from lth_ray.training.loop import Eager, Run
from lth_ray.training.optimizers import lay_out
from lth_ray.training.stepper import Stepper
from lth_ray.training.supermask import Supermask

REST = "rest"


@dataclass(frozen=True)
class Rest:
    """The weights of a parameter that are in no unit of the smaller network, and that the mask does not prune: columns
    that read removed units. They meet zeros, so that weight decay and momentum alone move them.

    places: in the flattened parameter, int64.
    values: what is there, a parameter of the smaller network's optimizer, whose gradient is zero.
    """

    places: Tensor
    values: nn.Parameter
    zeros: Tensor


@dataclass(frozen=True)
class Statistics:
    """The running statistics of removed units' channels, which fall to zero as their inputs are zeros.

    layer: the batch norm in the smaller network.
    values: {buffer: (places in it, what is there)}.
    """

    layer: Any
    values: Mapping[str, tuple[Tensor, Tensor]]

    def follow(self) -> None:
        """Take up one batch of zeros."""
        share = self.layer.momentum
        if share is None:
            share = 1 / float(self.layer.num_batches_tracked)
        for _, value in self.values.values():
            value.mul_(1 - share)


class Shrunk(Stepper):
    """Steps of the smaller network by whatever steps are taken of such a network."""

    def __init__(self, run: Run, how: Shrinking) -> None:
        self.run, self.how = run, how
        small = build_small(run.model, how, draws_as_whole=True)
        self.rest = _rests(run, how)
        if self.rest:
            small.add_module(REST, nn.ParameterList([one.values for one in self.rest.values()]))
        if run.recipe.train.channels_last:
            small.to(memory_format=torch.channels_last)
        mask = {name: how.small(name, keeps) for name, keeps in (run.mask or {}).items()}
        mask = {name: keeps for name, keeps in mask.items() if not keeps.all()}
        self.inner = Run(
            run.key, run.recipe, small, run.batches, run.dropout_seed, mask or None, run.step, team=run.team
        )
        self.inner.loss_sum = run.loss_sum
        self.statistics = _statistics(run.model, small, how)
        self._take_up()
        self.inner.stepper = _Resting(self.inner, self.rest) if self.rest else fuse(self.inner) or self.inner.stepper

    @property
    def name(self) -> str:
        return SHRUNK

    def advance(self, limit: int) -> int:
        self.inner.step = self.run.step
        self.inner.model.train()
        taken = self.inner.stepper.advance(limit)
        with torch.no_grad():
            for one in self.statistics * taken:
                one.follow()
        self.run.metrics = self.inner.metrics
        return taken

    @torch.no_grad()
    def settle(self) -> None:
        """Put everything back in its place in the whole network."""
        self.inner.stepper.settle()
        ours, optimizer = self.inner.optimizer, self.run.optimizer
        small = dict(self.inner.model.named_parameters())
        for name, parameter in self.run.model.named_parameters():
            self._put_back(name, small[name], parameter)
            if not (state := ours.state.get(small[name])):
                continue
            held = optimizer.state[parameter]
            for key, value in state.items():
                if isinstance(value, Tensor) and value.shape == small[name].shape:
                    held[key] = held[key] if key in held else torch.zeros_like(parameter, dtype=value.dtype)
                    self._put_back(name, value, held[key], key)
                else:
                    held[key] = value.clone() if isinstance(value, Tensor) else value
        buffers = dict(self.inner.model.named_buffers())
        for name, buffer in self.run.model.named_buffers():
            self.how.put_back(name, buffers[name], buffer)
        for path, one in zip(_norms(self.run.model, self.how), self.statistics, strict=True):
            for name, (places, value) in one.values.items():
                self.run.model.get_buffer(f"{path}.{name}")[places] = value
        for group, own in zip(optimizer.param_groups, ours.param_groups, strict=True):
            group["lr"] = own["lr"]

    def evaluate(self, dataset: Loaded, split: Any) -> list[Evaluation]:
        return self.inner.stepper.evaluate(dataset, split)

    def _put_back(self, name: str, small: Tensor, whole: Tensor, key: str | None = None) -> None:
        """Put a parameter, or its optimizer's `key`, back in its place."""
        self.how.put_back(name, small, whole)
        if name in self.rest:
            rest = self.rest[name]
            value = rest.values if key is None else self.inner.optimizer.state[rest.values][key]
            whole.view(-1)[rest.places] = value

    def _take_up(self) -> None:
        """Give the smaller network's optimizer what the run's holds of it."""
        small, ours = dict(self.inner.model.named_parameters()), self.inner.optimizer
        for name, parameter in self.run.model.named_parameters():
            state = self.run.optimizer.state.get(parameter, {})
            for key, value in state.items():
                of_weights = isinstance(value, Tensor) and value.shape == parameter.shape
                ours.state[small[name]][key] = self.how.small(name, value).clone() if of_weights else _copied(value)
                if name in self.rest:
                    rest = self.rest[name]
                    ours.state[rest.values][key] = value.view(-1)[rest.places] if of_weights else _copied(value)
        lay_out(ours)


class _Resting(Eager):
    """Steps by autograd, in which weights that read nothing but zeros have a gradient of zero."""

    def __init__(self, run: Run, rest: Mapping[str, Rest]) -> None:
        super().__init__(run)
        self.rest = rest

    def apply(self) -> None:
        for one in self.rest.values():
            one.values.grad = one.zeros
        super().apply()


def shrunk(run: Run, structured: bool = False) -> Shrunk | None:
    """Return what trains a smaller network in the place of a run's; None where the backend is another, and where the
    mask removes no unit whole.

    structured: the mask's rule removes whole units.
    """
    if run.mask is None:
        return None
    learned, changing = isinstance(run.model, Supermask), run.regrowth is not None
    state = {"frozen": run.frozen, "learned": learned, "changing": changing, "structured": structured}
    if backend_of(run.recipe, masked=True, **state) != SHRUNK:
        return None
    how = shrinking(run.model, run.mask, run.recipe.task.example(run.recipe.identity))
    return Shrunk(run, how) if how else None


def counted(run: Run, mask: Mask | None) -> Mask | None:
    """Return the mask by which a run's operations are counted: where a smaller network was trained, without what that
    has not, be it masked or not.
    """
    if not isinstance(run.stepper, Shrunk):
        return mask
    how, shapes = run.stepper.how, {name: parameter.shape for name, parameter in run.model.named_parameters()}
    stays = {name: how.stays(name, shapes[name]) for name in how.kept if name in shapes}
    return {**(mask or {}), **{name: here & (mask or {}).get(name, here).cpu() for name, here in stays.items()}}


def _rests(run: Run, how: Shrinking) -> dict[str, Rest]:
    found = {}
    for name, parameter in run.model.named_parameters():
        if name not in how.kept:
            continue
        out = ~how.stays(name, parameter.shape)
        if run.mask and name in run.mask:
            out &= run.mask[name].cpu()
        places = out.flatten().nonzero().flatten().to(parameter.device)
        if len(places):
            values = parameter.detach().reshape(-1)[places]
            found[name] = Rest(places, nn.Parameter(values), torch.zeros_like(values))
    return found


def _norms(model: nn.Module, how: Shrinking) -> list[str]:
    """List the batch norms that have lost channels."""
    layers = ((path, layer) for path, layer in model.named_modules() if isinstance(layer, _BatchNorm))
    return [path for path, layer in layers if layer.running_mean is not None and f"{path}.running_mean" in how.kept]


def _statistics(model: nn.Module, small: nn.Module, how: Shrinking) -> list[Statistics]:
    found = []
    for path in _norms(model, how):
        values = {}
        for name in ("running_mean", "running_var"):
            buffer = model.get_buffer(f"{path}.{name}")
            places = (~how.stays(f"{path}.{name}", buffer.shape)).nonzero().flatten().to(buffer.device)
            values[name] = places, buffer[places]
        found.append(Statistics(small.get_submodule(path), values))
    return found


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
