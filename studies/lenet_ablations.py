"""How do tickets of Lenet depend on its hyperparameters, and what are they made of?

Frankle & Carbin 2019, appendix: Lenet-300-100 on MNIST under other optimizers and learning rates, pruning rates,
initial standard deviations and widths; then what winning tickets are made of: which initial weights survive, how far
they move, each layer's density, how much two seeds' masks share, random reinitialisation against random sparsity.
"""

from dataclasses import replace
from math import ceil, log
from typing import Any

from lth_ray import (
    Branch,
    Data,
    MaskOverlap,
    Model,
    Prune,
    RandomMask,
    RandomReinit,
    Study,
    Train,
    Weights,
    main,
    steps,
)

# The rates are ours: spread over what trains, with the paper's 1.2e-3 among Adam's.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"train.optimizer": "adam"},
    "sgd": {"train.optimizer": "sgd"},
    "momentum": {"train.optimizer": "sgd", "train.momentum": 0.9},
}
RATES = {
    "adam": [1.2e-4, 4e-4, 8e-4, 1.2e-3, 1.6e-3, 2e-3, 4e-3],
    "sgd": [0.0125, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4],
    "momentum": [0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.08],
}
STANDARD_DEVIATIONS = ["glorot", 0.0125, 0.025, 0.05, 0.1, 0.2]
WIDTHS = ["25_9", "50_17", "100_34", "150_50", "200_67", "300_100", "400_133", "500_167", "700_233", "900_300"]


def lenet(name: str, smoke: dict[str, Any], **changes: Any) -> Study:
    """Return the paper's Lenet, of which `changes` replaces some fields.

    smoke: what --smoke sets beside the length.
    """
    study = Study(
        f"lenet-ablations-{name}",
        model=Model("lenet_300_100", init="glorot"),
        data=Data("mnist", batch_size=60, validation=5000),
        train=Train(steps(50_000), optimizer="adam", lr=1.2e-3, evaluate_every=steps(100)),
        prune=pruning(0.2, rounds=24),
        rewind=[steps(0)],
        seeds=[0, 1, 2, 3, 4],
        smoke={
            "data.evaluation_images": 1000,
            "train.length": steps(300),
            "train.evaluate_every": steps(50),
            "prune": pruning(0.6, rounds=2),
            "seeds": [0],
            **smoke,
        },
    )
    return replace(study, **changes)


def pruning(fraction: float, rounds: int) -> Prune:
    """Return the pruning rule: the output layer is pruned at half the rate, as in the paper."""
    return Prune(scope="layer", fraction={"fc*.weight": fraction, "output.weight": fraction / 2}, rounds=rounds)


def rates(down_to: float) -> dict[str, dict[str, Any]]:
    """Return an arm for each pruning rate, until so small a share of the weights is left."""
    fractions = [n / 10 for n in range(1, 9)]
    return {f"prune_{f:g}": {"prune": pruning(f, ceil(log(down_to) / log(1 - f)))} for f in fractions}


def anatomy(copies: int) -> list[Branch]:
    return [RandomReinit(copies=copies), RandomMask(copies=copies), Weights(), MaskOverlap()]


studies = [
    lenet(
        "optimizers",
        {"prune": pruning(0.8, rounds=1)},
        arms={f"{name}_{lr:g}": {**OPTIMIZERS[name], "train.lr": lr} for name in OPTIMIZERS for lr in RATES[name]},
    ),
    lenet("prune-rates", {"arms": rates(0.4)}, arms=rates(0.005)),
    lenet("init", {}, sweep={"model.init": STANDARD_DEVIATIONS}),
    lenet("widths", {}, sweep={"model.name": [f"lenet_{width}" for width in WIDTHS]}),
    lenet("anatomy", {"seeds": [0, 1, 2], "branches": anatomy(1)}, branches=anatomy(3)),
]

if __name__ == "__main__":
    main(studies)
