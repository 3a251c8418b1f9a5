"""The views that a study's experiment opens with in MLflow, of what it has measured so far.

A view is there only once it has something to show. Ranges of y are fixed, because a chart with a band would begin at 0.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lth_ray.config import ACCURACY, Metric
from lth_ray.record.mlflow.barriers import INSTABILITY
from lth_ray.record.mlflow.cards import MOST_RUNS, Card, Range, line_card, view_state

Params = Mapping[str, str]

PREFIX = "lth-"  # of keys: views that somebody else has saved are left alone
TITLES = {
    "warm-up": "Warm-up sweep",
    "early-stop": "Early-stop step against remaining weights",
    "barrier-k": "LMC error barrier against k",
    "barrier-round": "LMC error barrier by round",
}
WEIGHTS = "remaining_weights"
TOLD_FIRST = ("arm", "method", "rewind_optimizer", "rewind_step", "warmup_steps")
UNTOLD = frozenset({"seed", "round"})
MOST_LINES = 16  # in a chart; beyond, each arm has views of its own
MARGIN = 0.05  # of a range, above and below
FALLING = (1.03, 0.0)  # the axis of remaining weights, from all to none as in the papers


@dataclass(frozen=True)
class Seen:
    """A finished ticket: its run's params, its numbers, {step at which copies parted: error barrier}."""

    params: Params
    measured: Mapping[str, float]
    barriers: Mapping[int, float] = field(default_factory=dict)

    @property
    def lineage(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((name, value) for name, value in self.params.items() if name != "round"))


@dataclass(frozen=True)
class Selection:
    """The tickets of some views, and what they are judged by.

    where: the params that pick them.
    """

    where: Params
    tickets: Sequence[Seen]
    metric: Metric = ACCURACY

    @property
    def judged(self) -> list[Card]:
        """The cards of the metric on the test set."""
        test, most = self.metric.column("test"), self.metric.highest
        return _against_weights(f"test {self.metric.called}", test, self.tickets, most)


@dataclass(frozen=True)
class View:
    """A saved view.

    key: names it in links.
    name: for people.
    """

    key: str
    name: str
    state: Mapping[str, Any]


def views_of(tickets: Sequence[Seen], metric: Metric = ACCURACY) -> list[View]:
    """Return every view for which these tickets have data, the most asked for first."""
    is_much = len(_groups(tickets, telling(tickets))) > MOST_LINES or len({one.lineage for one in tickets}) > MOST_RUNS
    found: list[View | None] = []
    for arm, own in _by("arm", tickets).items() if is_much else [("", tickets)]:
        selection = Selection({"arm": arm} if arm else {}, own, metric)
        found += [
            _judged(selection),
            _warmup(selection),
            _early_stop(selection),
            *_barriers(selection),
            _barriers_by_round(selection),
        ]
    return [view for view in found if view is not None]


def telling(tickets: Iterable[Seen], without: Iterable[str] = (), first: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the fewest params that tell lineages apart beside their seeds: `first`, then TOLD_FIRST before
    others.
    """
    lineages = [dict(known) for known in dict.fromkeys(one.lineage for one in tickets)]
    names = dict.fromkeys([*TOLD_FIRST, *(name for lineage in lineages for name in lineage)])
    chosen = list(first)
    for name in names:
        if name in UNTOLD or name in without:
            continue
        if len(_values(lineages, [*chosen, name])) > len(_values(lineages, chosen)):
            chosen.append(name)
    return tuple(chosen)


# The views --------------------------------------------------------------------------------------------------------


def _judged(selection: Selection) -> View | None:
    return _of_lineages(selection.metric.name, selection, selection.judged)


def _warmup(selection: Selection) -> View | None:
    """Return the view of a warm-up; None without a sweep."""
    if len(_by("warmup_steps", selection.tickets)) < 2:
        return None
    cards = [
        *selection.judged,
        *_against_weights("LMC error barrier", "lmc_error_barrier", selection.tickets)[:1],
        *_against_weights("early-stop step", "early_stop_step", selection.tickets)[:1],
    ]
    return _of_lineages("warm-up", selection, cards, telling(selection.tickets, first=("warmup_steps",)))


def _early_stop(selection: Selection) -> View | None:
    cards = _against_weights("early-stop step", "early_stop_step", selection.tickets)
    return _of_lineages("early-stop", selection, cards)


def _barriers(selection: Selection) -> list[View]:
    """Return views of barriers against k, a line for each density.

    There is a view for each density where there are more tickets than MLflow loads at once.
    """
    measured = [one for one in selection.tickets if one.barriers]
    steps = sorted({step for one in measured for step in one.barriers})
    if len(steps) < 2:
        return []
    limits = _limits([value for one in measured for value in one.barriers.values()], from_zero=True)
    cards = [line_card(TITLES["barrier-k"], INSTABILITY, y_range=limits)]
    if steps[-1] > 10 * next(step for step in steps if step):
        cards.append(line_card(f"{TITLES['barrier-k']}, log axis", INSTABILITY, y_range=limits, is_log=True))
    at_k = all(set(one.barriers) <= {int(one.params.get("rewind_step", 0))} for one in measured)
    keys = telling(measured, without=("rewind_step",) if at_k else ())
    if len(measured) <= MOST_RUNS:
        return [_view("barrier-k", selection, cards, (*keys, "round"), of_tickets=True)]
    rounds = sorted(_by("round", measured), key=int)
    parts = [Selection({**selection.where, "round": number}, measured, selection.metric) for number in rounds]
    return [_view("barrier-k", own, cards, keys or ("round",), of_tickets=True) for own in parts]


def _barriers_by_round(selection: Selection) -> View | None:
    cards = _against_weights("LMC error barrier", "lmc_error_barrier", selection.tickets)
    return _of_lineages("barrier-round", selection, cards)


def _against_weights(what: str, metric: str, tickets: Sequence[Seen], most: float = math.inf) -> list[Card]:
    """Return cards of a metric by rounds, evenly spaced and beside the controls', and against remaining
    weights.

    For these MLflow has no log axis; nothing where no lineage has two points.

    By rounds alone where it was not measured in all of them: MLflow then mistakes the groups' remaining weights.
    """
    points: dict[Any, list[float]] = {}
    for one in tickets:
        if metric in one.measured:
            points.setdefault(one.lineage, []).append(one.measured[metric])
    if max(map(len, points.values()), default=0) < 2:
        return []
    beside = list(dict.fromkeys(name for one in tickets for name in one.measured if name.startswith(f"{metric}.")))
    others = [one.measured[name] for name in beside for one in tickets if name in one.measured]
    values = [value for line in points.values() for value in line] + others
    limits = _limits(values, "barrier" in metric, most)
    title = _begun(what)
    by_round = line_card(f"{title} by round (the step)", metric, y_range=limits, beside=beside)
    if any(metric not in one.measured for one in tickets):
        return [by_round]
    return [by_round, line_card(f"{title} against remaining weights", metric, WEIGHTS, FALLING, limits)]


def _begun(words: str) -> str:
    """Begin words as a sentence or a title begins."""
    return words[0].upper() + words[1:]


def _of_lineages(
    key: str, selection: Selection, cards: Sequence[Card], keys: Sequence[str] | None = None
) -> View | None:
    """Return a view of lineages; None without cards.

    keys: by default what tells lineages apart; seeds alone are one line, called by its model, and a run
        itself.
    """
    if not cards:
        return None
    has_seeds = len(_by("seed", selection.tickets)) > 1
    chosen = telling(selection.tickets) if keys is None else keys
    return _view(key, selection, cards, chosen or (("model",) if has_seeds else ()))


def _view(key: str, selection: Selection, cards: Sequence[Card], keys: Sequence[str], of_tickets: bool = False) -> View:
    """Return a view.

    keys: a line for each of their values; MLflow's page names them above the charts.
    """
    metric = str(cards[0]["metricKey"])
    terms = [f"tags.`lth.kind` = '{'ticket' if of_tickets else 'lineage'}'"]
    terms += [f"params.{name} = '{value}'" for name, value in selection.where.items()]
    terms += [f"metrics.{metric} >= 0"] if of_tickets else []
    columns = [*(f"params.`{name}`" for name in (*keys, "seed")), f"metrics.`{WEIGHTS}`", f"metrics.`{metric}`"]
    state = view_state(cards, " and ".join(terms), keys, list(dict.fromkeys(columns)))
    told = [value if name == "arm" else f"{name} {value}" for name, value in selection.where.items()]
    title = TITLES.get(key) or f"{_begun(selection.metric.called)} against remaining weights"
    return View("-".join([PREFIX + key, *selection.where.values()]), ", ".join([title, *told]), state)


# ------------------------------------------------------------------------------------------------------------------


def _values(lineages: Iterable[Params], names: Sequence[str]) -> set[tuple[str | None, ...]]:
    return {tuple(lineage.get(name) for name in names) for lineage in lineages}


def _groups(tickets: Iterable[Seen], keys: Sequence[str]) -> set[tuple[str | None, ...]]:
    return _values([one.params for one in tickets], keys)


def _by(param: str, tickets: Iterable[Seen]) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = {}
    for one in tickets:
        found.setdefault(one.params.get(param, ""), []).append(one)
    return found


def _limits(values: Sequence[float], from_zero: bool = False, most: float = math.inf) -> Range:
    """Return a range that holds the values, with a margin.

    from_zero: zero without one.
    """
    low, high = min(values), max(values)
    margin = MARGIN * (high - low) or MARGIN * abs(high) or MARGIN
    return _rounded(0.0 if from_zero and low >= 0 else low - margin), _rounded(min(most, high + margin))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
