"""Is it the weights or the architecture that pruning finds, on ImageNet?

Liu et al. 2019, section 4: ResNet-34-A and -B by the L1 norm of filters, ThiNet's ResNet-50 with 70 % of the channels
inside its blocks, and 40 % of the single weights of VGG-16 and ResNet-50. Each is fine-tuned for 20 epochs at the last
rate, or trained from scratch for as many epochs (Scratch-E) or operations (Scratch-B, 180 epochs at most) as the dense
network; CIFAR's networks are in rethinking_structured.py and rethinking_unstructured.py. What is otherwise than theirs
is listed in OTHERWISE: a comparison with their numbers says "not comparable".
"""

from typing import Any

from lth_ray import Data, Model, Prune, Rewind, Scoring, Scratch, Study, Train, epochs, main, steps
from lth_ray.config import Length

OTHERWISE = [
    "Batches are of 256 images in two groups of 128 for batch norm, in bfloat16.",
    "The dense network is trained here, theirs is torchvision's pretrained one.",
]
IN_ONE = "ThiNet's network is fine-tuned behind the last layer, not after each."
FILTERS: dict[str, Any] = {"structure": "channels", "scope": "layer"}


def retrained(point: Length, at_most: Length, **prune: Any) -> dict[str, Any]:
    """Return an arm of fine-tuning, with the same architecture trained from scratch beside it."""
    return {
        "rewind": [Rewind(point, method="fine_tune")],
        "branches": [Scratch(), Scratch("flops", at_most=at_most)],
        **{f"prune.{name}": value for name, value in prune.items()},
    }


def on_imagenet(
    name: str, model: str, prune: Prune, arms: dict[str, dict[str, Any]], smoke: dict[str, Any], *otherwise: str
) -> Study:
    """Return the study of one method on one network; arms: {name: changes of the pruning rule}."""
    return Study(
        f"rethinking-{name}",
        model=Model(model),
        data=Data("imagenet", batch_size=256, validation=0, augment="resized_crop_flip"),
        train=Train(
            epochs(90),
            lr=0.1,
            momentum=0.9,
            weight_decay=1e-4,
            milestones=[epochs(30), epochs(60)],
            evaluate_every=epochs(1),
            batch_norm_group=128,
            precision="bf16",
            channels_last=True,
        ),
        prune=prune,
        rewind=[steps(0)],
        seeds=[0, 1, 2],
        arms={arm: retrained(epochs(70), epochs(180), **changes) for arm, changes in arms.items()},
        keep="rewind",
        otherwise=[*OTHERWISE, *otherwise],
        smoke={
            "data.batch_size": 16,
            "data.image_size": 64,
            "data.evaluation_images": 32,
            "train.length": steps(4),
            "train.milestones": [steps(2), steps(3)],
            "train.evaluate_every": steps(2),
            "train.batch_norm_group": 8,
            "train.precision": "fp32",
            "seeds": [0],
            "arms": {arm: retrained(steps(2), steps(8), **changes) for arm, changes in arms.items()},
            **smoke,
        },
        smoke_shows="pipeline",
    )


A: dict[str, Any] = {"keep": "resnet34_a"}
B: dict[str, Any] = {"keep": "resnet34_b"}
THINET = Prune(
    "thinet",
    keep={"layer*.conv[12].weight": 0.7},
    exclude=["conv1.weight", "layer*.conv3.weight", "layer*.downsample.*"],
    in_turn=True,
    rescale=True,
    scoring=Scoring(per_class=1, batches=10),
    **FILTERS,
)
LESS: dict[str, Any] = {"scope": "global", "remaining": [0.4]}
studies = [
    on_imagenet("l1-resnet34", "resnet34", Prune("l1", **A, **FILTERS), {"A": A, "B": B}, {}),
    on_imagenet("thinet-resnet50", "resnet50", THINET, {"thinet70": {}}, {"prune.scoring": Scoring()}, IN_ONE),
    on_imagenet("unstructured-vgg16", "vgg16_bn", Prune(**LESS, exclude=["classifier.*"]), {"weights": {}}, {}),
    on_imagenet("unstructured-resnet50", "resnet50", Prune(**LESS, exclude=["fc.weight"]), {"weights": {}}, {}),
]

if __name__ == "__main__":
    main(studies)
