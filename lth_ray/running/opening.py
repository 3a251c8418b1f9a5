"""The opening of a study that is in a storage, without running it."""

import os

from lth_ray.config import ConfigError
from lth_ray.running import history
from lth_ray.running.results import Results
from lth_ray.store import Store


def open(storage: str | os.PathLike[str] = "./lth_storage", name: str | None = None) -> Results:
    """Return the results of a study as they are in a storage, complete or not; nothing is run or written.

    storage: a folder, or s3://BUCKET/PREFIX.
    name: of the study; None where the storage holds one only.

    Raises ConfigError where there is no such study, or several and no name.
    """
    store = Store.open(os.fspath(storage), writable=False)
    known = history.studies(store) if name is None else []
    if name is None and len(known) != 1:
        held = f"holds {len(known)} studies: {', '.join(known)}; name one" if known else "holds no study yet"
        raise ConfigError(f"open({os.fspath(storage)!r}): {store.uri} {held}")
    return Results(history.recorded_plan(store, name or known[0]), store)
