"""LeNet-300-100, batch 60, 21 % of the weights kept, Adam, one thread: our loop beside a plain eager step.

The plain step is what one would write by hand for speed: the images resident as one float tensor, the batch by
index_select, autograd, fused Adam, the mask put back on the weights by one multiplication of all tensors.
The images are random and of MNIST's shape: the work does not depend on what they show.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.timing import Entry, judged, paired
from lth_ray import models, pruning
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Dataset, Identity, Split, evaluation_batches
from lth_ray.training import Recipe, Run, evaluate, train

KEPT = 0.21
BATCH = 60
N_TRAIN, N_TEST = 55_000, 10_000
MEAN, STD = (0.1307,), (0.3081,)
RATE = 1e-6  # the work of a step is the same, and numbers stay out of the slow subnormal range as noise is learned
Mask = dict[str, torch.Tensor]


def entries(pairs: int = 200, steps_a_turn: int = 20) -> list[Entry]:
    """A training step as a multiple of the eager one, and an evaluation of 10,000 images in eager steps."""
    torch.set_num_threads(1)
    dataset = random_images()
    run, eager = our_run(dataset), eager_steps(dataset, steps_a_turn)

    def ours() -> None:
        train(run, run.step + steps_a_turn)

    def evaluation() -> None:
        evaluate(run.model, evaluation_batches(dataset.test, MEAN, STD), run.recipe.train)

    step = paired(ours, eager, pairs=pairs, units=(steps_a_turn, steps_a_turn))
    whole = paired(evaluation, eager, pairs=max(10, pairs // 4), units=(1, steps_a_turn))
    return [
        judged("masked training step", "x eager", step, target=1.15),
        judged("evaluation of 10,000 images", "eager steps", whole, target=80.0),
    ]


def random_images() -> Dataset:
    """A data set of MNIST's sizes."""
    generator = torch.Generator().manual_seed(0)

    def split(n: int) -> Split:
        images = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=generator)
        return Split(images, torch.randint(0, 10, (n,), generator=generator))

    return Dataset(split(N_TRAIN), None, split(N_TEST), 10, (1, 28, 28), MEAN, STD, "random")


def lenet() -> tuple[torch.nn.Module, Mask]:
    """The network and a random mask that keeps 21 % of its weights."""
    model = models.build("lenet_300_100", 10, seed=0)
    dense = pruning.dense_mask(model)
    return model, pruning.prune(pruning.score("random", model, dense, seed=0), dense, 1 - KEPT)


def our_run(dataset: Dataset) -> Run:
    """Training as a study does it."""
    model, mask = lenet()
    recipe = Recipe(
        Model("lenet_300_100"),
        Data("mnist", batch_size=BATCH, validation=0),
        Train(steps(50_000), optimizer="adam", lr=RATE),
        Identity(dataset.digest, N_TRAIN, 0, N_TEST, dataset.input_shape, dataset.num_classes),
    )
    pruning.apply_mask(model, mask)
    batches = Batches(dataset.train, dataset.mean, dataset.std, BATCH, order_seed=0, augmentation_seed=0)
    return Run("benchmark", recipe, model, batches, dropout_seed=0, mask=mask, step=0)


def eager_steps(dataset: Dataset, number: int) -> Callable[[], None]:
    """The same work by hand: each call takes `number` steps."""
    model, mask = lenet()
    pruning.apply_mask(model, mask)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    parameters = dict(model.named_parameters())
    masked: list[torch.Tensor] = [parameters[name] for name in mask]
    kept = [mask[name].to(torch.float32) for name in mask]
    images = (dataset.train.images.float() / 255 - MEAN[0]) / STD[0]
    order = torch.randperm(N_TRAIN, generator=torch.Generator().manual_seed(0))
    rows = order[: N_TRAIN // BATCH * BATCH].view(-1, BATCH)
    taken = 0

    def take() -> None:
        nonlocal taken
        for _ in range(number):
            chosen = rows[taken % len(rows)]
            loss = F.cross_entropy(model(images.index_select(0, chosen)), dataset.train.labels.index_select(0, chosen))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            with torch.no_grad():
                torch._foreach_mul_(masked, kept)
            taken += 1

    return take
