"""A study's results at a glance: its summary, comparisons and findings from what is in the store."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.record.report.comparisons import comparisons
from lth_ray.record.report.findings import reading
from lth_ray.record.report.html_table import in_html as table_html
from lth_ray.record.report.paper_table import paper_listings
from lth_ray.record.report.summary import summary
from lth_ray.record.report.tables import branch_columns
from lth_ray.store import Store

if TYPE_CHECKING:
    import pandas


def summary_of(plan: Plan, store: Store) -> "pandas.DataFrame":
    """Return the summary of what is finished."""
    tickets, branches = ticket_rows(plan, store), branch_rows(plan, store)
    return summary(tickets, branches, fields_of(plan), plan.study.data.metric)


def comparisons_of(plan: Plan, store: Store) -> "pandas.DataFrame":
    """Return the comparisons of what is finished, by the study's margin."""
    tickets, branches = ticket_rows(plan, store), branch_rows(plan, store)
    margin, metric = plan.study.matching_margin, plan.study.data.metric
    return comparisons(tickets, branches, fields_of(plan), margin, smallest_test_set(plan), metric)


def finished(plan: Plan, store: Store) -> str:
    """Return how much is finished, by one listing of the store and without reading what is there."""
    there = store.segments() | store.tables()
    tickets = [r.segment.key in there for lineage in plan.lineages for r in lineage.rounds]
    branches = [result.key in there for result in plan.branches]
    said = f"{sum(tickets):,} of {len(tickets):,} tickets"
    said += f" and {sum(branches):,} of {len(branches):,} branch results" if branches else ""
    return f"{said} are finished ({len(plan.lineages):,} lineages)"


def in_html(plan: Plan, store: Store, facts: Sequence[str]) -> str:
    """Return the findings and the first of the tables ready for a paper as HTML, for a notebook."""
    from markupsafe import escape

    frame, compared = summary_of(plan, store), comparisons_of(plan, store)
    said = [f"<h3>{escape(plan.study.name)}</h3>", f"<p>{escape('. '.join(facts))}.</p>"]
    found = reading(frame, compared)
    said += [f"<p>{escape(' '.join(found))}</p>"] if found else []
    said += [table_html(listing) for listing in paper_listings(frame)[:1]]
    return f"<div>{''.join(said)}</div>"


def fields_of(plan: Plan) -> list[str]:
    """Return what tells rows apart beside arm, method and rewind point: swept fields, then branches'
    parameters.
    """
    swept = (name for lineage in plan.lineages for name in lineage.variant.varied)
    found = dict.fromkeys([*swept, *(name for result in plan.branches for name in result.parameters)])
    fixed = branch_columns(plan.study.data.metric)
    return [name for name in found if name not in fixed]


def smallest_test_set(plan: Plan) -> int:
    """Return the examples of the smallest test set that any lineage is measured on."""
    return min((lineage.recipe.identity.n_test for lineage in plan.lineages), default=0)
