"""Are there winning tickets in convolutional networks, and does dropout help to find them?

Frankle & Carbin 2019, figures 5 and 6: Conv-2, Conv-4 and Conv-6 on CIFAR-10, with and without dropout,
against three random reinitialisations of each ticket. 5 seeds.
"""

from lth_ray import Data, Model, Prune, RandomReinit, Study, Train, main, steps


def conv(depth: int, length: int, lr: float, dropout_lr: float, conv_fraction: float) -> Study:
    """Return the study of Conv-`depth` as published; dropout trains three times as long."""
    return Study(
        f"conv{depth}-cifar10",
        model=Model(f"conv{depth}", init="glorot"),
        data=Data("cifar10", batch_size=60, validation=5000),
        train=Train(steps(length), optimizer="adam", lr=lr, evaluate_every=steps(100)),
        prune=Prune(
            scope="layer",
            fraction={"conv*.weight": conv_fraction, "fc*.weight": 0.2, "output.weight": 0.1},
            rounds=24,
        ),
        rewind=[steps(0)],
        seeds=[0, 1, 2, 3, 4],
        arms={
            "plain": {},
            "dropout": {
                "model.options": {"dropout": 0.5},
                "train.length": steps(3 * length),
                "train.lr": dropout_lr,
            },
        },
        branches=[RandomReinit(copies=3)],
        smoke={
            "model.name": f"conv{depth}_16",
            "data.evaluation_images": 1000,
            "train.evaluate_every": steps(100),
            "prune.rounds": 1,
            "seeds": [0],
            "arms": {
                "plain": {"train.length": steps(200)},
                "dropout": {"model.options": {"dropout": 0.5}, "train.length": steps(600), "train.lr": dropout_lr},
            },
        },
    )


studies = [
    conv(2, 20_000, 2e-4, 3e-4, 0.10),
    conv(4, 25_000, 3e-4, 2e-4, 0.10),
    conv(6, 30_000, 3e-4, 2e-4, 0.15),
]

if __name__ == "__main__":
    main(studies)
