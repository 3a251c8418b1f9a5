"""How cheaply can a ticket be found?

VGG-16 on CIFAR-10 at the same densities by every way of finding a mask: iterative and one-shot magnitude pruning, the
search in float32, in bfloat16 and in 8-bit block floating point (as You et al. 2020 search for early-bird tickets,
section 4.3); early-bird tickets at two densities; SNIP, GraSP and synaptic flow before any training; RigL and SET,
whose mask changes in the one training there is. The figure `costs` has accuracy against the operations of all training
and scoring that one ticket takes. What is otherwise than in the papers is listed in OTHERWISE: a comparison with their
numbers says "not comparable".
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lth_ray import Data, Dynamic, EarlyBird, Model, Prune, Study, Train, epochs, main, steps

LADDER = [0.8**rounds for rounds in (3, 7, 10, 14)]  # densities of those rounds of the iterative search
BIRD = EarlyBird(window=5, distance=0.1, latest=epochs(80))
OTHERWISE = [
    "Batches are of 128 images and weights are pruned; You et al. take 256 images and prune channels.",
    "Low precision is that of the search alone, whose weights are not averaged.",
    "SNIP, GraSP and synaptic flow score by one batch of ten images a class, in training mode.",
    "RigL and SET train as long as the dense network, and VGG-16 instead of WRN-22-2.",
]


def compared(criterion: str = "magnitude", **fields: Any) -> Prune:
    """Return a rule of a ladder of densities; the dense network is trained to its end to compare with, once for all."""
    return Prune(criterion, exclude=["output.weight"], whole_dense=True, **fields)


def without_training(ladder: Sequence[float], criterion: str, **fields: Any) -> dict[str, Any]:
    """Return an arm whose masks are found at initialisation, one for each density."""
    return {"prune": compared(criterion, remaining=ladder, at=steps(0), **fields), "rewind": [steps(0)]}


def ways(
    ladder: Sequence[float], every: int = 100, iterations: int = 100, bird: EarlyBird = BIRD
) -> dict[str, dict[str, Any]]:
    """Return the arms; early-bird tickets are of the first two densities of the ladder.

    every: steps between two changes of a dynamic mask.
    iterations: of synaptic flow.
    """
    at_once = compared(remaining=ladder)
    early, earlier = (compared(remaining=[density], at=bird) for density in ladder[:2])
    changing = {
        method: without_training(
            ladder, "random", scope="layer", densities="erk", dynamic=Dynamic(method, every=steps(every))
        )
        for method in ("rigl", "set")
    }
    return {
        "iterative": {},
        "iterative_bf16": {"prune.search_precision": "bf16"},
        "iterative_bfp8": {"prune.search_precision": "bfp8"},
        "one_shot": {"prune": at_once},
        "one_shot_bfp8": {"prune": replace(at_once, search_precision="bfp8")},
        "early_bird_denser": {"prune": early},
        "early_bird": {"prune": earlier},
        "early_bird_bfp8": {"prune": replace(earlier, search_precision="bfp8")},
        "snip": without_training(ladder, "snip"),
        "grasp": without_training(ladder, "grasp"),
        "synflow": without_training(ladder, "synflow", iterations=iterations),
        **changing,
    }


study = Study(
    "cheap-tickets",
    model=Model("cifar_vgg16"),
    data=Data("cifar10", batch_size=128, validation=0, augment="crop_flip"),
    train=Train(
        epochs(160),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[epochs(80), epochs(120)],
        evaluate_every=epochs(2),
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=14, exclude=["output.weight"]),
    rewind=[steps(1000)],
    seeds=[0, 1, 2],
    arms=ways(LADDER),
    keep="rewind",
    smoke={
        "model.name": "cifar_vgg11_8",
        "data.batch_size": 32,
        "data.augment": "flip",
        "data.train_images": 3200,
        "data.evaluation_images": 1000,
        "train.length": steps(200),
        "train.lr": 0.05,
        "train.milestones": [steps(150), steps(180)],
        "train.evaluate_every": steps(200),
        "prune.fraction": 0.5,
        "prune.rounds": 2,
        "rewind": [steps(20)],
        "seeds": [0],
        "arms": ways([0.5, 0.25], every=20, iterations=10, bird=EarlyBird(window=2, latest=epochs(1))),
    },
    otherwise=OTHERWISE,
)

if __name__ == "__main__":
    main(study)
