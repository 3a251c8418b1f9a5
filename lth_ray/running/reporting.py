"""What a person is shown: the plan, the results, what collection would remove."""

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lth_ray import record
from lth_ray.config import Config, Launch, Length, Study, launched
from lth_ray.lottery import Plan, bundles, make_plan, shape_of
from lth_ray.lottery.importing import IMPORTED
from lth_ray.running import history
from lth_ray.running.driver import check_workers
from lth_ray.running.results import Results
from lth_ray.running.snapshot import duration
from lth_ray.store import Reached, Store, collect, plan_gc

if TYPE_CHECKING:
    import pandas

SHORT = 60  # characters of a value that --smoke sets
SHOWN_ROUNDS = 6  # with the dense one
SHOWN_JOBS = 3  # of those that ended for one reason, or are trained together
SHOWN_BATCHES = 8


def shortened(study: Study) -> str:
    """What --smoke changes in a study, in words."""
    return ", ".join(f"{path} = {_brief(value)}" for path, value in study.smoke.items()) or "nothing"


def _brief(value: Any) -> str:
    """A value in few words: what is short itself, else how many there are of it."""
    if isinstance(value, (Length, str, int, float)) or value is None:
        return str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}: {_brief(item)}" for name, item in value.items() if not isinstance(item, Mapping))
        return f"{{{inner}}}" if len(inner) in range(1, SHORT) else f"{len(value)} shortened"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_brief(item) for item in value)
        return f"[{inner}]" if len(inner) < SHORT else f"[{len(value)} of them]"
    return type(value).__name__ if isinstance(value, Config) else repr(value)


def print_plan(study: Study, launch: Launch, console: Console) -> None:
    """--plan: jobs, unique and naive steps, branches apart, time and storage. Runs nothing and writes nothing."""
    from lth_ray.running.estimate import estimate

    study = launched(study, launch)
    exists = "://" in launch.storage or os.path.isdir(launch.storage)
    store = Store.open(launch.storage, writable=False) if exists else None
    if store is not None:
        history.check_same_study(store, study)
    plan = make_plan(study, launch.data_root, store)
    check_workers(plan, launch)
    cost = estimate(plan, launch.data_root, launch.cpus or os.cpu_count() or 1)
    table = Table("", "", title=f"plan of {study.name}", show_header=False, title_justify="left")
    kinds = ("dense", "lineage", "branch", "table", "state")
    jobs = {kind: sum(job.kind == kind for job in plan.jobs) for kind in kinds}
    rows = {
        "lineages": f"{len(plan.lineages)}",
        "jobs left to do": ", ".join(f"{n} {kind}" for kind, n in jobs.items() if n) or "none: all is in the store",
        "unique steps": f"{plan.unique_steps:,}, of which branches {plan.branch_steps:,}",
        "naive steps": f"{plan.naive_steps:,}, were every lineage trained from its own initialisation",
        "steps left to train": f"{plan.remaining_steps:,}",
        "trained together": trained_together(plan),
        "estimated time": f"{duration(cost.seconds)} on {cost.slots} cores, by a short timing of this machine",
        "storage to be added": f"about {cost.state_bytes / 1e9:.2g} GB",
    }
    for name, text in rows.items():
        if text:
            table.add_row(name, text)
    console.print(table)


def trained_together(plan: Plan) -> str:
    """A line for each batch of replicates that is left to train; nothing where all is trained one by one."""
    batches = [(shape.recipe.train.replicates, b) for b in bundles(plan.jobs) if (shape := shape_of(b[0])) is not None]
    lines = [f"{len(batch)} of {count}: {_some([job.id for job in batch])}" for count, batch in batches[:SHOWN_BATCHES]]
    more = len(batches) - SHOWN_BATCHES
    return "\n".join([*lines, *([f"and {more} more such batches"] if more > 0 else [])])


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_JOBS
    return ", ".join(names[:SHOWN_JOBS]) + (f" and {more} more" if more > 0 else "")


def compared(summary: "pandas.DataFrame") -> Table:
    """What a screen holds of a summary: a row a kind of subnetwork, a column a round; the report's page has all of it.

    A cell is the mean test accuracy, below it half its 95 % t-interval and the mean early-stop step.
    """
    frame = summary.assign(label=record.labels(summary))
    picked = record.rounds_shown(frame, SHOWN_ROUNDS)
    n = sorted(set(frame["runs"]))
    table = Table(
        "weights remaining", title="test accuracy, %, and early-stop step", title_justify="left", box=box.SIMPLE_HEAD,
        caption=f"mean, ± half its 95 % t-interval; n = {' or '.join(map(str, n))} runs", caption_justify="left",
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    for number in picked:
        table.add_column(record.density_heading(frame[frame["round"] == number]), justify="right", no_wrap=True)
    for label, rows in frame.groupby("label", sort=False):
        lines = rows.set_index("round")
        cells = [_cell(lines.loc[number]) if number in lines.index else "" for number in picked]
        table.add_row(str(label), *cells, end_section=True)
    return table


def _cell(line: Any) -> str:
    import pandas

    if pandas.isna(line["test_accuracy"]):
        return "diverged"
    half_width, step = line["test_accuracy_half_width"], line["early_stop_step"]
    below = [] if pandas.isna(half_width) else [f"± {100 * half_width:.2f}"]
    below += [] if pandas.isna(step) else [f"[dim]{step:,.0f}[/]"]
    return "\n".join([f"{100 * line['test_accuracy']:.2f}", *below])


def print_results(
    results: Results, launch: Launch, console: Console, question: str = "", against_paper: bool = False
) -> None:
    """The tables with n and spread, the figures and tables on disk, and how to open the MLflow UI.

    against_paper: beside what the papers report.
    """
    store, plan, report = results.store, results.plan, None
    if plan.study.smoke_shows == "pipeline":
        print_endings(results, console)
        rows, branches = len(results.tickets()), len(results.branches())
        console.print(
            f"[bold]pipeline only[/]: {rows} tickets and {branches} branch results went through it; so few steps teach "
            "a network nothing, and no accuracy is shown", highlight=False, soft_wrap=True,
        )  # fmt: skip
    else:
        report = print_report(results, console, question, against_paper)
    if results.counts:
        ledger = results.ledger()
        console.print(
            f"trained {ledger['trained_steps']:,} steps in {duration(ledger['seconds'])}; the study is "
            f"{ledger['unique_steps']:,} steps ({ledger['reused_steps']:,} were in the store), "
            f"{ledger['naive_steps']:,} without sharing",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    print_mlflow(plan, store, launch.tracking_uri, report, console)


def print_mlflow(
    plan: Plan, store: Store, tracking_uri: str | None, report: record.Report | None, console: Console
) -> None:
    """How to open the MLflow UI, and the views that it then has. report: one whose verdicts are to be registered."""
    rows = None if report is None else report.comparisons.to_dict("records")
    shown = record.shown(plan, store, tracking_uri, rows)
    if shown.warning:
        console.print(shown.warning, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if shown.registered:
        said = f"MLflow's model registry has {shown.registered} tickets of matching verdicts under {plan.study.name}"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    opens = f"{_venv()}{shown.command}" if shown.command else shown.where
    console.print(f"MLflow: [bold]{escape(opens)}[/]", highlight=False, soft_wrap=True)
    for name, link in shown.links.items():
        console.print(f"  {escape(name)}: {escape(link)}", highlight=False, soft_wrap=True)


def print_report(results: Results, console: Console, question: str, against_paper: bool) -> record.Report:
    """The tables, and where the page and the figures are; the report."""
    store, plan = results.store, results.plan
    try:
        report = record.report(plan, store, question=question, ledger=results.ledger())
    finally:  # what failed is said even where the report cannot be written for the same reason
        print_endings(results, console)
    if not report.summary.empty:
        console.print(compared(report.summary))
    if not report.comparisons.empty:
        console.print(record.comparisons_table(report.comparisons))
    if against_paper:
        print_against_paper(report, plan.study, console)
    for path in (report.page, *report.texts, *report.figures, *report.tables):
        console.print(f"{store.uri.rstrip('/')}/{path}", highlight=False, markup=False, soft_wrap=True)
    return report


def print_against_paper(report: record.Report, study: Study, console: Console) -> None:
    """Ours, theirs, the difference, and whether theirs lies in our spread; or why there is nothing to compare."""
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
    """Every reason once, with the jobs that it ended."""
    for style, endings in (("yellow", results.ended), ("red", results.failures)):
        jobs: dict[str, list[str]] = {}
        for job, reason in endings.items():
            jobs.setdefault(reason, []).append(job)
        for reason, named in jobs.items():
            text = f"[{style}]{escape(_some(named))}[/]: {escape(reason)}"
            console.print(text, highlight=False, soft_wrap=True)


def _venv() -> str:
    """The folder of this environment's commands, where it is not on the PATH."""
    import sys

    folder = os.path.dirname(sys.executable)
    return "" if folder in os.environ.get("PATH", "").split(os.pathsep) else f"{os.path.relpath(folder)}/"


def not_learnt(study: Study, results: Results, times_chance: float) -> list[str]:
    """The arms, but those of Study.may_fail, of which a round's mean accuracy stays under `times_chance` x chance, or
    where that can hardly be had, with few classes, half-way between chance and 1."""
    frame = results.tickets()
    if frame.empty:
        return ["nothing was trained"]
    classes = {lineage.variant.arm: lineage.recipe.identity.num_classes for lineage in results.plan.lineages}
    idle = []
    for arm, rows in frame.groupby("arm"):
        if any(fnmatchcase(str(arm), glob) for glob in study.may_fail):
            continue
        accuracy = rows.groupby("round")["test_accuracy"].mean().fillna(0.0)
        chance = 1 / classes[str(arm)]
        if accuracy.min() < min(times_chance * chance, (1 + chance) / 2):
            idle.append(f"{arm or study.name} ({accuracy.min():.1%})")
    return idle


def collect_garbage(store: Store, yes: bool, grace_s: float, console: Console) -> None:
    """Says what no study's record reaches, and removes it when told to. Raises StorageError while a run is live."""
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


def reached(store: Store) -> Reached:
    """What every study in the store stands on, in all of its declarations: a study that shrank may grow again."""
    names = history.studies(store)
    segments = {key for key in store.segments() if key.startswith(IMPORTED)}  # and a user's imported tickets
    states: set[tuple[str, int]] = set()
    for name in names:
        for entry in history.entries_of(store, name):
            segments |= set(entry["keys"])
            states |= {(trajectory, step) for trajectory, step in entry["states"]}
    return Reached(segments=frozenset(segments), tables=frozenset(segments), states=frozenset(states))
