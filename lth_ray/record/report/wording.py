"""A summary in words: its table for a terminal or a page, and the name of each kind of subnetwork."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray import printing
from lth_ray.analysis.statistics import CONFIDENCE
from lth_ray.config import ACCURACY, Metric
from lth_ray.record.report.listing import Listing
from lth_ray.record.report.summary import COMMON, in_words, path_of
from lth_ray.record.report.tables import metric_of_frame, plain

if TYPE_CHECKING:
    import pandas
    from rich.table import Table

LENGTH = re.compile(r"^(steps|epochs)\(([\d.]+)\)$")  # a swept length, as tickets() has it
SPREAD = f"mean ± half the {100 * CONFIDENCE:g} % t-interval over seeds"
AT_END = "; ≥ where it is the last step of some runs, and might have come later"


def headings(metric: Metric) -> tuple[str, ...]:
    """Return the headings of a summary's lines."""
    judged = f"test {metric.called}"
    return "subnetwork", "round", "remaining", judged, "early stop", "at early stop", "n"


def text_lines(frame: "pandas.DataFrame") -> list[tuple[str, ...]]:
    """Return the summary's lines under `headings`: shares in per cent, an interval as +-, n as seeds (runs)."""
    metric = metric_of_frame(frame)
    return [_text(line, label, metric) for line, label in zip(frame.to_dict("records"), labels(frame), strict=True)]


def summary_listing(frame: "pandas.DataFrame") -> Listing:
    """Return every line of the summary."""
    metric = metric_of_frame(frame)
    note = (
        f"Test {metric.called} is that of the last step: {SPREAD}. The early-stop step is that of the least "
        f"validation loss{AT_END}. n counts seeds; where a seed has several runs, they are averaged first."
    )
    return Listing("Every round", headings(metric), text_lines(frame), headings(metric)[:1], note)


def render(frame: "pandas.DataFrame") -> "Table":
    """Return the summary for a terminal, by rich."""
    from rich.markup import escape

    names = headings(metric_of_frame(frame))
    table = printing.table(*names, right=names[1:])
    for line in text_lines(frame):
        table.add_row(*map(escape, line))
    return table


def _text(line: Mapping[str, Any], label: str, metric: Metric) -> tuple[str, ...]:
    test = metric.column("test")
    mean = valued(line[test], metric) + spread(line[f"{test}_half_width"], metric)
    if line["diverged"]:
        mean += f" ({line['diverged']} diverged)"
    return (
        label,
        str(line["round"]),
        percent(line["remaining_weights"]),
        mean,
        early_stop(line),
        valued(line[metric.at_early_stop], metric),
        counted(line["seeds"], line["runs"]),
    )


def percent(share: float | None) -> str:
    """Return a share in per cent with two decimals, "" where there is none."""
    return "" if _missing(share) else f"{100 * float(share):.2f} %"  # type: ignore[arg-type]


def valued(value: float | None, metric: Metric) -> str:
    """Return a value of the metric with its unit, "" where there is none."""
    return "" if _missing(value) else metric.printed(value)


def spread(half_width: float | None, metric: Metric) -> str:
    """Return " ± 0.31", to stand behind a value or a difference; "" where there is none."""
    return "" if half_width is None or _missing(half_width) else f" ± {metric.bare(half_width)}"


def points(difference: float | None, sign: bool = False, metric: Metric = ACCURACY) -> str:
    """Return a difference of the metric with its unit, of accuracies in percentage points, "" where there is
    none.
    """
    return "" if difference is None or _missing(difference) else metric.difference(float(difference), sign)


def _missing(value: Any) -> bool:
    return value is None or value != value


def ranged(*ends: object) -> str:
    """Return the ends of a range with the dash that stands for "to"."""
    return "\N{EN DASH}".join(map(str, ends))


def counted(seeds: int, runs: int) -> str:
    """Return n, with the runs where a seed has several: "5", "5 (15 runs)"."""
    return str(seeds) if runs == seeds else f"{seeds} ({runs} runs)"


def early_stop(line: Mapping[str, Any], has_spread: bool = True) -> str:
    """Return a summary line's early-stop step, "≥ 1,490 ± 20" where it is the last step of some of its runs."""
    if _missing(line["early_stop_step"]):
        return ""
    half_width = line["early_stop_step_half_width"]
    spread = "" if _missing(half_width) or not has_spread else f" ± {half_width:,.0f}"
    return f"{'≥ ' if line['at_end'] else ''}{line['early_stop_step']:,.0f}{spread}"


def labels(frame: "pandas.DataFrame") -> list[str]:
    """Return the name of each line's subnetwork: its kind, and whatever tells it from the others in this
    summary.

    What tells lineages apart is told of all their lines; a branch's parameter only of that branch's, where it varies.
    """
    lines = frame.to_dict("records")
    names = list(frame.columns[1 : frame.columns.get_loc("branch")])
    told = {
        branch: _brief([name for name in names if _tells(lines, name, branch)], lines, branch)
        for branch in frame["branch"].unique()
    }
    short = [", ".join([kind(line), *_tellings(line, told[line["branch"]])]) for line in lines]
    meant: dict[str, set[str]] = {}
    for label, line in zip(short, lines, strict=True):
        meant.setdefault(label, set()).add(line["series"])
    return [
        label if len(meant[label]) == 1 else f"{kind(line)}, {line['series']}"
        for label, line in zip(short, lines, strict=True)
    ]


def kind(line: Mapping[str, Any]) -> str:
    """Return "ticket", or the branch in words. Whether a ticket wins is for the metric to say."""
    return in_words(path_of(line)).replace("/", ", then ") or "ticket"


def _tells(lines: Sequence[Mapping[str, Any]], name: str, branch: str) -> bool:
    """Return whether this branch's lines, or for a lineage's column those of tickets too, differ in it."""
    of_lineages = name in COMMON or any(line["branch"] == "" and not _missing(line[name]) for line in lines)
    return _varies([line for line in lines if line["branch"] == branch or (of_lineages and not line["branch"])], name)


def _brief(names: list[str], lines: Sequence[Mapping[str, Any]], branch: str) -> list[str]:
    """Return the names without mappings, such as fields of Train, that the others imply: they would fill a
    legend.
    """
    own = [line for line in lines if line["branch"] == branch]
    return [name for name in names if not _follows(name, [other for other in names if other != name], own)]


def _follows(name: str, others: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> bool:
    if not any(isinstance(line[name], Mapping) for line in lines):
        return False
    implied = {tuple(plain(line[other]) for other in others): plain(line[name]) for line in lines}
    return all(implied[tuple(plain(line[other]) for other in others)] == plain(line[name]) for line in lines)


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
            found.append(as_words(name.split(".")[-1].replace("_", " "), value))
    return found


def as_words(name: str, value: Any) -> str:
    """Return "noise 0.5", "trained", "not trained"; of a branch's changes of fields "invert, data random labels"."""
    if isinstance(value, Mapping):
        each = ", ".join(as_words(field, one).replace("_", " ") for field, one in value.items())
        return each if name in ("changes", "") else f"{name} {each}"
    if isinstance(value, bool):
        return name if value else f"not {name}"
    if isinstance(value, float):
        return f"{name} {value:g}"
    return f"{name} {'none' if value is None else length_said(plain(value))}"


def length_said(text: str) -> str:
    """Return "200" of "steps(200)", "5 epochs" of "epochs(5)"; others as they are."""
    found = LENGTH.match(text)
    return text if found is None else found[2] if found[1] == "steps" else f"{found[2]} epochs"
