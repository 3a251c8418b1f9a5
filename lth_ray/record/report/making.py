"""The making of a study's report, from what is finished so far: tables, comparisons, figures, and the pages
that show them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lth_ray.config import Metric
from lth_ray.lottery import Lineage, Plan, branch_rows, ticket_rows
from lth_ray.lottery.kept.stored import whole_records
from lth_ray.printing import enumerated
from lth_ray.record.mlflow.runs import name_of
from lth_ray.record.paper.comparing import against_paper
from lth_ray.record.paper.targets import group_of, targets_of
from lth_ray.record.paper.words import paper_listing
from lth_ray.record.report.collapses import collapsed_words, collapses, collapses_listing
from lth_ray.record.report.comparisons import comparisons, write_comparisons
from lth_ray.record.report.configuration import configured
from lth_ray.record.report.environments import Environment, environments, spent, versions
from lth_ray.record.report.findings import findings, reading
from lth_ray.record.report.gallery import Found
from lth_ray.record.report.html_page import Content, html_page
from lth_ray.record.report.listing import Listing, in_csv, in_latex, in_markdown, on_a_page
from lth_ray.record.report.overview import fields_of, smallest_test_set
from lth_ray.record.report.paper_table import paper_listings
from lth_ray.record.report.pictures import not_drawn, shown_rows, write_gallery
from lth_ray.record.report.summary import summary
from lth_ray.record.report.tables import Row, write_tables
from lth_ray.record.report.transfer_matrix import matrix_listing, transfer_matrix
from lth_ray.record.report.transfers import transfers, transfers_listing
from lth_ray.record.report.verdicts import comparisons_listing, verdicts_listing
from lth_ray.record.report.wording import SPREAD, summary_listing
from lth_ray.store import Store, study_path

if TYPE_CHECKING:
    import pandas

NOTHING = "Nothing is finished yet."
SOME = 12  # names that a sentence has room for
LEDGER = {
    "trained_steps": "steps trained in this run",
    "seconds": "seconds that this run took",
    "unique_steps": "steps of the study",
    "reused_steps": "of them found in the storage",
    "resumed_steps": "of them in checkpoints",
    "others_steps": "of them trained by other runs meanwhile",
    "naive_steps": "steps without sharing",
    "scoring_flops": "operations of scores that masks were found by in this run",
}


@dataclass(frozen=True)
class Report:
    """A report that was written. Paths are those in the store.

    summary, comparisons, against: see the functions of these names (`against_paper`).
    found: `findings`.
    group: of the papers' targets, "" for a study that none is known of.
    figures: paths.
    tables: Parquet.
    page: HTML.
    texts: the tables in Markdown and LaTeX.
    markdown: the text of the former.
    """

    summary: "pandas.DataFrame"
    comparisons: "pandas.DataFrame"
    found: Sequence[str]
    against: "pandas.DataFrame"
    group: str
    figures: tuple[str, ...]
    tables: tuple[str, ...]
    page: str
    texts: tuple[str, ...]
    markdown: str


def report(
    plan: Plan,
    store: Store,
    name: str | None = None,
    question: str = "",
    ledger: Mapping[str, Any] | None = None,
    commits: Sequence[str] = (),
    tables: Sequence[str] = (),
) -> Report:
    """Write tables, figures and report.html, .md and .tex to studies/NAME/, also of a study at work.

    name: by default the study's name.
    question: what the study asks, such as its script's docstring.
    ledger: of the run that has just been, as Results.ledger() has it; without one the page states the planned
        steps.
    commits: of the scripts that declared it.
    tables: paths of those that the run has just written; without them they are written.
    """
    name = name or plan.study.name
    tickets, branches = ticket_rows(plan, store), branch_rows(plan, store)
    fields = fields_of(plan)
    metric = plan.study.data.metric
    frame = summary(tickets, branches, fields, metric)
    margin = plan.study.matching_margin
    compared = comparisons(tickets, branches, fields, margin, smallest_test_set(plan), metric)
    found = findings(compared)
    group = group_of(plan.study.name, plan.study.against)
    targets = [replace(target, comparable=not plan.study.otherwise) for target in targets_of(group)]
    against = against_paper(tickets, branches, targets, metric)
    places = environments(store, {str(row["key"]) for row in [*tickets, *branches]})
    about = caption(plan, places)
    tables = tables or write_tables(store, name, tickets, branches, metric)
    files = (*tables, write_comparisons(store, name, compared))
    shown = shown_rows(tickets, branches, fields, metric)
    pictures = write_gallery(Found(plan, store, *shown, targets), name, about)
    printed, records = paper_listings(frame), whole_records(store, plan.keys).values()
    listings = [
        verdicts_listing(compared),
        *_transfers(tickets, branches, metric),
        paper_listing(against),
        collapses_listing(collapses(tickets, metric)),
        comparisons_listing(compared),
        summary_listing(frame) if len(frame) else None,
    ]
    whole = [*printed, *(listing for listing in listings if listing is not None)]
    files = (*files, *_whole_tables(store, name, whole))
    content = Content(
        name=name,
        question=question.strip(),
        progress=progress(plan, tickets, branches),
        found=list(filter(None, [" ".join(reading(frame, compared))])),
        printed=[on_a_page(listing) for listing in printed],
        pictures=[(picture, store.get(picture.paths[0]).decode()) for picture in pictures if picture.paths],
        undrawn=[picture for picture in pictures if picture.failed],
        listings=[on_a_page(listing) for listing in listings if listing is not None],
        configuration=configured(plan.study),
        cost=cost(plan, ledger) | spent(records),
        environments=places,
        files=[path.rpartition("/")[2] for path in files],
        commits=commits,
    )
    markdown = in_words(content, about)
    texts = {
        "report.html": html_page(content),
        "report.md": markdown,
        "report.tex": "\n".join(in_latex(listing, name) for listing in content.printed),
    }
    for file, text in texts.items():
        store.put(study_path(name, file), text.encode())
    page, *others = (study_path(name, file) for file in texts)
    figures = tuple(path for picture in pictures for path in picture.paths)
    return Report(frame, compared, found, against, group, figures, files, page, tuple(others), markdown)


def _whole_tables(store: Store, name: str, listings: Iterable[Listing]) -> tuple[str, ...]:
    """Write those tables that the page has not all of as CSV; return their paths in the store."""
    paths = {study_path(name, one.file): one for one in listings if on_a_page(one) is not one}
    for path, listing in paths.items():
        store.put(path, in_csv(listing).encode())
    return tuple(paths)


def _transfers(tickets: Sequence[Row], branches: Sequence[Row], metric: Metric) -> list[Listing | None]:
    """Return the tables of transfers: sources x targets, and warm starts beside fresh ones where there are any."""
    matrix, moved = matrix_listing(transfer_matrix(tickets, branches, metric)), transfers(branches, metric)
    told_by_matrix = matrix is not None and moved["gap"].isna().all()
    return [matrix, None if told_by_matrix else transfers_listing(moved)]


def progress(plan: Plan, tickets: Sequence[Row], branches: Sequence[Row]) -> str:
    """Return how much is finished, and what has diverged or collapsed."""
    planned = sum(len(lineage.rounds) for lineage in plan.lineages), len(plan.branches)
    done = f"{len(tickets)} of {planned[0]} tickets and {len(branches)} of {planned[1]} branch results are finished."
    diverged = [f"{row['lineage']} round {row['round']}" for row in tickets if row["diverged_at"] is not None]
    lost = f"Diverged, and in no mean: {enumerated(diverged, 'and', SOME)}." if diverged else ""
    return " ".join(filter(None, [done, lost, collapsed_words(tickets)]))


def cost(plan: Plan, ledger: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the ledger in words, which is of one run alone, or without one the steps that are planned."""
    if ledger:
        return {said: f"{ledger[name]:,}" for name, said in LEDGER.items() if name in ledger}
    return {
        "steps of the study": f"{plan.unique_steps:,}",
        "of them branches": f"{plan.branch_steps:,}",
        "steps without sharing": f"{plan.naive_steps:,}",
    }


def in_words(content: Content, about: str) -> str:
    """Return the report's tables as Markdown, the ones ready for a paper first."""
    listings: list[Listing] = [*content.printed, *content.listings]
    undrawn = "".join(f"\n{not_drawn(picture)}\n" for picture in content.undrawn)
    shown = "".join(f"\n## {listing.title}\n\n{in_markdown(listing)}" for listing in listings) or f"\n{NOTHING}\n"
    asked = f"{content.question}\n\n" if content.question else ""
    described_ = f"\n{about.replace(chr(10), ' ')}\n" if about else ""
    found = "".join(f"{paragraph}\n\n" for paragraph in content.found)
    return f"# {content.name}\n\n{found}{asked}{content.progress}\n{described_}{undrawn}{shown}"


def caption(plan: Plan, places: Sequence[Environment]) -> str:
    """Return what is drawn, of what, and what made it."""
    if not places:
        return ""
    devices = ", ".join(sorted({place.device for place in places}))
    many = len({lineage.variant.seed for lineage in plan.lineages}) > 1
    drawn = f"{SPREAD[0].upper()}{SPREAD[1:]}; bars and bands show it." if many else "One seed, and so no spread."
    drawn = f"{drawn} {described(plan.lineages)}."
    return f"{drawn}\n{versions(places)}; {devices}"


def described(lineages: Sequence[Lineage]) -> str:
    """Return model, data and training of a study, of several where arms or sweeps vary them."""
    studies = [lineage.variant.study for lineage in lineages]
    models = _several(name_of(lineage) for lineage in lineages)
    data = _several(s.data.called for s in studies)
    training = _several(f"{s.train.optimizer} at {s.train.lr:g}" for s in studies)
    lengths = _several(f"{lineage.recipe.total_steps:,} steps" for lineage in lineages)
    return f"{models} on {data}, {training}, {lengths}"


def _several(values: Iterable[str]) -> str:
    return enumerated(dict.fromkeys(values), most=SOME)
