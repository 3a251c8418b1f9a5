"""Do warm-up and rewinding buy the same thing? Instability and matching over warm-up x k, for ResNet-20 and VGG-19.

Frankle et al. 2020 ("Linear mode connectivity and the lottery ticket hypothesis"), table 1: the lengths and rates of
both networks, with every warm-up crossed with every rewind point; ResNet-20 at the rate of its standard training, .1,
and of its warm-up, .03. A warm-up of a network has a dense run of its own, which all of its rewind points share. The
paper's second network is VGG-16, and its warm-up is of 30,000 steps; the others are ours. All that is otherwise than in
the paper is listed in OTHERWISE.
"""

from dataclasses import replace

from lth_ray import Barrier, Data, Model, Prune, Study, Train, epochs, main, steps

WARM_UPS = "Warm-ups of 1,000 and 10,000 steps are ours."
OTHERWISE = [
    "A barrier is of one pair of copies a seed and 11 points on their line, not of three pairs and 30 points.",
    "Running statistics of batch norm are interpolated as weights are; which the paper does is not known here.",
]

resnet20 = Study(
    "warmup-rewind-resnet20",
    model=Model("cifar_resnet20", init="kaiming"),
    data=Data("cifar10", batch_size=128, validation=0, augment="crop_flip"),
    train=Train(
        steps(63_000),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[steps(32_000), steps(48_000)],
        evaluate_every=epochs(1),
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=8, exclude=["*shortcut*", "output.weight"]),
    arms={"standard_rate": {"train.lr": 0.1}, "warmup_rate": {"train.lr": 0.03}},
    sweep={"train.warmup": [steps(0), steps(1_000), steps(10_000), steps(30_000)]},
    rewind=[steps(k) for k in (0, 100, 500, 2_000, 10_000)],
    seeds=[0, 1, 2],
    branches=[Barrier(children=2, points=11, rounds=[0, 4, 8])],
    otherwise=[
        WARM_UPS,
        "So is a rate of .1 with a warm-up, and one of .03 without.",
        "Shortcut and output weights are not pruned, as in Frankle & Carbin 2019.",
        *OTHERWISE,
    ],
    smoke={
        "model.name": "cifar_resnet20_8",
        "data.batch_size": 32,
        "data.evaluation_images": 500,
        "train.length": steps(300),
        "train.lr": 0.05,
        "arms": {},
        "train.milestones": [steps(240), steps(270)],
        "train.evaluate_every": steps(150),
        "train.batch_norm_group": 16,
        "prune.rounds": 1,
        "sweep": {"train.warmup": [steps(0), steps(100)]},
        "rewind": [steps(50)],
        "seeds": [0],
        "branches": [Barrier(children=2, points=3, rounds=[1])],
    },
)

vgg19 = replace(
    resnet20,
    name="warmup-rewind-vgg19",
    model=Model("cifar_vgg19", init="kaiming"),
    prune=replace(resnet20.prune, exclude=["output.weight"]),
    arms={},
    otherwise=[
        "The network is VGG-19, not VGG-16.",
        WARM_UPS,
        "Output weights are not pruned, as in Frankle & Carbin 2019.",
        *OTHERWISE,
    ],
    smoke={
        **resnet20.smoke,
        "model.name": "cifar_vgg19_8",
        "sweep": {"train.warmup": [steps(100)]},
        "branches": [],
    },
)

studies = [resnet20, vgg19]

if __name__ == "__main__":
    main(studies)
