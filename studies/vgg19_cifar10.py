"""Which learning rates and how much warm-up does VGG-19's winning ticket need?

Frankle & Carbin 2019, figure 7: VGG-19 on CIFAR-10, global pruning of the convolutions; at learning rate .1 there
is no ticket, at .01 there is, and a linear warm-up over 10,000 steps brings it back at .1, less
far with a share pruned of each layer.
"""

from lth_ray import Data, Model, Prune, RandomReinit, Study, Train, epochs, main, steps

study = Study(
    "vgg19-cifar10",
    model=Model("cifar_vgg19", init="glorot"),
    data=Data("cifar10", batch_size=64, validation=5000, augment="crop_flip"),
    train=Train(
        epochs(160),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[epochs(80), epochs(120)],
        evaluate_every=epochs(1),
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=20, exclude=["output.weight"]),
    rewind=[steps(0)],
    seeds=[0, 1, 2, 3, 4],
    arms={
        "high": {"train.lr": 0.1},
        "low": {"train.lr": 0.01},
        "warmup10k": {"train.lr": 0.1, "train.warmup": steps(10_000)},
        "layerwise": {"train.lr": 0.1, "train.warmup": steps(10_000), "prune.scope": "layer"},
    },
    branches=[RandomReinit()],
    smoke={
        "model.name": "cifar_vgg19_8",
        "data.batch_size": 32,
        "data.evaluation_images": 1000,
        "train.length": steps(600),
        "train.milestones": [steps(450), steps(550)],
        "train.evaluate_every": steps(200),
        "prune.rounds": 1,
        "seeds": [0],
        "arms": {
            "high": {"train.lr": 0.1},
            "low": {"train.lr": 0.01},
            "warmup10k": {"train.lr": 0.1, "train.warmup": steps(300)},
            "layerwise": {"train.lr": 0.1, "train.warmup": steps(300), "prune.scope": "layer"},
        },
    },
    may_fail=["high"],
)

if __name__ == "__main__":
    main(study)
