"""Can a ticket be drawn in the first epochs of the dense training, as soon as its mask stops changing?

You et al. 2020, sections 3 and 4: channels are pruned by the scales of their batch norms, on which an L1 penalty lies,
and the mask is drawn at the first epoch at which it differs in at most a tenth of the channels from each of the four
before it. The ticket is then trained on from there, or rewound. VGG-16 and PreResNet-101 on CIFAR-10, of which 30, 50
and 70 % of the channels are pruned; ImageNet's networks are in early_bird_imagenet.py. Beside them are masks of
weights, and masks found at the end of training. The dense network is trained to its end all the same, to be compared
with, and shares its training with every draw; `ticket_flops` counts for each ticket what it takes by itself. What is
otherwise than in the paper is listed in OTHERWISE: a comparison with its numbers says "not comparable".
"""

from typing import Any

from lth_ray import Data, EarlyBird, Model, Prune, RandomReinit, Study, Train, epochs, main, steps

OTHERWISE = [
    "Channels are masked and not cut out of the network; what is left is as large as before, and its operations are "
    "counted without the channels' own rows alone.",
    "A batch norm behind an addition has its scale and bias in the mask, and no convolution.",
    "Batch norm's scales begin at 1.",
]
SHARES = {"p30": 0.3, "p50": 0.5, "p70": 0.7}


def arms(**draw: Any) -> dict[str, dict[str, Any]]:
    """Return the shares of channels, trained on from the draw, and what a half of them is compared with."""
    drawn, rewound = EarlyBird(**draw), EarlyBird(**draw, then="rewind")
    return {
        **{arm: {"prune.fraction": share, "prune.at": drawn} for arm, share in SHARES.items()},
        "p50_rewound": {"prune.at": rewound},
        "p50_late": {"prune.at": None},
        "p50_weights": {"prune.criterion": "magnitude", "prune.at": drawn},
    }


def early_bird(name: str, model: str, small: str, last: str) -> Study:
    """Return the study of one network.

    small: takes its place in a smoke run, in which `last`, the scale of its last norm, is not pruned: in so few epochs
        scales fall fastest there, and the mask would cut the network in two.
    """
    return Study(
        f"early-bird-{name}",
        model=Model(model),
        data=Data("cifar10", batch_size=256, validation=0, augment="crop_flip"),
        train=Train(
            epochs(160),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            scale_l1=1e-4,
            milestones=[epochs(80), epochs(120)],
            evaluate_every=epochs(1),
        ),
        prune=Prune("bn_scale", fraction=0.5, rounds=1, at=EarlyBird(), whole_dense=True),
        rewind=[steps(0)],
        seeds=[0, 1, 2],
        arms=arms(),
        branches=[RandomReinit()],
        keep="rewind",
        otherwise=OTHERWISE,
        smoke={
            "model.name": small,
            "data.batch_size": 32,
            "data.augment": "flip",
            "data.train_images": 1920,
            "data.evaluation_images": 1000,
            "train.length": epochs(8),
            "train.lr": 0.05,
            "train.milestones": [epochs(6), epochs(7)],
            "train.evaluate_every": epochs(4),
            "prune.exclude": [last],
            "seeds": [0],
            "arms": arms(window=3, distance=0.15),
            "branches": [],
        },
    )


studies = [
    early_bird("vgg16", "cifar_vgg16", "cifar_vgg11_8", "layers.7.norm.weight"),
    early_bird("preresnet101", "cifar_preresnet101", "cifar_preresnet29_4", "norm.weight"),
]

if __name__ == "__main__":
    main(studies)
