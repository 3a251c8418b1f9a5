"""Is pruning a search for architectures, whose patterns serve other networks and other data?

Liu et al. 2019, section 5: where a method prunes is averaged over the layers of a stage (of images of one size), and
networks are made by the pattern and trained from scratch. Guided pruning takes the channels that network slimming keeps
of a VGG-16, guided sparsifying the places in the 3x3 kernels at which the smallest weights are pruned; both are learnt
on CIFAR-10 and carried to a VGG-19 on CIFAR-100, beside the network itself on CIFAR-10, and uniform pruning as control.
The paper's figure is accuracy against parameters: `remaining_of_all` in the table of branches. 3 seeds. What is
otherwise than theirs is listed in OTHERWISE.
"""

from typing import Any

from lth_ray import Data, Guided, Model, Prune, Scratch, Study, Train, epochs, main, steps

OTHERWISE = ["Batch norm's scales begin at 1.", "Shares are those of a network of its own seed, not of five."]
LADDER = [0.8, 0.6, 0.5, 0.4, 0.3]


def carried(pattern: str, model: str, data: dict[str, Any]) -> list[Guided]:
    """Return networks by the pattern and uniform ones, of the study's own kind and carried to another."""
    return [
        Guided(pattern, uniform=uniform, model=other, changes=changes)
        for other, changes in ((None, {}), (Model(model), data))
        for uniform in (False, True)
    ]


def guided(name: str, pattern: str, prune: Prune, **train: Any) -> Study:
    """Return the study of one pattern."""
    return Study(
        f"guided-{name}",
        model=Model("cifar_vgg16"),
        data=Data("cifar10", batch_size=64, validation=0, augment="crop_flip"),
        train=Train(
            epochs(160),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            milestones=[epochs(80), epochs(120)],
            evaluate_every=epochs(1),
            **train,
        ),
        prune=prune,
        rewind=[steps(0)],
        seeds=[0, 1, 2],
        branches=[Scratch(), *carried(pattern, "cifar_vgg19", {"name": "cifar100"})],
        keep="rewind",
        otherwise=OTHERWISE,
        smoke={
            "model.name": "cifar_vgg16_8",
            "data.batch_size": 32,
            "data.augment": "flip",
            "data.train_images": 800,
            "data.evaluation_images": 500,
            "train.length": epochs(4),
            "train.lr": 0.05,
            "train.milestones": [epochs(2), epochs(3)],
            "train.evaluate_every": epochs(2),
            "prune.remaining": [0.6],
            "seeds": [0],
            "branches": [Scratch(), *carried(pattern, "cifar_vgg19_8", {"train_images": 640})],
        },
        smoke_shows="pipeline",
    )


studies = [
    guided("pruning", "channels", Prune("bn_scale", remaining=LADDER), scale_l1=1e-4),
    guided("sparsifying", "positions", Prune(scope="global", remaining=LADDER, exclude=["output.weight"])),
]

if __name__ == "__main__":
    main(studies)
