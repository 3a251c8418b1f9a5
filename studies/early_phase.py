"""What happens in the first steps of training that a ticket cannot do without?

Frankle, Schwab & Morcos 2020, sections 5 and 6: ResNet-20 on CIFAR-10, tickets rewound to steps 0, 500 and 2,000.
What of the weights at these steps matters: initial weights, signs or magnitudes put in their place, shuffles with and
without signs kept, and noise. Then whether other tasks do as well: rotation, random labels, blurred images.
"""

from typing import Any

from lth_ray import Data, Model, Perturb, Pretrain, Prune, Study, Train, epochs, main, steps
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
TASKS = {"random_labels": 1, "rotation": 1, "labels": 4, "rotation_blurred": 4}


def pretrained(lengths: list[Length]) -> list[Pretrain]:
    """On random labels, rotation, and either true labels or rotation of images blurred by 4."""
    return [
        Pretrain(task.removesuffix("_blurred"), length=length, blur=blur, sparse=sparse, rounds=ROUNDS)
        for task, blur in TASKS.items()
        for length in lengths
        for sparse in (False, True)
    ]


def resnet20(name: str, smoke: dict[str, Any], **parts: Any) -> Study:
    return Study(
        name,
        model=Model("cifar_resnet20"),
        data=Data("cifar10", batch_size=128, validation=5000, augment="crop_flip"),
        train=Train(
            epochs(160),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            milestones=[epochs(80), epochs(120)],
            evaluate_every=epochs(2),
        ),
        prune=Prune(scope="global", fraction=0.2, rounds=18, exclude=["*shortcut*", "output.weight"]),
        seeds=[0, 1, 2, 3, 4],
        keep="rewind",
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
    """Tickets from initialisation, and from early points at which their weights are perturbed."""
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
        {"rewind": [steps(20)], "branches": pretrained([steps(60)])},
        rewind=[steps(500)],
        branches=pretrained([epochs(n) for n in (2, 5, 10, 20, 40)]),
    ),
]

if __name__ == "__main__":
    main(studies)
