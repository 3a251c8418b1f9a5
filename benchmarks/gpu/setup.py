"""Networks on random images and their timing, for the checks of a GPU. Imports neither Ray nor MLflow."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.masking import masked
from benchmarks.timing import Paired, paired
from lth_ray import models
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Identity, Split
from lth_ray.training import ALONE, Recipe, Run, Team, train

KEPT = 0.21
TINY_RATE = 1e-6  # the work of a step is the same whatever the rate, and noise is not learned
SGD: dict[str, Any] = {"momentum": 0.9, "weight_decay": 1e-4}
FAST: dict[str, Any] = {"precision": "bf16", "channels_last": True}


@dataclass(frozen=True)
class Sizes:
    """The size of everything.

    repeats: turns.
    steps: of a turn, for each network.
    side, few_pixels: of ResNet-50's images, and of those where their size does not matter.
    group: images of a worker's group in the grouped step.
    jpegs, side_of_jpegs: what loaders decode, and how large it is.
    """

    repeats: int = 7
    matmul: int = 8192
    copied_mb: int = 4096
    lenet: str = "lenet_300_100"
    images: int = 55_000
    lenet_steps: int = 1000
    together_steps: int = 200
    replicates: tuple[int, ...] = (16, 64, 256)
    resnet20: str = "cifar_resnet20"
    resnet20_batch: int = 128
    resnet20_steps: int = 50
    few: int = 8
    resnet50: str = "resnet50"
    side: int = 224
    few_pixels: int = 64
    batch: int = 256
    resnet50_steps: int = 10
    group: int = 128
    compile: bool = True
    captured_steps: int = 200
    captures: int = 6
    bits: str = "resnet50"
    bits_batch: int = 64
    loaders: tuple[int, ...] = (0, 7, 14)
    jpegs: int = 768
    side_of_jpegs: tuple[int, int] = (375, 500)
    evaluated: int = 2000


REAL = Sizes()
FAKE = Sizes(
    repeats=2, matmul=64, copied_mb=1, lenet="lenet_8_8", images=640, lenet_steps=4, together_steps=2,
    replicates=(2,), resnet20="cifar_resnet8_4", resnet20_batch=8, resnet20_steps=1, few=2, resnet50="cifar_resnet8_4",
    side=32, few_pixels=8, batch=8, resnet50_steps=1, group=4, compile=False, captured_steps=5, captures=2,
    bits="cifar_resnet8_4", bits_batch=4, loaders=(0,), jpegs=8, side_of_jpegs=(40, 50), evaluated=16,
)  # fmt: skip


def sizes(fake: bool) -> Sizes:
    return FAKE if fake else REAL


def device_of(fake: bool) -> torch.device:
    return torch.device("cpu" if fake else "cuda")


class OneOfTwo(Team):
    """A worker whose peer has nothing to add: all that a team costs but the exchange."""

    def add(self, values: Tensor) -> Tensor:
        return values

    def begin_add(self, values: Tensor) -> None:
        """Do nothing."""


def lenet_run(split: Split, taken: Sizes, seed: int) -> Run:
    return a_run(split, taken.lenet, 10, 60, "none", seed=seed, optimizer="adam")


def a_run(
    split: Split, name: str, num_classes: int, batch: int, augment: str,
    *, seed: int = 0, kept: float | None = KEPT, team: Team = ALONE, **given: Any,
) -> Run:  # fmt: skip
    """Return training as a study does it, on the device of `split`, with a random mask.

    kept: None for no mask.
    batch: of the whole team, of which this is one.
    """
    device, (channels, height, width) = split.images.device, split.images.shape[1:]
    recipe = Recipe(
        Model(name),
        Data("random", batch_size=batch, validation=0, augment=augment),
        Train(steps(10_000_000), lr=TINY_RATE, **given),
        Identity("random", len(split), 0, 0, (channels, height, width), num_classes),
    )
    network, mask = a_network(name, num_classes, seed, kept)
    layout = torch.channels_last if recipe.train.channels_last else torch.contiguous_format
    network = network.to(device).to(memory_format=layout)
    mask = mask and {name: part.to(device) for name, part in mask.items()}
    mean = (0.5,) * channels
    part = range(batch // team.size)
    batches = Batches(
        split, mean, mean, batch, order_seed=seed, augmentation_seed=seed, augment=augment, part=part
    )  # fmt: skip
    return Run(f"benchmark {seed}", recipe, network, batches, 0, mask, 0, team=team)


def a_network(name: str, num_classes: int, seed: int, kept: float | None) -> tuple[torch.nn.Module, Any]:
    """Return a network on the CPU, and a random mask that keeps this share of it, its other weights at zero."""
    network = models.build(name, num_classes, seed=seed)
    if kept is None:
        return network, None
    return network, masked(network, kept, seed)


class ByHand:
    """The loop that one would write by hand for speed: images resident, batch by index_select, autograd under bf16
    autocast in channels_last, fused SGD; no mask, no groups.
    """

    def __init__(self, split: Split, name: str, num_classes: int, batch: int, compiled: bool = False) -> None:
        self.device, self.split = split.images.device, split
        self.model = models.build(name, num_classes, seed=0).to(self.device).to(memory_format=torch.channels_last)
        self.forward = torch.compile(self.model, dynamic=False) if compiled else self.model
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=TINY_RATE, fused=True, **SGD)
        self.rows = torch.randperm(len(split), device=self.device)[: len(split) // batch * batch].view(-1, batch)
        self.taken = 0
        self.model.train()

    def step(self) -> None:
        chosen = self.rows[self.taken % len(self.rows)]
        inputs = self.split.images.index_select(0, chosen).float().mul_(2 / 255).sub_(1)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.forward(inputs.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, self.split.labels.index_select(0, chosen))
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.taken += 1


def random_split(n: int, shape: tuple[int, int, int], num_classes: int, device: torch.device) -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(0, num_classes, (n,), generator=generator)).to(device)


def imagenet(taken: Sizes, device: torch.device) -> Split:
    """Return random images for a few steps of ResNet-50."""
    return random_split(4 * taken.batch, (3, taken.side, taken.side), 1000, device)


def steps_of(run: Run, number: int, device: torch.device) -> Callable[[], None]:
    """Return what takes so many steps of a run and waits for the device."""

    def turn() -> None:
        train(run, run.step + number)
        wait(device)

    return turn


def side_by_side(ours: Run, theirs: Run, number: int, device: torch.device, repeats: int) -> Paired:
    """Return the seconds a step of two runs, `number` of them a turn."""
    works = steps_of(ours, number, device), steps_of(theirs, number, device)
    return paired(*works, pairs=repeats, units=(number, number), warmups=1)


def turns(work: Callable[[], object], device: torch.device, repeats: int) -> tuple[float, ...]:
    """Return the seconds of each of several calls, the first not counted."""
    found = []
    for _ in range(1 + repeats):
        began = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - began)
    return tuple(found[1:])


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bits(tensors: Any) -> bytes:
    """Return the bytes of tensors, one after another."""
    return b"".join(
        tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes() for tensor in tensors
    )
