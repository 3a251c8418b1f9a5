"""A summary in words: its table for a terminal or a page, and what each kind of subnetwork is called."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lth_ray.record.tables import plain

if TYPE_CHECKING:
    import pandas
    from rich.table import Table

HEADINGS = ("subnetwork", "round", "remaining", "test accuracy", "min", "max", "early stop", "at early stop", "n")


def text_lines(frame: "pandas.DataFrame") -> list[tuple[str, ...]]:
    """The summary's lines under HEADINGS: shares in per cent, an interval as +-, n as runs (seeds)."""
    return [_text(line, label) for line, label in zip(frame.to_dict("records"), labels(frame), strict=True)]


def to_markdown(frame: "pandas.DataFrame") -> str:
    """The summary as a Markdown table."""
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *text_lines(frame)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def render(frame: "pandas.DataFrame") -> "Table":
    """The summary for a terminal, by rich."""
    from rich.table import Table

    table = Table(*HEADINGS)
    for column in table.columns[1:]:
        column.justify = "right"
    for line in text_lines(frame):
        table.add_row(*line)
    return table


def _text(line: Mapping[str, Any], label: str) -> tuple[str, ...]:
    accuracy = percent(line["test_accuracy"])
    if not _missing(line["test_accuracy_half_width"]):
        accuracy += f" ± {100 * line['test_accuracy_half_width']:.2f}"
    if line["diverged"]:
        accuracy += f" ({line['diverged']} diverged)"
    step = line["early_stop_step"]
    return (
        label, str(line["round"]), percent(line["remaining_weights"]), accuracy, percent(line["test_accuracy_min"]),
        percent(line["test_accuracy_max"]), "" if _missing(step) else f"{step:,.0f}",
        percent(line["test_accuracy_at_early_stop"]), runs_and_seeds(line["runs"], line["seeds"]),
    )  # fmt: skip


def percent(share: float | None) -> str:
    """A share in per cent with two decimals, "" where there is none."""
    return "" if _missing(share) else f"{100 * float(share):.2f} %"  # type: ignore[arg-type]


def _missing(value: Any) -> bool:
    return value is None or value != value


def runs_and_seeds(runs: int, seeds: int) -> str:
    return str(runs) if runs == seeds else f"{runs} ({seeds} seed{'s' if seeds != 1 else ''})"


def labels(frame: "pandas.DataFrame") -> list[str]:
    """What each line's subnetwork is called: its kind, and whatever tells it from the others in this summary."""
    lines = frame.to_dict("records")
    told = [name for name in frame.columns[1 : frame.columns.get_loc("branch")] if _varies(lines, name)]
    short = [", ".join([kind(line), *_tellings(line, told)]) for line in lines]
    meant: dict[str, set[str]] = {}
    for label, line in zip(short, lines, strict=True):
        meant.setdefault(label, set()).add(line["series"])
    return [
        label if len(meant[label]) == 1 else f"{kind(line)}, {line['series']}"
        for label, line in zip(short, lines, strict=True)
    ]


def kind(line: Mapping[str, Any]) -> str:
    """ "ticket", or the branch in words. Whether a ticket wins is for its accuracy to say."""
    return str(line["branch"]).replace("/", ", then ").replace("_", " ") or "ticket"


def _varies(lines: Iterable[Mapping[str, Any]], name: str) -> bool:
    return len({plain(line[name]) for line in lines if not _missing(line[name])}) > 1


def _tellings(line: Mapping[str, Any], told: list[str]) -> list[str]:
    found = []
    for name in told:
        value = line[name]
        if _missing(value) or value == "":
            continue
        if name == "rewind_step":
            found.append(f"k = {value:,}")
        elif name in ("arm", "method"):
            found.append(str(value).replace("_", " "))
        else:
            found.append(f"{name.split('.')[-1].replace('_', ' ')} {plain(value)}")
    return found
