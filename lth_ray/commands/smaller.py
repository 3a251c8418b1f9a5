"""A table of what pruning has made of a network, for somebody who wants it smaller: accuracy, size, latency, files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lth_ray.analysis.latency import latencies
from lth_ray.commands.tickets import export_ticket
from lth_ray.config import ConfigError
from lth_ray.lottery import Lineage, load_ticket
from lth_ray.lottery.execution.networks import build_without_averages
from lth_ray.lottery.tickets.exporting import weights_of_ticket
from lth_ray.lottery.tickets.small import smaller
from lth_ray.models.flops import forward_flops, uses_of_weights
from lth_ray.running.results import Results
from lth_ray.store import Store

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class _Made:
    """A network that is compared: a lineage's dense one, or its last ticket's."""

    network: nn.Module
    row: dict[str, Any]


def smaller_networks(
    results: Results, to: str | os.PathLike[str] = "smaller", *, batch_sizes: Sequence[int] = (1, 64), rounds: int = 31
) -> "pandas.DataFrame":
    """Export each lineage's last ticket into the folder `to`, and return what each came to beside its dense network.

    A ticket whose mask removes whole channels, heads or neurons (Prune(structure=...)) is exported and timed as the
    smaller network, which `load_small` takes; another as the masked one, whose zeros cost as much as other numbers.

    A row a network: lineage, round, the test metric, parameters (that are not pruned), forward_flops (of one example),
    megabytes of its file, and for each batch size the median latency in milliseconds, its quartiles, and how many
    times as fast it is as the dense network of its lineage (the median over rounds in which they take turns), and file:
    dense.safetensors and small.safetensors, behind the lineage's name where there are several.
    A lineage that has ended before its last round has the last ticket that it came to; without one it is left out.
    rounds: in which each network is timed once.
    """
    import pandas as pd

    for name, value, least in (("batch_sizes", min(batch_sizes, default=0), 1), ("rounds", rounds, 2)):
        if value < least:
            raise ConfigError(f"smaller_networks(..., {name}=): {value}: give at least {least}")
    tickets = results.tickets().to_dict("records")
    last = {row["lineage"]: row["round"] for row in sorted(tickets, key=lambda row: row["round"]) if row["round"]}
    if not last:
        raise ConfigError(f"smaller_networks: study {results.plan.study.name!r} has no pruned ticket yet; train one")
    folder = Path(to)
    folder.mkdir(parents=True, exist_ok=True)
    metric = {row["key"]: row for row in tickets}
    rows: list[dict[str, Any]] = []
    for lineage in (one for one in results.plan.lineages if one.id in last):
        before = f"{lineage.id.replace('/', '-')}-" if len(results.plan.lineages) > 1 else ""
        made = {
            name: _made(lineage, number, results.store, folder / f"{before}{name}.safetensors")
            for name, number in (("dense", 0), ("small", last[lineage.id]))
        }
        for size in batch_sizes:
            _time(made, lineage, size, rounds)
        for one in made.values():
            column = results.plan.study.data.metric.column("test")
            row = {"lineage": lineage.id, "round": one.row["round"], column: metric[one.row["key"]][column]}
            rows.append({**row, **{name: value for name, value in one.row.items() if name not in ("key", "round")}})
    return pd.DataFrame(rows)


def _made(lineage: Lineage, number: int, store: Store, file: Path) -> _Made:
    """Return a round's network, once it is in its file."""
    segment = lineage.rounds[number].segment
    recipe, ticket = segment.recipe, load_ticket(segment.key, store.uri)
    network, example = build_without_averages(recipe), recipe.task.example(recipe.identity)
    network.load_state_dict(weights_of_ticket(ticket, "trained"))
    small = network
    try:
        if number:
            small, _ = smaller(network, ticket.mask, example)
    except ConfigError:
        pass  # nothing goes whole: it is what the mask makes of the dense network
    shrink = small is not network
    export_ticket(segment.key, file, storage=store.uri, shrink=shrink, model=build_without_averages(recipe))
    mask = {} if shrink else ticket.mask
    sizes = sum(mask[name].sum().item() if name in mask else p.numel() for name, p in small.named_parameters())
    row = {
        "key": segment.key,
        "round": number,
        "parameters": int(sizes),
        "forward_flops": forward_flops(small, uses_of_weights(small, example), mask),
        "megabytes": round(file.stat().st_size / 1e6, 3),
        "file": str(file),
    }
    return _Made(small.eval(), row)


def _time(made: dict[str, _Made], lineage: Lineage, size: int, rounds: int) -> None:
    """Note the latencies of a lineage's networks at a batch size."""
    recipe = lineage.rounds[0].segment.recipe
    inputs = [_batch(one, size) for one in recipe.task.example(recipe.identity)]
    found = latencies({name: one.network for name, one in made.items()}, inputs, rounds)
    for name, one in made.items():
        low, high = found[name].quartiles_ms
        one.row[f"ms_{size}"] = round(found[name].ms, 3)
        one.row[f"ms_{size}_quartiles"] = f"{low:.3g} - {high:.3g}"
        one.row[f"times_as_fast_{size}"] = round(found[name].speed_up_over(found["dense"]), 2)


def _batch(example: Any, size: int) -> Any:
    """Return `size` examples like one: any numbers, since zeros may be faster."""
    if not isinstance(example, Tensor):
        return example
    if not example.is_floating_point():
        return example.expand(size, *example.shape[1:])
    generator = torch.Generator().manual_seed(0)
    return torch.rand(size, *example.shape[1:], generator=generator)
