"""Is it the weights or the architecture that a structured pruning method finds?

Liu et al. 2019, section 4.1: channels are pruned by the L1 norm of filters (Li et al. 2017: VGG-16-A, ResNet-56-A and
-B, ResNet-110-A and -B), by what ThiNet can rebuild (Luo et al. 2017), and by the scales of batch norms (network
slimming, Liu et al. 2017: 70 % of VGG-19's channels, 40 % of PreResNet-164's and DenseNet-40's). What is left is
fine-tuned for 40 epochs at the last rate (`fine_tune`), or trained from scratch: for as many epochs as the dense
network (Scratch-E, budget "epochs") or for as many operations (Scratch-B, "flops"). `winning` rewinds the architecture
of the first method to its own initial weights, at the learning rates .1 and .01 (their section 6: the winning ticket's
initialisation against a random one). CIFAR-10, 3 seeds; ImageNet's networks are in rethinking_imagenet.py. What is
otherwise than theirs is listed in OTHERWISE: a comparison with their numbers says "not comparable".
"""

from typing import Any

from lth_ray import Data, Model, Prune, RandomReinit, Rewind, Scoring, Scratch, Study, Train, epochs, main, steps

OTHERWISE = [
    "Batch norm's scales begin at 1, not .5.",
    "Images are flipped and shifted over edges filled with the mean; initial weights are of variance 2 / fan-in, not "
    "2 / fan-out.",
    "Networks are masked, with the inputs of removed channels, and their operations counted without these.",
]
SHORTCUTS = "The shortcuts that change a ResNet's width are projections."
SLIMMED = "Behind an addition or a concatenation a channel loses its scale, for what reads it by this norm alone."
FILTERS: dict[str, Any] = {"structure": "channels", "scope": "layer"}
SCRATCH = [Scratch(), Scratch("flops")]


def fine_tuned(epochs_left: int, all_epochs: int) -> dict[str, Any]:
    """Return an arm of the inherited weights, with the same architecture trained from scratch beside them."""
    return {"rewind": [Rewind(epochs(all_epochs - epochs_left), method="fine_tune")], "branches": SCRATCH}


def winning(**train: Any) -> dict[str, Any]:
    """Return an arm of the initial weights, with newly drawn ones beside them."""
    return {"rewind": [steps(0)], "branches": [RandomReinit()], **{f"train.{name}": one for name, one in train.items()}}


def on_cifar10(
    name: str, model: str, small: str, prune: Prune, arms: dict[str, Any], otherwise: list[str], **train: Any
) -> Study:
    """Return the study of one method on one network; `small` takes its place in a smoke run.

    arms: {name: what it changes beside the retraining}, of which a smoke run has all.
    """
    return Study(
        f"rethinking-{name}",
        model=Model(model),
        data=Data("cifar10", batch_size=64, validation=0, augment="crop_flip"),
        train=Train(
            epochs(160),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            milestones=[epochs(80), epochs(120)],
            evaluate_every=epochs(1),
            **train,
        ),
        prune=prune,
        rewind=[steps(0)],
        seeds=[0, 1, 2],
        arms={arm: {**fine_tuned(40, 160), **changes} for arm, changes in arms.items()} | _winning(arms, 0.01),
        keep="rewind",
        otherwise=[*OTHERWISE, *otherwise],
        smoke={
            "model.name": small,
            "data.batch_size": 32,
            "data.augment": "flip",
            "data.train_images": 192,
            "data.evaluation_images": 100,
            "train.length": epochs(4),
            "train.lr": 0.05,
            "train.milestones": [epochs(2), epochs(3)],
            "train.evaluate_every": epochs(2),
            "seeds": [0],
            **({"prune.scoring": Scoring(per_class=2)} if prune.scoring.per_class else {}),
            "arms": {arm: {**fine_tuned(1, 4), **changes} for arm, changes in arms.items()} | _winning(arms, 0.005),
        },
        smoke_shows="pipeline",
    )


def _winning(arms: dict[str, Any], low: float) -> dict[str, Any]:
    first = next(iter(arms.values()))
    return {"winning": {**winning(), **first}, "winning_low": {**winning(lr=low), **first}}


def by_norm(name: str, model: str, small: str, kept: dict[str, str], otherwise: list[str]) -> Study:
    """Return the study of filters' L1 norms; kept: {arm: the architecture that is left}."""
    first = Prune("l1", keep=next(iter(kept.values())), **FILTERS)
    arms = {arm: {"prune.keep": architecture} for arm, architecture in kept.items()}
    return on_cifar10(name, model, small, first, arms, otherwise)


def slimmed(name: str, model: str, small: str, share: float, penalty: float) -> Study:
    """Return the study of network slimming."""
    prune = Prune("bn_scale", fraction=share, rounds=1)
    return on_cifar10(name, model, small, prune, {"slimming": {}}, [SLIMMED], scale_l1=penalty)


RESNET56 = {"A": "resnet56_a", "B": "resnet56_b"}
RESNET110 = {"A": "resnet110_a", "B": "resnet110_b"}
THINET = Prune("thinet", keep="vgg16_thinet", in_turn=True, rescale=True, scoring=Scoring(per_class=10), **FILTERS)
studies = [
    by_norm("l1-vgg16", "cifar_vgg16", "cifar_vgg16_8", {"A": "vgg16_a"}, []),
    by_norm("l1-resnet56", "cifar_resnet56", "cifar_resnet56_4", RESNET56, [SHORTCUTS]),
    by_norm("l1-resnet110", "cifar_resnet110", "cifar_resnet110_4", RESNET110, [SHORTCUTS]),
    on_cifar10(
        "thinet-vgg16", "cifar_vgg16", "cifar_vgg16_8", THINET, {"thinet": {}},
        ["Liu et al. 2019 show ThiNet on ImageNet alone; it is fine-tuned behind the last layer, not after each."],
    ),
    slimmed("slimming-vgg19", "cifar_vgg19", "cifar_vgg19_8", share=0.7, penalty=1e-4),
    slimmed("slimming-preresnet164", "cifar_preresnet164", "cifar_preresnet29_4", share=0.4, penalty=1e-5),
    slimmed("slimming-densenet40", "cifar_densenet40", "cifar_densenet16_4", share=0.4, penalty=1e-5),
]  # fmt: skip

if __name__ == "__main__":
    main(studies)
