"""Data sets as resident uint8 tensors, and batches as a pure function of (seeds, step)."""

from lth_ray.data.batches import Batches, Normalisation, evaluation_batches
from lth_ray.data.catalogue import identify, load
from lth_ray.data.dataset import Dataset, Identity, Split
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.order import draws, permutation

__all__ = [
    "Batches", "DamagedDataset", "Dataset", "Identity", "MissingDataset", "Normalisation", "Split", "draws",
    "evaluation_batches", "identify", "load", "permutation",
]  # fmt: skip
