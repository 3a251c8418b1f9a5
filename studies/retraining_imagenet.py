"""How should a pruned ImageNet network be retrained?

Renda, Frankle & Carbin 2020: weight rewinding, learning-rate rewinding and fine-tuning of ResNet-34 and ResNet-50, each
for retraining times of 9 to 90 epochs, iteratively and at once, 3 seeds; the optimizer's state comes with the weights.
90 epochs of batches of 1,024 are the authors' 112,590 steps. What is otherwise than in their code is listed in
OTHERWISE: a comparison with their numbers says "not comparable".
"""

from lth_ray import Data, Model, Prune, Rewind, Study, Train, epochs, main, steps

METHODS = ("weights", "learning_rate", "fine_tune")
EPOCHS = 90
TIMES = range(9, EPOCHS + 1, 9)  # t
OTHERWISE = [
    "Batch norm takes its statistics over 128 images, and its running ones decay by .9 a step, not .997.",
    "Weights are trained in bf16 autocast.",
    "Initial weights are torchvision's, of variance 2 / fan-out, not 1 / fan-in.",
]


def resnet(depth: int) -> Study:
    return Study(
        f"retraining-resnet{depth}",
        model=Model(f"resnet{depth}"),
        data=Data("imagenet", batch_size=1024, validation=0, augment="resized_crop_flip"),
        train=Train(
            epochs(EPOCHS),
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
        prune=Prune(scope="global", fraction=0.2, rounds=14),
        rewind=[Rewind(epochs(EPOCHS - t), method=method, optimizer="restored") for method in METHODS for t in TIMES],
        seeds=[0, 1, 2],
        arms={"iterative": {}, "one_shot": {"prune.one_shot": True}},
        keep="rewind",
        smoke={
            "data.batch_size": 16,
            "data.image_size": 64,
            "data.evaluation_images": 32,
            "train.length": steps(4),
            "train.warmup": steps(1),
            "train.milestones": [steps(2), steps(3)],
            "train.evaluate_every": steps(2),
            "train.batch_norm_group": 8,
            "train.precision": "fp32",
            "prune.rounds": 1,
            "rewind": [Rewind(steps(2), method=method, optimizer="restored") for method in METHODS],
            "seeds": [0],
        },
        smoke_shows="pipeline",
        otherwise=OTHERWISE,
    )


studies = [resnet(34), resnet(50)]

if __name__ == "__main__":
    main(studies)
