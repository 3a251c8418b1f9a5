"""The names and lengths that no version of MLflow refuses, and numbers as its tables hold them."""

import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from lth_ray.record.mlflow.runs import TEXT_LIMIT, Metric

NAME = re.compile(r"[\w.\- :/]{1,250}", re.ASCII)
LARGEST = 1.7976931348623157e308  # in the place of an infinity


def is_admitted(name: str, tags: Mapping[str, str], params: Mapping[str, str], metrics: Iterable[Metric]) -> bool:
    """Return whether MLflow surely takes a run of this name with these."""
    return (
        0 < len(name) <= 250
        and all(map(_is_name, (*tags, *params)))
        and all(map(_is_name, {metric[0] for metric in metrics}))
        and all(len(text) <= TEXT_LIMIT for text in (*tags.values(), *params.values()))
    )


@lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    is_path = posixpath.normpath(name) == name and not name.startswith(("/", "..")) and name != "."
    return is_path and NAME.fullmatch(name) is not None


def stored_value(value: float) -> tuple[float, int]:
    """Return a metric's value in MLflow's tables, which hold neither NaN nor infinities, and 1 for NaN, else 0."""
    if math.isnan(value):
        return 0.0, 1
    return (math.copysign(LARGEST, value) if math.isinf(value) else value), 0
