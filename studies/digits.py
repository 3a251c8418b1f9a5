"""Do winning tickets exist in a small network on real handwritten digits?

Iterative magnitude pruning against random reinitialisation and random masks, after Frankle & Carbin 2019 (figures 1, 3
and 4), on scikit-learn's 1,797 digits: nothing to download. Batch, optimizer and learning rate are the paper's. What
is not, and why: these images have 64 pixels, so that the hidden layers are wider and the network has the paper's
266,000 weights; half of the training images are held out, because the least validation loss of few images is noise;
there are ten seeds and a margin of two of the 400 test images, which is what so few can resolve; and a round prunes as
much as two of the paper's. Width, length and held-out images were chosen after nine pilot runs of other seeds (100
to 109; the first three, of a narrower network, had seeds 0 to 4), and the reported seeds were run once, with this
recipe; training ends at about three times the dense network's early stop.
"""

from lth_ray import Data, Model, Prune, RandomMask, RandomReinit, Study, Train, main, steps

COMPARED = [3, 4]  # rounds whose tickets are compared with random subnetworks

study = Study(
    "digits",
    model=Model("lenet_800_266"),
    data=Data("digits", batch_size=60, validation=697),
    train=Train(steps(400), optimizer="adam", lr=1.2e-3, evaluate_every=steps(10)),
    prune=Prune("magnitude", scope="layer", fraction={"fc*.weight": 0.36, "output.weight": 0.19}, rounds=4),
    rewind=[steps(0)],
    seeds=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    branches=[RandomReinit(rounds=COMPARED), RandomMask(rounds=COMPARED)],
    margin=0.005,
    smoke={"train.length": steps(200), "seeds": [0]},
)

if __name__ == "__main__":
    main(study)
