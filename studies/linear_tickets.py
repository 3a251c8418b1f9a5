"""What does iterative magnitude pruning find where training has a closed form?

Elesedy, Kanade & Teh 2020: linear models, here ten of them, one for each digit, by least squares with a little ridge.
Their loss has one minimum under each mask, whatever the initial weights, so that every initialisation wins and the mask
is all there is to a ticket: random reinitialisations come to the ticket's own weights, and random masks do not. Where
features are uncorrelated and of equal variance, pruning the smallest weights prunes the features that have the smallest
projection onto the targets, and to do so in rounds changes nothing; pixels are correlated, so that what is left takes
over what was pruned. Training is by gradient descent on all images at a time, in float64, until nothing changes any
more: tests compare each round with the solution of its normal equations. The seed draws initial weights and random
masks and nothing else. What is otherwise than in the paper is listed in OTHERWISE.
"""

from typing import Any

import torch
from torch.utils.data import TensorDataset

from lth_ray import Examples, Model, Prune, RandomMask, RandomReinit, Study, Train, main, steps

OTHERWISE = [
    "The paper's theorems are on gradient flow and the square loss of one output; here ten outputs are pruned "
    "together, with a ridge of .01, and the data are real.",
]
TRAINED, RIDGE = 1_397, 0.01  # images of scikit-learn's 1,797 digits, the rest of which are tested on


def pixels() -> tuple[TensorDataset, TensorDataset]:
    """Return (train, test): 64 pixels in [0, 1], less their means over the training images, and digits."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    images = images / 16 - images[:TRAINED].mean(0) / 16
    inputs, targets = torch.from_numpy(images).float(), torch.from_numpy(digits).long()
    return TensorDataset(inputs[:TRAINED], targets[:TRAINED]), TensorDataset(inputs[TRAINED:], targets[TRAINED:])


def components() -> tuple[TensorDataset, TensorDataset]:
    """Return the same by its principal components on the training images, of which each has a variance of 1."""
    train, test = (part.tensors for part in pixels())
    inputs = train[0].double()
    variances, axes = torch.linalg.eigh(inputs.T @ inputs / len(inputs))
    there = variances > 1e-8  # some pixels are always 0
    whitening = axes[:, there] / variances[there].sqrt()
    return tuple(TensorDataset((part.double() @ whitening).float(), digits) for part, digits in (train, test))  # type: ignore[return-value]


class Linear(torch.nn.Module):
    """One linear model a class, in float64."""

    def __init__(self, num_classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(input_shape[0], num_classes, dtype=torch.float64)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.layer(features.double())
        return outputs


def squares(model: Any, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
    """Return half the mean squared distance from the digits' unit vectors."""
    outputs = model(batch[0])
    targets = torch.nn.functional.one_hot(batch[1], outputs.shape[1]).double()
    return (outputs - targets).square().sum(1).mean() / 2, {}


def on(source: Any) -> Examples:
    return Examples(source, batch_size=TRAINED, validation=0)


study = Study(
    "linear-tickets",
    model=Model(Linear),
    data=on(pixels),
    train=Train(  # the fastest rate and momentum for curvatures from .01, the ridge, to 1.01, the bias's
        steps(250), optimizer="sgd", lr=3.27, momentum=0.67, weight_decay=RIDGE, loss=squares, evaluate_every=steps(250)
    ),
    prune=Prune("magnitude", scope="global", fraction=0.2, rounds=15),
    rewind=[steps(0)],
    seeds=[0, 1, 2],
    arms={
        "pixels": {"branches": [RandomReinit(), RandomMask()]},
        "pixels_one_shot": {"prune.one_shot": True},
        "components": {"data": on(components), "branches": [RandomReinit(), RandomMask()]},
        "components_one_shot": {"data": on(components), "prune.one_shot": True},
    },
    otherwise=OTHERWISE,
    smoke={"prune.fraction": 0.36, "prune.rounds": 7, "seeds": [0, 1]},
)

if __name__ == "__main__":
    main(study)
