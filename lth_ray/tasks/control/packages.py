"""Packages that extras bring, imported when they are needed."""

import importlib
from functools import cache
from typing import Any

from lth_ray.config import ConfigError


@cache
def needed(module: str, extra: str) -> Any:
    """Import a package. Raise ConfigError, saying which extra brings it, where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f'Environment: it needs {module}, which is not installed; pip install "lth_ray[{extra}]"'
        ) from error
