"""The user's cache folder: decoded images, encoded text, and downloads when no data root can take them."""

import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

Made = TypeVar("Made")


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
    return _kept(path, make(), lambda file, array: np.save(file, array, allow_pickle=False), "decoded images")


def cached_arrays(key: str, make: Callable[[], dict[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of encoded text kept under `key`, or what `make` gives, kept for the next time, as above."""
    path = cache_dir() / "encoded" / f"{key}.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        pass
    return _kept(path, make(), _save_all, "encoded text")


def _save_all(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    np.savez(file, allow_pickle=False, **arrays)


def _kept(path: Path, made: Made, save: Callable[[BinaryIO, Made], None], what: str) -> Made:
    """Write what was made whole or not at all, however many processes write it at once, and return it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                save(file, made)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        warnings.warn(f"{what} could not be kept in {path.parent} ({error}): every run makes them anew", stacklevel=3)
    return made
