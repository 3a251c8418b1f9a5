"""Masks that have changed on the way: what the record of a training says of one."""

from collections.abc import Mapping
from typing import Any

import torch

from lth_ray import pruning
from lth_ray.lottery.derivation import Segment
from lth_ray.models.flops import forward_flops
from lth_ray.pruning import Mask
from lth_ray.store import Store
from lth_ray.training import Run


def final_mask(run: Run, mask: Mask | None) -> Mask | None:
    """Return the mask that a training ended with; it began with `mask`."""
    return mask if run.regrowth is None or run.mask is None else dict(run.mask)


def changes(segment: Segment, run: Run, first: Mask | None, store: Store, uses: Mapping[str, int]) -> dict[str, Any]:
    """Return what there is to tell of a mask that changed; {} of another.

    first_mask: the content of the mask it began with.
    mask_history: columns, a row an update and layer: step, layer, kept, dropped (and as many grown), returned.
    mask_changed: the share of the weights it began with that it ended without.
    regrowth_flops: what the gradients of all weights, by which "rigl" grows, took beside a sparse training's.
    """
    if run.regrowth is None or run.mask is None or first is None:
        return {}
    left = sum(int((first[name].cpu() & keeps.cpu()).count_nonzero()) for name, keeps in run.mask.items())
    updates = len(set(run.history.get("step", ()))) if run.regrowth.method == "rigl" else 0
    dense = {name: torch.ones_like(keeps) for name, keeps in first.items()}
    beside = forward_flops(run.model, uses, dense) - forward_flops(run.model, uses, first)
    return {
        "first_mask": store.save_mask(first),
        "mask_history": run.history,
        "mask_changed": 1 - left / max(1, pruning.kept(first)),
        "regrowth_flops": updates * beside * segment.recipe.examples_a_step,
    }
