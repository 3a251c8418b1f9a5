"""The one style of tables in a terminal, links that a terminal opens, and several things in a sentence."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def table(*headings: str, title: str | None = None, caption: str | None = None, right: Iterable[str] = ()) -> "Table":
    """Return an empty table under headings.

    right: those of numbers, whose columns are set to the right and never wrapped.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    numbers = set(right)
    for heading in headings:
        is_number = heading in numbers
        whole = is_number or heading == "NAME"  # which is copied
        made.add_column(heading, justify="right" if is_number else "left", no_wrap=whole, overflow="fold")
    return made


def facts(rows: Mapping[str, str] | Iterable[tuple[str, str]], title: str | None = None) -> "Table":
    """Return what is known of one thing: a name and its words in each row; without what has no words."""
    from rich.markup import escape
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 1))
    made.add_column(no_wrap=True, style="dim")
    made.add_column(overflow="fold")
    for name, words in rows.items() if isinstance(rows, Mapping) else rows:
        if words:
            made.add_row(escape(name), escape(words))
    return made


def linked(uri: str, path: str) -> "Text":
    """Return the place of a file of a storage, whole; in a terminal that knows links it opens the file.

    uri: of the storage. What is no terminal gets the bare text, as rich writes links (OSC 8) to terminals alone.
    """
    from pathlib import Path

    from rich.style import Style
    from rich.text import Text

    place = f"{uri.rstrip('/')}/{path}"
    target = place if "://" in place else Path(place).resolve().as_uri()
    return Text(place, style=Style(link=target))


def enumerated(values: Iterable[str], last: str = "or", most: int | None = None) -> str:
    """Return several things as a sentence has them: "a", "a or b", "a, b or c".

    last: the word before the last one.
    most: of more than so many the first are named, and how many there are besides: "a, b and 7 more".
    """
    named = list(values)
    if most is not None and len(named) > most:
        named, last = [*named[:most], f"{len(named) - most:,} more"], "and"
    return f" {last} ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))
