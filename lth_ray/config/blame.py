"""Blame: the place in a user's own code at which an error arose, and whose call it was."""

import inspect
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OURS = str(Path(__file__).parents[1])
OTHERS = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def line_of(error: BaseException) -> str:
    """Return the innermost line that is the user's own, neither this library's nor an installed one's; else
    the innermost.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    own = [frame for frame in frames if not frame.filename.startswith((OURS, *OTHERS, "<"))]
    frame = (own or frames)[-1]
    source = f": {frame.line}" if frame.line else ""
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}{source}"


def named(field: str, function: Any) -> str:
    """Return "Train.loss = focal (study.py, line 12)": a field and the function given for it, or its name."""
    if not callable(function):
        return f"{field} = {function!r}"
    function = inspect.unwrap(function)  # a study's functions are wrapped when it is planned
    code = getattr(
        getattr(function, "__init__" if isinstance(function, type) else "__func__", function), "__code__", None
    )
    place = f" ({Path(code.co_filename).name}, line {code.co_firstlineno})" if code is not None else ""
    return f"{field} = {getattr(function, '__qualname__', repr(function))}{place}"


@contextmanager
def within(whose: Callable[[], str]) -> Iterator[None]:
    """Note on an error that arises within whose call it was, the innermost first."""
    try:
        yield
    except Exception as error:
        error.add_note(whose())
        raise


def in_one_line(error: BaseException) -> str:
    """Return an error in one line: what it says, the user's line, and whose call that was."""
    places = "; ".join([line_of(error), *(f"called by {note}" for note in getattr(error, "__notes__", ()))])
    return f"{type(error).__name__}: {error}" + (f" ({places})" if places else "")
