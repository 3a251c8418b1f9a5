"""Tickets from elsewhere: a network, dense or pruned by torch.nn.utils.prune, becomes a ticket of the storage."""

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

from lth_ray import pruning
from lth_ray.config import ConfigError, digest
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.lottery.tickets.prune_naming import ORIG, Tensors, finite, from_prune_naming, is_dense
from lth_ray.models import checked, read_weights, under_own_names
from lth_ray.store import Store, content, mask_path
from lth_ray.training import environment

IMPORTED = "imported-"  # of their keys, by which collection knows them


def import_ticket(
    source: nn.Module | Mapping[str, torch.Tensor] | str | os.PathLike[str], storage: str = "./lth_storage"
) -> str:
    """Keep a network in `storage` as a ticket; return its key, for load_ticket and Study(ticket=...).

    What torch.nn.utils.prune has pruned is there as `NAME_orig` and `NAME_mask`; the mask covers these
    parameters. A network without them is dense: a study's later rounds prune what its rule may prune. Zeros
    in it are weights. The key is that of what was imported: the same network again gives the same key, and
    nothing is stored twice.

    source: an nn.Module, its state dict, or a file of that: safetensors, or one of torch.save (.pt, .pth)
        that holds it by itself or as "state_dict" or "model", of which nothing but tensors is unpickled.
    storage: the folder or s3:// URI that takes it.

    Raises ConfigError, naming file and tensor, for what is no such network.
    """
    given, where = _read(source)
    ties = _shared(given)
    state, mask = _dense(given, where) if is_dense(given) else from_prune_naming(given, where)
    mask = under_own_names(mask, ties)
    store = Store.open(storage)
    mask_content = content(mask) if mask else None
    trajectory = IMPORTED + digest("imported", {"weights": content(state), "mask": mask_content})
    key = f"{trajectory}-0"
    weights = store.save_state(trajectory, 0, state)
    if mask_content and not store.exists(mask_path(mask_content)):  # a study may have it in its parameters' order
        store.save_mask(mask)
    store.publish_segment(key, _record(key, trajectory, mask, weights, mask_content, where, ties).to_json())
    return key


def _read(source: nn.Module | Mapping[str, torch.Tensor] | str | os.PathLike[str]) -> tuple[Tensors, str]:
    if isinstance(source, nn.Module):
        where = f"this {type(source).__name__}"
        return checked(source.state_dict(), where), where
    if isinstance(source, Mapping):
        return checked(source, "this state dict"), "this state dict"
    path = os.fspath(source)
    return read_weights(path, "network"), path


def _shared(given: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return {another name: its name} of tensors that lie in one place of memory, by the names of unpruned
    parameters.

    A safetensors file does not say so: there a network's own ties tell it, when a study takes the ticket up.
    """
    first: dict[tuple[Any, ...], str] = {}
    found = {}
    for name, value in given.items():
        own = name.removesuffix(ORIG)
        place = value.device, value.data_ptr(), value.shape, value.stride(), value.dtype
        if value.numel() and first.setdefault(place, own) != own:
            found[own] = first[place]
    return found


def _dense(given: Mapping[str, torch.Tensor], where: str) -> tuple[Tensors, Tensors]:
    if not given:
        raise ConfigError(f"{where} holds no tensor: give a network's state dict")
    return {name: finite(value, name, where) for name, value in given.items()}, {}


def _record(
    key: str, trajectory: str, mask: Tensors, weights: str, mask_content: str | None, where: str, ties: dict[str, str]
) -> SegmentRecord:
    """Return the record of a segment of no step, which nothing of this storage led to."""
    return SegmentRecord(
        key=key,
        trajectory=trajectory,
        meaning={"imported": os.path.basename(where), "start": {}},
        first=0,
        last=0,
        backend=None,
        mask=mask_content,
        remaining_weights=pruning.density(mask) if mask else 1.0,
        forward_flops=None,
        layer_densities=pruning.layer_densities(mask),
        tied=ties,
        content=hashlib.sha256(f"{mask_content}/{weights}".encode()).hexdigest(),
        files=[mask_path(mask_content)] if mask_content else [],
        states=[0],
        contents={"0": weights},
        journal={},
        measurements={},
        diverged_at=None,
        train_steps=0,
        started_at=datetime.now(UTC).isoformat(),
        seconds=0.0,
        environment=environment("cpu"),
        earlier_environments=[],
    )
