"""Do the checks of masks found at initialisation come out alike for a larger network on more classes?

Frankle et al. 2021: ResNet-18 on Tiny-ImageNet, as pai_sanity.py has ResNet-20 and VGG-16 on CIFAR-10. The data are a
folder of Parquet files under --data-root; of another name or size, `--set data.name=parquet:PATH` and
`--set data.image_size=32`. What is done otherwise than in the paper, or ours where it does not say, is in OTHERWISE.
"""

from typing import TYPE_CHECKING, Any

from lth_ray import Data, Model, Prune, RandomReinit, Rescored, Scoring, ShuffledMask, Study, Train, epochs, main, steps

if TYPE_CHECKING:
    from torch import nn

OTHERWISE = [
    "The first layer is a 3x3 convolution of stride 1 without pooling, as is usual for small images.",
    "Masks have the densities of every third round of 20 % pruning, and the last.",
    "An epoch leaves out the images that do not fill a batch, and networks are evaluated once an epoch.",
]
CHECKS = [ShuffledMask("layer"), RandomReinit(), Rescored({"invert": True})]
ARMS: dict[str, dict[str, Any]] = {
    "magnitude": {"prune.criterion": "magnitude"},
    "snip": {"prune.criterion": "snip"},
    "grasp": {"prune.criterion": "grasp"},
    "synflow": {"prune.criterion": "synflow", "prune.iterations": 100},
    "random": {"prune.criterion": "random", "branches": []},
}
DENSITIES = [0.8**n for n in (2, 5, 8, 11, 14, 17, 20)]


def resnet18(num_classes: int) -> "nn.Module":
    """Return torchvision's ResNet-18 with a first layer for small images."""
    from torch import nn
    from torchvision.models import resnet18

    network: nn.Module = resnet18(num_classes=num_classes)
    network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return network


study = Study(
    "pai-sanity-tiny",
    model=Model(resnet18, init="kaiming"),
    data=Data("parquet:tiny_imagenet", batch_size=256, validation=0, augment="crop_flip", image_size=64),
    train=Train(
        epochs(200),
        lr=0.2,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[epochs(100), epochs(150)],
        evaluate_every=epochs(1),
        channels_last=True,
    ),
    prune=Prune(at=steps(0), remaining=DENSITIES, whole_dense=True, scoring=Scoring("train", per_class=10)),
    rewind=[steps(0)],
    seeds=[0, 1, 2, 3, 4],
    arms=ARMS,
    branches=CHECKS,
    keep="rewind",
    may_fail=list(ARMS),
    otherwise=OTHERWISE,
    smoke={
        "model.name": "cifar_resnet20_4",
        "data.name": "cifar10",
        "data.image_size": None,
        "data.batch_size": 32,
        "data.evaluation_images": 1000,
        "train.length": steps(200),
        "train.milestones": [steps(150), steps(180)],
        "train.evaluate_every": steps(200),
        "prune.remaining": [0.35],
        "seeds": [0],
    },
)

if __name__ == "__main__":
    main(study)
