"""A check that files can be written, and published exactly once, before any work starts."""

from __future__ import annotations

import uuid

from lth_ray.store.errors import StorageError
from lth_ray.store.files import TEMPORARY, Files


def check_writable(files: Files) -> None:
    """Check by doing what is needed, two conditional writes of one file. Raise StorageError."""
    path = f"{TEMPORARY}/probe-{uuid.uuid4().hex}"
    first, second = files.put_if_absent(path, b"probe"), files.put_if_absent(path, b"probe")
    files.delete(path)
    if not first or second:
        raise StorageError(
            f"storage {files.uri} ignores conditional writes, so two runs could publish different results under "
            "one key: use Amazon S3, a server that honours IfNoneMatch, or a file system"
        )
