"""Batches of packed images: read, decoded and cropped here or in processes of their own, normalised on the device.

What is to be done for a batch (`Work`) is computed in the process that asks, from the step alone; a loader only
carries it out. So a batch depends neither on the number of loaders nor on where one started.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lth_ray.data.batches import Batch, CarriesNothing, Normalisation, checked_part, shared_out, steps_per_epoch
from lth_ray.data.cropping import CROP_WORDS, centred, cropped, decode, random_crop
from lth_ray.data.errors import DamagedDataset
from lth_ray.data.order import image_words, permutation
from lth_ray.data.packed.ahead import ahead
from lth_ray.data.packed.processes import WithoutMain
from lth_ray.data.packed.reading import PackedSplit
from lth_ray.data.packed.shards import Shards

WHITE = 255
PREFETCH = 2  # batches that each loader is ahead
EVALUATION_SIZE = 100  # images in an evaluation batch: 60 MB of float32 at 224 pixels


@dataclass(frozen=True)
class Work:
    """One batch to be made.

    rows: int64 [B], positions in the shards.
    labels: int64 [B], or None for those stored.
    size: side in pixels.
    draws: (augmentation seed, epoch, position in the epoch of the first row), or None for evaluation.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    size: int
    augment: str = "none"
    draws: tuple[int, int, int] | None = None


Made = tuple[Tensor, Tensor] | DamagedDataset  # uint8 [B, 3, size, size] and int64 [B]


class Decoder(Dataset[Made]):
    """A worker that carries out `Work`.

    Errors in what is stored are returned: torch would turn them into a RuntimeError.
    """

    def __init__(self, shards: Shards) -> None:
        self.shards = shards

    def __getitem__(self, work: Work) -> Made:
        try:
            return self.batch(work)
        except DamagedDataset as error:
            return error

    def batch(self, work: Work) -> tuple[Tensor, Tensor]:
        """Return uint8 [B, 3, size, size] and int64 [B]. Raise DamagedDataset."""
        images = torch.empty(len(work.rows), 3, work.size, work.size, dtype=torch.uint8)
        labels = torch.empty(len(work.rows), dtype=torch.int64)
        for i, position in enumerate(work.rows.tolist()):
            row = self.shards.row(position)
            images[i] = self.image(row.data, row.where, work, i)
            labels[i] = row.label
        return images, labels if work.labels is None else torch.from_numpy(work.labels)

    def image(self, data: memoryview, where: str, work: Work, i: int) -> Tensor:
        """Return the i-th of the batch, uint8 [3, size, size].

        where: what an error calls it.
        """
        pixels = decode(data, where)
        if work.draws is None or work.augment == "none":
            return centred(pixels, work.size)
        seed, epoch, first = work.draws
        words = image_words(seed, epoch, first + i, CROP_WORDS)
        if work.augment == "flip":
            return centred(pixels, work.size, bool(words[-1] >> 63))
        height, width = pixels.shape[1:]
        return cropped(pixels, random_crop(height, width, words), work.size)


class StreamedBatches(CarriesNothing):
    """Training batches of a packed split, in an order and with an augmentation given by (seed, epoch, position).

    augment: "none" and "flip" take the centre, as evaluation does; "resized_crop_flip" takes `random_crop`.
    part: as in Batches. With loaders batches are made ahead from the step that was last asked for; asking for
    another than the next one begins anew there.
    """

    def __init__(
        self,
        split: PackedSplit,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        order_seed: int,
        augmentation_seed: int,
        augment: str = "none",
        part: range | None = None,
    ) -> None:
        self.steps_per_epoch = steps_per_epoch(len(split), batch_size)
        self.batch_size = batch_size
        self._part = checked_part(part, batch_size)
        self._split, self._augment = split, augment
        self._seeds = order_seed, augmentation_seed
        self._normalise = Normalisation(mean, std, WHITE, split.device)
        self._epoch, self._next = -1, -1
        self._batches: Iterator[Made] = iter(())

    def batch(self, step: int, model: object = None) -> Batch:
        """Return the part of the step-th step (from 0): inputs, float32 [len(part), 3, size, size], and
        labels, int64.
        """
        if step != self._next:
            self.close()
            self._batches = made(self._split, self._from(step))
        self._next = step + 1
        return on_device(next(self._batches), self._split.device, self._normalise)

    def close(self) -> None:
        """End the loaders; asking for a batch starts them again."""
        self._batches, self._next = iter(()), -1

    def work(self, step: int) -> Work:
        """Return what the part of a step consists of."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order_seed, augmentation_seed = self._seeds
        if epoch != self._epoch:
            self._order = permutation(order_seed, epoch, len(self._split))
            self._epoch = epoch
        first = index * self.batch_size + self._part.start
        chosen = self._order[first : first + len(self._part)]
        return work(self._split, chosen, self._augment, (augmentation_seed, epoch, first))

    def _from(self, step: int) -> Iterator[Work]:
        while True:
            yield self.work(step)
            step += 1


def streamed_evaluation(
    split: PackedSplit, mean: Sequence[float], std: Sequence[float], size: int, share: tuple[int, int]
) -> Iterator[Batch]:
    """Yield `evaluation_batches` of packed images: their centres."""
    normalise = Normalisation(mean, std, WHITE, split.device)
    own = shared_out(len(split), share)
    chunks = [np.arange(start, min(start + size, own.stop)) for start in range(own.start, own.stop, size)]
    for batch in made(split, [work(split, chunk) for chunk in chunks]):
        yield on_device(batch, split.device, normalise)


def work(
    split: PackedSplit, chosen: NDArray[np.int64], augment: str = "none", draws: tuple[int, int, int] | None = None
) -> Work:
    """Return the batch of the images at these positions of `split`."""
    labels = None if split.labels is None else split.labels.numpy()[chosen]
    return Work(split.rows.numpy()[chosen], labels, split.size, augment, draws)


def made(split: PackedSplit, works: Iterable[Work]) -> Iterator[Made]:
    """Yield the batches in turn, made here or ahead of time by the split's loaders, which end with the
    iterator.
    """
    decoder = Decoder(split.shards)
    if not split.loaders:
        return map(decoder.__getitem__, works)
    loader = DataLoader(
        decoder,
        sampler=works,
        batch_size=None,
        num_workers=split.loaders,
        prefetch_factor=PREFETCH,
        multiprocessing_context=WithoutMain(__name__),
        pin_memory=split.device.type == "cuda",
        generator=torch.Generator(),  # or torch's own is drawn from, on which dropout depends
    )
    return ahead(iter(loader), split.device) if split.device.type == "cuda" else iter(loader)


def on_device(batch: Made, device: torch.device, normalise: Normalisation) -> Batch:
    """Move the bytes, then make floats of them."""
    if isinstance(batch, DamagedDataset):
        raise batch
    images, labels = (part.to(device, non_blocking=True) for part in batch)
    return normalise(images), labels
