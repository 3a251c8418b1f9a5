"""Whole training steps of a fully connected network by the compiled kernels, each of its layers dense or sparse.

A sparse layer keeps its surviving weights and their moments packed while it trains; after `settle` the model and the
optimizer hold what they would hold after eager training, up to rounding: the same bits whatever number of steps is
taken at a time.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.data import Batches, Normalisation, Split
from lth_ray.models.structure import chain, graph_of
from lth_ray.tasks import Evaluation
from lth_ray.tasks.base import Loaded
from lth_ray.training.backends import FUSED, SPARSE, backend_of
from lth_ray.training.clock import AT_A_TIME
from lth_ray.training.compiled.survivors import Survivors, survivors_of
from lth_ray.training.kernels import library
from lth_ray.training.loop import Run, evaluate_eagerly, seed_dropout
from lth_ray.training.optimizers import first_state
from lth_ray.training.stepper import Stepper
from lth_ray.training.supermask import Supermask

KINDS = {"sgd": 0, "adam": 1, "adamw": 2}
PAST_THE_END = 16  # the kernels read whole vectors, of so many numbers at most
MOST_DRAWN = 2**22  # numbers at a time


@dataclass
class Fused(Stepper):
    """The kernels' view of a run.

    dropouts: {number of a layer: the share of its inputs that is set to zero}.
    packed: of each layer, None where that is dense.
    states: the optimizer's, which are its own from the first `settle` on.
    used: tensors that the kernels alone refer to.
    pruned: (a bias with its moments, where the mask prunes it), of which the kernels know nothing: a step is taken at
        a time, and these are zeros again after it.
    """

    run: Run
    kernels: library.Kernels
    layers: "ctypes.Array[library.Layer]"
    dropouts: dict[int, float]
    packed: list[Survivors | None]
    states: dict[Tensor, dict[str, Tensor]]
    used: list[Tensor]
    pruned: list[tuple[list[Tensor], Tensor]]

    @property
    def name(self) -> str:
        return SPARSE if any(packed is not None for packed in self.packed) else FUSED

    def advance(self, limit: int) -> int:
        run, train = self.run, self.run.recipe.train
        images, rows = self._batches(min(limit, self._at_a_time()))
        taken, batch = rows.shape
        noise = self._draw(taken, batch)
        rates = torch.tensor([run.recipe.lr(run.step + i) for i in range(taken)], dtype=torch.float64)
        optimizer = library.Optimizer(
            KINDS[train.optimizer], train.nesterov, train.momentum, train.weight_decay, *train.betas, train.eps
        )
        loss_sum = self.kernels.train(
            self.layers,
            len(self.layers),
            optimizer,
            images,
            rows.data_ptr(),
            batch,
            taken,
            _updates(self.states),
            rates.data_ptr(),
            train.label_smoothing,
            float(run.loss_sum),
        )
        del noise
        for tensors, gone in self.pruned:
            for tensor in tensors:
                tensor.masked_fill_(gone, 0.0)
        run.loss_sum.fill_(loss_sum)
        for state in self.states.values():
            if "step" in state:
                state["step"] += taken
        return taken

    def _at_a_time(self) -> int:
        """Return the steps between two looks at the clock: fewer where they draw much."""
        drawn = self.run.recipe.data.batch_size * sum(self.layers[number].inputs for number in self.dropouts)
        return 1 if self.pruned else max(1, min(AT_A_TIME, MOST_DRAWN // max(drawn, 1)))

    def _draw(self, steps: int, batch: int) -> list[Tensor]:
        """Draw what the next steps' Dropout multiplies by, as autograd's would, and give its place to the layers."""
        like, drawn = next(self.run.model.parameters()), dict[int, Tensor]()
        for number, share in self.dropouts.items():
            size = steps * batch * self.layers[number].inputs + PAST_THE_END
            drawn[number] = like.new_full((size,), float(share < 1))
            self.layers[number].noise = drawn[number].data_ptr()
        draws = {number: share for number, share in self.dropouts.items() if 0 < share < 1}  # others draw nothing
        for step in range(steps if draws else 0):
            seed_dropout(self.run.dropout_seed, self.run.step + step, self.run.device)
            for number, share in draws.items():
                size = batch * self.layers[number].inputs
                drawn[number][step * size : (step + 1) * size].bernoulli_(1 - share)
        for number, share in draws.items():
            drawn[number].div_(1 - share)
        return list(drawn.values())

    def settle(self) -> None:
        for parameter, state in self.states.items():
            self.run.optimizer.state[parameter] = state
        for packed in self.packed:
            if packed is not None:
                packed.put_back()

    def _batches(self, number: int) -> tuple[library.Images, Tensor]:
        """Return images, and the places among them of the next steps' ones, int64 [steps, batch]; one where
        each is made.
        """
        batches = self.run.batches
        positions = batches.positions(self.run.step, number) if isinstance(batches, Batches) else None
        if positions is not None:
            assert isinstance(batches, Batches)
            return self._images(batches.split, batches.normalise), positions
        inputs, labels = batches.batch(self.run.step)
        inputs = inputs.to(next(self.run.model.parameters()).dtype).contiguous()
        self.used[:2] = inputs, labels
        images = library.Images(inputs.data_ptr(), None, None, 1, inputs[0].numel(), labels.data_ptr())
        return images, torch.arange(len(labels))[None]

    def _images(self, split: Split, normalise: Normalisation) -> library.Images:
        self.used[:2] = scale, shift = normalise.scale, normalise.shift
        channels, plane = split.images.shape[1], split.images[0, 0].numel()
        return library.Images(
            split.images.data_ptr(), scale.data_ptr(), shift.data_ptr(), channels, plane, split.labels.data_ptr()
        )

    def evaluate(self, dataset: Loaded, split: Any) -> list[Evaluation]:
        if not isinstance(split, Split) or split.turned:  # the kernels read images where and as they lie in memory
            return [evaluate_eagerly(self.run, dataset, split)]
        n, rows = len(split), torch.arange(len(split))
        loss, right = ctypes.c_double(), ctypes.c_int64()
        images = self._images(split, Normalisation(dataset.mean, dataset.std, split.white, self.run.device))
        done = self.kernels.evaluate(self.layers, len(self.layers), images, rows.data_ptr(), n, loss, right)
        if not done:
            raise MemoryError("there is no memory to evaluate the network in")
        return [Evaluation(loss.value / n, right.value / n, n)]


def fuse(run: Run) -> Fused | None:
    """Return the kernels' view of a run whose backend is "fused"; None for another, and where they are not to
    be had.
    """
    if backend_of(run.recipe, frozen=run.frozen, learned=isinstance(run.model, Supermask)) != FUSED:
        return None
    found = library.kernels(next(run.model.parameters()).dtype) if run.device.type == "cpu" else None
    if found is None:
        return None
    kept = {id(parameter): mask for parameter, mask in run.kept}
    links = chain(run.model, graph_of(run.model))
    if not links:
        return None
    linears: list[Any] = [run.model.get_submodule(link.path) for link in links]
    dropouts = {number: link.dropout for number, link in enumerate(links) if link.dropout is not None}
    layers = (library.Layer * len(linears))()
    packed, used = list[Survivors | None](), [torch.empty(0), torch.empty(0)]
    optimizer = run.optimizer
    parameters = [p for linear in linears for p in (linear.weight, linear.bias) if p is not None]
    states = {p: dict(optimizer.state.get(p) or first_state(optimizer, p)) for p in parameters}
    for number, linear in enumerate(linears):
        mask = kept.get(id(linear.weight))
        moments = _moments(states[linear.weight])
        bias = [] if linear.bias is None else [linear.bias, *_moments(states[linear.bias])]
        part = survivors_of(linear.weight, moments, mask) if mask is not None else None
        layers[number] = _layer(linear, moments, bias, mask, part)
        layers[number].activation = library.ACTIVATIONS.index(links[number].activation or "relu")
        packed.append(part)
    pruned = [
        ([linear.bias.detach(), *_moments(states[linear.bias])], kept[id(linear.bias)] == 0)
        for linear in linears
        if id(linear.bias) in kept and not kept[id(linear.bias)].all()
    ]
    return Fused(run, found, layers, dropouts, packed, states, used, pruned)


def _layer(
    linear: nn.Linear, moments: list[Tensor], bias: list[Tensor], mask: Tensor | None, packed: Survivors | None
) -> library.Layer:
    at = [tensor.data_ptr() for tensor in (linear.weight, *moments)]
    shape = [linear.in_features, linear.out_features, 0, 0]
    rest = [None if mask is None else mask.data_ptr(), None, None]
    if packed is not None:
        at = [tensor.data_ptr() for tensor in packed.values]
        shape = [linear.in_features, linear.out_features, packed.block, packed.blocks]
        rest = [None, packed.begins.data_ptr(), packed.columns.data_ptr()]
    weights: list[Any] = [*at, None, None][:3]
    biases: list[Any] = [*(tensor.data_ptr() for tensor in bias), None, None, None][:3]
    return library.Layer(*shape, *weights, *biases, *rest)


def _moments(state: dict[str, Tensor]) -> list[Tensor]:
    return [state[name] for name in ("momentum_buffer", "exp_avg", "exp_avg_sq") if name in state]


def _updates(states: dict[Tensor, dict[str, Tensor]]) -> int:
    """Return the steps that the optimizer has taken, which Adam corrects its moments by."""
    return next((int(state["step"]) for state in states.values() if "step" in state), 0)
