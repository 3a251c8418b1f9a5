"""Are a classifier's pruned convolutions worth more to a detector than their architecture alone?

Liu, Sun, Zhou, Huang & Darrell 2019 ("Rethinking the value of network pruning"), whose detectors are Faster R-CNN on
ResNet-34 from ImageNet. Here it is a ResNet-20 from CIFAR-10, and blood cells are found. Half of the channels of the
first convolution in each block go, those of the smallest L1 norm (Li et al. 2017): before the transfer, and the
classifier is fine-tuned ("prune_c"); or after it, and the detector is ("prune_d"). Beside them the dense classifier
("dense"), the pruned architecture trained on CIFAR-10 from new weights, for as many epochs ("scratch_e", Scratch-E) or
operations ("scratch_b", Scratch-B) as the dense one, and a detector that has seen no other images ("new"). The whole
detector's single weights are pruned iteratively, too ("imp"). 3 seeds of detectors.
"""

from typing import Any

from lth_ray import (
    Boxes,
    Data,
    Model,
    Prune,
    Rewind,
    Scratch,
    Study,
    TicketOf,
    Train,
    epochs,
    main,
    steps,
)

PART = "backbone.body."  # a classifier's convolutions in a detector
HEADS = ("backbone.fpn*", "rpn*", "roi_heads*")


def channels(*others: str, rounds: int = 1) -> Prune:
    """Prune half of the channels between the two convolutions of each block. others: layers that are no block's."""
    kept = ["*conv.weight", "*conv2.weight", "*shortcut.weight", *others]
    return Prune("l1", structure="channels", scope="layer", fraction=0.5, rounds=rounds, exclude=kept)


classifier = Study(
    "detection-transfer-classifier",
    model=Model("cifar_resnet20"),
    data=Data("cifar10", batch_size=64, validation=5000, augment="crop_flip"),
    train=Train(
        epochs(160),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[epochs(80), epochs(120)],
        evaluate_every=epochs(2),
    ),
    prune=channels(),
    rewind=[Rewind(epochs(120), method="fine_tune")],
    seeds=[0],
    branches=[Scratch("epochs"), Scratch("flops")],
    smoke={
        "model.name": "cifar_resnet8_8",
        "data.evaluation_images": 500,
        "train.length": steps(150),
        "train.milestones": [steps(100)],
        "train.evaluate_every": steps(150),
        "rewind": [Rewind(steps(100), method="fine_tune")],
    },
)


def arms(tuned: Any, rewound: Any, rounds: int) -> dict[str, dict[str, Any]]:
    """Return the arms. tuned: from where on the pruned detector is; rewound: k of `rounds` rounds of IMP."""
    dense = TicketOf(classifier, round=0)
    return {
        "dense": {"ticket": dense},
        "prune_c": {"ticket": TicketOf(classifier, round=1)},
        "prune_d": {"ticket": dense, "prune": channels(*HEADS), "rewind": [Rewind(tuned, method="fine_tune")]},
        "scratch_e": {"ticket": TicketOf(classifier, round=1, branch="scratch-epochs")},
        "scratch_b": {"ticket": TicketOf(classifier, round=1, branch="scratch-flops")},
        "new": {"ticket_part": ""},
        "imp": {"ticket": dense, "prune": Prune(scope="global", fraction=0.5, rounds=rounds), "rewind": [rewound]},
    }


detector = Study(
    "detection-transfer",
    model=Model("fasterrcnn_cifar_resnet20"),
    data=Boxes("voc:bccd", batch_size=4, validation="own", image_size=160, augment="flip", score="map50"),
    train=Train(
        epochs(30),
        optimizer="adam",
        lr=1e-3,
        warmup=epochs(1),
        milestones=[epochs(20), epochs(26)],
        evaluate_every=epochs(2),
    ),
    prune=channels(*HEADS, rounds=0),
    rewind=[epochs(0)],
    seeds=[0, 1, 2],
    ticket_part=PART,
    arms=arms(epochs(24), epochs(1), rounds=4),
    smoke={
        "model.name": "fasterrcnn_cifar_resnet8_8",
        "data.image_size": 96,
        "data.evaluation_images": 24,
        "train.length": steps(40),
        "train.lr": 2e-3,
        "train.warmup": steps(6),
        "train.milestones": [steps(30)],
        "train.evaluate_every": steps(40),
        "seeds": [0],
        "arms": arms(steps(30), steps(6), rounds=1),
    },
)

studies = [classifier, detector]

if __name__ == "__main__":
    main(studies)
