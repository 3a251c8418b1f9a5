"""A training step at half the channels, batch 128, one thread: the smaller network's beside the dense network's.

Ours is `lth_ray.training.train` on the backend "shrunk", of a network whose mask is without every second unit of each
group of coupled ones (channels of the shortcuts' stream included), with channels_last. The dense network's step is the
same without a mask, on the backend that the rule chooses for it ("fused_norm"), which is faster than a plain step (see
`cifar_step`). Both are those of a study, in a process that keeps its memory.
"""

import numpy as np
import torch

from benchmarks.cifar_step import BATCH, CLASSES, MEAN, SHAPE, STD, random_images
from benchmarks.timing import Entry, paired, speed_up
from lth_ray import models, pruning
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Identity, Split
from lth_ray.pruning import Mask
from lth_ray.pruning.structured import with_units
from lth_ray.training import Recipe, Run, train
from lth_ray.training.shrunk import shrunk

NETWORKS, TARGET = ("cifar_vgg16", "cifar_resnet56"), 2.0
PAIRS_A_STEP = 33  # a step takes hundreds of times as long as one of LeNet's


def entries(pairs: int = 200) -> list[Entry]:
    """Time a training step of each network as so many times as fast as the dense network's."""
    torch.set_num_threads(1)
    return [entry(name, max(2, pairs // PAIRS_A_STEP)) for name in NETWORKS]


def entry(name: str, pairs: int, batch: int = BATCH) -> Entry:
    """Time one network."""
    images = random_images()
    dense, ours = run_of(name, images, batch, None), run_of(name, images, batch, half_of_units(name))
    ours.stepper = shrunk(ours, structured=True) or ours.stepper
    assert ours.backend == "shrunk"
    measured = paired(
        lambda: train(ours, ours.step + 1), lambda: train(dense, dense.step + 1), pairs=pairs, warmups=1
    )  # fmt: skip
    what = f"step of {name} at half the channels ({ours.backend}) beside all ({dense.backend})"
    return speed_up(what, measured, target=TARGET)


def half_of_units(name: str) -> Mask:
    """Return the mask without every second unit of a network."""
    model = models.build(name, CLASSES, seed=0)
    layers = models.unit_layers(model, (torch.zeros(1, *SHAPE),))
    kept = {one.name: torch.from_numpy(np.arange(one.size) % 2 == 0) for one in layers}
    return with_units(kept, layers, dict(model.named_parameters()))


def run_of(name: str, images: Split, batch: int, mask: Mask | None) -> Run:
    """Return training as a study does it."""
    recipe = Recipe(
        Model(name),
        Data("cifar10", batch_size=batch, validation=0, augment="crop_flip"),
        Train(steps(30_000), lr=1e-6, momentum=0.9, weight_decay=1e-4, channels_last=True),
        Identity("random", len(images), 0, 0, SHAPE, CLASSES),
    )
    model = models.build(name, CLASSES, seed=0)
    if mask is not None:
        pruning.apply_mask(model, mask)
    model.to(memory_format=torch.channels_last)
    batches = Batches(images, MEAN, STD, batch, order_seed=0, augmentation_seed=0, augment="crop_flip")
    return Run("benchmark", recipe, model, batches, dropout_seed=0, mask=mask, step=0)
