"""Reports to a person: the results, and what collection would remove."""

import math
import os
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lth_ray import printing, record
from lth_ray.config import Launch, Metric, Study
from lth_ray.lottery import Plan
from lth_ray.lottery.tickets.importing import IMPORTED
from lth_ray.printing import enumerated
from lth_ray.running import history
from lth_ray.running.ledger import in_words as ledger_words
from lth_ray.running.planning import listed
from lth_ray.running.results import Results
from lth_ray.store import DamagedFile, Reached, StorageError, Store, collect, plan_gc
from lth_ray.store.bundling import SETTLED_S, remove_bundled, write_bundles
from lth_ray.watching.snapshot import duration

if TYPE_CHECKING:
    import pandas

SHOWN_ROUNDS = 6  # with the dense one
SHOWN_KINDS = 60  # of subnetworks; the page has more
STANDARD_ERRORS = 3  # above chance, that a network of few classes has learnt by


def compared(summary: "pandas.DataFrame") -> Table:
    """Return what a screen holds of a summary: a row a kind of subnetwork, a column a round; the report's
    page has all of it.

    A cell is the mean of the metric on the test set, below it half its 95 % t-interval and the mean early-stop step.
    """
    frame, metric = summary.assign(label=record.labels(summary)), record.metric_of_frame(summary)
    picked = record.rounds_shown(frame, SHOWN_ROUNDS)
    n = sorted(set(frame["seeds"]))
    over = f"n = {enumerated(map(str, n))} seed{'' if n == [1] else 's'}"
    judged = f"test {metric.called}{metric.unit and f', {metric.unit},'}"
    table = printing.table(
        "weights remaining",
        title=f"{judged} and early-stop step",
        caption=f"mean, ± half its 95 % t-interval over {over}; ≥: the last step of some",
    )
    for number in picked:
        table.add_column(record.density_heading(frame[frame["round"] == number]), justify="right", no_wrap=True)
    kinds = list(frame.groupby("label", sort=False))
    if len(kinds) > SHOWN_KINDS:
        table.caption = f"{table.caption}; {SHOWN_KINDS} of {len(kinds):,} kinds, the report has more"
    for label, rows in kinds[:SHOWN_KINDS]:
        lines = rows.set_index("round")
        cells = [_cell(lines.loc[number], metric) if number in lines.index else "" for number in picked]
        table.add_row(escape(str(label)), *cells, end_section=True)
    return table


def _cell(line: Any, metric: Metric) -> str:
    import pandas

    test = metric.column("test")
    if pandas.isna(line[test]):
        return "diverged"
    half_width, step = line[f"{test}_half_width"], record.early_stop(line, has_spread=False)
    below = [] if pandas.isna(half_width) else [f"± {metric.bare(half_width)}"]
    below += [f"[dim]{step}[/]"] if step else []
    return "\n".join([metric.bare(line[test]), *below])


def print_results(
    results: Results, launch: Launch, console: Console, question: str = "", against_paper: bool = False
) -> None:
    """Print the tables with n and spread, the figures and tables on disk, and how to open the MLflow UI.

    With launch.quiet only say what failed, and where the report is.

    against_paper: beside what the papers report.
    """
    store, plan, report = results.store, results.plan, None
    if launch.quiet:
        print_report(results, console, question, tables=False)
        return
    if plan.study.smoke_shows == "pipeline":
        print_endings(results, console)
        rows, branches = len(results.tickets()), len(results.branches())
        console.print(
            f"[bold]pipeline only[/]: {rows} tickets and {branches} branch results went through it; so few steps teach "
            f"a network nothing, and no {plan.study.data.metric.called} is shown",
            highlight=False,
            soft_wrap=True,
        )
    else:
        report = print_report(results, console, question, against_paper=against_paper)
    if results.counts:
        ledger = results.ledger()
        console.print(
            f"trained {ledger['trained_steps']:,} steps in {duration(ledger['seconds'])}; the study is "
            f"{ledger['unique_steps']:,} steps ({ledger_words(ledger)}), "
            f"{ledger['naive_steps']:,} without sharing",
            highlight=False,
            soft_wrap=True,
        )
    print_mlflow(plan, store, launch.tracking_uri, report, console)
    for sentence in report.found if report else ():
        console.print(sentence, style="bold", highlight=False, markup=False)


def print_mlflow(
    plan: Plan, store: Store, tracking_uri: str | None, report: record.Report | None, console: Console
) -> None:
    """Print how to open the MLflow UI, and the views that it then has.

    report: one whose verdicts are to be registered.
    """
    rows = None if report is None else report.comparisons.to_dict("records")
    opening = record.entrance(plan, store, tracking_uri, rows)
    if opening.warning:
        console.print(opening.warning, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if opening.registered:
        said = f"MLflow's model registry has {opening.registered} tickets of matching verdicts: {opening.registry}"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    opens = f"{_venv()}{opening.command}" if opening.command else opening.where
    console.print(f"MLflow: [bold]{escape(opens)}[/]", highlight=False, soft_wrap=True)
    if opening.links:  # MLflow's own list of experiments opens them as "GenAI", until a browser has been told otherwise
        words = 'and then one of these, which open its "Model training" side, where the runs and the registry are:'
        console.print(words, highlight=False, markup=False, soft_wrap=True)
    for name, link in opening.links.items():
        console.print(f"  {escape(name)}: {escape(link)}", highlight=False, soft_wrap=True)


def print_report(
    results: Results, console: Console, question: str, *, tables: bool = True, against_paper: bool = False
) -> record.Report:
    """Print where the page is, the tables, and where the figures are; return the report.

    tables: False prints the page's place alone.
    """
    store, plan = results.store, results.plan
    try:
        commits = history.commits_of(store, plan.study.name)
        ledger, written = results.ledger(), results.tables
        report = record.report(plan, store, question=question, ledger=ledger, commits=commits, tables=written)
    finally:  # what failed is said even where the report cannot be written for the same reason
        print_endings(results, console)
    console.print(Text("report: ", end="").append_text(printing.linked(store.uri, report.page)), soft_wrap=True)
    if not tables:
        return report
    if not report.summary.empty:
        console.print(compared(report.summary))
    if not report.comparisons.empty:
        console.print(record.comparisons_table(report.comparisons))
    if against_paper:
        print_against_paper(report, plan.study, console)
    for path in (*report.texts, *report.figures, *report.tables):
        console.print(printing.linked(store.uri, path), soft_wrap=True)
    return report


def print_side_by_side(plans: Sequence[Plan], store: Store, console: Console) -> None:
    """Make one page of several studies; print where it is, and what each has found."""
    made = record.side_by_side(plans, store)
    for path in (made.page, *made.others):
        console.print(printing.linked(store.uri, path), soft_wrap=True)
    for words in made.found:
        console.print(words, style="bold", highlight=False, markup=False)


def print_against_paper(report: record.Report, study: Study, console: Console) -> None:
    """Print ours, theirs, the difference, and whether theirs lies in our spread; or why there is nothing to
    compare.
    """
    if not report.group:
        said = f"no target of a paper is known for {study.against or study.name!r}; Study.against names one of: "
        console.print(said + ", ".join(record.groups()), highlight=False, markup=False, soft_wrap=True)
    elif report.against.empty:
        count = len(record.targets_of(report.group))
        said = f"nothing that is finished is comparable with the {count} targets of {report.group}"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    else:
        console.print(record.paper_tables(report.against))


def print_endings(results: Results, console: Console) -> None:
    """Print every reason once, with the jobs that it ended."""
    for style, endings in (("yellow", results.ended), ("red", results.failures)):
        jobs: dict[str, list[str]] = {}
        for job, reason in endings.items():
            jobs.setdefault(reason, []).append(job)
        for reason, named in jobs.items():
            text = f"[{style}]{escape(listed(named))}[/]: {escape(reason)}"
            console.print(text, highlight=False, soft_wrap=True)


def _venv() -> str:
    """Return the folder of this environment's commands, where it is not on the PATH."""
    import sys

    folder = os.path.dirname(sys.executable)
    if folder in os.environ.get("PATH", "").split(os.pathsep):
        return ""
    return f"{min(os.path.relpath(folder), folder, key=len)}/"


def not_learnt(study: Study, results: Results, times_chance: float) -> list[str]:
    """Return the arms, but those of Study.may_fail, of which a round's mean on the test set is worse than
    `least_learnt`.
    """
    frame, metric = results.tickets(), study.data.metric
    if frame.empty:
        return ["nothing was trained"]
    recipes = {lineage.variant.arm: lineage.recipe for lineage in results.plan.lineages}
    idle = []
    for arm, rows in frame.groupby("arm"):
        task, identity = recipes[str(arm)].task, recipes[str(arm)].identity
        least = least_learnt(metric, task.chance(identity), times_chance, identity.n_test)
        if least is None or any(fnmatchcase(str(arm), glob) for glob in study.may_fail):
            continue
        means = rows.groupby("round")[metric.column("test")].mean()
        worst = metric.worst(None if value != value else value for value in means)
        if worst is None or metric.beats(least, worst):
            idle.append(f"{arm or study.name} ({'diverged' if worst is None else metric.brief(worst)})")
    return idle


def least_learnt(metric: Metric, chance: float | None, times_chance: float, n_test: int) -> float | None:
    """Return what the metric of a network that has learnt something reaches; None where chance is not known.

    Of a share that is `times_chance` x chance, or where that can hardly be had, with few classes, what chance hardly
    gives on so many examples: three of its standard errors more; of a logarithmic one a third of chance; of another
    what is better than chance by more than its margin.
    """
    if chance is None:
        return None
    if metric.logarithmic:
        return chance / 3
    if metric.is_share:
        if times_chance * chance <= (1 + chance) / 2:
            return times_chance * chance
        return min(1.0, chance + STANDARD_ERRORS * math.sqrt(chance * (1 - chance) / max(1, n_test)))
    return chance + metric.margin if metric.better == "higher" else chance - metric.margin


def collect_garbage(store: Store, yes: bool, grace_s: float, console: Console) -> None:
    """Say what no study's record reaches, and remove it when told to. Raise StorageError while a run is live."""
    removals = plan_gc(store, reached(store), grace_s)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for removal in removals:
        say(f"{removal.bytes:>12,}  {removal.path}  ({removal.why})")
    total = sum(removal.bytes for removal in removals)
    if not yes:
        say(f"{len(removals)} files, {total:,} bytes would be removed from {store.uri}; --yes removes them")
        return
    freed = collect(store, removals)
    say(f"removed {freed:,} bytes from {store.uri}")
    if bundles := write_bundles(store):
        say(f"put small files into {bundles} bundles; waiting {SETTLED_S:.0f} s until every host sees them")
        time.sleep(SETTLED_S)
    if bundled := remove_bundled(store):
        say(f"{bundled:,} files lie in bundles alone now")


def reached(store: Store) -> Reached:
    """Return what every study in the store stands on, in all of its declarations: a study that shrank may
    grow again.
    """
    names = history.studies(store)
    for name in names:
        for entry in history.read_entries(store, name):
            if isinstance(entry, DamagedFile):
                raise StorageError(
                    f"{entry.path} in {store.uri} is damaged ({entry.why}), so that nobody knows what it reaches: "
                    f"`lth-ray verify {name} --mend` sets it aside; run the study again before you collect, as it was "
                    "declared then, or what only that declaration reaches goes"
                )
    segments = {key for key in store.segments() if key.startswith(IMPORTED)}  # and a user's imported tickets
    states: set[tuple[str, int]] = set()
    for name in names:
        for entry in history.entries_of(store, name):
            segments |= set(entry["keys"])
            states |= {(trajectory, step) for trajectory, step in entry["states"]}
    return Reached(segments=frozenset(segments), tables=frozenset(segments), states=frozenset(states))
