"""How far can a network be pruned before it is trained, and when do criteria collapse its layers?

Tanaka et al. 2020: masks found at initialisation by random scores, magnitude, SNIP, GraSP and, in 100 steps of
scoring, synaptic flow, at compressions of 10^0 to 10^6 by quarters of an exponent; VGG-16 and ResNet-20 (which
has 10^4 weights for each layer, and is pruned to 10^4) on CIFAR-10, VGG-16 on CIFAR-100. Every mask is found in the
initial weights, and the dense network is trained once for all of them. What is done otherwise than in the paper is in
OTHERWISE.
"""

from typing import Any

from lth_ray import Data, Model, Prune, Scoring, Study, Train, epochs, main, steps

OTHERWISE = [
    "Gradients are of the first ten images of each class in the order of training; the authors' are of as many images, "
    "drawn whatever their class.",
    "Convolutions have no biases; those of the authors' VGG are 0 before training.",
    "An epoch leaves out the images that do not fill a batch.",
]


def compressions(highest: float) -> list[float]:
    """Return densities 10^-x, x from 0 to `highest` by a quarter."""
    return [10 ** (-quarter / 4) for quarter in range(round(4 * highest) + 1)]


ARMS: dict[str, dict[str, Any]] = {
    "random": {"prune.criterion": "random"},
    "magnitude": {"prune.criterion": "magnitude"},
    "snip": {"prune.criterion": "snip"},
    "grasp": {"prune.criterion": "grasp"},
    "synflow": {"prune.criterion": "synflow", "prune.iterations": 100},
}


def at_init(name: str, model: str, data: str, highest: float, smoke_model: str, smoke_ladder: list[float]) -> Study:
    """Return a study of a network.

    highest: the exponent of its highest compression.
    smoke_model, smoke_ladder: the network and the densities of a smoke run.
    """
    return Study(
        name,
        model=Model(model, init="kaiming"),
        data=Data(data, batch_size=128, validation=0, augment="crop_flip"),
        train=Train(
            epochs(160),
            lr=0.1,
            momentum=0.9,
            nesterov=True,
            weight_decay=1e-4,
            milestones=[epochs(60), epochs(120)],
            evaluate_every=epochs(1),
            channels_last=True,
        ),
        prune=Prune(
            at=steps(0), remaining=compressions(highest), whole_dense=True, scoring=Scoring("eval", per_class=10)
        ),
        rewind=[steps(0)],
        seeds=[0, 1, 2],
        arms=ARMS,
        keep="rewind",
        smoke={
            "model.name": smoke_model,
            "data.name": "cifar10",
            "data.batch_size": 32,
            "data.evaluation_images": 1000,
            "train.length": steps(300),
            "train.milestones": [steps(220), steps(270)],
            "train.evaluate_every": steps(300),
            "prune.remaining": smoke_ladder,
            "seeds": [0],
        },
        may_fail=list(ARMS),  # few steps teach small and sparse networks little, and layers of some collapse
        otherwise=OTHERWISE,
    )


studies = [
    at_init("synflow-vgg16-cifar10", "cifar_vgg16", "cifar10", 6, "cifar_vgg16_4", [0.3, 0.1, 0.03, 0.01]),
    at_init("synflow-resnet20-cifar10", "cifar_resnet20", "cifar10", 4, "cifar_resnet20_4", [0.3, 0.1]),
    at_init("synflow-vgg16-cifar100", "cifar_vgg16", "cifar100", 6, "cifar_vgg16_4", [0.3, 0.1, 0.03, 0.01]),
]

if __name__ == "__main__":
    main(studies)
