"""Do winning tickets learn faster and better than the network they were found in?

Frankle & Carbin 2019, figures 1, 3 and 4: LeNet-300-100 on MNIST with the paper's hyperparameters; iterative and
one-shot pruning, each with random reinitialisations and random masks of the same layer densities. 5 seeds.
"""

from lth_ray import Data, Model, Prune, RandomMask, RandomReinit, Study, Train, main, steps

study = Study(
    "lenet-mnist",
    model=Model("lenet_300_100", init="glorot"),
    data=Data("mnist", batch_size=60, validation=5000),
    train=Train(steps(50_000), optimizer="adam", lr=1.2e-3, evaluate_every=steps(100)),
    prune=Prune("magnitude", scope="layer", fraction={"fc*.weight": 0.2, "output.weight": 0.1}, rounds=24),
    rewind=[steps(0)],
    seeds=[0, 1, 2, 3, 4],
    arms={
        "iterative": {"branches": [RandomReinit(copies=3), RandomMask()]},
        "one_shot": {"prune.one_shot": True, "branches": [RandomReinit(copies=3)]},
    },
    smoke={"train.length": steps(1000), "train.evaluate_every": steps(250), "prune.rounds": 3, "seeds": [0]},
)

if __name__ == "__main__":
    main(study)
