"""Branches as they are declared: checks, names, and the columns that they give their results."""

from typing import Any

import pytest

from lth_ray.config import (
    Barrier,
    Branch,
    ConfigError,
    Connectivity,
    CrossedMask,
    Curvature,
    Cyclic,
    Data,
    MaskOverlap,
    PermutedMask,
    Perturb,
    Perturbation,
    Pretrain,
    Pretraining,
    RandomReinit,
    Rescored,
    Rewind,
    ShuffledMask,
    Stability,
    Supermask,
    Transfer,
    Weights,
    declaration,
    restore,
    steps,
    told,
)

BAD: list[tuple[Any, dict[str, Any], str]] = [
    (Barrier, {"children": 1}, "Barrier.children = 1: give a whole number of at least 2"),
    (Barrier, {"points": 2}, "Barrier.points = 2: give a whole number of at least 3"),
    (Barrier, {"spawn": 100}, "Barrier.spawn = 100: "),
    (Barrier, {"batch_norm": "fresh"}, "Barrier.batch_norm = 'fresh': "),
    (Barrier, {"initialisations": "both"}, "Barrier.initialisations = 'both': "),
    (Barrier, {"align": 1}, "Barrier.align = 1: give True, False or 'activations'"),
    (Barrier, {"initialisations": "own", "spawn": steps(5)}, "Barrier.spawn = steps(5): copies of their own"),
    (Barrier, {"spawns": steps(5)}, "Barrier has no field 'spawns': did you mean spawn"),
    (Connectivity, {"to": "next"}, "Connectivity.to = 'next': "),
    (Connectivity, {"align": True}, "Connectivity.align = True: "),
    (Connectivity, {"points": 2}, "Connectivity.points = 2: give a whole number of at least 3"),
    (Connectivity, {"to": "rewind_points", "rewind": [5]}, "Connectivity.rewind = [5]: "),
    (Connectivity, {"rewind": [steps(5)]}, "Connectivity.rewind: to = 'previous' looks at no other rewind point"),
    (CrossedMask, {"match": "signs"}, "CrossedMask.match = 'signs': "),
    (CrossedMask, {"examples": 50}, "CrossedMask.examples = 50: match='none' looks at none"),
    (Curvature, {"eigenvalues": 0}, "Curvature.eigenvalues = 0: give a whole number of at least 1"),
    (Curvature, {"eigenvalues": 51}, "Curvature.eigenvalues = 51: 50 multiplications find no more than as many"),
    (Transfer, {"changes": {}, "copies": 2}, "Transfer.copies = 2: start='rewound' draws nothing by which they would"),
    (Curvature, {"vectors": -1}, "Curvature.vectors = -1: give a whole number of at least 0"),
    (Curvature, {"tolerance": 1.0}, "Curvature.tolerance = 1.0: give a number in [0, 1)"),
    (PermutedMask, {"match": "signs"}, "PermutedMask.match = 'signs': "),
    (PermutedMask, {"match": "none", "examples": 100}, "PermutedMask.examples = 100: match='none' looks at none"),
    (PermutedMask, {"examples": 1}, "PermutedMask.examples = 1: give a whole number of at least 2"),
    (Stability, {"children": 0}, "Stability.children = 0: give a whole number of at least 2"),
    (Perturb, {"weights": "shuffled"}, "Perturb.weights = 'shuffled': did you mean shuffle_"),
    (Perturb, {"signs": "kept"}, "Perturb.signs = 'kept': "),
    (Perturb, {"noise": -1}, "Perturb.noise = -1: give a number in [0, inf]"),
    (Perturb, {"pruned": "frozen"}, "Perturb.pruned = 'frozen': "),
    (Perturb, {"trained": None}, "Perturb.trained = None: give True or False"),
    (Perturb, {"copies": 0}, "Perturb.copies = 0: give a whole number of at least 1"),
    (Pretrain, {"task": "jigsaw", "length": steps(5)}, "Pretrain.task = 'jigsaw': "),
    (Pretrain, {"task": "rotation"}, "Pretrain needs the field 'length'"),
    (Pretrain, {"task": "rotation", "length": steps(0)}, "Pretrain.length = Length(value=0, unit='steps'): give a len"),
    (Pretrain, {"task": "rotation", "length": steps(1), "blur": 0}, "Pretrain.blur = 0: give a whole number"),
    (Transfer, {"changes": 3}, "Transfer.changes = 3: give a dict"),
    (Transfer, {"changes": {}, "start": "end"}, "Transfer.start = 'end': "),
    (Supermask, {"method": "bernouli"}, "Supermask.method = 'bernouli': did you mean bernoulli"),
    (Supermask, {"method": "bernoulli", "keep": 0.3}, "Supermask.keep = 0.3: method='bernoulli' learns"),
    (Supermask, {"method": "edge_popup", "rounds": [0, 0]}, "Supermask.rounds = [0, 0]: an entry is given twice"),
    (
        Rescored,
        {"changes": {"inverted": True}},
        "Rescored.changes: Scoring has no field 'inverted': did you mean invert",
    ),
    (Rescored, {"changes": {"data": "none"}}, "Scoring.data = 'none': "),
    (Cyclic, {"cycles": 0}, "Cyclic.cycles = 0: give a whole number of at least 1"),
    (Rescored, {"changes": {}, "copies": 0}, "Rescored.copies = 0: give a whole number of at least 1"),
    (Weights, {"bins": 0}, "Weights.bins = 0: give a whole number of at least 1"),
    (MaskOverlap, {"branches": [3]}, "MaskOverlap.branches = [3]: give branches, such as RandomReinit()"),
    (Rewind, {"point": steps(0), "perturbation": "init"}, "Rewind.perturbation = 'init': give a Perturbation"),
    (
        Rewind,
        {"point": steps(0), "method": "fine_tune", "perturbation": Perturbation("init")},
        "Rewind.perturbation: it is one of rewound weights; method='fine_tune' has none",
    ),
    (RandomReinit, {"length": "half"}, "RandomReinit.length = 'half': "),
    (Pretraining, {"task": "jigsaw"}, "Pretraining.task = 'jigsaw': "),
    (Pretraining, {"task": "labels", "images": 0}, "Pretraining.images = 0: give a whole number of at least 1"),
    (Pretraining, {"task": "labels", "only": [-1]}, "Pretraining.only = [-1]: give a whole number of at least 0"),
    (Pretraining, {"task": "rotation", "blur": 0}, "Pretraining.blur = 0: give a whole number"),
    (Rewind, {"point": steps(5), "pretraining": "rotation"}, "Rewind.pretraining = 'rotation': give a Pretraining"),
    (
        Rewind,
        {"point": steps(0), "pretraining": Pretraining("rotation")},
        "Rewind.pretraining: it stands in for the steps before Rewind.point = steps(0), and there are none",
    ),
    (
        Rewind,
        {"point": steps(5), "pretraining": Pretraining("rotation"), "optimizer": "restored"},
        "Rewind.optimizer = 'restored': the optimizer's state after a pretraining is one of another task",
    ),
]


@pytest.mark.parametrize(("make", "given", "message"), BAD)
def test_a_bad_value_is_named_with_its_remedy(make: type, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**given)
    assert str(caught.value).startswith(message)


NAMES: list[tuple[Branch, tuple[str, ...], dict[str, Any]]] = [
    (RandomReinit(3), (), {}),
    (RandomReinit(length="whole"), ("length=whole",), {"length": "whole"}),
    (ShuffledMask(), ("global",), {"scope": "global"}),
    (Barrier(children=5), (), {"points": 30, "batch_norm": "stored", "initialisations": "shared", "align": False}),
    (
        Barrier(spawn=steps(20), points=5),
        ("points=5", "spawn=20it"),
        {"points": 5, "spawn": "20it", "batch_norm": "stored", "initialisations": "shared", "align": False},
    ),
    (
        Perturb("init", signs="rewound"),
        ("init", "signs=rewound"),
        {"weights": "init", "signs": "rewound", "noise": 0.0, "pruned": "zero", "trained": True},
    ),
    (Transfer({"train_images": None}), ("train_images=None",), {"changes": {"train_images": None}, "start": "rewound"}),
]


@pytest.mark.parametrize(("branch", "label", "columns"), NAMES)
def test_what_tells_a_branch_from_others(branch: Branch, label: tuple[str, ...], columns: dict[str, Any]) -> None:
    assert tuple(part.replace(str(steps(20)), "20it") for part in told(branch)) == label
    found = branch.parameters()
    assert {**found, **({"spawn": "20it"} if "spawn" in found else {})} == columns


def test_other_data_is_declared_by_the_branch() -> None:
    given = Data("cifar10", batch_size=128, validation=0, train_images=25_000)
    assert RandomReinit().data(given) is None
    rotated = Pretrain("rotation", length=steps(5), blur=4).data(given)
    assert (rotated.target, rotated.blur, rotated.name, rotated.train_images) == ("rotation", 4, "cifar10", 25_000)
    assert Transfer({"train_images": None}).data(given).train_images is None
    with pytest.raises(ConfigError, match=r"Transfer.changes: Data has no field 'batchsize': did you mean batch_size"):
        Transfer({"batchsize": 3}).data(given)


@pytest.mark.parametrize(
    "branch",
    [
        Barrier(spawn=steps(7), rounds=[0, 2]), Perturb("constant", signs="rewound", branches=[Stability()]),
        Supermask("edge_popup", keep=0.3, train={"lr": 3.0}), Transfer({"name": "cifar10"}), MaskOverlap(),
        Pretrain("random_labels", length=steps(3), sparse=True), Weights(),
        Connectivity("rewind_points", align="activations", rewind=[steps(3)]), Curvature(3, vectors=0),
    ],
)  # fmt: skip
def test_a_branch_is_read_back_from_its_record(branch: Branch) -> None:
    assert restore(declaration(branch)) == branch
