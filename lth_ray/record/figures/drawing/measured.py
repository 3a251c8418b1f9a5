"""Rows of measurements as lines: what tells one line from another, and its name."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.config import is_there
from lth_ray.record.figures.drawing.panels import short
from lth_ray.record.report.summary import chain, in_words, measures, series_of
from lth_ray.record.report.tables import Row, plain
from lth_ray.record.report.wording import as_words

if TYPE_CHECKING:
    pass

POINT = re.compile(r"^k\d+$")
STEPS, EPOCHS = re.compile(r"=steps\((\d+)\)"), re.compile(r"=epochs\(([\d.]+)\)")


def results_of(branches: Iterable[Row], name: str, column: str) -> list[Row]:
    """Return the rows of a measurement in which a column was measured."""
    return [row for row in branches if measures(row, name) and is_there(row.get(column))]


def by_variant(
    rows: Sequence[Row], parameters: Sequence[str] = (), over_points: bool = False, over_field: str = ""
) -> dict[str, list[Row]]:
    """Return rows by what they vary beside the seed; the name is "" where there is one variant only.

    That is arm, swept values, method, rewind point (unless the figure goes over it, or over a swept field),
    and those of a branch's parameters that differ.
    """
    told = [name for name in parameters if len({plain(row.get(name)) for row in rows}) > 1]
    stems = {stem_of(row, over_field) for row in rows}
    points = set() if over_points else {row["rewind_step"] for row in rows}
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = joined(
            stem_of(row, over_field) if len(stems) > 1 else "",
            f"k = {row['rewind_step']:,}" if len(points) > 1 else "",
            *(as_words(name.replace("_", " "), row.get(name)) for name in told),
        )
        found.setdefault(name, []).append(row)
    return found


def by_host(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return rows of a measurement over densities by variant, and by what it hangs on where that is not
    tickets alone.

    The dense network is where their line begins.
    """
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        name = in_words(chain(row))
        kinds.setdefault("ticket" if name == "dense" else name, []).append(row)
    return {
        joined(variant, kind if len(kinds) > 1 else ""): own
        for kind, of_kind in kinds.items()
        for variant, own in by_variant(of_kind).items()
    }


def spawned_later(rows: Iterable[Row]) -> bool:
    """Return whether copies part elsewhere than at the rewind point, so that both steps tell results apart."""
    return any(row["spawn_step"] != row["rewind_step"] for row in rows)


def few(variants: Mapping[str, list[Row]], most: int, caption: str) -> tuple[dict[str, list[Row]], str]:
    """Return at most so many variants, evenly from all, and the caption, which says so where some are left to
    the tables.
    """
    if len(variants) <= most:
        return dict(variants), caption
    note = f"{most} of {len(variants)} variants are shown; the tables have all."
    return {name: variants[name] for name in evenly(list(variants), most)}, f"{caption}\n{note}".strip()


def stem_of(row: Row, without: str = "") -> str:
    """Return a lineage's name without seed and rewind point, in words.

    without: a swept field that is left out too.
    """
    parts = [part for part in series_of(row).split("/") if not POINT.match(part)]
    parts = [part for part in parts if not (without and part.startswith(f"{without.split('.')[-1]}="))]
    return EPOCHS.sub(r" \1 epochs", STEPS.sub(r" \1", ", ".join(parts))).replace("=", " ").replace("_", " ")


def by_subnetwork(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return rows by kind, in words: dense first, then ticket, then the others as they come."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(in_words(chain(row)), []).append(row)
    first = ("dense", "ticket")
    return {kind: found[kind] for kind in sorted(found, key=lambda kind: first.index(kind) if kind in first else 2)}


def by_round(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return rows by density, from dense to sparse; the name is "16.8 %"."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row["round"], []).append(row)
    return {f"{short(percent(of_round))} %": of_round for _, of_round in sorted(found.items())}


def percent(rows: Sequence[Row]) -> float:
    """Return the rows' mean remaining weights in per cent."""
    return 100 * math.fsum(row["remaining_weights"] for row in rows) / len(rows)


def joined(*parts: str) -> str:
    """Return parts of a name that are there, with commas."""
    return ", ".join(part for part in parts if part)


def evenly(values: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many of the values, first and last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
