"""The things that are kept: segments and tables by key, states and masks by content, on a file system or S3."""

from lth_ray.store.codec import Tensors, content, decode, encode, pack, unpack
from lth_ray.store.errors import DamagedFile, MissingFile, StorageAway, StorageError
from lth_ray.store.gc import Reached, Removal, collect, plan_gc
from lth_ray.store.layout import checkpoint_path, mask_path, segment_path, state_path, study_path, table_path
from lth_ray.store.live import LiveRun, live, live_runs
from lth_ray.store.locks import locked
from lth_ray.store.states import Checkpoint, State
from lth_ray.store.store import Store
from lth_ray.store.tree import flatten_optimizer, unflatten_optimizer

__all__ = [
    "Checkpoint",
    "DamagedFile",
    "LiveRun",
    "MissingFile",
    "Reached",
    "Removal",
    "State",
    "StorageAway",
    "StorageError",
    "Store",
    "Tensors",
    "checkpoint_path",
    "collect",
    "content",
    "decode",
    "encode",
    "flatten_optimizer",
    "live",
    "live_runs",
    "locked",
    "mask_path",
    "pack",
    "plan_gc",
    "segment_path",
    "state_path",
    "study_path",
    "table_path",
    "unflatten_optimizer",
    "unpack",
]
