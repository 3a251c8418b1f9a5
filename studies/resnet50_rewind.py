"""How early can ResNet-50 be rewound on ImageNet and still hide a matching ticket?

Frankle, Dziugaite, Roy & Carbin 2019 ("Stabilizing the lottery ticket hypothesis"), section 5: iterative pruning,
20 % a round, rewound to epoch k; the recipe is that of their appendix. Batch norm takes its statistics over 128 images,
whatever the number of workers, which may be 1, 2, 4 or 8. The barriers are those of Frankle et al. 2020a. What is
otherwise than in the papers, or ours where they do not say, is listed in OTHERWISE: a comparison with their numbers
says "not comparable".
"""

from lth_ray import Barrier, Data, Model, Prune, Study, Train, epochs, main, steps

OTHERWISE = [
    "Batch norm takes its statistics over 128 images, and its running ones decay by .9 a step.",
    "Weights are trained in bf16 autocast, through torch.compile.",
    "Initial weights are torchvision's, of variance 2 / fan-out.",
    "A barrier is of one pair of copies a seed and 11 points on their line, not of three pairs and 30 points.",
    'Rewind points are five, so that "from epoch k on" is known to the next of them.',
]

study = Study(
    "resnet50-rewind",
    model=Model("resnet50"),
    data=Data("imagenet", batch_size=1024, validation=0, augment="resized_crop_flip"),
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
        compile=True,
    ),
    prune=Prune("magnitude", scope="global", fraction=0.2, rounds=12),
    rewind=[epochs(0), epochs(1), epochs(5), epochs(6), epochs(18)],
    seeds=[0, 1, 2, 3, 4],
    branches=[Barrier(children=2, points=11, rounds=[0, 4, 8, 12])],
    otherwise=OTHERWISE,
    smoke={
        "data.batch_size": 16,
        "data.image_size": 64,
        "data.evaluation_images": 32,
        "train.length": steps(6),
        "train.warmup": steps(1),
        "train.milestones": [steps(3), steps(5)],
        "train.evaluate_every": steps(3),
        "train.batch_norm_group": 4,
        "train.precision": "fp32",
        "train.compile": False,
        "prune.rounds": 1,
        "rewind": [steps(2)],
        "seeds": [0],
        "branches": [Barrier(children=2, points=3, rounds=[1])],
    },
    smoke_shows="pipeline",
)

if __name__ == "__main__":
    main(study)
