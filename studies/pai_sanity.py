"""What of a mask that is found at initialisation matters: its places, its weights, its scores, the data it is found by?

Frankle et al. 2021: tickets of SNIP, GraSP, synaptic flow and magnitude, all found before training, against their
masks shuffled within layers, their weights drawn anew, and their scores inverted, for ResNet-20 and VGG-16 on CIFAR-10.
With them the checks of Su et al. 2020: half of the data or spoilt data to score by, and random masks with densities of
layers that look at nothing (smart ratio, Erdos-Renyi-Kernel). The last study finds masks at later steps, and trains
them from others: two independent numbers. What is done otherwise than in the papers is in OTHERWISE.
"""

from collections.abc import Sequence
from typing import Any

from lth_ray import Data, Model, Prune, RandomReinit, Rescored, Scoring, ShuffledMask, Study, Train, epochs, main, steps

OTHERWISE = [
    "Masks have the densities of every third round of 20 % pruning, and the last.",
    "Dense networks and tickets are trained with one momentum, .9, and evaluated once an epoch.",
    "An epoch leaves out the images that do not fill a batch.",
    "Labels and pixels are exchanged among the examples of a scoring batch; Su et al. train on spoilt data sets.",
]
CHECKS = [ShuffledMask("layer"), RandomReinit(), Rescored({"invert": True})]
BY_DATA = [*CHECKS, *(Rescored({"data": data}) for data in ("half", "random_labels", "random_pixels"))]
LAYERWISE = {"prune.criterion": "random", "prune.scope": "layer"}
CRITERIA: dict[str, dict[str, Any]] = {
    "magnitude": {"prune.criterion": "magnitude", "branches": CHECKS},
    "snip": {"prune.criterion": "snip", "branches": BY_DATA},
    "grasp": {"prune.criterion": "grasp", "branches": BY_DATA},
    "grasp_abs": {"prune.criterion": "grasp_abs", "branches": CHECKS},
    "synflow": {"prune.criterion": "synflow", "prune.iterations": 100, "branches": CHECKS},
}
DENSITIES = [0.8**n for n in (2, 5, 8, 11, 14, 17, 20)]
SMOKE: dict[str, Any] = {
    "data.batch_size": 32,
    "data.evaluation_images": 1000,
    "train.length": steps(200),
    "train.milestones": [steps(150), steps(180)],
    "train.evaluate_every": steps(200),
    "seeds": [0],
}


def sanity(
    name: str, model: str, smoke_model: str, smart: str, smoke_ladder: Sequence[float] = (0.35,), **changes: Any
) -> Study:
    """Return a study of a network.

    smoke_model, smoke_ladder: the network and the densities of a smoke run.
    smart: the rule of its smart ratio.
    changes: of the study's fields.
    """
    random: dict[str, Any] = {
        "random": {"prune.criterion": "random"},
        "erk": {**LAYERWISE, "prune.densities": "erk"},
        "smart_ratio": {**LAYERWISE, "prune.densities": smart},
    }
    given: dict[str, Any] = {
        "arms": {**CRITERIA, **random},
        "rewind": [steps(0)],
        "prune": Prune(at=steps(0), remaining=DENSITIES, whole_dense=True, scoring=Scoring("train", per_class=10)),
        "smoke": {**SMOKE, "model.name": smoke_model, "prune.remaining": smoke_ladder},
    }
    fields = given | changes
    return Study(
        name,
        model=Model(model, init="kaiming"),
        data=Data("cifar10", batch_size=128, validation=0, augment="crop_flip"),
        train=Train(
            epochs(160),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            milestones=[epochs(80), epochs(120)],
            evaluate_every=epochs(1),
            channels_last=True,
        ),
        seeds=[0, 1, 2, 3, 4],
        keep="rewind",
        may_fail=list(fields["arms"]),
        otherwise=OTHERWISE,
        **fields,
    )


# Where the mask is found, and where it is trained from.
LATER = {
    name: {path: value for path, value in fields.items() if path != "branches"} for name, fields in CRITERIA.items()
}
studies = [
    sanity("pai-sanity-resnet20", "cifar_resnet20", "cifar_resnet20_4", "smart_ratio"),
    sanity("pai-sanity-vgg16", "cifar_vgg16", "cifar_vgg16_4", "smart_ratio_vgg", smoke_ladder=(0.35, 0.1)),
    sanity(
        "pai-sanity-later",
        "cifar_resnet20",
        "cifar_resnet20_4",
        "smart_ratio",
        arms=LATER,
        sweep={"prune.at": [steps(0), steps(1000), steps(5000), steps(20_000), epochs(160)]},
        rewind=[steps(0), steps(1000), steps(5000)],
        smoke={
            **SMOKE,
            "model.name": "cifar_resnet20_4",
            "prune.remaining": [0.35],
            "sweep": {"prune.at": [steps(0), steps(40)]},
            "rewind": [steps(0), steps(20)],
        },
    ),
]

if __name__ == "__main__":
    main(studies)
