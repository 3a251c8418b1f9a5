"""How should a pruned network be retrained, and what does the search for it cost?

Renda, Frankle & Carbin 2020, figures on accuracy against parameter-efficiency and search cost: weight rewinding,
learning-rate rewinding, fine-tuning, continued training and training from scratch, each for every retraining time t,
iteratively and at once. ResNet-20, -56, -110 and VGG-16 on CIFAR-10, 3 seeds; ImageNet's networks are in
retraining_imagenet.py. Rewinding to T - t leaves t epochs to train; `retrain_epochs`, `search_epochs` and
`search_flops` of every ticket are in the tables. As in the authors' code all 50,000 images are trained on for 71,108
steps, and the optimizer's state comes with the weights. What is otherwise than theirs is listed in OTHERWISE: a
comparison with their numbers says "not comparable".
"""

from collections.abc import Sequence
from typing import Any

from lth_ray import Data, Model, Prune, Rewind, Study, Train, epochs, main, steps
from lth_ray.config import Length

METHODS = ("weights", "learning_rate", "fine_tune", "continue", "scratch")
EPOCHS, STEPS = 182, 71_108
TIMES = (10, 30, 50, 70, 90, 110, 130, 150, 170, EPOCHS)  # t
OTHERWISE = [
    "Images are normalised by the data set's mean and deviation, not each by its own.",
    "Batch norm's running statistics decay by .9 a step, not .997.",
    "Initial weights are Kaiming's, of variance 2 / fan-in, not 1 / fan-in.",
    "The first block has no 1x1 projection (16 to 16 channels).",
    "Training from scratch and continued training are not among the methods of the paper.",
]


def each_method(points: Sequence[Length]) -> list[Rewind]:
    """Return every method, with the optimizer's state of the weights, where these are not new."""
    kept = {method: "fresh" if method == "scratch" else "restored" for method in METHODS}
    return [Rewind(point, method=method, optimizer=kept[method]) for method in METHODS for point in points]


def epoch(number: int) -> Length:
    """Return the start of an epoch of the 71,108 steps: the authors' epochs are not whole numbers of steps."""
    return steps(STEPS * number // EPOCHS)


def on_cifar10(name: str, model: str, weight_decay: float, smoke: dict[str, Any], otherwise: list[str]) -> Study:
    return Study(
        f"retraining-{name}",
        model=Model(model),
        data=Data("cifar10", batch_size=128, validation=0, augment="crop_flip"),
        train=Train(
            steps(STEPS),
            lr=0.1,
            momentum=0.9,
            weight_decay=weight_decay,
            milestones=[epoch(91), epoch(136)],
            evaluate_every=epochs(2),
        ),
        prune=Prune(scope="global", fraction=0.2, rounds=14),
        rewind=each_method([epoch(EPOCHS - t) for t in TIMES]),
        seeds=[0, 1, 2],
        arms={"iterative": {}, "one_shot": {"prune.one_shot": True}},
        keep="rewind",
        smoke=smoke,
        otherwise=otherwise,
    )


def resnet(depth: int, smoke: dict[str, Any]) -> Study:
    return on_cifar10(f"resnet{depth}", f"cifar_resnet{depth}", 2e-4, smoke, OTHERWISE)


def shortened(model: str, length: int, points: Sequence[int], rounds: int) -> dict[str, Any]:
    return {
        "model.name": model,
        "data.batch_size": 16,
        "data.augment": "flip",
        "data.evaluation_images": 1000,
        "train.length": steps(length),
        "train.lr": 0.02,
        "train.milestones": [steps(length * 2 // 3), steps(length * 5 // 6)],
        "train.evaluate_every": steps(length),
        "prune.fraction": 0.5,
        "prune.rounds": rounds,
        "rewind": each_method([steps(point) for point in points]),
        "seeds": [0],
    }


studies = [
    resnet(20, shortened("cifar_resnet8_8", 360, points=[150, 240], rounds=2)),
    resnet(56, shortened("cifar_resnet14_8", 270, points=[150], rounds=1)),
    resnet(110, shortened("cifar_resnet20_8", 270, points=[150], rounds=1)),
    on_cifar10(
        "vgg16",
        "cifar_vgg16",
        5e-4,
        shortened("cifar_vgg11_8", 270, points=[150], rounds=1),
        [line for line in OTHERWISE if "projection" not in line],
    ),
]

if __name__ == "__main__":
    main(studies)
