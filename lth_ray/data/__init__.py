"""Data sets, in memory or packed in shards, and batches as a pure function of (seeds, step)."""

from lth_ray.data.batches import Batch, Batches, Normalisation, TrainingBatches, evaluation_batches, training_batches
from lth_ray.data.catalogue import absolute, identify, load
from lth_ray.data.dataset import AnySplit, Dataset, Identity, Split
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.order import draws, permutation

__all__ = [
    "AnySplit",
    "Batch",
    "Batches",
    "DamagedDataset",
    "Dataset",
    "Identity",
    "MissingDataset",
    "Normalisation",
    "Split",
    "TrainingBatches",
    "absolute",
    "draws",
    "evaluation_batches",
    "identify",
    "load",
    "permutation",
    "training_batches",
]
