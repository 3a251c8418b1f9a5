"""A whole figure: LeNet-300-100 on MNIST's sizes, every arm of studies/lenet_mnist.py, in core-seconds a lineage.

Ours is the study's own plan carried out in this process: training, an evaluation of 5,000 + 10,000 images every 100
steps, pruning, states, masks and records in a store. Beside it the same trainings, one after another, by the plain
eager step of benchmarks.lenet_step, with the same evaluations from resident float images, pruning by magnitude, and
nothing stored. The two take turns, a training each. Shortened: fewer steps, and rounds that prune three times as much
each, so that they span the densities of the paper's 24.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from benchmarks.ceiling import ceiling
from benchmarks.lenet_step import (
    BATCH,
    N_TEST,
    N_VALIDATION,
    RATE,
    Eager,
    floats,
    forward_flop,
    random_images,
    step_flop,
)  # fmt: skip
from benchmarks.timing import Entry, Paired, speed_up
from lth_ray import models, pruning
from lth_ray.config import Data, Model, Prune, RandomMask, RandomReinit, Study, Train, steps
from lth_ray.data import Dataset, Identity, Split
from lth_ray.lottery import Plan, carry_out, make_plan
from lth_ray.pruning import Mask
from lth_ray.store import Store

TARGET = 3.0  # times the eager figure's speed
EVERY, ROUNDS = 100, 8
PAIRS_A_STEP = 2  # 100 steps a training at 200 pairs
Labelled = tuple[torch.Tensor, torch.Tensor]  # images as normalised floats, and labels
FRACTION = {"fc*.weight": 1 - 0.8**3, "output.weight": 1 - 0.9**3}


@dataclass(frozen=True)
class Trained:
    """One training. kept: its share of the network's weights. ours_s, eager_s: processor seconds."""

    kept: float
    num_steps: int
    ours_s: float
    eager_s: float

    @property
    def flop(self) -> float:
        """Of its surviving weights, in training and in evaluation."""
        evaluated = forward_flop(N_VALIDATION + N_TEST) * -(-self.num_steps // EVERY)
        return self.kept * (self.num_steps * step_flop(BATCH) + evaluated)


def entries(pairs: int = 200) -> list[Entry]:
    """Measure the figure's cost by ours and eagerly."""
    torch.set_num_threads(1)
    num_steps = max(EVERY, pairs // PAIRS_A_STEP // EVERY * EVERY)
    dataset = random_images(N_VALIDATION)
    study = figure(num_steps, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(folder)
        plan = planned(study, dataset, store)
        trained = list(in_turns(plan, store, dataset))
    return [line(trained, len(plan.lineages))]


def figure(num_steps: int, rounds: int) -> Study:
    """Return the study, shortened, and with a tiny learning rate since the images are random."""
    reinitialised = RandomReinit(copies=3)
    return Study(
        "whole-figure",
        model=Model("lenet_300_100", init="glorot"),
        data=Data("mnist", batch_size=BATCH, validation=N_VALIDATION),
        train=Train(steps(num_steps), optimizer="adam", lr=RATE, evaluate_every=steps(EVERY)),
        prune=Prune("magnitude", scope="layer", fraction=FRACTION, rounds=rounds),
        rewind=[steps(0)],
        seeds=[0],
        arms={
            "iterative": {"branches": [reinitialised, RandomMask()]},
            "one_shot": {"prune.one_shot": True, "branches": [reinitialised]},
        },
    )


def planned(study: Study, dataset: Dataset, store: Store) -> Plan:
    """Return its jobs, of which nothing is done yet."""
    sizes = len(dataset.train), len(dataset.validation or ()), len(dataset.test)
    identity = Identity(dataset.digest, *sizes, dataset.input_shape, dataset.num_classes)
    return make_plan(study, None, store, {study.data: identity})


def in_turns(plan: Plan, store: Store, dataset: Dataset) -> Iterator[Trained]:
    """Do each training of the plan by ours and eagerly, the first of the two changing each time."""
    splits = (dataset.train, dataset.validation, dataset.test)
    train, *measured = [(floats(split), split.labels) for split in splits if isinstance(split, Split)]
    eager_training(train, measured, 1)  # which warms it up
    pieces = [piece for job in plan.jobs for piece in job.pieces]
    for number, piece in enumerate(pieces):
        seconds, record = {}, None
        for side in ("ours", "eager")[:: 1 if number % 2 else -1]:
            began = time.process_time()
            if side == "eager":
                eager_training(train, measured, piece.num_steps)
            else:
                record = carry_out(piece, store, dataset, "cpu").record
            seconds[side] = time.process_time() - began
        mask = store.load_mask(record.mask) if record is not None and record.mask else None
        kept = 1.0 if mask is None else pruning.density(mask)
        yield Trained(kept, piece.num_steps, seconds["ours"], seconds["eager"])


def eager_training(train: Labelled, measured: list[Labelled], num_steps: int) -> None:
    """Train by hand; half of the weights are pruned, as what it takes does not depend on how many are."""
    model = models.build("lenet_300_100", 10, init="glorot", seed=0)
    eager = Eager(model, smallest_half(model), *train)
    with torch.no_grad():
        torch._foreach_mul_(eager.masked, eager.kept)
    for number in range(1, num_steps + 1):
        eager.step()
        if number % EVERY == 0 or number == num_steps:
            for inputs, labels in measured:
                eager_evaluation(model, inputs, labels)


@torch.no_grad()
def smallest_half(model: torch.nn.Module) -> Mask:
    """Return the mask that magnitude pruning leaves of each layer."""
    weights = {name: p.abs() for name, p in model.named_parameters() if p.dim() > 1}
    return {name: weight > weight.flatten().kthvalue(weight.numel() // 2).values for name, weight in weights.items()}


@torch.inference_mode()
def eager_evaluation(model: torch.nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Return loss and accuracy, of all images at once."""
    logits = model(inputs)
    return float(F.cross_entropy(logits, labels)), float((logits.argmax(1) == labels).float().mean())


def line(trained: list[Trained], num_lineages: int) -> Entry:
    """Return the line on the whole figure's core-seconds, a lineage's in the milliseconds; the spread is the
    trainings'.
    """
    measured = Paired(tuple(t.ours_s for t in trained), tuple(t.eager_s for t in trained))
    ours_s, eager_s = sum(measured.ours_s), sum(measured.theirs_s)
    by_training = speed_up(
        f"whole LeNet figure, {len(trained)} trainings of {trained[0].num_steps} steps, core-time a lineage", measured,
        target=TARGET, of_ceiling=ceiling().of_matmul(sum(t.flop for t in trained), ours_s),
    )  # fmt: skip
    return replace(
        by_training, value=eager_s / ours_s, ours_ms=1e3 * ours_s / num_lineages, theirs_ms=1e3 * eager_s / num_lineages
    )
