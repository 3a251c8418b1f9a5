"""Publication of what a training came to: its record, once all it names is stored; what nobody needs then goes."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from lth_ray import probes, pruning
from lth_ray.lottery.execution.changed_masks import changes, final_mask
from lth_ray.lottery.execution.looking import drawn_by, files
from lth_ray.lottery.execution.networks import network_of
from lth_ray.lottery.execution.progress import Prepared
from lth_ray.lottery.execution.reading import stored_segment
from lth_ray.lottery.execution.scoring import uses
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.lottery.pieces import Piece, Training
from lth_ray.models import tied
from lth_ray.models.flops import forward_flops
from lth_ray.pruning import Mask
from lth_ray.store import Store, content, mask_path, state_path
from lth_ray.training import Pause, Supermask
from lth_ray.training.shrunk import counted


def finish(
    training: Training, prepared: Prepared, store: Store, model: torch.nn.Module, last: Pause
) -> SegmentRecord | None:
    """Publish what a training came to; return the record that stands."""
    record = prepared.record
    if training.measured:
        own = _record(training, store, model, prepared, last)
        record = _publish(training, store, own, prepared.progress.contents)
    probes.point("published")
    store.drop_checkpoints(training.key)
    discard(training, store)
    return record


def _publish(training: Training, store: Store, record: SegmentRecord, contents: Mapping[int, str]) -> SegmentRecord:
    """Publish a record; return the one that stands.

    Where another was first, one's own states go unless they are the same.
    """
    while not store.publish_segment(training.segment.key, record.to_json()):
        first = stored_segment(store, training.segment.key)
        if first is not None:
            for step, own in contents.items():
                if first.contents.get(str(step), own) != own:
                    for with_optimizer in (False, True):  # as a draw's state has one, whatever else is asked for
                        store.delete(state_path(training.segment.trajectory, step, own, with_optimizer))
            return first
    return record


def discard(piece: Piece, store: Store) -> None:
    """Remove what was there for this piece and others, once all of them are finished, unless a record keeps
    it.
    """
    for state in piece.discards:
        makers = (stored_segment(store, key) for key in {state.maker, f"{state.trajectory}-{state.step}"})
        is_kept = any(maker is not None and state.step in maker.states for maker in makers)
        if not is_kept and all(store.exists(reader) for reader in state.readers):
            store.delete_state(state.trajectory, state.step)


def _collapse(training: Training, model: torch.nn.Module, mask: Mask | None) -> dict[str, Any]:
    """Return what the mask has done to layers; nothing of a dense network and of one whose mask is learned."""
    if mask is None or training.segment.learned is not None:
        return {}
    return pruning.collapse(model, mask, training.recipe.task.example(training.recipe.identity))


def _record(training: Training, store: Store, model: torch.nn.Module, prepared: Prepared, last: Pause) -> SegmentRecord:
    """Return the record of a finished segment: existence is completion."""
    segment, mask, progress = training.segment, prepared.mask, prepared.progress
    used, drawn = uses(segment.recipe), drawn_by(segment, progress)
    changed = changes(segment, last.run, mask, store, used)
    drawn_at = {seen["drawn"]["step"] for seen in progress.looks.values() if seen["drawn"]}
    mask = final_mask(last.run, mask)
    mask_content = store.save_mask(mask) if mask is not None else None
    end = content(model.state_dict())
    return SegmentRecord(
        key=segment.key,
        trajectory=segment.trajectory,
        meaning=segment.meaning,
        functions={field: [one.name, one.source] for field, one in segment.recipe.functions},
        metric=segment.recipe.task.metric.document,
        first=segment.first,
        last=segment.last if drawn is None else last.step,
        backend=f"{last.run.backend}-{segment.recipe.train.precision}",
        mask=mask_content,
        remaining_weights=pruning.density(mask) if mask is not None else 1.0,
        remaining_of_all=pruning.density_of_all(mask, network_of(model)) if mask is not None else 1.0,
        forward_flops=forward_flops(model, used, counted(last.run, mask)) if segment.learned is None else None,
        scoring_flops=prepared.scoring_flops,
        layer_densities=pruning.layer_densities(mask) if mask is not None else {},
        collapse=_collapse(training, network_of(model), mask),
        tied=tied(model),
        content=hashlib.sha256(f"{mask_content}/{end}".encode()).hexdigest(),
        files=list(dict.fromkeys([*_masks(mask_content, changed.get("first_mask")), *files(progress.looks)])),
        states=sorted(
            step for step in (training.states - training.passing) | drawn_at if last.finite or step < last.step
        ),
        contents={str(step): digest for step, digest in sorted(progress.contents.items())},
        journal=last.journal,
        measurements={"learned_density": model.density()} if isinstance(model, Supermask) else {},
        diverged_at=None if last.finite else last.step,
        train_steps=last.step - segment.first,
        started_at=progress.started_at,
        seconds=round(progress.spent_s, 3),
        environment=progress.environments[-1],
        earlier_environments=progress.environments[:-1],
        usage=progress.usage,
        looks=progress.looks if training.draws else None,
        drawn=None if drawn is None else {name: drawn[name] for name in ("step", "agreed")},
        **changed,
    )


def _masks(*contents: str | None) -> list[str]:
    return [mask_path(one) for one in contents if one]
