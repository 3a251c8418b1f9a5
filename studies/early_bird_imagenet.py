"""Can a ticket of ImageNet's networks be drawn in the first epochs of the dense training?

You et al. 2020, section 4: ResNet-18 and -50, as early_bird.py has it for CIFAR-10's. What is otherwise than in the
paper, or ours where it does not say, is listed in OTHERWISE: a comparison with its numbers says "not comparable".
"""

from lth_ray import Data, EarlyBird, Model, Prune, Study, Train, epochs, main, steps

OTHERWISE = [
    "Channels are masked and not cut out of the network; what is left is as large as before.",
    "A batch norm behind an addition has its scale and bias in the mask, and no convolution.",
    "Batch norm takes its statistics over 128 images, and weights are trained in bf16 autocast.",
    "Initial weights are torchvision's.",
    "The shares of channels are those of CIFAR-10.",
]
SHARES = {"p30": 0.3, "p50": 0.5, "p70": 0.7}


def early_bird(depth: int) -> Study:
    return Study(
        f"early-bird-resnet{depth}",
        model=Model(f"resnet{depth}"),
        data=Data("imagenet", batch_size=256, validation=0, augment="resized_crop_flip"),
        train=Train(
            epochs(90),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            scale_l1=1e-4,
            milestones=[epochs(30), epochs(60)],
            evaluate_every=epochs(1),
            batch_norm_group=128,
            precision="bf16",
            channels_last=True,
        ),
        prune=Prune("bn_scale", fraction=0.5, rounds=1, at=EarlyBird(), whole_dense=True),
        rewind=[steps(0)],
        seeds=[0, 1, 2],
        arms={arm: {"prune.fraction": share} for arm, share in SHARES.items()},
        keep="rewind",
        otherwise=OTHERWISE,
        smoke={
            "data.batch_size": 16,
            "data.image_size": 64,
            "data.evaluation_images": 32,
            "train.length": steps(4),
            "train.milestones": [steps(2), steps(3)],
            "train.evaluate_every": steps(2),
            "train.batch_norm_group": 8,
            "train.precision": "fp32",
            "prune.at": steps(2),  # an epoch is longer than this run
            "seeds": [0],
            "arms": {"p30": {"prune.fraction": SHARES["p30"]}},
        },
        smoke_shows="pipeline",
    )


studies = [early_bird(18), early_bird(50)]

if __name__ == "__main__":
    main(studies)
