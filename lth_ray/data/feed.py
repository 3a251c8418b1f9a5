"""Batches for training and evaluation, whatever a data set is kept as."""

from collections.abc import Iterator, Sequence

from lth_ray.config import Data
from lth_ray.data.batches import Batch, Batches, TrainingBatches, resident_evaluation
from lth_ray.data.dataset import AnySplit, Dataset
from lth_ray.data.packed.reading import PackedSplit

RESIDENT_SIZE = 2000  # images in an evaluation batch


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
    return resident_evaluation(split, mean, std, size or RESIDENT_SIZE, share)
