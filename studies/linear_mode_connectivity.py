"""From which step on do copies of a network, trained with different noise, end in one linearly connected minimum?

Frankle et al. 2020a, figures of sections 3 and 4: error along the line between copies that part at step k, for dense
networks, tickets (rewound to k) and random masks at several densities; LeNet on MNIST, ResNet-20 and VGG-16 on
CIFAR-10, also at a low learning rate and with a warm-up. 3 initialisations x 3 data orders.

Batch norm: running statistics are re-estimated on training images at every point of the line, as those in between would
be stale. Prunable: all weights of convolutions and of the output layer on CIFAR-10, globally, so that P = .8^r of all;
LeNet's layers as in Frankle & Carbin 2019. Random control: the ticket's start under masks drawn uniformly within each
layer, with the ticket's number of weights there. These and what else is ours, or otherwise than in the paper, is listed
in OTHERWISE: a comparison with its numbers says "not comparable".
"""

from collections.abc import Sequence
from dataclasses import replace

from lth_ray import Barrier, Branch, Data, Model, Prune, RandomMask, Study, Train, main, steps

SPAWNS = (0, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000)  # k on CIFAR-10

OTHERWISE = [
    'Spawn steps are ours, so that "stable from" is known to the next of them.',
    "Random masks keep the ticket's number of weights in each layer; reinitialisations are not among the controls.",
]
ON_CIFAR10 = [
    *OTHERWISE,
    "Running statistics of batch norm are re-estimated at every point; which the paper does is not known here.",
    "Batch norm's scales begin at 1; the authors' later code draws them from U(0, 1).",
]


def instability(rounds: Sequence[int], children: int = 3, points: int = 30, batch_norm: str = "stored") -> list[Branch]:
    """Return the barriers of the dense network, and of tickets and random masks at `rounds`."""
    barrier = Barrier(children, points=points, batch_norm=batch_norm)
    return [replace(barrier, rounds=[0, *rounds]), RandomMask(rounds=rounds, branches=[barrier])]


def cifar10(name: str, model: str, rounds: Sequence[int], warmup_lr: float, smoke_model: str) -> Study:
    """Return a network on CIFAR-10 in its three variants; `rounds` are those of which the instability is
    measured.
    """
    return Study(
        name,
        model=Model(model),
        data=Data("cifar10", batch_size=128, validation=0, augment="crop_flip"),
        train=Train(
            steps(63_000),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            milestones=[steps(32_000), steps(48_000)],
            evaluate_every=steps(1000),
        ),
        prune=Prune(scope="global", fraction=0.2, rounds=max(rounds)),
        rewind=[steps(k) for k in SPAWNS],
        seeds=[0, 1, 2],
        arms={
            "standard": {},
            "low": {"train.lr": 0.01},
            "warmup30k": {"train.lr": warmup_lr, "train.warmup": steps(30_000)},
        },
        branches=instability(rounds, batch_norm="reestimate"),
        otherwise=ON_CIFAR10,
        keep="rewind",
        smoke={
            "data.batch_size": 12,
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
                "warmup30k": {"train.lr": warmup_lr, "train.warmup": steps(80), "rewind": [steps(0)]},
            },
            "branches": instability([1], children=2, points=5, batch_norm="reestimate"),
            "model.name": smoke_model,
        },
    )


lenet = Study(
    "lmc-lenet",
    model=Model("lenet_300_100"),
    data=Data("mnist", batch_size=60, validation=0),
    train=Train(steps(24_000), optimizer="adam", lr=1.2e-3, evaluate_every=steps(500)),
    prune=Prune(scope="layer", fraction={"fc*.weight": 0.2, "output.weight": 0.1}, rounds=15),
    rewind=[steps(k) for k in (0, 25, 100, 250, 500, 1000, 4000, 12_000)],
    seeds=[0, 1, 2],
    branches=instability([3, 7, 11, 15]),
    otherwise=[
        *OTHERWISE,
        "A fifth of each hidden layer's and a tenth of the output layer's weights are pruned a round.",
    ],
    keep="rewind",
    smoke={
        "data.evaluation_images": 2000,
        "train.length": steps(500),
        "train.lr": 5e-3,
        "train.evaluate_every": steps(500),
        "prune.fraction": {"fc*.weight": 0.7, "output.weight": 0.4},
        "prune.rounds": 3,
        "rewind": [steps(k) for k in (0, 10, 100)],
        "seeds": [0],
        "branches": instability([1, 3], children=2, points=7),
    },
)

studies = [
    lenet,
    cifar10(
        "lmc-resnet20",
        "cifar_resnet20",
        rounds=[3, 5, 8, 12],
        warmup_lr=0.03,
        smoke_model="cifar_resnet8_8",
    ),
    cifar10(
        "lmc-vgg16",
        "cifar_vgg16",
        rounds=[4, 8, 14, 19],
        warmup_lr=0.1,
        smoke_model="cifar_vgg11_8",
    ),
]

if __name__ == "__main__":
    main(studies)
