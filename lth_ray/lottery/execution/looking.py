"""Looks at the masks of a dense training on its way, until one is drawn (early-bird tickets).

What a look finds is stored at once, a mask by its content: a draw is a function of what is stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from lth_ray import pruning
from lth_ray.lottery.derivation import Draw, Segment
from lth_ray.lottery.execution.progress import Progress
from lth_ray.lottery.execution.ranking import prune_by, ranking
from lth_ray.lottery.pieces import Training
from lth_ray.pruning import Mask
from lth_ray.pruning.agreement import Bits
from lth_ray.store import Store, mask_path
from lth_ray.training import Recipe, Run, stored_beside
from lth_ray.training.averages import averaged

Looks = dict[str, dict[str, Any]]  # by the id of a draw; see `Watch`


@dataclass
class Watch:
    """The draws that are looked for on the way of one training, by its leader.

    looks: for each draw the columns step, mask (its content; of a rule that ranks channels or other units these),
        distances (from all earlier masks, oldest first), and where it was drawn: {step, agreed, loss_sum, loss_steps}.
        Plain data, which checkpoints and records hold.
    """

    draws: Sequence[Draw]
    recipe: Recipe
    store: Store
    looks: Looks = field(default_factory=dict)
    _bits: dict[str, list[Bits]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for draw in self.draws:
            self.looks.setdefault(draw.id, {"step": [], "mask": [], "distances": [], "drawn": None})

    def look(self, model: torch.nn.Module, step: int) -> None:
        """Look at the masks after `step` steps; once at each."""
        for draw in (draw for draw in self.draws if step % draw.every == 0):
            seen = self.looks[draw.id]
            if step in seen["step"]:
                continue
            mask = ranked_mask(draw, model, self.recipe)
            bits, size = pruning.packed(mask), sum(keeps.numel() for keeps in mask.values())
            seen["distances"].append(pruning.distances(bits, self._earlier(draw), size))
            seen["step"].append(step)
            seen["mask"].append(self.store.save_mask(mask))
            self._bits[draw.id].append(bits)

    def drawn(self, run: Run) -> list[str]:
        """Enter the draws that the last look has decided, and return their ids."""
        found = []
        for draw in self.draws:
            seen = self.looks[draw.id]
            at = pruning.first_agreement(seen["distances"], draw.window, draw.distance)
            if seen["drawn"] is None and at is not None and seen["step"][at] == run.step:
                seen["drawn"] = entry(run, agreed=True)
                found.append(draw.id)
        return found

    def _earlier(self, draw: Draw) -> list[Bits]:
        if draw.id not in self._bits:
            self._bits[draw.id] = [pruning.packed(self.store.load_mask(one)) for one in self.looks[draw.id]["mask"]]
        return self._bits[draw.id]


def entry(run: Run, agreed: bool) -> dict[str, Any]:
    """Return what is known of a draw: that, and what training goes on with from its step."""
    return {
        "step": run.step,
        "agreed": agreed,
        "loss_sum": float(run.loss_sum),
        "loss_steps": run.loss_steps,
    }


def drawn_by(segment: Segment, progress: Progress) -> dict[str, Any] | None:
    """Return the draw of a segment, as far as it has one."""
    seen = progress.looks.get(segment.draw.id) if segment.draw else None
    found: dict[str, Any] | None = seen["drawn"] if seen else None
    return found


def look(training: Training, watch: Watch | None, run: Run, progress: Progress) -> bool:
    """Look at the masks, keep the state where one is drawn, and return whether training ends here. The leader's."""
    assert watch is not None
    watch.look(run.model, run.step)
    if watch.drawn(run):
        keep_drawn(training, watch.store, run, progress)
    return drawn_by(training.segment, progress) is not None


def keep_drawn(training: Training, store: Store, run: Run, progress: Progress) -> None:
    """Store the state at a draw with all that training goes on with."""
    state = run.model.state_dict()
    progress.contents[run.step] = store.save_state(training.segment.trajectory, run.step, state, stored_beside(run))


def ranked_mask(draw: Draw, model: torch.nn.Module, recipe: Recipe) -> Mask:
    """Return what a draw's rule leaves of what it ranks, weights or units, by the model's present weights."""
    rule, ranks = draw.rule, ranking(model, draw.rule, recipe)
    with averaged(model) if recipe.train.ema_for == "evaluation_and_pruning" else nullcontext():
        scores = partial(ranks.score, rule["criterion"], model, seed=draw.seed or 0)
        mask = prune_by(ranks, rule, scores, ranks.everything, 1, draw.seed or 0, draw.density)
    return {name: keeps.cpu() for name, keeps in mask.items()}


def until(looks: Mapping[str, Mapping[str, Any]], step: int) -> Looks:
    """Return what had been looked at after `step` steps."""
    found = {}
    for name, seen in looks.items():
        number = sum(at <= step for at in seen["step"])
        drawn = seen["drawn"] if seen["drawn"] is not None and seen["drawn"]["step"] <= step else None
        columns = {column: list(seen[column][:number]) for column in ("step", "mask", "distances")}
        found[name] = {**columns, "drawn": drawn}
    return found


def files(looks: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    """Return the paths of the masks that were looked at."""
    return (mask_path(one) for seen in looks.values() for one in seen["mask"])
