"""Do tickets that were found on one data set win on others, and do those of larger sets travel better?

Morcos, Yu, Paganini & Tian 2019 ("One ticket to win them all"): VGG-19 and ResNet-50, both of which end in global
average pooling, on eight data sets. An arm is a source; its tickets, rewound to epoch 1, are trained on every target
from there on, with a new output layer, beside the paper's control, a mask permuted over all layers on new weights. On
its own data a ticket is itself. The report's table and heat map are sources x targets. No number of the paper's figures
is at hand, so that there are no targets to compare with. 6 seeds. What is done otherwise than in the paper, or ours
where it does not say, is in OTHERWISE. The last of the sets that `--smoke` takes, Tiny-ImageNet at 32x32 pixels, is a
folder of Parquet files under --data-root.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lth_ray import Data, Model, Prune, Study, Train, Transfer, epochs, main, steps

OTHERWISE = [
    "Grey images have three equal channels, and images keep the size that they have.",
    "Small images are padded, cropped and flipped, but for SVHN's, which are left; large ones are cropped and resized.",
    "The output layer is not pruned in the source either, and test images choose nothing.",
    "Tickets of every fifth round are transferred, and of controls there is one a ticket.",
]
SMALL = {"part": None, "channels": 3, "augment": "crop_flip"}
LARGE = {"part": None, "channels": None, "augment": "resized_crop_flip"}
SETS: dict[str, dict[str, Any]] = {
    "fashion_mnist": {**SMALL, "name": "fashion_mnist"},
    "svhn": {**SMALL, "augment": "none", "name": "svhn"},
    "cifar10a": {**SMALL, "part": "a", "name": "cifar10"},
    "cifar10b": {**SMALL, "part": "b", "name": "cifar10"},
    "cifar10": {**SMALL, "name": "cifar10"},
    "cifar100": {**SMALL, "name": "cifar100"},
    "places365": {**LARGE, "name": "places365"},
    "imagenet": {**LARGE, "name": "imagenet"},
}
AT_HAND = {
    **{name: SETS[name] | {"augment": "flip"} for name in ("fashion_mnist", "cifar10a", "cifar10b", "cifar10")},
    "tiny_imagenet": {**SMALL, "augment": "flip", "name": "parquet:tiny_imagenet_32"},
}


def fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a set as the fields of a study that it changes."""
    return {f"data.{field}": value for field, value in data.items()}


def to_each(sets: Mapping[str, Mapping[str, Any]], rounds: Sequence[int]) -> list[Transfer]:
    """Train the tickets of these rounds, and their controls, on every set."""
    return [
        Transfer(fields(data), start=start, length="ticket", output="redrawn", rounds=rounds)
        for data in sets.values()
        for start in ("rewound", "random")
    ]


def over_sets(name: str, model: Model, train: Train, smoke: Mapping[str, Any]) -> Study:
    """Return the study of one network, every set of which is a source and a target."""
    return Study(
        f"transfer-datasets-{name}",
        model=model,
        data=Data("cifar10", batch_size=512, validation=0),
        train=train,
        prune=Prune(scope="global", fraction=0.2, rounds=30, exclude=["output.weight", "fc.weight"]),
        rewind=[epochs(1)],
        seeds=[0, 1, 2, 3, 4, 5],
        arms={name: fields(data) for name, data in SETS.items()},
        branches=to_each(SETS, [5, 10, 15, 20, 25, 30]),
        keep="rewind",
        otherwise=OTHERWISE,
        smoke={
            "data.batch_size": 32,
            "data.train_images": 6400,
            "data.evaluation_images": 1000,
            "prune.rounds": 1,
            "prune.fraction": 0.8,
            "prune.exclude": ["output.weight"],
            "rewind": [steps(20)],
            "seeds": [0],
            **smoke,
        },
    )


def train(length: int, *milestones: int) -> Train:
    """Return the paper's training, so many epochs long."""
    drops = [epochs(at) for at in milestones]
    return Train(epochs(length), lr=0.1, momentum=0.9, weight_decay=1e-4, milestones=drops, evaluate_every=epochs(1))


def lasting(length: int) -> dict[str, Any]:
    """Return the fields of a training of so many steps."""
    drops = [steps(length * 2 // 3), steps(length * 13 // 15)]
    return {"train.length": steps(length), "train.milestones": drops, "train.evaluate_every": steps(length)}


HALVES = {name: AT_HAND[name] for name in ("cifar10a", "cifar10b")}
studies = [
    over_sets(
        "vgg19",
        Model("cifar_vgg19"),
        train(160, 80, 120),
        {
            "model.name": "cifar_vgg11_8",
            **lasting(300),
            "arms": {name: fields(data) for name, data in AT_HAND.items()},
            "branches": to_each(AT_HAND, [1]),
        },
    ),
    over_sets(
        "resnet50",
        Model("resnet50"),
        train(90, 50, 65, 80),
        {
            "model.name": "cifar_resnet8_8",
            **lasting(180),
            "arms": {name: fields(data) for name, data in HALVES.items()},
            "branches": to_each(HALVES, [1]),
        },
    ),
]

if __name__ == "__main__":
    main(studies)
