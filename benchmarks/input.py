"""The input pipeline of packed sets: images a second, as a share of a bare loop that decodes and transforms them.

The bare loop is what one would write with torchvision alone: decode_jpeg, RandomResizedCrop and RandomHorizontalFlip
of v2 on uint8, stacked into a batch. Ours also finds the images by an epoch's order, draws each crop from (seed, epoch,
position), and normalises the batch. Both take the same stored bytes, in one process, with one thread.
"""

import tempfile
from pathlib import Path

import torch
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

from benchmarks.suite import data_root
from benchmarks.timing import Entry, Line, Skipped, paired, throughput
from lth_ray import data
from lth_ray.config import Data
from lth_ray.data.packed.packing import Options, finish, pack_piece, plan_packing
from lth_ray.data.packed.reading import PackedSplit
from lth_ray.store.local import LocalFiles

SAMPLE = "imagenet_sample"  # real JPEGs, a folder a class in train/ and test/
TARGET_PERCENT = 90.0
BATCH = 32
PAIRS_A_BATCH = 5  # a batch takes hundreds of times as long as a step of the other benchmarks


def entries(pairs: int = 200) -> list[Line]:
    """Measure at full size and with the short side at 256 pixels, where the sample is."""
    sample = data_root() / SAMPLE
    if not sample.is_dir():
        why = f"there are no JPEGs in {sample}; give --data-root a folder with some, in train/CLASS and test/CLASS"
        return [Skipped("input against a bare decode loop", why)]
    pairs = max(2, pairs // PAIRS_A_BATCH)
    with tempfile.TemporaryDirectory() as folder:
        return [_entry(sample, Path(folder, str(short_side)), short_side, pairs) for short_side in (None, 256)]


def packed(sample: Path, target: Path, short_side: int | None) -> Data:
    """Return the sample, packed."""
    packing, files = plan_packing(sample, Options(short_side, shard_mb=8)), LocalFiles(str(target))
    finish(packing, {piece.name: pack_piece(piece, files) for piece in packing.pieces}, files, skip_corrupt=False)
    return Data(f"packed:{target}", batch_size=BATCH, validation=0, augment="resized_crop_flip")


def _entry(sample: Path, target: Path, short_side: int | None, pairs: int) -> Entry:
    config = packed(sample, target, short_side)
    dataset = data.load(config)
    assert isinstance(dataset.train, PackedSplit)
    shards = dataset.train.shards
    stored = [bytes(shards.row(i).data) for i in range(len(dataset.train))]
    batches = data.training_batches(dataset, config, 0, 0)
    transform = v2.Compose([v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()])
    steps = [0, 0]

    def ours() -> torch.Tensor:
        steps[0] += 1
        return batches.batch(steps[0])[0]

    def bare() -> torch.Tensor:
        """The images of the same step, so that both decode the same bytes."""
        steps[1] += 1
        epoch, index = divmod(steps[1], batches.steps_per_epoch)
        rows = data.permutation(0, epoch, len(stored))[index * BATCH : (index + 1) * BATCH]
        encoded = (torch.frombuffer(bytearray(stored[row]), dtype=torch.uint8) for row in rows)
        return torch.stack([transform(decode_jpeg(image, mode=ImageReadMode.RGB)) for image in encoded])

    measured = paired(ours, bare, pairs=pairs, units=(BATCH, BATCH))
    size = "full size" if short_side is None else f"short side {short_side}"
    return throughput(f"input against a bare decode loop, {size}, an image", measured, target=TARGET_PERCENT)
