"""The masks that early-bird draws have looked at, read from a study's records."""

from typing import Any

from lth_ray.lottery import Plan
from lth_ray.lottery.kept.records import segments
from lth_ray.lottery.kept.stored import whole_records
from lth_ray.record.figures.mask_distances import Distances
from lth_ray.store import Store


def mask_distances(plan: Plan, store: Store) -> list[Distances]:
    """Return the distances between masks for each arm whose masks are drawn, over the seeds that are finished.

    Where the dense network was trained on behind the draw, they are those of all of its epochs.
    """
    lineages = [lineage for lineage in plan.lineages if lineage.draw is not None]
    keys = {segment.key for lineage in lineages for segment in (lineage.dense, lineage.trunk)}
    records = segments(whole_records(store, plan.keys & keys))
    found: dict[str, dict[int, tuple[dict[str, Any], float, int]]] = {}
    for lineage in lineages:
        draw = lineage.draw
        assert draw is not None
        own = [records[key] for key in (lineage.dense.key, lineage.trunk.key) if key in records]
        looks = [record.looks[draw.id] for record in own if record.looks and draw.id in record.looks]
        drawn = [record.drawn["step"] for record in own if record.drawn]
        if looks and drawn:
            longest = max(looks, key=lambda one: len(one["step"]))
            name = lineage.id.rsplit("/seed", 1)[0].rsplit("/k", 1)[0] if "/" in lineage.id else ""
            name = "" if name == f"k{lineage.rewind_step}" else name
            seeds = found.setdefault(name, {})
            seeds[lineage.variant.seed] = (longest, drawn[0] / draw.every, draw.every)
    return [_joined(name, list(seeds.values())) for name, seeds in found.items()]


def _joined(name: str, seeds: list[tuple[dict[str, Any], float, int]]) -> Distances:
    longest, _, every = max(seeds, key=lambda one: len(one[0]["step"]))
    epochs = tuple(step / every for step in longest["step"])
    return Distances(name, epochs, tuple(one["distances"] for one, _, _ in seeds), tuple(at for _, at, _ in seeds))
