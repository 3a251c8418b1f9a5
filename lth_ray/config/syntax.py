"""A function's syntax tree, found by its code: comments, formatting and docstrings are no part of it."""

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
Functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class NoSource(LookupError):
    """An error where the source of something is not at hand; the words say what is wrong."""


def node_of(code: CodeType) -> ast.AST:
    """Return the def or lambda that `code` was compiled from.

    Raise NoSource, also where its file has changed since.
    """
    text = "".join(linecache.getlines(code.co_filename))
    if not text:
        raise NoSource(f"its source is not at hand ({code.co_filename})")
    try:
        tree, codes = _parsed(text, code.co_filename)
    except SyntaxError:
        raise NoSource(f"its source does not parse ({code.co_filename})") from None
    found = [node for node in ast.walk(tree) if isinstance(node, Functions) and _is_of(node, code)]
    if not found or (code.co_firstlineno, code.co_name, code.co_code) not in codes:
        raise NoSource(f"{code.co_filename} has changed since it was loaded; load it anew")
    return min(found, key=lambda node: (node.end_lineno or 0) - node.lineno)


def module_tree(path: str) -> ast.AST:
    """Return the tree of a whole module."""
    text = "".join(linecache.getlines(path))
    if not text:
        raise NoSource(f"its source is not at hand ({path})")
    return _parsed(text, path)[0]


@lru_cache(maxsize=256)
def _parsed(text: str, path: str) -> tuple[ast.Module, frozenset[tuple[int, str, bytes]]]:
    """Return the tree, and (first line, name, instructions) of every function in it."""
    whole = compile(text, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return ast.parse(text), frozenset((one.co_firstlineno, one.co_name, one.co_code) for one in codes_of(whole))


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """Yield `code` and all that is defined within it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from codes_of(inner)


def _is_of(node: Functions, code: CodeType) -> bool:
    if not isinstance(node, ast.Lambda):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return node.name == code.co_name and first == code.co_firstlineno
    if code.co_name != "<lambda>" or node.lineno != code.co_firstlineno:
        return False
    places = [place for place in code.co_positions() if None not in place and place[2:] != (0, 0)]
    body = node.body
    begin, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    return all(begin <= (line, column) and (to, until) <= end for line, to, column, until in places)


def plain(node: Any) -> Any:
    """Return a tree as plain JSON data; what is empty is left out, as other Pythons have more kinds of field."""
    if isinstance(node, ast.AST):
        kept = {
            name: plain(value) for name, value in ast.iter_fields(node) if name not in ("ctx", "type_comment", "kind")
        }
        if isinstance(node, DOCUMENTED):
            kept["body"] = [plain(one) for one in _undocumented(node.body)]
        return [type(node).__name__, {name: value for name, value in kept.items() if value not in (None, [])}]
    if isinstance(node, list):
        return [plain(one) for one in node]
    return node if node is None or isinstance(node, str) else [type(node).__name__, repr(node)]


def _undocumented(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body
