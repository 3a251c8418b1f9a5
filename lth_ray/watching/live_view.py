"""A snapshot as a picture for a terminal: lineages x rounds, what is at work, what is shared, what waits for what.

Everything here is a pure function of the snapshot and of the room that there is.
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from lth_ray.watching.lineage_rows import fitted, legend, speed, table
from lth_ray.watching.snapshot import (
    ANOTHER_RUN,
    ENDED,
    SLOT,
    TO_COME,
    Ended,
    Line,
    Snapshot,
    Work,
    duration,
)

FEWEST = 3  # lineages that are shown however small a screen is
SHOWN_REASONS, SHOWN_BESIDE = 3, 4
BETWEEN = "  "
PAGE = 100  # columns in a notebook
HTML = '<pre style="line-height: 1.25; font-family: monospace">{code}</pre>'
NOTES = 9  # columns of what a note is about


@dataclass(frozen=True, repr=False)
class View:
    """A snapshot that rich can print, and a notebook show.

    height: lines of the screen; None shows every lineage.
    """

    snapshot: Snapshot
    height: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from picture(self.snapshot, options.max_width, self.height, options.ascii_only)

    def __repr__(self) -> str:
        return "\n".join(line.plain for line in picture(self.snapshot, PAGE, self.height))

    def _repr_html_(self) -> str:
        """Return the picture in the colours of a terminal, on the page's own ground."""
        console = Console(record=True, width=PAGE, file=io.StringIO(), color_system="truecolor", force_jupyter=False)
        console.print(self)
        return console.export_html(code_format=HTML, inline_styles=True)


def picture(snapshot: Snapshot, width: int, height: int | None = None, ascii_only: bool = False) -> list[Text]:
    """Return the whole view: lines of at most `width` columns and, where a height is given and allows it, at
    most so many.
    """
    head = [_head(snapshot, width, ascii_only), *_packed(_facts(snapshot), width), Text("")]
    foot = [Text(""), *(line for name, facts in _notes(snapshot) for line in _note(name, facts, width))]
    rows = None if height is None else max(FEWEST, height - len(head) - len(foot) - 3)  # 2 of headings, the legend
    shown, folded = chosen(snapshot.lines, rows)
    groups = by_series(folded)
    rest = [standing_for(name, own) for name, own in groups.items()] if _folds(snapshot.lines, rows) else []
    lines = table([*shown, *rest], width, ascii_only, snapshot.hides_metric, snapshot.lines, snapshot.metric)
    if folded and not rest:
        lines += _packed([f"and {len(folded):,} more: {counted(folded)}"], width, "dim")
    return [*head, *lines, *foot, _legend(shown, width, ascii_only)]


def chosen(lines: Sequence[Line], rows: int | None) -> tuple[list[Line], list[Line]]:
    """Return (the lineages that so many rows show, the others), both in the study's order.

    Those at work come first, then those that ended early, those that have begun, those that wait and those
    that are finished. The others have a row for each series, lineages that differ in the seed alone, where these are
    few, and else one row for all.
    """
    if rows is None or len(lines) <= rows:
        return list(lines), []
    kept = rows - (len(by_series(lines)) if _folds(lines, rows) else 1)
    picked = set(sorted(range(len(lines)), key=lambda number: _interest(lines[number]))[:kept])
    shown = [line for number, line in enumerate(lines) if number in picked]
    return shown, [line for number, line in enumerate(lines) if number not in picked]


def _interest(line: Line) -> int:
    if line.work is not None:
        return 0 if line.work.job == line.lineage else 1
    if line.finished:
        return 2 if ENDED in line.rounds else 5
    return 3 if line.last is not None else 4


def _folds(lines: Iterable[Line], rows: int | None) -> bool:
    """Return whether so many rows have room for one that stands for the others of each series."""
    return rows is not None and len(by_series(lines)) <= max(1, rows // 3)


def by_series(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Return {lineage without its seed: its lines}."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.lineage.rpartition("/")[0], []).append(line)
    return found


def standing_for(series: str, lines: Sequence[Line]) -> Line:
    """Return a line that stands for several lineages: of each round what most of them have, and the means."""
    rounds = range(max(len(line.rounds) for line in lines))
    letters = [Counter(line.rounds[number : number + 1] for line in lines) for number in rounds]
    return Line(
        "/".join(filter(None, [series, f"{len(lines):,} more"])),
        "".join(count.most_common(1)[0][0] or TO_COME for count in letters),
        tuple(_mean(line.remaining[number : number + 1] for line in lines) for number in rounds),
        tuple(_mean(line.values[number : number + 1] for line in lines) for number in rounds),
        words=counted(lines),
    )


def _mean(values: Iterable[Sequence[float | None]]) -> float | None:
    known = [value for own in values for value in own if value is not None]
    return sum(known) / len(known) if known else None


def counted(lines: Iterable[Line]) -> str:
    """Return what lineages do: "200 finished, 70 waiting"."""
    counts = Counter(_state(line) for line in lines)
    return ", ".join(f"{counts[state]:,} {state}" for state in sorted(counts))


def _state(line: Line) -> str:
    if line.work is not None:
        return "at work"
    if line.finished:
        return "ended early" if ENDED in line.rounds else "finished"
    return "waiting" if line.waits_for else "unfinished"


# Head ---------------------------------------------------------------------------------------------------------------


def _head(snapshot: Snapshot, width: int, ascii_only: bool) -> Text:
    share = f"{percent(snapshot):>4} %"
    name = fitted(snapshot.study, min(len(snapshot.study), max(8, width // 2)))
    room = max(0, width - len(name) - len(share) - 2)
    done = round(room * percent(snapshot) / 100)
    stroke = "-" if ascii_only else "━"
    bar = ((stroke if not ascii_only else "=") * done, "green"), (stroke * (room - done), "bright_black")
    return Text.assemble((name, "bold"), "  ", *bar, (share, "bold"), no_wrap=True)


def percent(snapshot: Snapshot) -> int:
    """Return the share of the study's steps that is done; while anything is trained or measured it is no 100."""
    return min(99, int(100 * snapshot.share)) if snapshot.steps_left or snapshot.pieces_left else 100


def _facts(snapshot: Snapshot) -> list[str]:
    done, trainings = snapshot.trainings
    facts = [f"{done:,}/{trainings:,} trainings", f"{snapshot.finished}/{len(snapshot.lines)} lineages"]
    if snapshot.branches[1]:
        facts.append(f"{snapshot.branches[0]:,}/{snapshot.branches[1]:,} branches")
    if snapshot.run and not snapshot.over:
        begun = snapshot.at_work or snapshot.last
        facts.append(f"{len(snapshot.at_work)} at work" if begun else "starting")
        facts += [] if snapshot.steps_per_s is None else [f"{speed(snapshot.steps_per_s)} steps/s"]
        facts.append(f"{duration(snapshot.at - snapshot.began)} so far")
        facts += [] if not snapshot.seconds_left else [f"about {duration(snapshot.seconds_left)} left"]
    if snapshot.stopping:
        facts.append(f"stopped: {snapshot.stopping}" if snapshot.over else stopping(snapshot.stopping))
    return facts


def stopping(why: str) -> str:
    return f"stopping ({why}): trainings write their last checkpoints"


def _packed(facts: Iterable[str], width: int, style: str = "", between: str = BETWEEN) -> Iterator[Text]:
    """Yield the facts in as few lines as hold them; one that is itself too long is wrapped."""
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + len(between) + len(fact) <= width:
            lines[-1] += between + fact
        else:
            lines += wrapped(fact, width)
    yield from (Text(line, style=style, no_wrap=True) for line in lines)


def wrapped(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width` columns."""
    return wrap(text, max(8, width), break_long_words=True, break_on_hyphens=False)


# Foot ---------------------------------------------------------------------------------------------------------------


def _notes(snapshot: Snapshot) -> Iterator[tuple[str, list[str]]]:
    """Yield (what it is about, facts)."""
    live = snapshot.run and not snapshot.over
    if live and (beside := _beside(snapshot)):
        yield "also", beside
    if live and not snapshot.stopping and (waiting := _waiting(snapshot)):
        yield "waiting", waiting
    if live and not snapshot.stopping and snapshot.room:
        yield "no room", list(snapshot.room[:SHOWN_BESIDE])
    if shared := _shared(snapshot):
        yield "shared", shared
    if ended := _ended(snapshot.ended):
        yield "ended", ended


def _shared(snapshot: Snapshot) -> list[str]:
    lineages, saved = len(snapshot.lines), snapshot.naive_steps - snapshot.unique_steps
    facts = []
    if snapshot.dense_runs < lineages:
        facts.append(f"{number(snapshot.dense_runs, 'dense run')} for {lineages} lineages")
    facts += [f"{saved:,} steps saved"] if saved > 0 else []
    facts += [f"{snapshot.reused_steps:,} from the store"] if snapshot.reused_steps > 0 else []
    return [", ".join(facts)] if facts else []


def _waiting(snapshot: Snapshot) -> list[str]:
    counts = Counter(_awaited(line.waits_for) for line in snapshot.lines if line.waits_for)
    facts = [f"{count} for {what}" for what, count in sorted(counts.items())]
    facts[:1] = [f"{number(counts[what], 'lineage')} for {what}" for what in sorted(counts)[:1]]
    at_work = sum(work.kind in ("branch", "table") for work in snapshot.beside)
    branches = snapshot.branches[1] - snapshot.branches[0] - at_work
    if branches > 0:
        what = SLOT if snapshot.finished == len(snapshot.lines) else "tickets"
        facts.append(f"{number(branches, 'branch', 'es')} for {what}")
    return [", ".join(facts)] if facts else []


def _awaited(job: str) -> str:
    if job.startswith(ANOTHER_RUN):
        return ANOTHER_RUN
    return job if job == SLOT else "a dense run" if job.startswith("dense/") else "another lineage"


def _beside(snapshot: Snapshot) -> list[str]:
    """Return dense runs on which several lineages stand, with how many, and what no row of a lineage says."""
    standing = Counter(line.work.job for line in snapshot.lines if line.work is not None)
    beside = [work for work in snapshot.beside if standing[work.job] != 1]
    shown = [_described(work, standing[work.job]) for work in beside[:SHOWN_BESIDE]]
    more = len(beside) - len(shown)
    return [*shown, *([f"and {more} more"] if more else [])]


def _described(work: Work, lineages: int) -> str:
    pieces = [work.doing]
    pieces += [] if work.steps_per_s is None else [f"{speed(work.steps_per_s)} steps/s"]
    pieces += [f"for {number(lineages, 'lineage')}"] if lineages else []
    return f"{work.called} ({', '.join(pieces)})"


def _ended(ended: Sequence[Ended]) -> list[str]:
    more = len(ended) - SHOWN_REASONS
    shown = [str(one) for one in ended[:SHOWN_REASONS]]
    return [*shown, *([f"and for {number(more, 'other reason')}"] if more > 0 else [])]


def number(count: int, what: str, plural: str = "s") -> str:
    return f"{count:,} {what}{plural if count != 1 else ''}"


def _note(name: str, facts: Iterable[str], width: int) -> Iterator[Text]:
    """Yield facts behind what they are about, a line or more each."""
    style = "red" if name == "ended" else "dim"
    texts = [line for fact in facts for line in wrapped(fact, width - NOTES)]
    for number, text in enumerate(texts):
        yield Text.assemble(((name if not number else "").ljust(NOTES), style), text, no_wrap=True)


def _legend(shown: Iterable[Line], width: int, ascii_only: bool) -> Text:
    line = Text(no_wrap=True)
    for words, style in legend(shown, ascii_only):
        line.append(f"{words}{BETWEEN}", style=style)
    line.truncate(width)
    line.rstrip()
    return line
