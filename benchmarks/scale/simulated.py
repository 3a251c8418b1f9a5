"""A study of as many tickets as are asked for, with the records that training it would leave: nothing is trained.

Five tickets a lineage and a control of the last one; ten seeds of each value of a sweep. Records have the form of
lth_ray.lottery.execution.publish's, with curves of ten evaluations and samples of the machine.
"""

import hashlib
import math
import os
import random
from typing import Any
from unittest.mock import patch

import torch

from lth_ray.config import Data, Model, Prune, RandomReinit, Study, Train, steps
from lth_ray.lottery import Plan, Training
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.store import Store, mask_path

NAME, ROUNDS, SEEDS, STEPS, EVERY = "simulated", 4, 10, 300, 30
TICKETS = ROUNDS + 1  # of a lineage
KEPT = 0.8  # of the remaining weights, a round
STARTED = "2026-01-02T03:04:05.678901+00:00"
LAYERS = ("fc1.weight", "fc2.weight", "output.weight")
ENVIRONMENT = {
    "device": "a processor", "instruction_set": "AVX512", "threads": 1, "world_size": 1, "python": "3.11",
    "platform": "linux", "packages": {"torch": torch.__version__},
}  # fmt: skip


def study_of(tickets: int) -> Study:
    """Return a study of so many tickets, or of the next more that it can have."""
    values = math.ceil(tickets / TICKETS / SEEDS)
    return Study(
        NAME,
        model=Model("lenet_300_100"),
        data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(STEPS), optimizer="adam", lr=1.2e-3, evaluate_every=steps(EVERY)),
        prune=Prune(scope="layer", fraction=1 - KEPT, rounds=ROUNDS),
        rewind=[steps(0)],
        seeds=list(range(SEEDS)),
        sweep={"train.lr": [round(1e-4 * (number + 1), 6) for number in range(values)]},
        branches=[RandomReinit(rounds=[ROUNDS])],
    )


def fill(plan: Plan, store: Store) -> None:
    """Publish a record of every segment of a plan, and the states that are kept of each; none waits for the disk."""
    rounds = {r.segment.key: r.number for lineage in plan.lineages for r in lineage.rounds}
    rounds |= {result.segment.key: result.round for result in plan.branches}
    mask = store.save_mask({name: torch.ones(8, dtype=torch.bool) for name in LAYERS})
    with patch.object(os, "fsync", lambda _: None):
        for key, piece in plan.pieces.items():
            assert isinstance(piece, Training)
            for step in piece.states - piece.passing:
                store.save_state(piece.segment.trajectory, step, {"weight": torch.zeros(8)})
            store.publish_segment(key, record_of(piece, rounds[key], mask).to_json())


def record_of(piece: Training, number: int, mask: str) -> SegmentRecord:
    segment, density = piece.segment, KEPT**number
    has_mask = segment.mask is not None
    return SegmentRecord(
        key=segment.key, trajectory=segment.trajectory, meaning=segment.meaning, first=segment.first,
        last=segment.last, backend="fused-fp32", mask=mask if has_mask else None, remaining_weights=density,
        remaining_of_all=density, forward_flops=532_400 * density, layer_densities=dict.fromkeys(LAYERS, density),
        content=hashlib.sha256(segment.key.encode()).hexdigest(), files=[mask_path(mask)] if has_mask else [],
        states=sorted(piece.states - piece.passing), journal=journal(segment), usage=usage(), diverged_at=None,
        train_steps=segment.num_steps, started_at=STARTED, seconds=1.25, environment=ENVIRONMENT,
    )  # fmt: skip


def journal(segment: Segment) -> dict[str, list[Any]]:
    """Return curves that look like training: they rise to a level that hangs on the round's key alone."""
    noise, at = random.Random(segment.key), segment.recipe.evaluation_steps(segment.first, segment.last)
    accuracy = [0.96 - 0.4 * math.exp(-step / 60) + noise.gauss(0, 0.004) for step in at]
    loss = [0.1 + math.exp(-step / 60) + 0.0004 * step for step in at]
    return {
        "step": at, "epoch": [step / 19 for step in at], "lr": [segment.recipe.train.lr] * len(at), "train_loss": loss,
        "validation_loss": loss, "validation_accuracy": accuracy, "test_loss": loss, "test_accuracy": accuracy,
    }  # fmt: skip


def usage() -> dict[str, list[float]]:
    names = ("cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage")
    return {"moment": [1.76e12, 1.76e12 + 1000], **{f"system/{name}": [50.0, 51.0] for name in names}}
