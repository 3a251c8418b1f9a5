"""Does a ticket found on half of the data close the generalisation gap of warm-started training?

Ash & Adams 2019: a network that was trained on half of the data and then on all of it generalises worse than one
trained on all of it from new weights, though it fits as well. Here a ResNet-20 and its tickets are found on half of
CIFAR-10 and retrained on all of it: from their rewound weights (for the dense network, a fresh start) and from their
trained ones (a warm start), beside random masks and random reinitialisations. As there without augmentation, at a low
constant learning rate until the data are fitted: large rates hide the gap. 5 seeds.
"""

from collections.abc import Sequence
from dataclasses import replace

from lth_ray import Branch, Data, Model, Prune, RandomMask, RandomReinit, Study, Train, Transfer, epochs, main, steps

HALF = 22_500  # of the 45,000 training images beside the validation set


def on_all_data(rounds: Sequence[int], images: int | None = None) -> list[Branch]:
    """Train everything that was trained on half of the data on `images` of it (None: all)."""
    all_data = {"train_images": images}
    hung = [Transfer(all_data, start="rewound"), Transfer(all_data, start="trained")]
    return [
        *(replace(branch, rounds=[0, *rounds]) for branch in hung),
        RandomMask(rounds=rounds, branches=hung),
        RandomReinit(rounds=rounds, branches=hung),
    ]


study = Study(
    "warm-start",
    model=Model("cifar_resnet20"),
    data=Data("cifar10", batch_size=128, validation=5000, train_images=HALF),
    train=Train(epochs(160), lr=0.01, momentum=0.9, evaluate_every=epochs(2)),
    prune=Prune(scope="global", fraction=0.2, rounds=9, exclude=["*shortcut*", "output.weight"]),
    rewind=[steps(0), steps(500)],
    seeds=[0, 1, 2, 3, 4],
    branches=on_all_data([3, 6, 9]),
    smoke={
        "model.name": "cifar_vgg11_8",
        "data.batch_size": 16,
        "data.evaluation_images": 2000,
        "data.train_images": 800,
        "train.length": epochs(8),
        "train.evaluate_every": epochs(8),
        "prune.fraction": 0.5,
        "prune.exclude": ["output.weight"],
        "prune.rounds": 1,
        "rewind": [steps(0)],
        "seeds": [0, 1],
        "branches": on_all_data([1], images=1600),
    },
)

if __name__ == "__main__":
    main(study)
