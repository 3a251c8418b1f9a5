"""The templates of HTML pages, and one table by itself."""

from functools import cache
from typing import TYPE_CHECKING

from lth_ray.record.report.listing import Listing

if TYPE_CHECKING:
    from jinja2 import Environment as Jinja

LISTING = "listing.html.jinja"


def in_html(listing: Listing) -> str:
    """Return one table as HTML, whatever its length, for a page with a style of its own, such as a notebook."""
    module = templates().get_template(LISTING).make_module({"most": len(listing.lines)})
    return str(module.table(listing))  # type: ignore[attr-defined]


@cache
def templates() -> "Jinja":
    """Return where templates are found; every word that they are given is escaped."""
    from jinja2 import Environment as Jinja
    from jinja2 import PackageLoader, StrictUndefined

    return Jinja(
        loader=PackageLoader("lth_ray.record.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
