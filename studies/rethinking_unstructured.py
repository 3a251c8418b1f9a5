"""Is a sparse network that is trained from scratch as good as the fine-tuned one it has its mask from?

Liu et al. 2019, section 4.3: the smallest weights of all convolutions are pruned at once, and what is left is
fine-tuned for 40 epochs, or trained from scratch under the same mask: new weights as large as each layer's remaining
inputs ask for, for as many epochs as the dense network (Scratch-E) or as many operations (Scratch-B). Beside them the
winning tickets of section 6: rewound initial weights against new ones, at the learning rates .1 and .01. VGG-19 and
PreResNet-101 on CIFAR-10, with 70 to 5 % of the weights; 3 seeds. What is otherwise than theirs is listed in
OTHERWISE: a comparison with their numbers says "not comparable".
"""

from typing import Any

from lth_ray import Data, Model, Prune, RandomReinit, Rewind, Scratch, Study, Train, epochs, main, steps

OTHERWISE = [
    "Batch norm's scales begin at 1.",
    "Initial weights are of variance 2 / fan-in of the remaining inputs, not 2 / fan-out.",
    "Of pre-activation networks it is one of 101 layers, not 110.",
]
LADDER = [0.7, 0.5, 0.2, 0.05]


def arms(left: int, every: int, low: float) -> dict[str, dict[str, Any]]:
    """Return fine-tuning for the last `left` of `every` epochs, and winning tickets at two learning rates."""
    return {
        "fine_tune": {
            "rewind": [Rewind(epochs(every - left), method="fine_tune")],
            "branches": [Scratch(), Scratch("flops"), Scratch(initialisation="full")],
        },
        "winning": {"rewind": [steps(0)], "branches": [RandomReinit()]},
        "winning_low": {"rewind": [steps(0)], "branches": [RandomReinit()], "train.lr": low},
    }


def unstructured(name: str, model: str, small: str) -> Study:
    """Return the study of one network; `small` takes its place in a smoke run."""
    return Study(
        f"rethinking-unstructured-{name}",
        model=Model(model),
        data=Data("cifar10", batch_size=64, validation=0, augment="crop_flip"),
        train=Train(
            epochs(160),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            milestones=[epochs(80), epochs(120)],
            evaluate_every=epochs(1),
        ),
        prune=Prune(scope="global", remaining=LADDER, exclude=["output.weight"]),
        rewind=[steps(0)],
        seeds=[0, 1, 2],
        arms=arms(40, 160, low=0.01),
        keep="rewind",
        otherwise=OTHERWISE,
        smoke={
            "model.name": small,
            "data.batch_size": 32,
            "data.augment": "flip",
            "data.train_images": 320,
            "data.evaluation_images": 200,
            "train.length": epochs(4),
            "train.lr": 0.05,
            "train.milestones": [epochs(2), epochs(3)],
            "train.evaluate_every": epochs(2),
            "prune.remaining": [0.5],
            "seeds": [0],
            "arms": arms(1, 4, low=0.005),
        },
        smoke_shows="pipeline",
    )


studies = [
    unstructured("vgg19", "cifar_vgg19", "cifar_vgg19_8"),
    unstructured("preresnet101", "cifar_preresnet101", "cifar_preresnet29_4"),
]

if __name__ == "__main__":
    main(studies)
