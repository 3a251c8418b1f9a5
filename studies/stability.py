"""Are winning tickets more stable than random subnetworks, to pruning and to the order of the data?

Frankle et al. 2019 (stabilizing), section 4 and the figures on rewinding: L2 distance and angle between a trained
subnetwork and the dense network, and between copies trained on other data orders; tickets against random masks; Lenet
on MNIST, ResNet-20 (the first paper's "Resnet-18") and VGG-19 on CIFAR-10; rewound to step 0, at the standard rate to
later ones too. 3 seeds of 4 copies each: 3 pruning samples and 18 data-order samples.
"""

from collections.abc import Sequence
from typing import Any

from lth_ray import Branch, Data, Model, Prune, RandomMask, Stability, Study, Train, epochs, main, steps


def distances(rounds: Sequence[int], children: int = 4) -> list[Branch]:
    """Return the distances of tickets and of random masks."""
    of_random_masks = RandomMask(rounds=rounds, branches=[Stability(children)])
    return [Stability(children, rounds=rounds), of_random_masks]


def smoke_on_cifar10(model: str, warmup_lr: float) -> dict[str, Any]:
    return {
        "model.name": model,
        "data.batch_size": 16,
        "data.augment": "flip",
        "data.evaluation_images": 500,
        "train.length": steps(250),
        "train.milestones": [steps(170)],
        "train.evaluate_every": steps(250),
        "prune.fraction": 0.6,
        "prune.rounds": 1,
        "rewind": [steps(0), steps(200)],
        "seeds": [0],
        "arms": {
            "standard": {"train.lr": 0.05},
            "low": {"train.lr": 0.02, "rewind": [steps(0)]},
            "warmup": {"train.lr": warmup_lr, "train.warmup": steps(80), "rewind": [steps(0)]},
        },
        "branches": distances([1], children=2),
    }


lenet = Study(
    "stability-lenet",
    model=Model("lenet_300_100", init="glorot"),
    data=Data("mnist", batch_size=60, validation=5000),
    train=Train(steps(50_000), optimizer="adam", lr=1.2e-3, evaluate_every=steps(500)),
    prune=Prune(scope="layer", fraction={"fc*.weight": 0.2, "output.weight": 0.1}, rounds=18),
    rewind=[steps(0), steps(100), steps(500)],
    seeds=[0, 1, 2],
    branches=distances([2, 6, 10, 14, 18]),
    keep="rewind",
    smoke={
        "data.evaluation_images": 2000,
        "train.length": steps(400),
        "train.evaluate_every": steps(400),
        "prune.fraction": {"fc*.weight": 0.5, "output.weight": 0.3},
        "prune.rounds": 4,
        "rewind": [steps(0), steps(50)],
        "seeds": [0],
        "branches": distances([1, 2, 4], children=2),
    },
)

resnet20 = Study(
    "stability-resnet20",
    model=Model("cifar_resnet20", init="glorot"),
    data=Data("cifar10", batch_size=128, validation=5000, augment="crop_flip"),
    train=Train(
        steps(30_000),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[steps(20_000), steps(25_000)],
        evaluate_every=steps(1000),
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=12, exclude=["*shortcut*", "output.weight"]),
    rewind=[steps(0), steps(100), steps(500), steps(2000)],
    seeds=[0, 1, 2],
    arms={
        "standard": {},
        "low": {"train.lr": 0.01, "rewind": [steps(0)]},
        "warmup": {"train.lr": 0.03, "train.warmup": steps(20_000), "rewind": [steps(0)]},
    },
    branches=distances([2, 5, 8, 12]),
    keep="rewind",
    smoke=smoke_on_cifar10("cifar_resnet8_8", warmup_lr=0.03),
)

vgg19 = Study(
    "stability-vgg19",
    model=Model("cifar_vgg19", init="glorot"),
    data=Data("cifar10", batch_size=64, validation=5000, augment="crop_flip"),
    train=Train(
        epochs(160),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[epochs(80), epochs(120)],
        evaluate_every=epochs(2),
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=19, exclude=["output.weight"]),
    rewind=[steps(0), steps(100), steps(1000)],
    seeds=[0, 1, 2],
    arms={
        "standard": {},
        "low": {"train.lr": 0.01, "rewind": [steps(0)]},
        "warmup": {"train.lr": 0.1, "train.warmup": steps(10_000), "rewind": [steps(0)]},
    },
    branches=distances([4, 8, 14, 19]),
    keep="rewind",
    smoke=smoke_on_cifar10("cifar_vgg11_8", warmup_lr=0.1),
)

studies = [lenet, resnet20, vgg19]

if __name__ == "__main__":
    main(studies)
