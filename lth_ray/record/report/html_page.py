"""The report as one HTML file that needs nothing beside it: no script, no style sheet, no picture, no network."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lth_ray import __version__
from lth_ray.record.report.configuration import Setting
from lth_ray.record.report.environments import Environment
from lth_ray.record.report.html_table import templates
from lth_ray.record.report.listing import Listing
from lth_ray.record.report.pictures import Picture, not_drawn

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

LARGER = 1.25  # than in the file, at most
LONG = 14  # lines of a table that is folded
TEMPLATE = "report.html.jinja"
ANCHORS = re.compile(r'(\bid="|href="#|url\(#)')
ROOT = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', re.DOTALL)


@dataclass(frozen=True)
class Content:
    """The content of a report.

    found: paragraphs of plain sentences.
    printed: the tables ready for a paper.
    listings: the others.
    pictures: with their SVG.
    undrawn: those that have none.
    configuration: of the study.
    cost: {what: number}.
    files: beside the page.
    commits: of the scripts that declared it.
    """

    name: str
    question: str
    progress: str
    found: Sequence[str]
    printed: Sequence[Listing]
    pictures: Sequence[tuple[Picture, str]]
    undrawn: Sequence[Picture]
    listings: Sequence[Listing]
    configuration: Sequence[Setting]
    cost: dict[str, str]
    environments: Sequence[Environment]
    files: Sequence[str]
    commits: Sequence[str] = ()


def html_page(content: Content) -> str:
    """Return the page. Every word in it is escaped; of the figures' own SVG only what draws is taken."""
    drawn = [(picture, inline(svg, picture)) for picture, svg in content.pictures]
    return _template().render(
        content=content, drawn=drawn, version=__version__, paragraphs=_paragraphs, most=LONG, not_drawn=not_drawn
    )


def inline(svg: str, picture: Picture) -> "Markup":
    """Return an SVG file as a part of a page: without its head and metadata, as wide as the page, its anchors
    its own.
    """
    from markupsafe import Markup

    drawing = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], count=1, flags=re.DOTALL)
    return Markup(ANCHORS.sub(rf"\g<1>{picture.name}-", ROOT.sub(_root(picture), drawing, count=1)))


def _root(picture: Picture) -> Callable[[re.Match[str]], str]:
    """Return the drawing's opening tag: it may grow to the page's width, but no more than its letters stand."""
    from markupsafe import escape

    def tag(found: re.Match[str]) -> str:
        width = LARGER * float(found[1].split()[2])
        return (
            f'<svg viewBox="{found[1]}" style="max-width: {width:.0f}pt" role="img" aria-label="{escape(picture.alt)}" '
            'xmlns:xlink="http://www.w3.org/1999/xlink">'
        )

    return tag


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", text) if part.strip()]


def _template() -> "Template":
    return templates().get_template(TEMPLATE)
