"""The user's cache folder: decoded images, and downloads when no data root can take them."""

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def cache_dir() -> Path:
    """Return the operating system's place for caches (under XDG_CACHE_HOME where that is set)."""
    import platformdirs  # data in memory needs no folder, nor what finds it

    return Path(platformdirs.user_cache_dir("lth_ray"))


def cached_array(key: str, shape: tuple[int, ...], make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the uint8 array of this shape kept under `key`, or what `make` gives, kept for the next time.

    A file that is damaged or of another shape is made again; a cache that cannot be written costs a warning.
    """
    path = cache_dir() / "decoded" / f"{key}.npy"
    try:
        kept = np.load(path, allow_pickle=False)
        if kept.shape == shape and kept.dtype == np.uint8:
            return np.asarray(kept)
    except (OSError, ValueError, EOFError):  # absent, unreadable, foreign or truncated
        pass
    array = make()
    try:
        _write(path, array)
    except OSError as error:
        warnings.warn(
            f"decoded images could not be kept in {path.parent} ({error}): every run decodes them anew", stacklevel=2
        )
    return array


def _write(path: Path, array: NDArray[np.uint8]) -> None:
    """Write the file whole or not at all, however many processes write it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
