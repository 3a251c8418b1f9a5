"""LeNet-300-100, batch 60, Adam, one thread: our loop beside a plain eager step, at falling shares of the weights.

The plain step is what one would write by hand for speed: the images resident as one float tensor, the batch by
index_select, autograd, fused Adam, the mask put back on the weights by one multiplication of all tensors. What it
takes does not depend on the mask. One's own network of the same layers, a torch.nn.Sequential, takes its turn beside
the named one, whose steps it is to have. The images are random and of MNIST's shape: the work does not depend on what
they show.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.ceiling import ceiling
from benchmarks.masking import masked
from benchmarks.timing import Entry, Paired, Work, in_turn, judged, speed_up
from lth_ray import models
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Dataset, Identity, Split
from lth_ray.pruning import Mask
from lth_ray.training import Recipe, Run, train
from lth_ray.training.compiled.fused import fuse
from lth_ray.training.segment import measure

Name = str | Callable[..., nn.Module]
TARGETS = {1.0: 1.5, 0.33: 2.8, 0.21: 4.0, 0.108: 6.5, 0.036: 13.0, 0.012: 20.0}  # share kept: times as fast as eager
EVALUATED = {1.0: 40.0, 0.21: 15.0}  # share kept: eager steps
BATCH = 60
N_TRAIN, N_VALIDATION, N_TEST = 55_000, 5_000, 10_000
PAIRS_A_ROUND = 4
STEPS, EAGER_STEPS = 100, 20  # a turn: ours takes as many as studies do between two evaluations
MEAN, STD = (0.1307,), (0.3081,)
RATE = 1e-6  # the work of a step is the same, and numbers stay out of the slow subnormal range as noise is learned
LAYERS = ((784, 300), (300, 100), (100, 10))
OWN, OWN_TARGET = (1.0, 0.21), 1.05  # share kept; x the named network's step


def own(num_classes: int) -> nn.Module:
    """Return a fully connected network of these layers as people write it."""
    pairs = [layer for sizes in LAYERS[:-1] for layer in (nn.Linear(*sizes), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *pairs, nn.Linear(LAYERS[-1][0], num_classes))


def entries(pairs: int = 200, steps_a_turn: int = STEPS, eager_steps_a_turn: int = EAGER_STEPS) -> list[Entry]:
    """Time steps at each share of the weights, as times the eager one's speed.

    Evaluations of 10,000 images are timed in eager steps; all take turns.
    """
    torch.set_num_threads(1)
    dataset = random_images()
    runs = {kept: our_run(dataset, kept) for kept in TARGETS}
    works: dict[str, Work] = {"eager": eager_steps(dataset, eager_steps_a_turn)}
    works |= {f"step {kept}": steps_of(run, steps_a_turn) for kept, run in runs.items()}
    works |= {f"step of own {kept}": steps_of(our_run(dataset, kept, own), steps_a_turn) for kept in OWN}
    works |= {f"evaluation {kept}": evaluation_of(runs[kept], dataset) for kept in EVALUATED}
    units = {name: steps_a_turn if name.startswith("step") else 1 for name in works} | {"eager": eager_steps_a_turn}
    times = in_turn(works, rounds=max(2, pairs // PAIRS_A_ROUND), units=units)
    steps_taken = [
        step_line(runs[kept].backend, kept, Paired(times[f"step {kept}"], times["eager"])) for kept in TARGETS
    ]
    evaluations = [evaluation_line(kept, Paired(times[f"evaluation {kept}"], times["eager"])) for kept in EVALUATED]
    beside = [own_line(kept, Paired(times[f"step of own {kept}"], times[f"step {kept}"])) for kept in OWN]
    return steps_taken + beside + evaluations


def step_line(backend: str, kept: float, measured: Paired) -> Entry:
    name = f"LeNet step ({backend}), {kept:.1%} of the weights"
    of_ceiling = ceiling().of_matmul(kept * step_flop(), measured.ours_ms / 1e3)
    return speed_up(name, measured, target=TARGETS[kept], of_ceiling=of_ceiling)


def own_line(kept: float, measured: Paired) -> Entry:
    of_ceiling = ceiling().of_matmul(kept * step_flop(), measured.ours_ms / 1e3)
    name = f"step of one's own network, {kept:.1%} of the weights"
    return judged(name, "x the named one's", measured, target=OWN_TARGET, of_ceiling=of_ceiling)


def evaluation_line(kept: float, measured: Paired) -> Entry:
    name = f"LeNet on 10,000 images, {kept:.1%} of the weights"
    of_ceiling = ceiling().of_matmul(kept * forward_flop(N_TEST), measured.ours_ms / 1e3)
    return judged(name, "eager steps", measured, target=EVALUATED[kept], of_ceiling=of_ceiling)


def forward_flop(images: int) -> float:
    """Return the operations of the dense network; a sparse one's are its share of them."""
    return 2.0 * images * sum(inputs * outputs for inputs, outputs in LAYERS)


def step_flop(batch: int = BATCH) -> float:
    """Return 67.6 million at batch 60: the images need no gradient, so that the first layer has two products
    and not three.
    """
    first_inputs, first_outputs = LAYERS[0]
    return 3 * forward_flop(batch) - 2.0 * batch * first_inputs * first_outputs


def random_images(validation: int = 0, train: int = N_TRAIN, test: int = N_TEST) -> Dataset:
    """Return a data set of MNIST's sizes."""
    generator = torch.Generator().manual_seed(0)

    def split(n: int) -> Split:
        images = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=generator)
        return Split(images, torch.randint(0, 10, (n,), generator=generator))

    held_out = split(validation) if validation else None
    return Dataset(split(train), held_out, split(test), 10, (1, 28, 28), MEAN, STD, "random")


def lenet(kept: float, name: Name = "lenet_300_100") -> tuple[nn.Module, Mask | None]:
    """Return the network and a random mask that keeps this share of its weights, None for all."""
    model = models.build(name, 10, (1, 28, 28), seed=0)
    if kept == 1:
        return model, None
    return model, masked(model, kept)


def our_run(dataset: Dataset, kept: float, name: Name = "lenet_300_100") -> Run:
    """Return training as a study does it."""
    model, mask = lenet(kept, name)
    recipe = Recipe(
        Model(name),
        Data("mnist", batch_size=BATCH, validation=0),
        Train(steps(50_000), optimizer="adam", lr=RATE),
        Identity(dataset.digest, len(dataset.train), 0, len(dataset.test), dataset.input_shape, dataset.num_classes),
    )
    assert isinstance(dataset.train, Split)
    batches = Batches(dataset.train, dataset.mean, dataset.std, BATCH, order_seed=0, augmentation_seed=0)
    run = Run("benchmark", recipe, model, batches, dropout_seed=0, mask=mask, step=0)
    run.stepper = fuse(run) or run.stepper
    return run


def steps_of(run: Run, number: int) -> Work:
    """Return what takes so many steps at each call."""
    return lambda: train(run, run.step + number)


def evaluation_of(run: Run, dataset: Dataset) -> Work:
    """Return what measures at each call what a study measures after so many steps."""
    return lambda: measure(run, dataset, {})


def eager_steps(dataset: Dataset, number: int, kept: float = 0.21) -> Work:
    """Return the same work by hand: each call takes `number` steps."""
    assert isinstance(dataset.train, Split)
    model, mask = lenet(kept)
    eager = Eager(model, mask or {}, floats(dataset.train), dataset.train.labels)

    def take() -> None:
        for _ in range(number):
            eager.step()

    return take


class Eager:
    """Training of a masked network as one would write it by hand. images: normalised floats."""

    def __init__(self, model: torch.nn.Module, mask: Mask, images: torch.Tensor, labels: torch.Tensor) -> None:
        parameters = dict(model.named_parameters())
        self.model, self.images, self.labels = model, images, labels
        self.optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        self.masked: list[torch.Tensor] = [parameters[name] for name in mask]
        self.kept = [keeps.to(torch.float32) for keeps in mask.values()]
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
        self.rows = order[: len(order) // BATCH * BATCH].view(-1, BATCH)
        self.taken = 0

    def step(self) -> None:
        chosen = self.rows[self.taken % len(self.rows)]
        logits = self.model(self.images.index_select(0, chosen))
        F.cross_entropy(logits, self.labels.index_select(0, chosen)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.kept:
            with torch.no_grad():
                torch._foreach_mul_(self.masked, self.kept)
        self.taken += 1


def floats(split: Split) -> torch.Tensor:
    """Return its images, normalised."""
    return (split.images.float() / split.white - MEAN[0]) / STD[0]
