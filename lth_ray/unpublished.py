"""Names of other libraries that are used though these do not publish them.

Where a version lacks one, a warning says what is lost by that, once, and the rest works. Which names there are, two
modules of this name say: of Ray running/machine's, of MLflow record/mlflow's.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from typing import TypeVar

T = TypeVar("T")


def asked(name: str, needed: Mapping[str, str], look: Callable[[], T], otherwise: T) -> T:
    """Return what `look` finds by the name, or `otherwise`, with a warning, where its library has it no more.

    needed: {name: what is lost without it}.
    """
    try:
        return look()
    except (ImportError, AttributeError, TypeError) as error:
        warn_of(name, needed[name], f"{type(error).__name__}: {error}")
        return otherwise


@cache
def warn_of(name: str, lost: str, why: str) -> None:
    """Say, once a process, that a name is not as it was, and what is lost by that."""
    library = name.partition(".")[0]
    text = f"{library} {version(library)} has no {name} as lth_ray knows it ({why}): {lost}"
    warnings.warn(text, stacklevel=4)
