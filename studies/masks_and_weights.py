"""Is a ticket's worth in its mask, or in the weights that the mask was found for?

Two seeds A and B give a 2 x 2: the mask of A or of B on the weights of A or of B. Tickets are its diagonal; the others
are trained here, with the mask as it is and with its units brought into the order of the other seed's network, by
weights (Ainsworth et al. 2022) or activations (as Adnan et al. 2025 do for new initialisations). If an aligned mask
does as well as the ticket's own, what is in a mask is which units are connected, up to their order; if it does no
better than one that is not aligned, or than a random mask of the same layer densities, a mask is worth nothing without
its weights. The error on the line from each of them to the ticket whose weights it shares tells whether both end in one
minimum.
LeNet on MNIST from initialisation, and ResNet-20 on CIFAR-10 rewound to step 1,000, with the recipes of Frankle et al.
2020a. Each seed is crossed with every other; the question and the design are ours.
"""

from collections.abc import Sequence

from lth_ray import Branch, Connectivity, CrossedMask, Data, Model, Prune, RandomMask, Study, Train, main, steps


def crossed(rounds: Sequence[int], points: int = 11) -> list[Branch]:
    """Return the crossed masks in every order of units, and random ones, each with the line to its ticket."""
    line = Connectivity("ticket", points=points)
    every = [CrossedMask(match, rounds=rounds, branches=[line]) for match in ("none", "weights", "activations")]
    return [*every, RandomMask(rounds=rounds, branches=[line])]


lenet = Study(
    "crossed-lenet",
    model=Model("lenet_300_100"),
    data=Data("mnist", batch_size=60, validation=0),
    train=Train(steps(24_000), optimizer="adam", lr=1.2e-3, evaluate_every=steps(1000)),
    prune=Prune(scope="layer", fraction={"fc*.weight": 0.2, "output.weight": 0.1}, rounds=18),
    rewind=[steps(0)],
    seeds=[0, 1, 2, 3, 4],
    branches=crossed([3, 7, 11, 15, 18]),
    smoke={
        "data.evaluation_images": 2000,
        "train.length": steps(400),
        "train.evaluate_every": steps(400),
        "prune.fraction": {"fc*.weight": 0.7, "output.weight": 0.4},
        "prune.rounds": 3,
        "seeds": [0, 1],
        "branches": crossed([1, 3], points=5),
    },
)

resnet20 = Study(
    "crossed-resnet20",
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
    prune=Prune(scope="global", fraction=0.2, rounds=12),
    rewind=[steps(1000)],
    seeds=[0, 1, 2],
    branches=crossed([3, 8, 12]),
    smoke={
        "model.name": "cifar_resnet8_8",
        "data.batch_size": 16,
        "data.augment": "flip",
        "data.evaluation_images": 500,
        "train.length": steps(250),
        "train.lr": 0.05,
        "train.milestones": [steps(170)],
        "train.evaluate_every": steps(250),
        "prune.fraction": 0.7,
        "prune.rounds": 1,
        "rewind": [steps(50)],
        "seeds": [0, 1],
        "branches": crossed([1], points=3),
    },
)

studies = [lenet, resnet20]

if __name__ == "__main__":
    main(studies)
