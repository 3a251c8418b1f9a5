"""How should a pruned network be retrained, and what does the search for it cost?

Renda, Frankle & Carbin 2020, figures on accuracy against parameter-efficiency and search cost: weight rewinding,
learning-rate rewinding, fine-tuning, continued training and training from scratch, each for every retraining time t,
iteratively and at once. ResNet-20, -56 and -110 on CIFAR-10, 3 seeds. Rewinding to T - t leaves t epochs to train;
`retrain_epochs`, `search_epochs` and `search_flops` of every ticket are in the tables.
"""

from collections.abc import Sequence
from typing import Any

from lth_ray import Data, Model, Prune, Rewind, Study, Train, epochs, main, steps
from lth_ray.config import Length

METHODS = ("weights", "learning_rate", "fine_tune", "continue", "scratch")
EPOCHS = 182
TIMES = (10, 30, 50, 70, 90, 110, 130, 150, 170, EPOCHS)  # t


def each_method(points: Sequence[Length]) -> list[Rewind]:
    return [Rewind(point, method=method) for method in METHODS for point in points]


def resnet(depth: int, smoke: dict[str, Any]) -> Study:
    return Study(
        f"retraining-resnet{depth}",
        model=Model(f"cifar_resnet{depth}"),
        data=Data("cifar10", batch_size=128, validation=5000, augment="crop_flip"),
        train=Train(
            epochs(EPOCHS),
            lr=0.1,
            momentum=0.9,
            weight_decay=2e-4,
            milestones=[epochs(91), epochs(136)],
            evaluate_every=epochs(2),
        ),
        prune=Prune(scope="global", fraction=0.2, rounds=14),
        rewind=each_method([epochs(EPOCHS - t) for t in TIMES]),
        seeds=[0, 1, 2],
        arms={"iterative": {}, "one_shot": {"prune.one_shot": True}},
        keep="rewind",
        smoke=smoke,
    )


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
]

if __name__ == "__main__":
    main(studies)
