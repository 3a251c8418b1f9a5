"""What does a ticket need of its weights: their signs, and is that why rewinding the rate alone finds better ones?

After Gadhikar & Burkholz 2024, who cross masks and training by weight rewinding and by learning-rate rewinding, count
the signs that training flips and perturb them, and Oh et al. 2025, for whom the signs of a trained ticket are what
other weights need. Here ResNet-20 on CIFAR-10 for 160 epochs: each method's tickets with shares of their signs flipped
at the rewind point, with their signs and redrawn or constant magnitudes, and with the signs that training has found;
then either method under the other's masks, both under random masks, and batch norms rewound where weights are not and
the reverse. Network, rates and lengths are ours: no number of the papers is compared. 3 seeds.
"""

from collections.abc import Sequence
from typing import Any

from lth_ray import Branch, Data, Model, Perturb, Prune, Rewind, SignFlips, Study, Train, epochs, main, steps
from lth_ray.config import Length

STEPS = 62_400  # 160 epochs of 390
SHARES = (0.05, 0.1, 0.25, 0.5)


def perturbed(rounds: Sequence[int], shares: Sequence[float]) -> list[Branch]:
    """Return what is done to signs and magnitudes of a ticket's start; "final" signs are those that training found."""
    return [
        *(Perturb(flipped=share, rounds=rounds) for share in shares),
        Perturb("redrawn", signs="rewound", rounds=rounds),
        Perturb("constant", signs="rewound", rounds=rounds),
        Perturb("redrawn", signs="final", rounds=rounds),
        Perturb("redrawn", rounds=rounds),
    ]


def crossed(point: Length, rounds: Sequence[int], shares: Sequence[float]) -> dict[str, dict[str, Any]]:
    """Return the arms: the two methods, each under the other's masks, under random ones, and with other batch norms."""
    weights, rates = Rewind(point), Rewind(point, method="learning_rate")
    foreign = [Rewind(point, method="learning_rate", masks="weights"), Rewind(point, method="continue")]
    normed = [Rewind(point, batch_norm="trained"), Rewind(point, method="learning_rate", batch_norm="rewound")]
    return {
        "own_masks": {"rewind": [weights, rates], "branches": [SignFlips(), *perturbed(rounds, shares)]},
        "other_masks": {"rewind": foreign},
        "random_masks": {"rewind": [weights, rates], "prune.criterion": "random"},
        "batch_norms": {"rewind": normed},
    }


study = Study(
    "signs",
    model=Model("cifar_resnet20"),
    data=Data("cifar10", batch_size=128, validation=0, augment="crop_flip"),
    train=Train(
        steps(STEPS),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=[steps(STEPS // 2), steps(STEPS * 3 // 4)],
        evaluate_every=epochs(4),
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=15),
    rewind=[steps(0)],
    seeds=[0, 1, 2],
    arms=crossed(steps(500), [5, 10, 15], SHARES),
    branches=[SignFlips()],
    smoke={
        "model.name": "cifar_resnet8_8",
        "data.batch_size": 32,
        "data.evaluation_images": 1000,
        "train.length": steps(240),
        "train.milestones": [steps(160)],
        "train.evaluate_every": steps(240),
        "prune.fraction": 0.5,
        "prune.rounds": 2,
        "seeds": [0],
        "arms": crossed(steps(20), [2], [0.1, 0.5]),
    },
)

if __name__ == "__main__":
    main(study)
