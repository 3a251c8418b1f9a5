"""A picture of the science: the key and the content of everything that small studies of each kind come to.

    python -m tests.picture take before.json
    python -m tests.picture compare before.json after.json

A refactor leaves both as they are; a change of results on purpose moves those that it names. Contents are comparable
within one environment, so both pictures are taken on one machine.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lth_ray import data
from lth_ray.config import (
    Barrier,
    Connectivity,
    Curvature,
    Data,
    MaskOverlap,
    Model,
    Perturb,
    Pretrain,
    Prune,
    RandomMask,
    RandomReinit,
    Rewind,
    ShuffledMask,
    Stability,
    Study,
    Supermask,
    Train,
    Transfer,
    Weights,
    set_fields,
    steps,
)
from lth_ray.lottery import Plan, carry_out_all, in_lockstep, make_plan, make_trials
from lth_ray.store import Store
from lth_ray.training import Clock

BASE = Study(
    "picture",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(40), optimizer="adam", lr=1.2e-3, evaluate_every=steps(10)),
    prune=Prune(scope="layer", fraction=0.5, rounds=2),
    rewind=[steps(0), steps(5)],
    seeds=[0],
)
SGD = {"train.optimizer": "sgd", "train.lr": 0.1, "train.momentum": 0.9}
RESNET = {**SGD, "model": Model("cifar_resnet20_4"), "train.length": steps(8), "train.evaluate_every": steps(4)}
CONTROLS = (RandomReinit(copies=2), RandomMask(), ShuffledMask("filter"))

# name: (changed fields, other parts of the study)
STUDIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fused and sparse": ({"prune.fraction": 0.6}, {"branches": CONTROLS}),
    "eager": ({"train.backend": "eager"}, {"branches": CONTROLS}),
    "criteria": (
        {},
        {"sweep": {"prune.criterion": ["random", "movement", "large_init", "small_final_same_sign", "snip", "grad"]}},
    ),
    "one-shot": ({"prune.one_shot": True, "prune.scope": "global"}, {}),
    "ties at random": ({"prune.ties": "random", "prune.criterion": "random"}, {}),
    "methods": (
        {**SGD, "train.milestones": [steps(20), steps(30)]},
        {
            "rewind": [
                Rewind(steps(10), method=method) for method in ("weights", "learning_rate", "fine_tune", "continue")
            ]
        },
    ),
    "optimizer restored": (SGD, {"rewind": [Rewind(steps(10), optimizer="restored")]}),
    "warm-up": ({**SGD, "train.warmup": steps(10)}, {}),
    "schedules": (SGD, {"sweep": {"train.schedule": ["cosine", "linear"]}}),
    "adamw, decay, clipping": (
        {"train.optimizer": "adamw", "train.weight_decay": 0.01, "train.clip_norm": 1.0, "train.label_smoothing": 0.1},
        {},
    ),
    "tables": (
        {},
        {
            "seeds": [0, 1],
            "branches": (
                Barrier(points=5),
                Barrier(points=5, align=True, initialisations="own"),
                Stability(),
                Weights(),
                MaskOverlap(),
                Connectivity(points=5),
                Curvature(vectors=2, batches=1),
            ),
        },
    ),
    "perturbations": (
        {},
        {
            "branches": tuple(
                Perturb(weights, pruned=pruned)
                for weights, pruned in (("shuffle_layer", "zero"), ("constant", "init"), ("grown", "shrunk"))
            )
        },
    ),
    "supermasks": (
        {},
        {
            "branches": (
                Supermask("bernoulli", train={"lr": 1.0, "optimizer": "sgd"}),
                Supermask("edge_popup", keep=0.3, rescale=True),
            )
        },
    ),
    "pretraining": ({}, {"branches": (Pretrain("rotation", length=steps(10)), Pretrain("labels", length=steps(10)))}),
    "transfer": (
        {"data.train_images": 400},
        {"branches": (Transfer({"train_images": None}), Transfer({"blur": 2}, start="trained"))},
    ),
    "resnet": (RESNET, {"rewind": [steps(2)]}),
    "resnet, fused norm": ({**RESNET, "train.channels_last": True}, {"rewind": [steps(2)]}),
    "resnet, groups": ({**RESNET, "train.batch_norm_group": 20}, {"rewind": [steps(2)]}),
    "resnet, bf16": ({**RESNET, "train.precision": "bf16"}, {"rewind": [steps(2)]}),
    "resnet, augmented": ({**RESNET, "data.augment": "crop_flip"}, {"rewind": [steps(2)]}),
    "averages": ({"train.ema_decay": 0.9, "train.ema_for": "evaluation_and_pruning"}, {}),
    "replicates": ({"train.replicates": 2}, {"seeds": [0, 1, 2], "rewind": [steps(5)]}),
    "dropout": ({"model": Model("conv2", options={"dropout": 0.5}), "train.length": steps(6)}, {"rewind": [steps(0)]}),
}


def study_of(name: str) -> Study:
    """The study of one kind."""
    changes, parts = STUDIES[name]
    return replace(set_fields(BASE, changes), **parts)


def take(names: list[str] | None = None) -> dict[str, dict[str, list[str]]]:
    """{study: {lineage and round, or branch: [key, content]}}, each study run in this process and in an empty store."""
    torch.set_num_threads(1)
    found = {}
    for name in names or STUDIES:
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(folder)
            found[name] = dict(_contents(_carried_out(study_of(name), store), store))
    return found


def _carried_out(study: Study, store: Store) -> Plan:
    plan = make_plan(study, None, store)
    for trial in make_trials(plan.jobs):
        for now in in_lockstep(trial, lambda: {job.id for job in trial}):  # noqa: B023
            dataset = data.load(now[0][1].recipe.data)
            for outcome in carry_out_all([piece for _, piece in now], store, dataset, "cpu", Clock(60.0)):
                if isinstance(outcome, Exception):
                    raise outcome
    return plan


def _contents(plan: Plan, store: Store) -> Iterator[tuple[str, list[str]]]:
    for lineage in plan.lineages:
        for one in lineage.rounds:
            record = store.segment(one.segment.key)
            assert record is not None
            yield f"{lineage.id}/{one.number}", [record["key"], record["content"]]
    for result in plan.branches:
        record = store.table(result.key) if result.table else store.segment(result.key)
        assert record is not None
        yield result.id, [record["key"], record["content"]]


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A line for each entry that is not the same in both."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, {}), after.get(name, {})
        for entry in sorted(old.keys() | new.keys()):
            one, other = old.get(entry), new.get(entry)
            if one is None or other is None:
                found.append(f"{name}: {entry}: only {'after' if one is None else 'before'}")
            elif one != other:
                moved = [what for what, x, y in zip(("key", "content"), one, other, strict=True) if x != y]
                found.append(f"{name}: {entry}: another {' and '.join(moved)}")
    return found


def main() -> int:
    """The commands above."""
    match sys.argv[1:]:
        case ["take", path, *names]:
            Path(path).write_text(json.dumps(take(names), indent=1))
            return 0
        case ["compare", before, after]:
            found = differences(json.loads(Path(before).read_text()), json.loads(Path(after).read_text()))
            print("\n".join(found) or "every key and content is the same")
            return bool(found)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())
