"""Training batches of images with boxes, by (seed, epoch, position)."""

import numpy as np
import torch
from torch import Tensor

from lth_ray.data.batches import CarriesNothing, checked_part, steps_per_epoch
from lth_ray.data.boxes.loading import Pictures
from lth_ray.data.order import draws, permutation

PictureBatch = tuple[Tensor, Tensor, Tensor, Tensor]  # images float32 in [0, 1]; boxes, labels, counts: see Pictures


def batch_of(pictures: Pictures) -> PictureBatch:
    """Return pictures as a batch: what a network is given, and what it is to find."""
    return pictures.images.float().div_(255), pictures.boxes, pictures.labels, pictures.counts


class PictureBatches(CarriesNothing):
    """Training batches, in an order and with flips given by (seed, epoch, position); an epoch's rest is dropped.

    part: the positions of each global batch that are taken; None for all.
    """

    def __init__(
        self,
        pictures: Pictures,
        batch_size: int,
        order_seed: int,
        augmentation_seed: int,
        augment: str = "none",
        part: range | None = None,
    ) -> None:
        self.steps_per_epoch = steps_per_epoch(len(pictures), batch_size)
        self._pictures, self._size, self._part = pictures, batch_size, checked_part(part, batch_size)
        self._seeds, self._flips = (order_seed, augmentation_seed), augment == "flip"
        self._epoch = -1

    def batch(self, step: int, model: torch.nn.Module | None = None) -> PictureBatch:
        """Return the part of the step-th step (from 0)."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._begin(epoch)
        start = index * self._size + self._part.start
        places = slice(start, start + len(self._part))
        images, boxes, labels, counts = batch_of(self._pictures.take(self._order[places]))
        if self._flips:
            flipped = self._flipped[places].to(images.device)
            images = torch.where(flipped[:, None, None, None], images.flip(3), images)
            boxes = torch.where(flipped[:, None, None], mirrored(boxes, labels, images.shape[3]), boxes)
        return images, boxes, labels, counts

    def close(self) -> None:
        """Do nothing: batches are made in this process."""

    def _begin(self, epoch: int) -> None:
        (order, augmentation), n = self._seeds, len(self._pictures)
        self._order = torch.from_numpy(permutation(order, epoch, n))
        self._flipped = torch.from_numpy((draws(augmentation, epoch, n) >> np.uint64(63)).astype(bool))
        self._epoch = epoch


def mirrored(boxes: Tensor, labels: Tensor, width: int) -> Tensor:
    """Return boxes, [B, m, 4], as they lie in mirrored images; places that are none stay zero."""
    left, top, right, bottom = boxes.unbind(2)
    found = torch.stack([width - right, top, width - left, bottom], 2)
    return found.masked_fill(labels[:, :, None] == 0, 0.0)
