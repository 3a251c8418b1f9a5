"""A bucket (Amazon S3, or a server with its conditional writes) as a store's files.

A put of an object is atomic by itself. Publishing once is a conditional put, `IfNoneMatch="*"`, which pyarrow does
not offer; so boto3 does all of it, with one set of credentials and one endpoint. boto3 is an optional dependency and
slow to import: this module is imported for s3:// URIs only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from lth_ray import probes
from lth_ray.store.errors import MissingFile, StorageAway, StorageError
from lth_ray.store.files import MARKER, TEMPORARY, Data, Entry, parts_of, span

ATTEMPTS = 8
ABSENT = ("404", "NoSuchKey", "NotFound")
LOST = ("PreconditionFailed", "412")
AWAY = ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException")
CONNECT_S, READ_S = 10, 60  # before an attempt counts as lost
PART_BYTES = 128 * 2**20  # Amazon takes 5 GiB in one request; more goes in parts, 10,000 at most
SENDERS = 4
CONFLICT = ("ConditionalRequestConflict", "409")  # two conditional puts met: S3 asks for the request to be repeated
T = TypeVar("T")
ForGood = (NoCredentialsError, ParamValidationError)


@dataclass(frozen=True)
class S3Files:
    """Objects below s3://bucket/prefix. The client is made in the process that uses it, so this pickles.

    endpoint: a URL, by default that of AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or Amazon itself; credentials come
    from the environment only.
    """

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None

    @property
    def uri(self) -> str:
        options = {"endpoint_override": self.endpoint, "region": self.region}
        query = "&".join(f"{name}={value}" for name, value in options.items() if value)
        return f"s3://{self.bucket}/{self.prefix}" + (f"?{query}" if query else "")

    def put(self, path: str, data: Data) -> None:
        with self._explained(path):
            self._put(path, data)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write unless the path is there.

        Returns False also where an earlier attempt of this very call was stored and its answer lost: read
        what is there.
        """
        for attempt in range(ATTEMPTS):
            with self._explained(path):
                try:
                    self._put(path, data, IfNoneMatch="*")
                    return True
                except ClientError as error:
                    if _code(error) in LOST:
                        return False
                    if _code(error) not in CONFLICT or attempt == ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def _put(self, path: str, data: Data, **condition: str) -> None:
        """Put an object in one request, or in parts that become one, under the same condition, by the last
        request.
        """
        where = {"Bucket": self.bucket, "Key": self._key(path)}
        size = sum(map(len, parts_of(data)))
        if size <= PART_BYTES:
            self._client.put_object(**where, Body=span(data, 0, size), **condition)
            return
        client = self._client
        upload = client.create_multipart_upload(**where)["UploadId"]

        def send(number: int) -> dict[str, Any]:
            body = span(data, (number - 1) * PART_BYTES, number * PART_BYTES)
            tag = client.upload_part(**where, UploadId=upload, PartNumber=number, Body=body)["ETag"]
            return {"PartNumber": number, "ETag": tag}

        try:
            with ThreadPoolExecutor(SENDERS) as senders:
                parts = list(senders.map(send, range(1, -(-size // PART_BYTES) + 1)))
            probes.point("mid-write")
            client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts}, **condition)
        except BaseException:
            with suppress(ClientError, BotoCoreError):  # what was sent costs room that no listing shows
                client.abort_multipart_upload(**where, UploadId=upload)
            raise

    def get(self, path: str) -> bytes:
        return self.read(path, lambda file: file.read())

    def read(self, path: str, reader: Callable[[BinaryIO], T]) -> T:
        with self._explained(path), self._client.get_object(Bucket=self.bucket, Key=self._key(path))["Body"] as body:
            return reader(body)

    def part(self, path: str, begin: int, size: int) -> bytes:
        if not size:
            return b""
        asked = {"Bucket": self.bucket, "Key": self._key(path), "Range": f"bytes={begin}-{begin + size - 1}"}
        with self._explained(path):
            try:
                return bytes(self._client.get_object(**asked)["Body"].read())
            except ClientError as error:
                if _code(error) == "InvalidRange":  # it ends before
                    return b""
                raise

    def exists(self, path: str) -> bool:
        try:
            with self._explained(path):
                self._client.head_object(Bucket=self.bucket, Key=self._key(path))
        except MissingFile:
            return False
        return True

    def entries(self, folder: str) -> Iterator[Entry]:
        start = self._key(f"{folder}/" if folder else "")
        skipped = None if folder.startswith(TEMPORARY) else self._key(f"{TEMPORARY}/")
        with self._explained(folder):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start):
                for item in page.get("Contents", ()):
                    if skipped is None or not item["Key"].startswith(skipped):
                        path = item["Key"][len(self._key("")) :]
                        if path != MARKER:
                            yield Entry(path, item["Size"], item["LastModified"].timestamp())

    def delete(self, *paths: str) -> None:
        for path in paths:
            with self._explained(path):
                self._client.delete_object(Bucket=self.bucket, Key=self._key(path))

    def move(self, path: str, to: str) -> None:
        """Copy, then delete: a kill in between leaves both."""
        try:
            with self._explained(path):
                source = {"Bucket": self.bucket, "Key": self._key(path)}
                self._client.copy(source, self.bucket, self._key(to))
        except MissingFile:
            return
        self.delete(path)

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    @property
    def _client(self) -> Any:
        endpoint = self.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return _client(endpoint, self.region, os.getpid())  # a client must not be shared across a fork

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if _code(error) in ABSENT:
                raise MissingFile(path) from None
            if _code(error) in AWAY or _status(error) >= 500 or _status(error) == 429:
                raise StorageAway(f"cannot reach s3://{self.bucket}/{self._key(path)}: {error}") from error
            remedy = (
                "create the bucket first" if _code(error) == "NoSuchBucket" else "check bucket, policy, credentials"
            )
            raise StorageError(f"cannot access s3://{self.bucket}/{self._key(path)}: {error}; {remedy}") from error
        except BotoCoreError as error:
            kind = StorageError if isinstance(error, ForGood) else StorageAway
            raise kind(
                f"cannot reach s3://{self.bucket}/{self._key(path)}: {error}; "
                "check the network, AWS_ENDPOINT_URL and the credentials in the environment"
            ) from error


@lru_cache(maxsize=4)
def _client(endpoint: str | None, region: str | None, process: int) -> Any:
    retries = {"mode": "standard", "max_attempts": 3}  # of what is over in seconds; more is waited for elsewhere
    config = Config(retries=retries, connect_timeout=CONNECT_S, read_timeout=READ_S)
    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
