"""Batches as a pure function of the step, so that training may start anywhere."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from lth_ray.config import ConfigError, Data
from lth_ray.data.changes import apply_maps, map_codes, position_maps, turn_codes, turn_maps
from lth_ray.data.dataset import AnySplit, Dataset, Split
from lth_ray.data.order import TURNS, draws, permutation
from lth_ray.data.packed.reading import PackedSplit

Batch = tuple[Tensor, Tensor]  # inputs, float32 [B, C, H, W], and labels, int64 [B]


class TrainingBatches(Protocol):
    """A source of images for the training loop."""

    steps_per_epoch: int
    carried: Mapping[str, Tensor]

    def batch(self, step: int, model: object = None) -> Batch:
        """Return this process's part of the global batch of the step-th step (from 0), on the data set's
        device.

        model: of no use to images.
        """

    def carry_on(self, carried: Mapping[str, Tensor]) -> None:
        """Take up what the step before has left: of images nothing."""

    def close(self) -> None:
        """End what helps to make batches; to be called once no more are needed."""


class CarriesNothing:
    """A source of batches each of which depends on its step alone, and on nothing that a step before it has left."""

    carried: Mapping[str, Tensor] = {}

    def carry_on(self, carried: Mapping[str, Tensor]) -> None:
        """Do nothing: there is nothing to take up."""
        raise ValueError(f"{sorted(carried)}: batches of {type(self).__name__} carry nothing from step to step")


class Normalisation:
    """A normalisation (pixel / white - mean) / std of each channel, as one multiplication and one addition in
    float32.

    Two separately rounded operations rather than a fused one: a pixel's value then depends neither on its place
    in a vector register nor on the device. scale, shift: float32 [C, 1, 1], or scalars for one channel.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], white: int, device: torch.device) -> None:
        shape = (len(mean), 1, 1) if len(mean) > 1 else ()  # a scalar costs less than a broadcast
        scale = [1 / (white * s) for s in std]
        shift = [-m / s for m, s in zip(mean, std, strict=True)]
        self.scale = torch.tensor(scale, dtype=torch.float32, device=device).reshape(shape)
        self.shift = torch.tensor(shift, dtype=torch.float32, device=device).reshape(shape)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return float32 from uint8, both [..., C, H, W]."""
        return pixels.to(torch.float32).mul_(self.scale).add_(self.shift)


class Batches(CarriesNothing):
    """Training batches of `split`, in an order and with an augmentation given by (seed, epoch, position in
    epoch).

    An epoch is floor(n / batch_size) steps; what remains of its order is dropped. `batch` holds no state but
    the current epoch's order, so it costs most when steps jump between epochs. Images of a `turned` split are
    turned after the augmentation, by quarters that are drawn as it is.

    augment: "none"; "flip"; "crop_flip" (`padding` black pixels on each side, random crop, random flip).
    part: the positions of each batch that are taken, a contiguous range inside range(batch_size); None for
        all.
    """

    def __init__(
        self,
        split: Split,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        order_seed: int,
        augmentation_seed: int,
        augment: str = "none",
        padding: int = 4,
        part: range | None = None,
    ) -> None:
        self.steps_per_epoch = steps_per_epoch(len(split), batch_size)
        self.batch_size = batch_size
        self._part = checked_part(part, batch_size)
        self.split, self._device = split, split.images.device
        self._images, self._labels = split.images, split.labels
        self.normalise = Normalisation(mean, std, split.white, self._device)
        self._seeds = order_seed, augmentation_seed
        self._padding = padding if augment == "crop_flip" else 0
        self._maps: Tensor | None = None
        if augment != "none":
            height, width = split.images.shape[2:]
            self._maps = position_maps(height, width, self._padding).to(self._device)
        self._turn_maps = turn_maps(split.images.shape[-1]).to(self._device) if split.turned else None
        self._epoch = -1

    def batch(self, step: int, model: object = None) -> Batch:
        """Return the part of the step-th step (from 0): inputs, float32 [len(part), C, H, W], and labels,
        int64.
        """
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._begin(epoch)
        start, size = index * self.batch_size + self._part.start, len(self._part)
        rows = self._order.narrow(0, start, size)
        pixels = self._images.index_select(0, rows)
        if self._maps is not None:
            codes = self._codes.narrow(0, start, size)
            pixels = apply_maps(pixels, self._maps.index_select(0, codes))
        if self._turn_maps is not None:
            quarters = self._quarters.narrow(0, start, size)
            return self.normalise(apply_maps(pixels, self._turn_maps.index_select(0, quarters))), quarters
        return self.normalise(pixels), self._labels.index_select(0, rows)

    def positions(self, step: int, number: int) -> Tensor | None:
        """Return the places in the split of the images of the next steps, int64 [<= number, batch_size]: of
        one epoch at most.

        None where a batch is more than its images (they are augmented) or less (another process has a part of it).
        """
        if self._maps is not None or self._turn_maps is not None or len(self._part) != self.batch_size:
            return None
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._begin(epoch)
        number = min(number, self.steps_per_epoch - index)
        return self._order.narrow(0, index * self.batch_size, number * self.batch_size).view(number, -1)

    def close(self) -> None:
        """Do nothing: batches are made in this process."""

    def _begin(self, epoch: int) -> None:
        order_seed, augmentation_seed = self._seeds
        n = self._labels.numel()
        self._order = torch.from_numpy(permutation(order_seed, epoch, n)).to(self._device)
        if self._maps is not None:
            codes = map_codes(draws(augmentation_seed, epoch, n), self._padding)
            self._codes = torch.from_numpy(codes).to(self._device)
        if self._turn_maps is not None:
            quarters = turn_codes(draws(augmentation_seed, epoch, n, TURNS))
            self._quarters = torch.from_numpy(quarters).to(self._device)
        self._epoch = epoch


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return floor(images / batch_size). Raise ConfigError where that is nothing."""
    if batch_size > images:
        raise ConfigError(f"Data.batch_size = {batch_size}: there are {images} training images; give at most that")
    return images // batch_size


def checked_part(part: range | None, batch_size: int) -> range:
    """Return `part`, by default the whole batch.

    Raise ValueError unless it is contiguous, inside the batch and not empty.
    """
    part = range(batch_size) if part is None else part
    if not part or part.step != 1 or part.start < 0 or part.stop > batch_size:
        raise ValueError(f"part = {part}: give a contiguous range inside range({batch_size})")
    return part


def shared_out(n: int, share: tuple[int, int]) -> range:
    """Return the positions in range(n) of one process's share; each position is in one share.

    share: (rank, world): that of the rank-th of `world` processes.
    """
    rank, world = share
    if not 0 <= rank < world:
        raise ValueError(f"share = {share}: give (rank, world) with 0 <= rank < world")
    return range(n * rank // world, n * (rank + 1) // world)


def resident_evaluation(
    split: Split, mean: Sequence[float], std: Sequence[float], size: int, share: tuple[int, int]
) -> Iterator[Batch]:
    """Yield `evaluation_batches` of images in memory; turned if the split is so."""
    normalise = Normalisation(mean, std, split.white, split.images.device)
    maps = turn_maps(split.images.shape[-1]).to(split.images.device) if split.turned else None
    own = shared_out(len(split), share)
    for start in range(own.start, own.stop, size):
        stop = min(start + size, own.stop)
        pixels, labels = split.images[start:stop], split.labels[start:stop]
        if maps is not None:
            pixels = apply_maps(pixels, maps.index_select(0, labels))
        yield normalise(pixels), labels


RESIDENT_SIZE = 2000  # images in an evaluation batch
FILLING = 2**23  # numbers of its images, 32 MiB of float32, on a GPU: below that launches take longer than what they do


def resident_size(image: int, device: torch.device) -> int:
    """Return how many resident images, of so many numbers each, are evaluated at a time."""
    return max(RESIDENT_SIZE, FILLING // image) if device.type == "cuda" else RESIDENT_SIZE


def training_batches(
    dataset: Dataset, data: Data, order_seed: int, augmentation_seed: int, part: range | None = None
) -> TrainingBatches:
    """Return training batches of `dataset` as `data` asks for them; call `close` when done.

    part: the positions of each global batch that this process takes, a contiguous range inside
    range(data.batch_size); None for all. The global batch, its order and its augmentation depend on (seed, epoch,
    position) alone.
    """
    seeds = order_seed, augmentation_seed
    if isinstance(dataset.train, PackedSplit):
        from lth_ray.data.packed.streaming import StreamedBatches  # torchvision takes seconds to import

        return StreamedBatches(dataset.train, dataset.mean, dataset.std, data.batch_size, *seeds, data.augment, part)
    return Batches(
        dataset.train, dataset.mean, dataset.std, data.batch_size, *seeds, data.augment, data.augment_padding, part
    )


def evaluation_batches(
    split: AnySplit,
    mean: Sequence[float],
    std: Sequence[float],
    size: int | None = None,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Yield every image of a share once, in order: inputs, float32 [<= size, C, H, W], and labels, int64.

    share: (rank, world): images n * rank // world to n * (rank + 1) // world, so that no image is in two shares.
    A set that is evaluated often and is small in float32 is best kept: `list(evaluation_batches(...))`.
    """
    if isinstance(split, PackedSplit):
        from lth_ray.data.packed.streaming import EVALUATION_SIZE, streamed_evaluation

        return streamed_evaluation(split, mean, std, size or EVALUATION_SIZE, share)
    size = size or resident_size(split.images[0].numel(), split.images.device)
    return resident_evaluation(split, mean, std, size, share)
