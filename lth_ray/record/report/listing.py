"""A table in words, written in Markdown and in LaTeX; the report's page has it in HTML."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

LATEX = {
    "\\": r"\textbackslash{}", "%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "<": "$<$", ">": "$>$", "≥": r"$\ge$",
    "\N{EN DASH}": "--", "²": "$^2$",
}  # fmt: skip
MOST_LINES = 500  # that a page holds of a table: a browser shows so many at once, and a reader no more
MINUS = r"(?<![\w.])-(?=\.?\d)"  # of a number; another hyphen stays one


@dataclass(frozen=True)
class Listing:
    """A table in words.

    title: what it holds, in a few words.
    headings: of the columns.
    left: those that hold no numbers.
    lines: as many cells as headings.
    note: how the numbers were made, and n where it is the same for all.
    """

    title: str
    headings: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]
    left: tuple[str, ...] = ()
    note: str = ""

    @property
    def file(self) -> str:
        """The name of the file that has all of it, where a page has not."""
        return f"{_slug(self.title)}.csv"


def on_a_page(listing: Listing) -> Listing:
    """Return the table as a page has it: of a longer one than MOST_LINES the first, and where the others are."""
    count = len(listing.lines)
    if count <= MOST_LINES:
        return listing
    note = f"The first {MOST_LINES:,} of {count:,} lines; {listing.file}, beside this page, has all."
    return replace(listing, lines=listing.lines[:MOST_LINES], note=" ".join(filter(None, [note, listing.note])))


def in_csv(listing: Listing) -> str:
    """Return the whole table as CSV, its cells as on the page."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([listing.headings, *listing.lines])
    return text.getvalue()


def in_markdown(listing: Listing) -> str:
    """Return the table, and its note under it."""
    rule = tuple("---" if heading in listing.left else "---:" for heading in listing.headings)
    lines = [tuple(cell.replace("|", "\\|") for cell in line) for line in (listing.headings, rule, *listing.lines)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{table}\n{listing.note}\n" if listing.note else table


def in_latex(listing: Listing, study: str) -> str:
    """Return a table environment for the package booktabs, with a label: tab:STUDY-TITLE."""
    columns = "".join("l" if heading in listing.left else "r" for heading in listing.headings)
    rows = [" & ".join(map(_escaped, line)) + r" \\" for line in (listing.headings, *listing.lines)]
    caption = " ".join(filter(None, [f"{listing.title}.", listing.note]))
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{_escaped(caption)}}}",
            f"  \\label{{tab:{_slug(study)}-{_slug(listing.title)}}}",
            f"  \\begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {rows[0]}",
            r"    \midrule",
            *(f"    {row}" for row in rows[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _escaped(text: str) -> str:
    pattern = "|".join([*map(re.escape, LATEX), MINUS])
    return re.sub(pattern, lambda found: LATEX.get(found[0], "$-$"), text)


def _slug(text: str) -> str:
    """Return a text in letters, digits and hyphens alone: what a label may be of."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))
