"""Do networks of other initialisations hold other tickets?

Frankle & Carbin 2019, whose tickets are those of Gaussian Glorot weights, vary their deviation alone (appendix). Here
LeNet-300-100 on MNIST and Conv-4 on CIFAR-10 by their recipes, from Glorot, Kaiming, orthogonal (Saxe et al. 2014) and
sparse weights (Martens 2010), and by a function of the study's own, which fits the scale of each layer to what the
layers before it put out (Mishkin & Matas 2016). Each has its tickets beside its random reinitialisations, which are
drawn in the same way, and its random masks. 5 seeds.
"""

from typing import Any

import torch
from torch import nn

from lth_ray import Data, Model, Prune, RandomMask, RandomReinit, Study, Train, epochs, main, steps
from lth_ray.models import initialise

EXAMPLES = 256


def unit_variance(network: nn.Module, generator: torch.Generator, input_shape: tuple[int, ...]) -> None:
    """Draw orthogonal weights, then scale each layer, one after the other, so that what it puts out has variance 1.

    The examples are Gaussian noise (Mishkin & Matas 2016, algorithm 1, which takes a batch of images).
    """
    initialise(network, "orthogonal", generator)
    examples = torch.randn(EXAMPLES, *input_shape, generator=generator)

    def scale(layer: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        layer.get_parameter("weight").div_(output.std())
        return output / output.std()  # biases are zero

    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    with torch.no_grad():
        network(examples)
    for hook in hooks:
        hook.remove()


INITIALISATIONS = ["glorot", "kaiming", "orthogonal", "sparse", unit_variance]


def compared(name: str, smoke: dict[str, Any], **parts: Any) -> Study:
    return Study(
        name,
        rewind=[steps(0)],
        seeds=[0, 1, 2, 3, 4],
        sweep={"model.init": INITIALISATIONS},
        branches=[RandomReinit(), RandomMask()],
        smoke={"prune.rounds": 1, "seeds": [0], **smoke},
        **parts,
    )


studies = [
    compared(
        "initialisations-lenet",
        {
            "train.length": steps(600),
            "train.evaluate_every": steps(150),
            "prune.fraction": {"fc*.weight": 0.9, "output.weight": 0.5},
        },
        model=Model("lenet_300_100"),
        data=Data("mnist", batch_size=60, validation=5000),
        train=Train(steps(50_000), optimizer="adam", lr=1.2e-3, evaluate_every=steps(100)),
        prune=Prune(scope="layer", fraction={"fc*.weight": 0.2, "output.weight": 0.1}, rounds=24),
    ),
    compared(
        "initialisations-conv4",
        {
            "model.name": "conv4_8",
            "data.evaluation_images": 1000,
            "train.length": steps(160),
            "train.lr": 2e-3,
            "train.evaluate_every": steps(80),
            "prune.fraction": {"conv*.weight": 0.5, "fc*.weight": 0.7, "output.weight": 0.3},
        },
        model=Model("conv4"),
        data=Data("cifar10", batch_size=60, validation=5000),
        train=Train(epochs(34), optimizer="adam", lr=3e-4, evaluate_every=steps(100)),
        prune=Prune(scope="layer", fraction={"conv*.weight": 0.1, "fc*.weight": 0.2, "output.weight": 0.1}, rounds=24),
    ),
]

if __name__ == "__main__":
    main(studies)
