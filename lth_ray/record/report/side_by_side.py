"""Several studies of one storage on one page: their results under one heading, and the fields in which they differ."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from lth_ray.config import ConfigError
from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.lottery.kept.stored import whole_records
from lth_ray.printing import enumerated
from lth_ray.record.figures import metric_figure
from lth_ray.record.figures.drawing.page import paths_of, write_figure
from lth_ray.record.report.comparisons import comparisons
from lth_ray.record.report.configuration import configured
from lth_ray.record.report.environments import environments, spent
from lth_ray.record.report.findings import reading
from lth_ray.record.report.html_page import Content, html_page
from lth_ray.record.report.listing import Listing, in_latex
from lth_ray.record.report.making import in_words, progress
from lth_ray.record.report.overview import fields_of, smallest_test_set
from lth_ray.record.report.paper_table import paper_listings
from lth_ray.record.report.pictures import Picture, shown_rows
from lth_ray.record.report.summary import summary
from lth_ray.record.report.tables import Row
from lth_ray.record.report.verdicts import verdicts_listing
from lth_ray.store import Store, study_path

LONGEST = 200  # bytes of a folder's name: file systems take 255, and a temporary one has more
NOTE = "As each study was declared last; a field that is left out is the same in all."
APART = (
    "No verdict is made from one study to another: seeds pair nothing where recipes differ. Every verdict here is one "
    "within a study."
)


@dataclass(frozen=True)
class SideBySide:
    """A page of several studies that was written. Paths are those in the store.

    found: what each study found, in plain sentences.
    """

    found: tuple[str, ...]
    page: str
    others: tuple[str, ...]


def side_by_side(plans: Sequence[Plan], store: Store) -> SideBySide:
    """Write a page, tables and the metric's figure of several studies to a folder of their own, studies/A+B/.

    Raises ConfigError where they are judged by different metrics, or one is named twice.
    """
    names = [plan.study.name for plan in plans]
    metrics = {plan.study.data.metric for plan in plans}
    if len({*names}) < len(names):
        raise ConfigError(f"report {' '.join(names)}: name each study once")
    if len(metrics) > 1:
        judged = ", ".join(f"{plan.study.name} by {plan.study.data.metric.called}" for plan in plans)
        raise ConfigError(f"report {' '.join(names)}: these studies are judged by different metrics ({judged})")
    metric, name = metrics.pop(), folder_of(names)
    rows = [(ticket_rows(plan, store), branch_rows(plan, store)) for plan in plans]
    tickets = [of_study(row, plan) for plan, (own, _) in zip(plans, rows, strict=True) for row in own]
    branches = [of_study(row, plan) for plan, (_, own) in zip(plans, rows, strict=True) for row in own]
    fields = list(dict.fromkeys(field for plan in plans for field in fields_of(plan)))
    printed = paper_listings(summary(tickets, branches, fields, metric))
    *_, shown = shown_rows(tickets, branches, fields, metric)
    pictures = []
    if len(shown):
        write_figure(store, name, metric.name, metric_figure(shown, enumerated(names, "and")))
        alt = f"Test {metric.called} and early-stop step against remaining weights"
        pictures = [Picture(metric.name, alt, paths_of(name, metric.name))]
    said, listings = [], [differences_listing(plans)]
    for plan, (own, hung) in zip(plans, rows, strict=True):
        compared = comparisons(own, hung, fields_of(plan), plan.study.matching_margin, smallest_test_set(plan), metric)
        words = reading(summary(own, hung, fields_of(plan), metric), compared)
        said.append(f"{plan.study.name}: {' '.join(words) or progress(plan, own, hung)}")
        verdicts = verdicts_listing(compared)
        listings += [replace(verdicts, title=f"Verdicts of {plan.study.name}")] if verdicts else []
    content = Content(
        name=enumerated(names, "and"),
        question="",
        progress=APART,
        found=said,
        printed=printed,
        pictures=[(picture, store.get(picture.paths[0]).decode()) for picture in pictures],
        undrawn=(),
        listings=listings,
        configuration=(),
        cost={f"{plan.study.name}: {what}": number for plan in plans for what, number in _cost(plan, store).items()},
        environments=environments(store, {str(row["key"]) for row in [*tickets, *branches]}),
        files=[path.rpartition("/")[2] for picture in pictures for path in picture.paths],
    )
    texts = {
        "report.html": html_page(content),
        "report.md": in_words(content, ""),
        "report.tex": "\n".join(in_latex(listing, name) for listing in printed),
    }
    for file, text in texts.items():
        store.put(study_path(name, file), text.encode())
    page, *others = (study_path(name, file) for file in texts)
    return SideBySide(tuple(said), page, (*others, *(path for picture in pictures for path in picture.paths)))


def folder_of(names: Sequence[str]) -> str:
    """Return the name of the folder of several studies' page: A+B, or where file systems take none so long, how many
    they are and a digest of that.
    """
    joined = "+".join(names)
    if len(joined.encode()) <= LONGEST:
        return joined
    return f"{len(names)}_studies-{sha256(joined.encode()).hexdigest()[:12]}"


def of_study(row: Row, plan: Plan) -> Row:
    """Return a row whose arm and lineage say which study it is of."""
    study = plan.study.name
    return {**row, "lineage": f"{study}/{row['lineage']}", "arm": ": ".join(filter(None, [study, row["arm"]]))}


def differences_listing(plans: Sequence[Plan]) -> Listing:
    """Return the fields in which the studies' declarations differ."""
    names = tuple(plan.study.name for plan in plans)
    settings = [{setting.name: setting.value for setting in configured(plan.study)} for plan in plans]
    fields = dict.fromkeys(field for own in settings for field in own)
    lines = [(field, *(own.get(field, "") for own in settings)) for field in fields]
    differing = [line for line in lines if len({*line[1:]}) > 1]
    return Listing("Declared differently", ("field", *names), differing, ("field", *names), NOTE)


def _cost(plan: Plan, store: Store) -> dict[str, str]:
    return {"steps": f"{plan.unique_steps:,}"} | spent(whole_records(store, plan.keys).values())
