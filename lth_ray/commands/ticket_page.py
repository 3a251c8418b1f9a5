"""A page on one ticket: its layers, its size, what it measured, and where it comes from, back to the seed."""

import re
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lth_ray import printing
from lth_ray.commands.tickets import Place, places
from lth_ray.config import Metric
from lth_ray.lottery import Ticket, load_ticket, measurements, metric_of
from lth_ray.lottery.kept.records import Json, SegmentRecord
from lth_ray.lottery.kept.stored import finished_segment
from lth_ray.lottery.tickets.importing import IMPORTED
from lth_ray.store import Store, mask_path
from lth_ray.training import averages
from lth_ray.watching.live_view import number


def description(store: Store, key: str, name: str | None = None) -> Json:
    """Return all of it as plain data, as `lth-ray show --json` prints it.

    Densities and accuracies lie in [0, 1]; sizes are bytes; `metric` says what the network is judged by.

    name: only as this study has it.
    """
    ticket = load_ticket(key, store.uri)
    record, where = ticket.record, places(store, key, name)
    layers = _layers(ticket)
    return {
        "key": key,
        "kind": _kind(record, where),
        "content": record.content,
        "remaining_weights": record.remaining_weights,
        "kept": sum(layer["kept"] for layer in layers if layer["prunable"]),
        "eligible": sum(layer["eligible"] for layer in layers if layer["prunable"]),
        "parameters": sum(layer["eligible"] for layer in layers),
        "layers": layers,
        "bytes": _sizes(store, record),
        "metric": metric_of(record).document,
        "measurements": _measured(record),
        "studies": [_place(place, store) for place in where],
        "trained": {
            "from_step": record.first,
            "to_step": record.last,
            "train_steps": record.train_steps,
            "seconds": record.seconds,
            "started_at": record.started_at,
            "backend": record.backend,
        },
        "meaning": record.meaning,
        "environment": record.environment,
        "earlier_environments": record.earlier_environments,
    }


def print_ticket(page: Json, console: Console) -> None:
    """Print the same for a person."""
    share = f"{page['remaining_weights']:.1%} of the weights"
    console.print(f"[bold]{page['kind']}[/] {page['key']}: {share}", highlight=False, soft_wrap=True)
    console.print(f"content {page['content']}", highlight=False, soft_wrap=True)  # whole, to be copied
    console.print(_layer_table(page))
    console.print(printing.facts(_facts(page)))
    for place in page["studies"][:1]:
        if place["ancestors"]:
            console.print(_ancestors(place, Metric.read(page["metric"])))


def _kind(record: SegmentRecord, where: list[Place]) -> str:
    if record.key.startswith(IMPORTED):
        return "imported ticket"
    if where and all(place.branch is not None for place in where):
        return "branch result"
    return "ticket" if record.mask else "dense network"


def _layers(ticket: Ticket) -> list[Json]:
    """Return a row a tensor, layer by layer; of one whose weights were not kept, those that the mask covers.

    What layers share is there once.
    """
    whole = averages.own(ticket.trained_state or ticket.rewind_state or {})
    state = {name: value for name, value in whole.items() if name not in ticket.tied}
    order = {name.rpartition(".")[0]: number for number, name in enumerate(ticket.mask)}  # that of the network
    found = []
    for name in sorted({*state, *ticket.mask}, key=lambda name: _place_of(name, order)):
        mask = ticket.mask.get(name)
        shape = (state[name] if mask is None else mask).shape
        size = shape.numel()
        kept = size if mask is None else int(mask.count_nonzero())
        found.append(
            {
                "name": name,
                "shape": list(shape),
                "prunable": mask is not None,
                "kept": kept,
                "eligible": size,
                "density": kept / size if size else 1.0,
            }
        )
    return found


def _place_of(name: str, order: Mapping[str, int]) -> tuple[int, list[int | str], bool]:
    """Return a key that puts the other layers, by name, behind the pruned ones, numbers in names counting as
    numbers.

    In a layer its weight comes first.
    """
    layer, _, own = name.rpartition(".")
    parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", layer)]
    return order.get(layer, len(order)), parts, own != "weight"


def _sizes(store: Store, record: SegmentRecord) -> Json:
    """Return the sizes of its files: the mask, packed, and the states that are kept of its steps."""
    masks, states = store.list("masks"), store.list(f"states/{record.trajectory}")
    mask = masks.get(mask_path(record.mask)) if record.mask else None
    kept = {path.rpartition("/")[2].partition("-")[0].lstrip("0") or "0": size for path, size in states.items()}
    return {"mask": mask, "states": kept}


def _measured(record: SegmentRecord) -> Json:
    """Return what was measured, without what is said elsewhere."""
    elsewhere = {"remaining_weights", "sparsity", "key", "content", "backend", "device", "seconds", "train_steps"}
    return {name: value for name, value in measurements(record).items() if name not in elsewhere}


def _place(place: Place, store: Store) -> Json:
    """Return where a study has it, with the rounds that led to it."""
    lineage, number = place.lineage, place.round
    parents = [r.segment.key for r in lineage.rounds[: number + (place.branch is not None)]]
    if lineage.prune.from_dense:
        parents = parents[:1]
    return {
        "study": place.study,
        "lineage": lineage.id,
        "arm": lineage.variant.arm,
        "round": number,
        "branch": place.branch.id if place.branch else None,
        "seed": lineage.variant.seed,
        "seeds": vars(place.segment.seeds),
        "rewind_step": lineage.rewind_step,
        "method": lineage.rewind.method,
        "optimizer": lineage.rewind.optimizer,
        "declared_at": place.entry["at"],
        "lth_ray": place.entry["lth_ray"],
        "commit": place.entry.get("commit", ""),
        "ancestors": [_ancestor(parent, i, store, lineage.recipe.task.metric) for i, parent in enumerate(parents)],
    }


def _ancestor(key: str, number: int, store: Store, metric: Metric) -> Json:
    record = finished_segment(store, key)
    row: Json = {"round": number, "key": key, "remaining_weights": None, metric.column("test"): None}
    if record is not None:
        measured = measurements(record)
        row |= {name: measured[name] for name in ("remaining_weights", metric.column("test"))}
    return row


def _layer_table(page: Json) -> Table:
    numbers = ("kept", "of", "density")
    table = printing.table("layer", "shape", *numbers, right=numbers)
    for layer in page["layers"]:
        density = f"{layer['density']:.2%}" if layer["prunable"] else "not pruned"
        shape = " x ".join(map(str, layer["shape"])) or "1"
        table.add_row(escape(layer["name"]), shape, f"{layer['kept']:,}", f"{layer['eligible']:,}", density)
    if page["eligible"]:
        density = f"{page['remaining_weights']:.2%}"
        table.add_section()
        table.add_row("of what may be pruned", "", f"{page['kept']:,}", f"{page['eligible']:,}", density)
    return table


def _facts(page: Json) -> list[tuple[str, str]]:
    measured = {name: value for name, value in page["measurements"].items() if value is not None}
    shown = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in measured.items()
    )
    sizes = {"mask": page["bytes"]["mask"], **{f"step {step}": n for step, n in page["bytes"]["states"].items()}}
    trained = page["trained"]
    return [
        ("measured", shown or "nothing"),
        ("kept in the storage", ", ".join(f"{name} {n:,} bytes" for name, n in sizes.items() if n) or "nothing"),
        *(("in", _where(place)) for place in page["studies"]),
        (
            "trained",
            f"step {trained['from_step']} to {trained['to_step']} in {trained['seconds']:.1f} s, "
            f"{trained['backend'] or 'elsewhere'}, from {trained['started_at']}",
        ),
        ("starts from", _start(page["meaning"])),
        *(
            ("seeds", ", ".join(f"{name} {seed}" for name, seed in place["seeds"].items()))
            for place in page["studies"][:1]
        ),
        *(("recipe", _recipe(page["meaning"]["recipe"])) for _ in range("recipe" in page["meaning"])),
        ("environment", _environment(page["environment"])),
        *(("before that", _environment(earlier)) for earlier in page["earlier_environments"]),
        *(
            ("declared", f"{place['declared_at']}, lth_ray {place['lth_ray']}, commit {place['commit'] or 'unknown'}")
            for place in page["studies"][:1]
        ),
    ]


def _where(place: Json) -> str:
    branch = f", branch {place['branch']}" if place["branch"] else ""
    method = "" if place["method"] == "weights" else f", {place['method']}"
    return (
        f"study {place['study']}, lineage {place['lineage']}, round {place['round']}{branch}; seed {place['seed']}, "
        f"rewind step {place['rewind_step']}{method}"
    )


def _start(meaning: Mapping[str, Any]) -> str:
    start = meaning["start"]
    if "imported" in meaning:
        return f"{meaning['imported']}, imported"
    if "snapshot" in start:
        restored = ", with the optimizer's state" if start["optimizer"] else ""
        return f"the weights of {start['snapshot']} at step {start['step']}{restored}"
    if "ticket" in start:
        return f"the weights of ticket {start['ticket']}"
    if "pretrained" in start:
        return "pretrained weights of a file"
    return "newly drawn weights" if "init" in start else next(iter(start), "nothing")


def _recipe(recipe: Mapping[str, Any]) -> str:
    model, data, train = recipe["model"], recipe["data"], recipe["train"]
    drawn = data.get("augment")  # of images alone
    augmentation = "" if drawn is None else f", {'no' if drawn == 'none' else drawn} augmentation"
    options = "".join(f", {name}={value}" for name, value in model["options"].items())
    size = data["envs" if "envs" in data else "batch_size"]
    return (
        f"{model['name']}{options}; batches of {size}, {data['validation']} held out{augmentation}; "
        f"{train['optimizer']}, lr {train['lr']:g}, {train['schedule']}, {train['length']} steps"
    )


def _environment(found: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return (
        f"{found['device']}, {found['instruction_set']}, {number(found['threads'], 'thread')}, "
        f"{number(found['world_size'], 'process', 'es')}, Python {found['python']}, {packages}"
    )


def _ancestors(place: Json, metric: Metric) -> Table:
    numbers = ("remaining", f"test {metric.called}")  # short, so that keys are whole in 80 columns
    table = printing.table("round", "key", *numbers, title=f"before it, in {place['lineage']}", right=numbers)
    for row in place["ancestors"]:
        share, value = row["remaining_weights"], row[metric.column("test")]
        cells = ["" if share is None else f"{share:.2%}", "" if value is None else f"{metric.bare(value)}{metric.unit}"]
        table.add_row(str(row["round"]), row["key"], *cells)
    return table
