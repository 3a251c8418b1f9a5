"""Do tickets that were found by one optimizer win with another?

Morcos, Yu, Paganini & Tian 2019 ("One ticket to win them all"): a VGG-19 on CIFAR-10, whose tickets are found by SGD
with momentum or by Adam and then trained by either, at several rates. An arm is the optimizer that a ticket was found
by. Beside them is the paper's control, a mask permuted over all layers on new weights; by its own optimizer at its own
rate a ticket is itself. The report's table and heat map are of optimizers x optimizers and rates. No number of the
paper's figures is at hand, so that there are no targets to compare with. 6 seeds. What is done otherwise than in the
paper, or ours where it does not say, is in OTHERWISE.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lth_ray import Data, Model, Prune, Study, Train, Transfer, epochs, main, steps

OTHERWISE = [
    "Rates are the paper's, and a third and three times as high; milestones and weight decay are SGD's for Adam, too.",
    "Images are padded, cropped and flipped; the output layer is not pruned, and test images choose nothing.",
    "Tickets of every fifth round are transferred, and of controls there is one a ticket.",
]
SGD = {"train.optimizer": "sgd", "train.momentum": 0.9, "train.lr": 0.1}
ADAM = {"train.optimizer": "adam", "train.momentum": 0.0, "train.lr": 3e-4}
SWEPT = [
    *({**SGD, "train.lr": lr} for lr in (0.03, 0.1, 0.3)),
    *({**ADAM, "train.lr": lr} for lr in (1e-4, 3e-4, 1e-3)),
]


def to_each(trainings: Sequence[Mapping[str, Any]], rounds: Sequence[int]) -> list[Transfer]:
    """Train the tickets of these rounds, and their controls, in each of these ways."""
    return [
        Transfer(changes, start=start, length="ticket", rounds=rounds)
        for changes in trainings
        for start in ("rewound", "random")
    ]


study = Study(
    "transfer-optimizers",
    model=Model("cifar_vgg19"),
    data=Data("cifar10", batch_size=512, validation=0, augment="crop_flip"),
    train=Train(
        epochs(160),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[epochs(80), epochs(120)],
        evaluate_every=epochs(1),
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=30, exclude=["output.weight"]),
    rewind=[epochs(1)],
    seeds=[0, 1, 2, 3, 4, 5],
    arms={"sgd": SGD, "adam": ADAM},
    branches=to_each(SWEPT, [5, 10, 15, 20, 25, 30]),
    keep="rewind",
    otherwise=OTHERWISE,
    smoke={
        "model.name": "cifar_vgg11_8",
        "data.batch_size": 32,
        "data.augment": "flip",
        "data.train_images": 6400,
        "data.evaluation_images": 1000,
        "train.length": steps(300),
        "train.milestones": [steps(200), steps(260)],
        "train.evaluate_every": steps(300),
        "prune.fraction": 0.8,
        "prune.rounds": 1,
        "rewind": [steps(20)],
        "seeds": [0],
        "arms": {"sgd": SGD, "adam": ADAM | {"train.lr": 1e-3}},
        "branches": to_each([SGD, SGD | {"train.lr": 0.03}, ADAM, ADAM | {"train.lr": 1e-3}], [1]),
    },
)

if __name__ == "__main__":
    main(study)
