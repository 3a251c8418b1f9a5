"""Tickets from elsewhere: a network pruned by torch.nn.utils.prune becomes a ticket of the storage."""

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

from lth_ray import pruning
from lth_ray.config import digest
from lth_ray.lottery.prune_naming import Tensors, from_prune_naming
from lth_ray.models import read_weights
from lth_ray.store import Store, content, mask_path
from lth_ray.training import environment

IMPORTED = "imported-"  # of their keys, by which collection knows them


def import_ticket(
    source: nn.Module | Mapping[str, torch.Tensor] | str | os.PathLike[str], storage: str = "./lth_storage"
) -> str:
    """Keeps a pruned network in `storage` as a ticket; its key, for load_ticket and Study(ticket=...).

    source: an nn.Module that carries the hooks of torch.nn.utils.prune, its state dict, or a safetensors file of that.
        A parameter that was pruned is there as `NAME_orig` and `NAME_mask`; the mask covers these parameters.
    The key is that of what was imported: the same network again gives the same key, and nothing is stored twice.
    Raises ConfigError, naming file and tensor, for what is no such network.
    """
    given, where = _read(source)
    state, mask = from_prune_naming(given, where)
    store = Store.open(storage)
    mask_content = content(mask)
    trajectory = IMPORTED + digest("imported", {"weights": content(state), "mask": mask_content})
    key = f"{trajectory}-0"
    weights = store.save_state(trajectory, 0, state)
    if not store.exists(mask_path(mask_content)):  # a study may have stored it in its network's order of parameters
        store.save_mask(mask)
    store.publish_segment(key, _record(key, trajectory, mask, weights, mask_content, where))
    return key


def _read(source: nn.Module | Mapping[str, torch.Tensor] | str | os.PathLike[str]) -> tuple[Tensors, str]:
    if isinstance(source, nn.Module):
        return dict(source.state_dict()), f"this {type(source).__name__}"
    if isinstance(source, Mapping):
        return dict(source), "this state dict"
    path = os.fspath(source)
    return read_weights(path, "pruned network"), path


def _record(key: str, trajectory: str, mask: Tensors, weights: str, mask_content: str, where: str) -> dict[str, Any]:
    """That of a segment of no step, which nothing of this storage led to."""
    return {
        "key": key,
        "trajectory": trajectory,
        "meaning": {"imported": os.path.basename(where), "start": {}},
        "first": 0,
        "last": 0,
        "backend": None,
        "mask": mask_content,
        "remaining_weights": pruning.density(mask),
        "forward_flops": None,
        "layer_densities": pruning.layer_densities(mask),
        "content": hashlib.sha256(f"{mask_content}/{weights}".encode()).hexdigest(),
        "files": [mask_path(mask_content)],
        "states": [0],
        "contents": {"0": weights},
        "journal": {},
        "measurements": {},
        "diverged_at": None,
        "train_steps": 0,
        "started_at": datetime.now(UTC).isoformat(),
        "seconds": 0.0,
        "environment": environment("cpu"),
        "earlier_environments": [],
    }
