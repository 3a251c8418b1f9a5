"""From which epoch on does one-shot pruning find matching subnetworks of ImageNet networks?

Frankle, Dziugaite, Roy & Carbin 2019 ("Stabilizing the lottery ticket hypothesis"), section 5: 70 % of ResNet-50's and
Inception-v3's weights and 50 % of SqueezeNet's are pruned at once, and what is left is rewound to epoch k. Lengths and
rates are the paper's; the barriers are those of Frankle et al. 2020a. What is otherwise than in the papers, or ours
where they do not say (momentum and weight decay of Inception-v3 and SqueezeNet, the way SqueezeNet's rate falls), is
listed in OTHERWISE and beside each study: a comparison with their numbers says "not comparable".
"""

from dataclasses import replace
from typing import Any

from lth_ray import Barrier, Data, Model, Prune, Study, Train, epochs, main, steps

SMOKE: dict[str, Any] = {
    "data.batch_size": 16,
    "data.image_size": 64,
    "data.evaluation_images": 32,
    "train.length": steps(4),
    "train.warmup": steps(1),
    "train.evaluate_every": steps(2),
    "train.batch_norm_group": 8,
    "train.precision": "fp32",
    "rewind": [steps(2)],
    "seeds": [0],
    "branches": [],
}

OTHERWISE = [
    "Batch norm takes its statistics over 128 images, and its running ones decay by .9 a step.",
    "Weights are trained in bf16 autocast.",
    "Initial weights are torchvision's.",
    "A barrier is of one pair of copies a seed and 11 points on their line, not of three pairs and 30 points.",
]
IMAGENET = Data("imagenet", batch_size=1024, validation=0, augment="resized_crop_flip")

resnet50 = Study(
    "imagenet-oneshot-resnet50",
    model=Model("resnet50"),
    data=IMAGENET,
    train=Train(
        epochs(90),
        lr=0.4,
        momentum=0.9,
        weight_decay=1e-4,
        warmup=epochs(5),
        milestones=[epochs(30), epochs(60), epochs(80)],
        evaluate_every=epochs(1),
        batch_norm_group=128,
        precision="bf16",
        channels_last=True,
    ),
    prune=Prune(scope="global", fraction=0.7, rounds=1, one_shot=True),
    rewind=[epochs(k) for k in (0, 1, 2, 4, 6, 10, 18)],
    seeds=[0, 1, 2, 3, 4],
    branches=[Barrier(children=2, points=11, rounds=[0, 1])],
    otherwise=OTHERWISE,
    smoke={**SMOKE, "train.milestones": [steps(2), steps(3)]},
    smoke_shows="pipeline",
)

inception_v3 = replace(
    resnet50,
    name="imagenet-oneshot-inception-v3",
    model=Model("inception_v3"),
    data=replace(IMAGENET, image_size=299),
    train=Train(
        epochs(171),
        lr=0.03,
        final_lr=0.005,
        schedule="linear",
        momentum=0.9,
        weight_decay=1e-4,
        evaluate_every=epochs(1),
        batch_norm_group=128,
        precision="bf16",
        channels_last=True,
    ),
    rewind=[*resnet50.rewind, epochs(28)],
    otherwise=[
        *OTHERWISE,
        "Momentum .9 and weight decay 1e-4 are ours.",
        "There is no auxiliary classifier.",
    ],
    smoke={**SMOKE, "data.image_size": 96},
)

squeezenet = replace(
    resnet50,
    name="imagenet-oneshot-squeezenet",
    model=Model("squeezenet1_0"),
    train=Train(
        epochs(150),
        optimizer="rmsprop",
        lr=0.66,
        final_lr=6.6e-5,
        schedule="linear",
        evaluate_every=epochs(1),
        batch_norm_group=128,
        precision="bf16",
        channels_last=True,
    ),
    prune=Prune(scope="global", fraction=0.5, rounds=1, one_shot=True),
    otherwise=[
        *(line for line in OTHERWISE if not line.startswith("Batch norm")),  # the network has none
        "RMSProp without momentum and weight decay is ours, and so is the rate's falling linearly.",
    ],
    smoke={**SMOKE, "train.lr": 1e-3},
)

studies = [resnet50, inception_v3, squeezenet]

if __name__ == "__main__":
    main(studies)
