"""The figures of a study, written beside its tables; what has not changed is not drawn again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lth_ray.config import Metric
from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.record.figures.drawing.page import is_drawn, paths_of, write_figure
from lth_ray.record.report.gallery import KINDS, METRIC, Found, Kind
from lth_ray.record.report.overview import fields_of
from lth_ray.record.report.summary import is_level, summary
from lth_ray.record.report.tables import Row
from lth_ray.store import StorageError, Store

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure on disk.

    alt: what it shows, in words.
    paths: of its SVG, PNG and CSV in the store; () where it could not be drawn, with the reason in `failed`.
    """

    name: str
    alt: str
    paths: tuple[str, ...]
    failed: str = ""


def write_gallery(found: Found, name: str, caption: str) -> list[Picture]:
    """Draw and write studies/NAME/FIGURE.svg and .png for whatever was measured, one figure after another.

    One that cannot be drawn is named in its place: a report has all the rest.
    """
    drawn = (_picture(found, kind, name, caption) for kind in KINDS)
    return [picture for picture in drawn if picture is not None]


def figure_names(metric: Metric) -> list[str]:
    """Return the names of all figures."""
    return [kind.name.replace(METRIC, metric.name) for kind in KINDS]


def drawing(plan: Plan, store: Store, name: str, title: str | None = None, caption: str = "") -> "Figure | None":
    """Return one figure of what is finished; None where nothing of it was measured.

    title: by default the study's name and what the figure shows.
    """
    tickets, branches = ticket_rows(plan, store), branch_rows(plan, store)
    found = Found(plan, store, *shown_rows(tickets, branches, fields_of(plan), plan.study.data.metric), [])
    kind = next(kind for kind in KINDS if kind.name.replace(METRIC, found.metric.name) == name)
    return kind.draw(found, _title(kind, plan.study.name) if title is None else title, caption)


def shown_rows(
    tickets: Sequence[Row], branches: Sequence[Row], fields: Sequence[str], metric: Metric
) -> "tuple[Sequence[Row], Sequence[Row], pandas.DataFrame]":
    """Return what figures show, and its summary: a dense network pruned before it was trained is no level there."""
    drawn = [row for row in tickets if row["round"] > 0 or is_level(row)]
    return drawn, branches, summary(drawn, branches, fields, metric)


def _title(kind: Kind, study: str) -> str:
    return f"{study}: {kind.title}" if kind.title else study


def not_drawn(picture: Picture) -> str:
    """Return what stands in the place of a figure that could not be drawn."""
    return f"The figure {picture.name!r} could not be drawn ({picture.failed}); the tables have what it shows."


def _picture(found: Found, kind: Kind, name: str, caption: str) -> Picture | None:
    title = _title(kind, name)
    file, alt = kind.name.replace(METRIC, found.metric.name), kind.alt.replace(METRIC, found.metric.called)
    alt = alt[0].upper() + alt[1:]
    drawn_from = found.digest(title, caption)
    if not is_drawn(found.store, name, file, drawn_from):
        try:
            figure = kind.draw(found, title, caption)
            if figure is None:
                return None
            write_figure(found.store, name, file, figure, drawn_from)
        except StorageError:  # nothing can be written then, and that is what must be said
            raise
        except Exception as error:  # whatever is amiss with one figure, it must not cost the others and the tables
            return Picture(file, alt, (), f"{type(error).__name__}: {error}"[:300])
    return Picture(file, alt, paths_of(name, file))
