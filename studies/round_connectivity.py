"""Do tickets match their dense network exactly where they are linearly connected to the round before?

Paul et al. 2023 ("Unmasking the lottery ticket hypothesis", section 3) find that, at higher sparsities, the networks of
successive rounds are connected by a line without an error barrier if and only if they match: ResNets on CIFAR-10,
CIFAR-100 and ImageNet. Here it is asked of LeNet on MNIST, at two learning rates, and of ResNet-20 on CIFAR-10, rewound
to steps 0, 500 and 2,000, with the recipes of Frankle et al. 2020a; the lines to the dense network, between rewind
points, and between seeds whose units are aligned by weights or activations stand beside it, and the Hessian's largest
eigenvalue and trace where tickets end. None of these trains anything. Batch norm's statistics are re-estimated at every
place of a line. The paper's figures state no numbers that could be compared.
"""

from collections.abc import Sequence

from lth_ray import Branch, Connectivity, Curvature, Data, Model, Prune, Study, Train, main, steps


def geometry(rounds: Sequence[int], points: int = 11, batches: int = 10) -> list[Branch]:
    """Return the lines between successive rounds, and at `rounds` those to others, and the curvature."""
    return [
        Connectivity("previous", points=points),
        Connectivity("dense", points=points, rounds=rounds),
        *(
            Connectivity("seeds", points=points, align=by, rounds=[0, *rounds])
            for by in (None, "weights", "activations")
        ),
        Curvature(batches=batches, rounds=[0, *rounds]),
    ]


lenet = Study(
    "rounds-lenet",
    model=Model("lenet_300_100"),
    data=Data("mnist", batch_size=60, validation=0),
    train=Train(steps(24_000), optimizer="adam", lr=1.2e-3, evaluate_every=steps(1000)),
    prune=Prune(scope="global", fraction=0.2, rounds=22),
    rewind=[steps(0)],
    seeds=[0, 1, 2, 3, 4],
    arms={"standard": {}, "high": {"train.lr": 0.01}},
    branches=geometry([4, 8, 12, 16, 20, 22]),
    keep="rewind",
    smoke={
        "data.evaluation_images": 2000,
        "train.length": steps(400),
        "train.evaluate_every": steps(400),
        "prune.fraction": 0.6,
        "prune.rounds": 5,
        "seeds": [0, 1],
        "branches": geometry([2, 5], points=5, batches=2),
    },
)

resnet20 = Study(
    "rounds-resnet20",
    model=Model("cifar_resnet20"),
    data=Data("cifar10", batch_size=128, validation=0, augment="crop_flip"),
    train=Train(
        steps(63_000),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[steps(32_000), steps(48_000)],
        evaluate_every=steps(1000),
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=14),
    rewind=[steps(0), steps(500), steps(2000)],
    seeds=[0, 1, 2],
    branches=[*geometry([4, 8, 12]), Connectivity("rewind_points", points=11, rounds=[4, 8, 12])],
    keep="rewind",
    smoke={
        "model.name": "cifar_resnet8_8",
        "data.batch_size": 16,
        "data.augment": "flip",
        "data.evaluation_images": 500,
        "train.length": steps(250),
        "train.lr": 0.05,
        "train.milestones": [steps(170)],
        "train.evaluate_every": steps(250),
        "prune.fraction": 0.6,
        "prune.rounds": 2,
        "rewind": [steps(0), steps(100)],
        "seeds": [0, 1],
        "branches": [
            *geometry([2], points=3, batches=1),
            Connectivity("rewind_points", points=3, rounds=[2]),
        ],
    },
)

studies = [lenet, resnet20]

if __name__ == "__main__":
    main(studies)
