"""Does a ticket's mask train from another initialisation once its units have the order of that network's?

Adnan et al. 2025: a ticket's mask is of little use on other weights, and of more where it is permuted first: two dense
networks are trained, the units of one are matched with those of the other by activations or by weights, and the mask
takes their order. ResNet-20 of growing width and VGG-11 on CIFAR-10, rewound to initialisation and to later epochs;
beside the permuted mask stand the same mask as it is, on the same weights, and the ticket itself. Rates and lengths are
ours: no number of the paper is compared. 5 seeds.
"""

from collections.abc import Sequence
from typing import Any

from lth_ray import Branch, Data, Model, PermutedMask, Prune, Study, Train, epochs, main, steps

WIDTHS = ["cifar_resnet20", "cifar_resnet20_32", "cifar_resnet20_64"]


def permuted(rounds: Sequence[int]) -> list[Branch]:
    return [PermutedMask(match, rounds=rounds) for match in ("activations", "weights", "none")]


def on_cifar10(name: str, rounds: int, smoke: dict[str, Any], **parts: Any) -> Study:
    return Study(
        name,
        data=Data("cifar10", batch_size=128, validation=5000, augment="crop_flip"),
        train=Train(
            epochs(160),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            milestones=[epochs(80), epochs(120)],
            evaluate_every=epochs(4),
        ),
        prune=Prune(scope="global", fraction=0.2, rounds=rounds),
        rewind=[epochs(0), epochs(5), epochs(20)],
        seeds=[0, 1, 2, 3, 4],
        branches=permuted(list(range(3, rounds + 1, 3))),
        smoke={
            "data.batch_size": 32,
            "data.evaluation_images": 1000,
            "train.length": steps(240),
            "train.milestones": [steps(160)],
            "train.evaluate_every": steps(120),
            "prune.fraction": 0.8,
            "prune.rounds": 1,
            "rewind": [steps(20)],
            "seeds": [0],
            "branches": permuted([1]),
            **smoke,
        },
        **parts,
    )


studies = [
    on_cifar10(
        "permuted-masks-resnet20",
        15,
        {"sweep": {"model.name": ["cifar_resnet8_4", "cifar_resnet8_16"]}},
        model=Model("cifar_resnet20"),
        sweep={"model.name": WIDTHS},
    ),
    on_cifar10("permuted-masks-vgg11", 15, {"model.name": "cifar_vgg11_8"}, model=Model("cifar_vgg11")),
]

if __name__ == "__main__":
    main(studies)
