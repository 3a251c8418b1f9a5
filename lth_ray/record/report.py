"""A study's report, from what is finished so far: tables, figures and a page of Markdown beside them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.lottery import Lineage, Plan, branch_rows, ticket_rows
from lth_ray.record.figures import write_figures
from lth_ray.record.runs import name_of
from lth_ray.record.summary import summary
from lth_ray.record.tables import write_tables
from lth_ray.record.wording import to_markdown
from lth_ray.store import Store, study_path

if TYPE_CHECKING:
    import pandas

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """summary: see `lth_ray.record.summary.summary`. figures, tables, page: paths in the store. markdown: the page."""

    summary: "pandas.DataFrame"
    figures: tuple[str, ...]
    tables: tuple[str, ...]
    page: str
    markdown: str


def report(plan: Plan, store: Store, name: str | None = None, question: str = "") -> Report:
    """Writes tables, figures and report.md to studies/NAME/ (by default the study's name), also of a study at work.

    question: what the study asks, such as its script's docstring.
    """
    name = name or plan.study.name
    tickets, branches = ticket_rows(plan, store), branch_rows(plan, store)
    frame = summary(tickets, branches)
    about = caption(plan, store, [*tickets, *branches])
    tables = write_tables(store, name, tickets, branches)
    figures = write_figures(store, name, frame, about)
    planned = sum(len(lineage.rounds) for lineage in plan.lineages), len(plan.branches)
    done = f"{len(tickets)} of {planned[0]} tickets and {len(branches)} of {planned[1]} branch results are finished."
    markdown = page(name, question, done, about, figures, frame, tickets)
    path = study_path(name, "report.md")
    store.put(path, markdown.encode())
    return Report(frame, figures, tables, path, markdown)


def page(
    name: str, question: str, done: str, about: str, figures: Iterable[str], frame: "pandas.DataFrame",
    tickets: Sequence[Row],
) -> str:  # fmt: skip
    """The report as Markdown."""
    picture = "".join(
        f"![Test accuracy and early-stop step against remaining weights]({path.rpartition('/')[2]})\n\n"
        for path in figures if path.endswith(".svg")
    )  # fmt: skip
    table = to_markdown(frame) if len(frame) else "Nothing is finished yet.\n"
    notes = (
        "Test accuracy is that of the last step: mean ± half the width of the 95 % t-interval over runs. "
        "The early-stop step is that of the least validation loss. n counts runs, and seeds where they are fewer.\n"
    )
    diverged = [f"{row['lineage']} round {row['round']}" for row in tickets if row["diverged_at"] is not None]
    if diverged:
        notes += f"\nDiverged, and in no mean: {', '.join(diverged)}.\n"
    asked = f"{question.strip()}\n\n" if question.strip() else ""
    return f"# {name}\n\n{asked}{done}\n\n{picture}{about.replace(chr(10), ' ')}\n\n{table}\n{notes}"


def caption(plan: Plan, store: Store, rows: Sequence[Row]) -> str:
    """What is drawn, of what, and what made it."""
    if not rows:
        return ""
    devices = ", ".join(sorted({str(row["device"]) for row in rows}))
    versions = _versions(store, {str(row["key"]) for row in rows})
    return f"Mean of n runs in a band from minimum to maximum. {described(plan.lineages)}.\n{versions}; {devices}"


def described(lineages: Sequence[Lineage]) -> str:
    """Model, data and training of a study, of several where arms or sweeps vary them."""
    studies = [lineage.variant.study for lineage in lineages]
    models = _several(name_of(lineage) for lineage in lineages)
    data = _several(s.data.name for s in studies)
    training = _several(f"{s.train.optimizer} at {s.train.lr:g}" for s in studies)
    lengths = _several(f"{lineage.recipe.total_steps:,} steps" for lineage in lineages)
    return f"{models} on {data}, {training}, {lengths}"


def _several(values: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(values))


def _versions(store: Store, keys: Iterable[str]) -> str:
    """The library versions behind the results, as recorded with them."""
    found: dict[str, set[str]] = {}
    for key in keys:
        record = store.segment(key)
        packages = record["environment"].get("packages", {}) if record else {}
        for package in ("lth_ray", "torch"):
            found.setdefault(package, set()).add(packages.get(package, "unknown"))
    return ", ".join(f"{package} {' or '.join(sorted(versions))}" for package, versions in found.items())
