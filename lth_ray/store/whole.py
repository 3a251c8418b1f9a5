"""A check that a file of a store is what was written, and is what its name says."""

from __future__ import annotations

from pathlib import PurePosixPath

from lth_ray.store import layout
from lth_ray.store.bundles import read_index
from lth_ray.store.codec import content
from lth_ray.store.errors import DamagedFile
from lth_ray.store.files import BUNDLES
from lth_ray.store.records import decode_record
from lth_ray.store.states import decode_state
from lth_ray.store.store import Store


def damage(store: Store, path: str) -> str | None:
    """Return what is wrong with a file of the store's own, read whole; None where nothing is.

    Raise MissingFile.
    """
    try:
        _check(store, path)
    except DamagedFile as error:
        return error.why
    return None


def _check(store: Store, path: str) -> None:
    """Read a file as those who use it do, and reckon its content anew. Raise DamagedFile."""
    file, folder = PurePosixPath(path), path.partition("/")[0]
    if folder == layout.MASKS:
        if content(store.load_mask(file.stem)) != file.stem:
            raise DamagedFile(path, "its content is not the one in its name")
    elif folder == layout.STATES and (found := layout.state_of(path)) is not None:
        expected = {"kind": "state", "trajectory": found[0], "step": str(found[1])}
        state, _ = store.read(path, lambda opened: decode_state(opened, path, expected))
        digest = content(state.model)
        if digest != state.content or not file.name.partition("-")[2].startswith(digest[:16]):
            raise DamagedFile(path, "its content is not the one in its name")
    elif folder == layout.CHECKPOINTS:
        expected = {"kind": "checkpoint", "key": file.parent.name, "step": str(int(file.stem))}
        store.read(path, lambda opened: decode_state(opened, path, expected))
    elif folder == BUNDLES:
        read_index(store.bundled.files, path)
    elif folder == layout.STUDIES:
        decode_record(store.get(path), "study", path, path)
    else:
        decode_record(store.get(path), folder.removesuffix("s"), file.stem, path)
