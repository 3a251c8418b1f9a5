"""Do winning tickets exist in a small network on real handwritten digits?

Iterative magnitude pruning against one-shot pruning, random reinitialisation and random masks, after Frankle &
Carbin 2019 (figures 1, 3 and 4), on scikit-learn's 1,797 digits: nothing to download. To take minutes, a round
prunes as much as two of the paper's, and the learning rate is higher than the paper's 1.2e-3.
"""

from lth_ray import Data, Model, Prune, RandomMask, RandomReinit, Study, Train, main, steps

COMPARED = [3, 5, 7, 9]  # rounds whose tickets are compared with random subnetworks

study = Study(
    "digits",
    model=Model("lenet_300_100"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(600), optimizer="adam", lr=2e-3, evaluate_every=steps(20)),
    prune=Prune("magnitude", scope="layer", fraction={"fc*.weight": 0.36, "output.weight": 0.19}, rounds=9),
    rewind=[steps(0)],
    seeds=[0, 1, 2, 3, 4],
    arms={
        "iterative": {"branches": [RandomReinit(rounds=COMPARED), RandomMask(rounds=COMPARED)]},
        "one_shot": {"prune.one_shot": True},
    },
    smoke={"train.length": steps(300), "seeds": [0]},
)

if __name__ == "__main__":
    main(study)
