"""The cost of a mask in training ResNet-50: the time to zero pruned weights' gradients, as a share of a
step's.

Both are our loop's own: `mask_gradients`, timed by itself over gradients that the step before has driven out of the
caches, and a whole masked training step, on random images of ImageNet's shape that lie in memory. The time to mask
does not depend on the batch, a step's does: the share is that of the smallest batch one would train by on a device.
"""

import torch

from benchmarks.ceiling import ceiling
from benchmarks.masking import masked
from benchmarks.timing import Entry, paired, share
from lth_ray import models
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Identity, Split
from lth_ray.training import Recipe, Run, train
from lth_ray.training.optimizers import mask_gradients

BATCH, SIDE, CLASSES = 10, 224, 1000  # 12 takes more than 4 GB
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KEPT = 0.21
TARGET_PERCENT = 0.5
PAIRS_A_BATCH = 30  # a step takes thousands of times as long as one of LeNet's


def entries(pairs: int = 200) -> list[Entry]:
    """Measure in fp32: a CPU without instructions for bf16 takes far longer by it, which would flatter us."""
    return [entry("fp32", max(2, pairs // PAIRS_A_BATCH), BATCH)]


def entry(precision: str, pairs: int, batch: int, side: int = SIDE, model: str = "resnet50") -> Entry:
    """Measure the share in percent, trained as in studies/resnet50_rewind.py: channels_last, SGD with
    momentum and decay.
    """
    run, standing = (a_run(precision, batch, side, model) for _ in range(2))
    for parameter in standing.model.parameters():
        parameter.grad = torch.randn_like(parameter)

    def masking() -> None:
        mask_gradients(standing.kept)

    def step() -> None:
        train(run, run.step + 1)

    measured = paired(masking, step, pairs=pairs, warmups=1)
    size = sum(kept.numel() * kept.element_size() for _, kept in standing.kept)
    return share(
        f"masking in a step of {model}, {precision}, batch {batch}", measured, target=TARGET_PERCENT,
        of_ceiling=ceiling().of_copy(3 * size, measured.ours_ms / 1e3),  # gradients and masks read, gradients written
    )  # fmt: skip


def a_run(precision: str, batch: int, side: int, model: str = "resnet50") -> Run:
    """Return training as a study does it, in one process."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2 * batch, 3, side, side), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.randint(0, CLASSES, (2 * batch,), generator=generator))
    recipe = Recipe(
        Model(model),
        Data("imagenet", batch_size=batch, validation=0),
        Train(
            steps(10_000), lr=1e-6, momentum=0.9, weight_decay=1e-4, precision=precision, channels_last=True
        ),
        Identity("random", 2 * batch, 0, 0, (3, side, side), CLASSES),
    )  # fmt: skip
    network = models.build(model, CLASSES, seed=0).to(memory_format=torch.channels_last)
    batches = Batches(split, MEAN, STD, batch, order_seed=0, augmentation_seed=0)
    return Run("benchmark", recipe, network, batches, dropout_seed=0, mask=masked(network, KEPT), step=0)
