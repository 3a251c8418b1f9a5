"""Lineages x rounds as lines of text of a given width: every round's metric where there is room, else a glyph each.

Everything here is a pure function of lines of a snapshot.
"""

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from lth_ray.config import ACCURACY, Metric
from lth_ray.watching.snapshot import ANOTHER_RUN, CUT, DONE, ENDED, NOW, REUSED, SLOT, TO_COME, Line, Work

STYLES = {DONE: "green", REUSED: "cyan", NOW: "bold yellow", TO_COME: "bright_black", ENDED: "red", CUT: "magenta"}
GLYPHS = {DONE: "■", REUSED: "▣", NOW: "◧", TO_COME: "·", ENDED: "×", CUT: "‖"}  # noqa: RUF001
ASCII = {DONE: "#", REUSED: "=", NOW: ">", TO_COME: ".", ENDED: "x", CUT: "|"}
CELL = 5  # columns of a round that shows its metric, with the space before
NAME, STATE, BRIEF = 14, 16, 9  # columns that a lineage's name, and what it does, need at least; the latter in brief
WEIGHTS, VALUE = 9, 10  # of shares in per cent and of the metric, with the space before
ALIKE = 1.02  # densities of a round that differ by less share a heading


def table(
    lines: Sequence[Line],
    width: int,
    ascii_only: bool = False,
    hides_metric: bool = False,
    among: Sequence[Line] | None = None,
    metric: Metric = ACCURACY,
) -> list[Text]:
    """Return one or two lines of heading and one a lineage, each at most `width` columns wide.

    among: all lineages; where names are too long, what all of them share is left out.
    """
    rounds = max((len(line.rounds) for line in lines), default=0)
    glyphs = ASCII if ascii_only else GLYPHS
    room = width - CELL * rounds - 2 - BRIEF
    names = _names(lines, among or lines, room)
    if names and not hides_metric and max(map(len, names)) <= room:
        return list(_values(lines, rounds, names, width, glyphs, metric))
    room = width - WEIGHTS - (0 if hides_metric else VALUE) - 4
    strip = rounds if NAME + rounds + BRIEF <= room else 0
    strip = max(len("rounds"), strip)  # which holds "12/50"
    names = _names(lines, among or lines, room - strip - STATE)
    return list(_strips(lines, strip, names, width, glyphs, None if hides_metric else metric))


def _names(lines: Sequence[Line], among: Sequence[Line], width: int) -> list[str]:
    """Return the lineages' names in `width` columns."""
    pieces = [line.lineage.split("/") for line in lines]
    if all(len(line.lineage) <= width for line in lines) or len(among) < 2:
        return [line.lineage for line in lines]
    shared = set.intersection(*(set(line.lineage.split("/")) for line in among))
    return ["/".join(piece for piece in own if piece not in shared) for own in pieces]


def legend(lines: Iterable[Line], ascii_only: bool = False) -> list[tuple[str, str]]:
    """Return (words, style) for each state that the lines show."""
    shown = {letter for line in lines for letter in line.rounds}
    words = {
        DONE: "trained",
        REUSED: "from the store",
        NOW: "training now",
        TO_COME: "to come",
        ENDED: "ended early",
        CUT: "trained, cut in two",
    }
    glyphs = ASCII if ascii_only else GLYPHS
    return [(f"{glyphs[letter]} {text}", STYLES[letter]) for letter, text in words.items() if letter in shown]


# Every round's metric -----------------------------------------------------------------------------------------------


def _values(
    lines: Sequence[Line], rounds: int, names: Sequence[str], width: int, glyphs: dict[str, str], metric: Metric
) -> Iterator[Text]:
    named = max(map(len, names))
    states = width - named - 2 - CELL * rounds
    headings, by_weights = _headings(lines, rounds)
    title = f"test {metric.called}, " + (f"{metric.unit}, " if metric.unit else "")
    title += "by remaining weights, %" if by_weights else "by round"
    yield _line([(title, "dim")], width)
    yield _line([(" " * named, ""), *((f"{heading:>{CELL}}", "dim") for heading in headings)], width)
    for line, name in zip(lines, names, strict=True):
        cells = [_value(line, number, glyphs, metric) for number in range(len(line.rounds))]
        blank = " " * (CELL * (rounds - len(cells)) + 2)
        yield _line([(fitted(name, named), ""), *cells, (blank, ""), _state(line, states)], width)


def _headings(lines: Sequence[Line], rounds: int) -> tuple[list[str], bool]:
    """Return a heading a round, and whether it is the share of weights that remain: only where the lineages
    agree on it.
    """
    found: list[str] = []
    for number in range(rounds):
        known = [line.remaining[number] for line in lines if number < len(line.remaining)]
        shares = [share for share in known if share is not None]
        if shares and max(shares) > ALIKE * min(shares):
            return [f"r{number}" for number in range(rounds)], False
        found.append(figure(100 * sum(shares) / len(shares)) if shares else "")
    return found, True


def _value(line: Line, number: int, glyphs: dict[str, str], metric: Metric) -> tuple[str, str]:
    letter, value = line.rounds[number], line.values[number]
    text = glyphs[letter]
    if value is not None and (letter in (DONE, REUSED) or line.words):
        text = figure(metric.scale * value)
    elif letter == NOW and line.work is not None and line.work.watched:
        text = f"{100 * line.work.share:.0f}%"
    return f"{text:>{CELL}}", STYLES[letter]


def figure(value: float) -> str:
    """Return a number in as many digits as four characters hold, and in more characters only where it is too
    large.
    """
    texts = (f"{value:.{decimals}f}" for decimals in (2, 1, 0))
    return next((text for text in texts if len(text) <= 4), f"{value:.0e}".replace("e+0", "e"))


# A glyph a round ----------------------------------------------------------------------------------------------------


def _strips(
    lines: Sequence[Line], strip: int, names: Sequence[str], width: int, glyphs: dict[str, str], metric: Metric | None
) -> Iterator[Text]:
    """Yield the lines of lineages, each in strips of rounds.

    metric: None leaves it out.
    """
    longest = max(map(len, names), default=0)
    room = width - WEIGHTS - (0 if metric is None else VALUE) - 4
    state = STATE if NAME + strip + STATE <= room else BRIEF
    named = max(len("lineage"), min(longest, room - strip - state))
    columns = [fitted("lineage", named), "  ", "rounds".ljust(strip), f"{'weights':>{WEIGHTS}}"]
    columns += [] if metric is None else [f"{_heading(metric):>{VALUE}}"]
    yield _line([("".join(columns), "dim")], width)
    for line, name in zip(lines, names, strict=True):
        last = line.last
        weights, value = (None, None) if last is None else (line.remaining[last], line.values[last])
        cells = [(f"{_share(weights):>{WEIGHTS}}", "")]
        cells += [] if metric is None else [(f"{_shown(value, metric):>{VALUE}}", "")]
        row = [(fitted(name, named) + "  ", ""), *_strip(line, strip, glyphs), *cells, ("  ", "")]
        yield _line([*row, _state(line, room - named - strip)], width)


def _strip(line: Line, width: int, glyphs: dict[str, str]) -> list[tuple[str, str]]:
    if len(line.rounds) > width:
        last = line.last
        return [(f"{'-' if last is None else last}/{len(line.rounds) - 1}".ljust(width), "")]
    return [*((glyphs[letter], STYLES[letter]) for letter in line.rounds), (" " * (width - len(line.rounds)), "")]


def _share(share: float | None) -> str:
    return "" if share is None else f"{figure(100 * share)} %"


def _heading(metric: Metric) -> str:
    return metric.called if len(metric.called) < VALUE else metric.name[: VALUE - 1]


def _shown(value: float | None, metric: Metric) -> str:
    return "" if value is None else f"{figure(metric.scale * value)} {metric.unit}".strip()


# What a lineage does ------------------------------------------------------------------------------------------------


def _state(line: Line, width: int) -> tuple[str, str]:
    """Return what a lineage does now, in the fullest words that fit."""
    if line.words:
        return _fullest([line.words, line.words.partition(", ")[0]], width), "dim"
    if line.work is not None:
        return _fullest(_working(line.work), width), STYLES[NOW]
    if line.finished and ENDED in line.rounds:
        return _fullest(
            [f"ended: {line.ended}" if line.ended else "ended early", "ended early", "ended"], width
        ), STYLES[ENDED]
    if not line.waits_for:
        return "", ""
    what = "waits for a slot" if line.waits_for == SLOT else waiting_for(line.waits_for)
    return _fullest([f"waits for {line.waits_for}", what, "waits"], width), STYLES[TO_COME]


def waiting_for(job: str) -> str:
    if job.startswith(ANOTHER_RUN):
        return f"waits: {ANOTHER_RUN}"
    return "waits: dense run" if job.startswith("dense/") else "waits: lineage"


def _working(work: Work) -> list[str]:
    where = work.branch or ("dense run" if work.round == 0 or work.kind == "dense" else f"round {work.round}")
    share = f"{100 * work.share:.0f} %"
    if work.branch:
        return [f"{where}: {work.doing}", f"branch: {work.doing}", work.doing]
    if not work.watched:
        return [where]
    if work.steps_per_s is None:
        return [f"{where}, {share}", share]
    rate = speed(work.steps_per_s)
    return [f"{where}, {share}, {rate} steps/s", f"{where}, {rate}/s", f"{rate} steps/s", f"{rate}/s"]


def speed(steps_per_s: float) -> str:
    """Return steps a second in three figures."""
    return f"{steps_per_s:,.0f}" if steps_per_s >= 99.5 else f"{steps_per_s:.3g}"


def _fullest(texts: Sequence[str], width: int) -> str:
    return next((text for text in texts if len(text) <= width), texts[-1])


# Text ---------------------------------------------------------------------------------------------------------------


def fitted(text: str, width: int) -> str:
    """Return `text` in exactly so many columns; what is too long loses its middle, as a seed stands at the
    end.
    """
    if len(text) <= width:
        return text.ljust(width)
    head = (width - 2) // 2
    return f"{text[:head]}..{text[len(text) - (width - 2 - head) :]}"[:width]


def _line(pieces: Iterable[tuple[str, str]], width: int) -> Text:
    line = Text.assemble(*pieces, no_wrap=True, end="\n")
    line.truncate(width)
    line.rstrip()
    return line
