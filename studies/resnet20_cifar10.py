"""Which learning rates and how much warm-up does a residual network's winning ticket need?

Frankle & Carbin 2019, figure 8: the paper's "Resnet-18" (ResNet-20 for CIFAR-10), global pruning of the
convolutions, learning rates .1 and .01, and .03 with a linear warm-up over k steps.
"""

from lth_ray import Data, Model, Prune, RandomReinit, Study, Train, main, steps

study = Study(
    "resnet20-cifar10",
    model=Model("cifar_resnet20", init="glorot"),
    data=Data("cifar10", batch_size=128, validation=5000, augment="crop_flip"),
    train=Train(
        steps(30_000),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[steps(20_000), steps(25_000)],
        evaluate_every=steps(500),
        channels_last=True,
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=20, exclude=["*shortcut*", "output.weight"]),
    rewind=[steps(0)],
    seeds=[0, 1, 2, 3, 4],
    arms={
        "high": {"train.lr": 0.1},
        "low": {"train.lr": 0.01},
        "warmup5k": {"train.lr": 0.03, "train.warmup": steps(5_000)},
        "warmup20k": {"train.lr": 0.03, "train.warmup": steps(20_000)},
    },
    branches=[RandomReinit()],
    smoke={
        "model.name": "cifar_resnet20_8",
        "data.batch_size": 32,
        "data.evaluation_images": 1000,
        "train.length": steps(300),
        "train.milestones": [steps(240), steps(270)],
        "train.evaluate_every": steps(150),
        "prune.rounds": 1,
        "seeds": [0],
        "arms": {
            "high": {"train.lr": 0.1},
            "low": {"train.lr": 0.01},
            "warmup5k": {"train.lr": 0.03, "train.warmup": steps(50)},
            "warmup20k": {"train.lr": 0.03, "train.warmup": steps(200)},
        },
    },
    may_fail=["high"],
)

if __name__ == "__main__":
    main(study)
