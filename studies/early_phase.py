"""What happens in the first steps of training that a ticket cannot do without?

Frankle, Schwab & Morcos 2020, sections 5 and 6: ResNet-20 on CIFAR-10, tickets rewound to steps 0, 500 and 2,000.
What of the weights at these steps matters: initial weights, signs or magnitudes put in their place, shuffles with and
without signs kept, and noise. Then whether other tasks do as well: rotation, random labels, blurred images, in place of
the first 2 to 40 epochs. As in the authors' code all 50,000 images are trained on for 62,560 steps, nothing is excluded
from pruning, and masks are found in networks that were pretrained. What is otherwise than theirs is listed in
OTHERWISE: a comparison with their numbers says "not comparable".
"""

from typing import Any

from lth_ray import Data, Model, Perturb, Pretrain, Pretraining, Prune, Rewind, Study, Train, epochs, main, steps
from lth_ray.config import Length

ROUNDS = [3, 6, 9, 12, 15, 18]  # 51.2, 26.2, 13.4, 6.9, 3.5 and 1.8 % of the weights
PERTURBED = [
    Perturb("init", rounds=ROUNDS),
    Perturb("rewound", signs="init", rounds=ROUNDS),
    Perturb("init", signs="rewound", rounds=ROUNDS),
    *(
        Perturb(f"shuffle_{scope}", signs=signs, rounds=ROUNDS)
        for scope in ("global", "layer", "filter")
        for signs in ("own", "rewound")
    ),
    *(Perturb(noise=n, rounds=ROUNDS) for n in (0.5, 1.0, 2.0, 3.0)),
]
TASKS = {
    "random_labels": Pretraining("random_labels"),
    "rotation": Pretraining("rotation"),
    "blurred": Pretraining("labels", blur=4),
    "rotation_blurred": Pretraining("rotation", blur=4),
}
STEPS = 62_560
OTHERWISE = [
    "Batch norm's scales begin at 1, not drawn from U(0, 1).",
    "An epoch is 390 whole batches, so that pretraining for n epochs is n steps shorter.",
    "Sparse pretraining is of the supervised network's masks, with a whole training behind it (Pretrain).",
]


def pretrained(lengths: list[Length], rewind: Length, rounds: list[int]) -> dict[str, dict[str, Any]]:
    """Return arms pretrained on each task for each length.

    Beside them stands the early point of plain training, which has what is ours: sparse pretraining, under
    the masks that were found without it.
    """
    sparse = [
        Pretrain(task.task, length=length, blur=task.blur, sparse=True, rounds=rounds)
        for task in TASKS.values()
        for length in lengths
    ]
    return {
        "supervised": {"rewind": [rewind], "branches": sparse},
        **{name: {"rewind": [Rewind(length, pretraining=task) for length in lengths]} for name, task in TASKS.items()},
    }


def resnet20(name: str, smoke: dict[str, Any], **parts: Any) -> Study:
    return Study(
        name,
        model=Model("cifar_resnet20"),
        data=Data("cifar10", batch_size=128, validation=0, augment="crop_flip"),
        train=Train(
            steps(STEPS),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            milestones=[steps(STEPS // 2), steps(STEPS * 3 // 4)],
            evaluate_every=epochs(2),
        ),
        prune=Prune(scope="global", fraction=0.2, rounds=18),
        seeds=[0, 1, 2, 3, 4],
        keep="rewind",
        otherwise=OTHERWISE,
        smoke={
            "model.name": "cifar_resnet8_8",
            "data.batch_size": 32,
            "data.evaluation_images": 1000,
            "train.length": steps(240),
            "train.milestones": [steps(160)],
            "train.evaluate_every": steps(240),
            "prune.fraction": 0.5,
            "prune.rounds": 1,
            "seeds": [0],
            **smoke,
        },
        **parts,
    )


def rewound(early: list[Length]) -> dict[str, dict[str, Any]]:
    """Return arms of tickets from initialisation, and from early points at which their weights are perturbed."""
    return {"from_init": {}, "early": {"rewind": early, "branches": PERTURBED}}


studies = [
    resnet20(
        "early-phase",
        {"arms": rewound([steps(20)])},
        rewind=[steps(0)],
        arms=rewound([steps(500), steps(2000)]),
    ),
    resnet20(
        "early-phase-pretraining",
        {"arms": pretrained([steps(60)], steps(20), [1])},
        rewind=[steps(500)],
        arms=pretrained([epochs(n) for n in (2, 5, 10, 20, 40)], steps(500), ROUNDS),
        may_fail=["random_labels"],  # the paper's result: pretraining on them is not enough, least of all for minutes
    ),
]

if __name__ == "__main__":
    main(studies)
