"""A study's report, from what is finished so far: tables, comparisons, figures and a page of Markdown beside them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.lottery import Lineage, Plan, branch_rows, ticket_rows
from lth_ray.record.comparisons import comparisons, write_comparisons
from lth_ray.record.gallery import Found, Picture, write_gallery
from lth_ray.record.paper import against_paper
from lth_ray.record.paper_words import paper_markdown
from lth_ray.record.runs import name_of
from lth_ray.record.summary import summary
from lth_ray.record.tables import BRANCH_COLUMNS, write_tables
from lth_ray.record.targets import group_of, targets_of
from lth_ray.record.transfers import transfers, transfers_markdown
from lth_ray.record.verdicts import comparisons_markdown
from lth_ray.record.wording import to_markdown
from lth_ray.store import Store, study_path

if TYPE_CHECKING:
    import pandas

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """summary, comparisons, against: see the functions of these names (`against_paper`). group: of the papers' targets,
    "" for a study that none is known of. figures, tables, page: paths in the store. markdown: the page."""

    summary: "pandas.DataFrame"
    comparisons: "pandas.DataFrame"
    against: "pandas.DataFrame"
    group: str
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
    fields = fields_of(plan)
    frame = summary(tickets, branches, fields)
    compared = comparisons(tickets, branches, fields)
    group = group_of(plan.study.name, plan.study.against)
    targets = targets_of(group)
    against = against_paper(tickets, branches, targets)
    about = caption(plan, store, [*tickets, *branches])
    tables = (*write_tables(store, name, tickets, branches), write_comparisons(store, name, compared))
    pictures = write_gallery(Found(plan, store, tickets, branches, frame, targets), name, about)
    planned = sum(len(lineage.rounds) for lineage in plan.lineages), len(plan.branches)
    done = f"{len(tickets)} of {planned[0]} tickets and {len(branches)} of {planned[1]} branch results are finished."
    sections = {
        "Over seeds": comparisons_markdown(compared),
        "On other data": transfers_markdown(transfers(branches)),
        "Against the papers": paper_markdown(against),
    }
    markdown = page(name, question, done, about, pictures, frame, sections, tickets)
    path = study_path(name, "report.md")
    store.put(path, markdown.encode())
    figures = tuple(path for picture in pictures for path in picture.paths)
    return Report(frame, compared, against, group, figures, tables, path, markdown)


def fields_of(plan: Plan) -> list[str]:
    """What tells rows apart beside arm, method and rewind point: swept fields, then branches' parameters."""
    swept = (name for lineage in plan.lineages for name in lineage.variant.varied)
    found = dict.fromkeys([*swept, *(name for result in plan.branches for name in result.parameters)])
    return [name for name in found if name not in BRANCH_COLUMNS]


def page(
    name: str, question: str, done: str, about: str, pictures: Iterable[Picture], frame: "pandas.DataFrame",
    sections: Mapping[str, str], tickets: Sequence[Row],
) -> str:  # fmt: skip
    """The report as Markdown. sections: {heading: text}, those with a text."""
    shown = "".join(f"![{picture.alt}]({picture.paths[0].rpartition('/')[2]})\n\n" for picture in pictures)
    table = to_markdown(frame) if len(frame) else "Nothing is finished yet.\n"
    notes = (
        "Test accuracy is that of the last step: mean ± half the width of the 95 % t-interval over runs. "
        "The early-stop step is that of the least validation loss. n counts runs, and seeds where they are fewer.\n"
    )
    diverged = [f"{row['lineage']} round {row['round']}" for row in tickets if row["diverged_at"] is not None]
    if diverged:
        notes += f"\nDiverged, and in no mean: {', '.join(diverged)}.\n"
    asked = f"{question.strip()}\n\n" if question.strip() else ""
    more = "".join(f"\n## {heading}\n\n{text}" for heading, text in sections.items() if text)
    return f"# {name}\n\n{asked}{done}\n\n{shown}{about.replace(chr(10), ' ')}\n\n{table}\n{notes}{more}"


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
        record = store.segment(key) or store.table(key)
        packages = record["environment"].get("packages", {}) if record else {}
        for package in ("lth_ray", "torch"):
            found.setdefault(package, set()).add(packages.get(package, "unknown"))
    return ", ".join(f"{package} {' or '.join(sorted(versions))}" for package, versions in found.items())
