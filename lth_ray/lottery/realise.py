"""Makes what a derivation describes: a network, its starting weights and its mask, from what is stored."""

import warnings
from typing import Any

import torch

from lth_ray import models, pruning
from lth_ray.lottery.derivation import Copied, Init, Pruned, Redrawn, Segment, StartSource
from lth_ray.store import DamagedFile, MissingFile, State, Store, content
from lth_ray.training import Recipe

Mask = dict[str, torch.Tensor]


class MissingState(LookupError):  # noqa: N818
    """Something a segment is derived from is not in the store."""


def build(recipe: Recipe, seed: int | None = None) -> torch.nn.Module:
    """The recipe's network, initialised under `seed` (None: whatever weights)."""
    model, data = recipe.model, recipe.identity
    return models.build(
        model.name, data.num_classes, input_shape=data.input_shape, init=model.init, seed=seed, **model.options
    )


def eligible(model: torch.nn.Module, rule: Any) -> Mask:
    """The all-ones mask over what a pruning rule ("include" and "exclude" globs) may prune."""
    names = pruning.select(
        models.prunable(model), rule["include"], rule["exclude"], [name for name, _ in model.named_parameters()]
    )
    return pruning.dense_mask(model, names)


def start_state(source: StartSource, recipe: Recipe, store: Store) -> State:
    """The weights (and optimizer state) a segment starts from, before its mask is applied."""
    if isinstance(source, Init):
        model = build(recipe, source.seed)
        return State(model.state_dict(), None, content(model.state_dict()))
    return stored_state(store, source.trajectory, source.step, source.optimizer)


def stored_state(store: Store, trajectory: str, step: int, optimizer: bool = False) -> State:
    """A whole state of the store; MissingState when none is kept. Damaged ones are moved aside."""
    why = "is not kept"
    while store.find_state(trajectory, step, with_optimizer=optimizer) is not None:
        try:
            return store.load_state(trajectory, step, with_optimizer=optimizer)
        except DamagedFile as error:
            why = set_aside(store, error)
    raise MissingState(f"{store.uri}: the state of {trajectory} at step {step} {why}; run the study again to make it")


def stored_record(store: Store, key: str) -> dict[str, Any] | None:
    """The record of a finished segment, None where there is none. A damaged one is moved aside."""
    try:
        return store.segment(key)
    except DamagedFile as error:
        set_aside(store, error)
        return None


def set_aside(store: Store, error: DamagedFile) -> str:
    """Moves a damaged file out of the way, so that what it held is made again; what was done, as a clause."""
    store.quarantine(error.path)
    done = f"was damaged ({error.path}: {error.why}; it is in damaged/ now)"
    warnings.warn(f"{store.uri}: what this file held {done}", stacklevel=3)
    return done


def mask_of(segment: Segment, model: torch.nn.Module, store: Store) -> Mask | None:
    """The mask of a segment, made from what it is derived from; None for a dense one."""
    source = segment.mask
    if source is None:
        return None
    if isinstance(source, Pruned):
        return pruned_mask(source, model, store)
    base = recorded_mask(store, source.of)
    if base is None:
        raise MissingState(f"{store.uri}: segment {source.of} is dense and has no mask to start from")
    return base if isinstance(source, Copied) else redrawn_mask(source, base)


def recorded_mask(store: Store, key: str) -> Mask | None:
    """The mask of a finished segment, None for a dense one; MissingState where it is not whole."""
    record = stored_record(store, key)
    if record is None:
        raise MissingState(f"{store.uri}: there is no segment {key}; run the study again to make it")
    if record["mask"] is None:
        return None
    try:
        return store.load_mask(record["mask"])
    except MissingFile as error:
        why = str(error)
    except DamagedFile as error:
        why = set_aside(store, error)
    raise MissingState(f"{store.uri}: the mask of {key} {why}; run the study again to make it")


def redrawn_mask(source: Redrawn, base: Mask) -> Mask:
    if source.scope == "random":
        return pruning.random_mask(base, source.seed)
    return pruning.shuffled_mask(base, source.seed, source.scope)


def pruned_mask(source: Pruned, model: torch.nn.Module, store: Store) -> Mask:
    """Prunes the weights at the end of segment `source.of` by exactly the rule's count."""
    before = recorded_mask(store, source.of) or eligible(model, source.rule)
    record = stored_record(store, source.of)
    if record is not None and record["diverged_at"] is not None:
        raise MissingState(f"segment {source.of} diverged by step {record['diverged_at']}: there is nothing to prune")
    model.load_state_dict(stored_state(store, source.trajectory, source.step).model)
    scores = pruning.score(source.rule["criterion"], model, before, seed=source.seed or 0)
    fraction, scope = source.rule["fraction"], source.rule["scope"]
    if source.rounds == 1:
        return pruning.prune(scores, before, fraction, scope)
    counts = pruning.one_shot_counts(before, fraction, scope, source.rounds)
    return pruning.prune_counts(scores, before, counts, scope)
