"""Fetching a data set through torchvision, so that its folder is complete or absent."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lth_ray.data.cache import cache_dir

TIMEOUT_S = 20.0  # without an answer for this long there is no network to speak of


def places(data_root: Path | None) -> list[Path]:
    """Return where data sets are looked for and put: the data root if there is one, then the user's cache."""
    return [*([data_root] if data_root else []), cache_dir() / "datasets"]


def download(folder: str, data_root: Path | None, fetch: Callable[[str], object]) -> str | None:
    """Let `fetch(place)` make place/folder in the first place that can be written.

    Returns None when the folder is there, else why not. Downloads into a staging folder beside the final one:
    of several processes that fetch the same data set, one wins and the others use what it put there.
    A folder that was there before is never touched.
    """
    why = "no folder to download to"
    for place in places(data_root):
        final = place / folder
        if final.exists():
            return f"{final} is in the way: complete or remove it"
        try:
            place.mkdir(parents=True, exist_ok=True)
            staging = tempfile.TemporaryDirectory(dir=place, prefix=".download-")
        except OSError as error:
            why = f"{place} cannot be written: {error}"
            continue
        with staging as inside, _timeout():
            try:
                fetch(inside)
                os.replace(Path(inside, folder), final)
            except (OSError, RuntimeError) as error:  # a URLError is an OSError; torchvision raises RuntimeError
                return None if final.exists() else f"{type(error).__name__}: {error}"
        return None
    return why


@contextmanager
def _timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
