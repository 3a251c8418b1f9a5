"""Storage URIs: what one may say."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from lth_ray.store.errors import StorageError
from lth_ray.store.files import Files
from lth_ray.store.local import LocalFiles

SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
S3_OPTIONS = ("endpoint_override", "region", "scheme")  # pyarrow's names, so that one URI serves Ray as well


def open_files(uri: str) -> Files:
    """Return the files behind a local path, file:///PATH or
    s3://BUCKET/PREFIX[?endpoint_override=HOST:PORT&scheme=http].

    Raises StorageError for nothing at all, for any other scheme, and for credentials in the URI: a URI ends up in
    records and logs.
    """
    if not uri.strip():
        raise StorageError(f"storage {uri!r} names no place: give a folder or s3://BUCKET/PREFIX")
    scheme = SCHEME.match(uri)
    if scheme is None:
        return LocalFiles(str(Path(uri).expanduser().absolute()))
    parts = urlsplit(uri)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise StorageError(
                f"storage {uri!r} names the host {parts.netloc!r}: write file:///PATH, or the path alone"
            )
        if not parts.path.strip("/"):
            raise StorageError(f"storage {uri!r} names no folder: give file:///PATH")
        return LocalFiles(str(Path(parts.path).absolute()))
    if parts.scheme != "s3":
        raise StorageError(
            f"storage {parts.scheme}:// is not supported, because publishing exactly once is only tested on "
            "file systems and S3: use a local or mounted path, or s3://BUCKET/PREFIX"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - set(S3_OPTIONS))
    if "@" in parts.netloc or unknown:
        # The values are not repeated: they may be the secret.
        what = f"the option {', '.join(unknown)}" if unknown else "credentials"
        raise StorageError(
            f"the storage URI of bucket {parts.netloc.rpartition('@')[2]!r} contains {what}: give credentials by "
            f"the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or a profile), options are {S3_OPTIONS}"
        )
    if not parts.netloc:
        raise StorageError(f"storage {uri!r} names no bucket: use s3://BUCKET/PREFIX")
    try:
        from lth_ray.store.s3 import S3Files
    except ModuleNotFoundError as error:
        raise StorageError(f'storage on s3:// needs {error.name}: pip install "lth_ray[s3]"') from error
    return S3Files(parts.netloc, parts.path.strip("/"), **_s3_options(options))


def _s3_options(options: dict[str, str]) -> dict[str, str | None]:
    endpoint = options.get("endpoint_override")
    if endpoint and "://" not in endpoint:
        endpoint = f"{options.get('scheme', 'https')}://{endpoint}"
    return {"endpoint": endpoint, "region": options.get("region")}
