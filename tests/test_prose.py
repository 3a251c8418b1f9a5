"""Docstrings: each begins with a verb or names the thing; a clause alone ("Whether it is live.") is neither."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.repository import ROOT, listed

CLAUSE = re.compile(r"(?:What|Whether|How|Where|When|Which|Who|Whose|Why)\b")
BEGIN = re.compile(rf'"""\s*{CLAUSE.pattern}')
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def is_clause(docstring: str) -> bool:
    """Return whether a docstring begins with a clause that is no sentence: a study's question is one."""
    begin = re.split(r"[.?](?:\s|$)", docstring, maxsplit=1)[0]
    return bool(CLAUSE.match(docstring)) and not docstring[len(begin) :].startswith("?")


def clauses(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, first line of the docstring) of each docstring in a module that is a clause."""
    if not BEGIN.search(source):  # parsing takes longer than all else
        return
    for node in ast.walk(ast.parse(source)):
        found = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        if found and is_clause(found):
            yield getattr(node, "lineno", 1), found.splitlines()[0]


@pytest.mark.parametrize(
    ("docstring", "is_one"),
    [
        ("Whether it is live.", True),
        ("What a plan costs: time and space.", True),
        ("How far it is. What else?", True),
        ("What makes a winning ticket?", False),
        ("Return whether it is live.", False),
        ("Whetstone's benchmark.", False),
    ],
)
def test_a_clause_is_told_from_a_sentence(docstring: str, is_one: bool) -> None:
    assert is_clause(docstring) is is_one


def test_docstrings_begin_with_a_verb_or_name_the_thing() -> None:
    modules = sorted(name for name in listed() if name.endswith(".py"))
    assert len(modules) > 500
    found = [f"{path}:{line}: {text}" for path in modules for line, text in clauses((ROOT / path).read_text())]
    assert not found, "begin with Return, Yield, Raise ..., or name the thing:\n" + "\n".join(found)
