"""The words of a config's fields, from its docstring: what the reference and the command line say of them."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass


def field_words(cls: type) -> dict[str, str]:
    """Return {field: what it says of itself} of a config, from its class or one that it inherits from."""
    words: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            words |= described(base)[1]
    return words


def described(cls: type) -> tuple[str, dict[str, str]]:
    """Return a config's docstring as (prose, {field: its words}), which stand after `name:` or `name, name:`."""
    names = "|".join(field.name for field in fields(cls))
    begin = re.compile(rf"(?:^|(?<=[.)] ))((?:{names})(?:, (?:{names}))*): ")
    prose: list[str] = []
    found: dict[str, str] = {}
    for line in logical_lines(inspect.cleandoc(cls.__dict__.get("__doc__") or "")):
        starts = list(begin.finditer(line))
        prose.append(line[: starts[0].start()] if starts else line)
        for start, end in zip(starts, [*(after.start() for after in starts[1:]), None], strict=False):
            text = line[start.end() : end].strip()
            found |= dict.fromkeys(start[1].split(", "), text)
    return re.sub(r"\n{2,}", "\n\n", "\n".join(part.strip() for part in prose)).strip(), found


def logical_lines(doc: str) -> Iterator[str]:
    """Yield paragraphs, and within them a line for each unindented one: indented lines continue the one before."""
    held: list[str] = []
    for line in doc.splitlines():
        if held and (not line.strip() or not line.startswith(" ")):
            yield " ".join(held)
            held = []
        if line.strip():
            held.append(line.strip())
        else:
            yield ""
    if held:
        yield " ".join(held)
