"""The library transformers, imported when it is needed, and kept from the network and from speaking."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lth_ray.config import ConfigError

OFFLINE = {"local_files_only": True, "trust_remote_code": False}  # nothing is fetched, and a folder's code is not run


def transformers(what: str) -> Any:
    """Return the library. Raise ConfigError, naming the extra that `what` needs, where it is not installed."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would outlive a fork, and it then warns
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(f'{what} needs the package transformers: pip install "lth_ray[text]"') from error
    return transformers


@contextmanager
def quiet(library: Any) -> Iterator[None]:
    """Keep it from reporting what is checked here in other words."""
    logs = library.utils.logging
    verbosity, bar = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bar:
            logs.enable_progress_bar()
