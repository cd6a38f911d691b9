"""Objects in S3 or a compatible store through boto3, on the driver only."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from blitz.errors import InputError, StorageError
from blitz.storage.base import FileInfo, below_matches, expand_braces, fixed_prefix, is_glob, is_hidden

TAIL_BYTES = 256 * 1024
READ_AHEAD_BYTES = 4 * 1024 * 1024
DELETE_BATCH = 1000
ATTEMPTS = 4
DOWN_SECONDS = 20
_BROKEN_STREAM = (IncompleteReadError, ResponseStreamingError, ReadTimeoutError, ConnectionClosedError)
_UNREACHABLE = (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError, ConnectionClosedError, SSLError)
_MISSING = {"404", "NoSuchKey", "NotFound"}
_CHANGED = {"412", "PreconditionFailed"}
_ANSWERS = {  # error code of S3: what a user reads
    **dict.fromkeys(_MISSING, "no such object; check the path in the config"),
    **dict.fromkeys(_CHANGED, "the object changed while it was being read; run again when nobody writes to it"),
    **dict.fromkeys(
        ("403", "AccessDenied", "AllAccessDisabled", "Forbidden"),
        "access denied; the role of this run needs s3:ListBucket, GetObject, PutObject on {bucket}",
    ),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
        "the AWS credentials were refused ({code}); renew them",
    ),
    **dict.fromkeys(
        ("301", "PermanentRedirect", "AuthorizationHeaderMalformed"),
        "bucket {bucket} is in another region ({code}); set run.s3_region",
    ),
    "NoSuchBucket": "there is no bucket {bucket} at {where}; check the path and run.s3_endpoint",
}


@dataclass(frozen=True)
class S3Object:
    """One object of a listing: its key, size in bytes, modification time (epoch seconds) and entity tag."""

    key: str
    size: int
    modified: float
    etag: str


class Conflict(Exception):
    """A conditional write that lost: the object exists already, or is no longer the one that was read."""


def split(path: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``; InputError where there is no bucket."""
    bucket, _, key = path.split("://", 1)[1].partition("/") if "://" in path else ("", "", "")
    if not bucket or is_glob(bucket):
        raise InputError("no bucket in the path; write s3://BUCKET/KEY", path=path)
    return bucket, key


class S3Files:
    """The S3 backend; see ``Backend`` for what its methods return and raise.

    Args:
        endpoint: URL of an S3-compatible server; None for AWS.
        region: region of the buckets; None for that of the session.
        session: a ``boto3.Session`` or None for the default one.
    """

    def __init__(self, endpoint: str | None, region: str | None, session: Any) -> None:
        self._where = urlsplit(endpoint).netloc.rpartition("@")[2] if endpoint else "AWS"
        self._endpoint, self._region, self._session = endpoint, region, session
        self._down_until = 0.0
        # Four attempts of at most ten seconds: an endpoint that does not answer fails within a minute.
        self.client = self._new_client(read_timeout=10, attempts=ATTEMPTS)

    @cached_property
    def bulk(self) -> Any:
        """A client for many server-side copies at once, with a long timeout and more retries."""
        return self._new_client(read_timeout=120, attempts=8)

    def _new_client(self, read_timeout: int, attempts: int) -> Any:
        config = BotoConfig(
            connect_timeout=5,
            read_timeout=read_timeout,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            max_pool_connections=32,
            s3={"addressing_style": "path"} if self._endpoint else {},
        )
        try:
            session = self._session or boto3.Session()
            region = self._region or session.region_name or ("us-east-1" if self._endpoint else None)
            return session.client("s3", endpoint_url=self._endpoint, region_name=region, config=config)
        except (BotoCoreError, ValueError) as error:
            raise InputError(f"S3 at {self._where} cannot be used: {error}; check endpoint, region, profile") from error

    # -- Backend

    def list_files(self, path: str) -> list[FileInfo]:
        """The data files of a file, a folder (recursive) or a glob, sorted by path."""
        bucket, key = split(path)
        head = path[: len(path) - len(key)]
        found = {item for pattern in expand_braces(key) for item in self._matching(bucket, pattern, path)}
        return sorted(FileInfo(head + item.key, item.size, item.modified) for item in found if item.size > 0)

    def _matching(self, bucket: str, pattern: str, path: str) -> Iterator[S3Object]:
        if is_glob(pattern):
            found = self.objects(bucket, fixed_prefix(pattern), path)
            yield from (item for item in found if below_matches(pattern, item.key))
            return
        folder = pattern if pattern == "" or pattern.endswith("/") else f"{pattern}/"
        empty = True
        for item in self.objects(bucket, folder, path):
            empty = False
            if not any(is_hidden(name) for name in item.key[len(folder) :].split("/")):
                yield item
        if empty and folder != pattern:
            item_or_none = self.head(bucket, pattern, path)
            if item_or_none is not None:
                yield item_or_none

    def exists(self, path: str) -> bool:
        """Whether there is an object of exactly this key, or any object below it."""
        bucket, key = split(path)
        folder = key if key == "" or key.endswith("/") else f"{key}/"
        if next(self.objects(bucket, folder, path, page=1), None) is not None:
            return True
        return folder != key and self.head(bucket, key, path) is not None

    def read_bytes(self, path: str, limit: int | None) -> bytes:
        """The content of a file, or its first ``limit`` bytes."""
        if limit == 0:
            return b""
        return self.get(path, None if limit is None else f"bytes=0-{limit - 1}")[0]

    def open_input(self, path: str) -> BinaryIO:
        """An object opened for reading: its tail and read-ahead blocks are fetched as ranges."""
        # One block of read-ahead is enough for a footer and for a file read from front to back.
        return cast(BinaryIO, io.BufferedReader(_RangeReader(self, path), buffer_size=64 * 1024))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write an object; a reader sees the old content or the new."""
        self.put(path, data)

    def copy(self, source: str, target: str) -> None:
        """Copy an object of up to 5 GB inside S3."""
        (bucket, key), (other, copied) = split(source), split(target)
        with self.translate_errors(source):
            # In one call, which S3 takes up to 5 GB: far above the files that Spark writes.
            self.client.copy_object(Bucket=other, Key=copied, CopySource={"Bucket": bucket, "Key": key})

    def delete(self, path: str) -> None:
        """Delete an object and everything below its key; InputError for a whole bucket."""
        bucket, key = split(path)
        if not key.strip("/"):
            raise InputError("refusing to delete a whole bucket", path=path)
        below = [item.key for item in self.objects(bucket, key.rstrip("/") + "/", path)]
        self.delete_keys(bucket, [*below, key.rstrip("/")], path)

    # -- also used by publishing

    def objects(self, bucket: str, prefix: str, path: str, page: int = 1000) -> Iterator[S3Object]:
        """Every object below a prefix, in key order."""
        with self.translate_errors(path):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": page}
            )
            for found in pages:
                for item in found.get("Contents", ()):
                    yield S3Object(item["Key"], item["Size"], item["LastModified"].timestamp(), item["ETag"])

    def head(self, bucket: str, key: str, path: str) -> S3Object | None:
        """One object's record, or None where there is none."""
        with self.translate_errors(path):
            try:
                found = self.client.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise
        return S3Object(key, found["ContentLength"], found["LastModified"].timestamp(), found["ETag"])

    def get(self, path: str, byte_range: str | None = None, etag: str | None = None) -> tuple[bytes, int, str]:
        """The bytes of an object (or of a range), the size of the whole object and its entity tag.

        With ``etag``, an object that has another one by now is an InputError.
        """
        bucket, key = split(path)
        wanted: dict[str, Any] = {"Bucket": bucket, "Key": key}
        wanted |= {"Range": byte_range} if byte_range else {}
        wanted |= {"IfMatch": etag} if etag else {}
        with self.translate_errors(path):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    found = self.client.get_object(**wanted)
                    data = found["Body"].read()
                except _BROKEN_STREAM:  # botocore retries requests, not bodies that break off
                    if attempt == ATTEMPTS:
                        raise
                except ClientError as error:
                    if error.response["Error"]["Code"] == "InvalidRange":  # an empty object has no range at all
                        return b"", 0, ""
                    raise
                else:
                    total = found.get("ContentRange", f"/{len(data)}").rpartition("/")[2]
                    return data, int(total), found["ETag"]
        raise AssertionError("unreachable")

    def put(self, path: str, data: bytes, *, if_absent: bool = False, if_etag: str | None = None) -> str:
        """Write an object and return its entity tag; Conflict where a condition does not hold."""
        bucket, key = split(path)
        condition = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_etag} if if_etag else {}
        with self.translate_errors(path):
            try:
                return cast(str, self.client.put_object(Bucket=bucket, Key=key, Body=data, **condition)["ETag"])
            except ClientError as error:
                lost = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
                if condition and error.response["Error"]["Code"] in lost | _MISSING:
                    raise Conflict(path) from error
                raise

    def delete_keys(self, bucket: str, keys: list[str], path: str) -> None:
        """Delete objects, a thousand per call; missing ones are no error."""
        with self.translate_errors(path):
            for start in range(0, len(keys), DELETE_BATCH):
                batch = [{"Key": key} for key in keys[start : start + DELETE_BATCH]]
                answer = self.client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
                if answer.get("Errors"):
                    raise ClientError({"Error": answer["Errors"][0]}, "DeleteObjects")

    @contextmanager
    def translate_errors(self, path: str) -> Iterator[None]:
        """Turn boto3's errors into one line that names the path and the way out.

        An endpoint that did not answer is not tried again for ``DOWN_SECONDS``: each path would take a timeout.
        """
        if time.monotonic() < self._down_until:
            raise StorageError(self._unreachable(), path=path)
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, _UNREACHABLE):
                self._down_until = time.monotonic() + DOWN_SECONDS
            kind = InputError if _is_of_one_path(error) else StorageError
            raise kind(self._reason(path, error), path=path) from error

    def _unreachable(self) -> str:
        return f"S3 at {self._where} cannot be reached; check the network, run.s3_endpoint and AWS_ENDPOINT_URL"

    def _reason(self, path: str, error: Exception) -> str:
        bucket = split(path)[0]
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return "no AWS credentials found; set AWS_PROFILE, the AWS_ACCESS_KEY_ID pair or a role for this machine"
        if isinstance(error, _UNREACHABLE):
            return self._unreachable()
        if isinstance(error, ParamValidationError):
            return "not a valid bucket or key; write s3://BUCKET/KEY"
        if not isinstance(error, ClientError):
            return f"S3 at {self._where} failed ({type(error).__name__}); check region, profile and credentials"
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in _MISSING and error.operation_name.startswith("List"):
            return f"the server at {self._where} is not S3; check run.s3_endpoint, AWS_ENDPOINT_URL and proxies"
        template = _ANSWERS.get(code, "S3 at {where} answered {code}; try again, then check the policy of the bucket")
        return template.format(where=self._where, bucket=repr(bucket), code=code)


def _is_of_one_path(error: Exception) -> bool:
    """Whether an error concerns this path alone: a missing object, not missing credentials."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return isinstance(error, ParamValidationError) or code in _MISSING | _CHANGED


class _RangeReader(io.RawIOBase):
    """A seekable object. The first request fetches its tail; other ranges are fetched with read-ahead when read."""

    def __init__(self, files: S3Files, path: str) -> None:
        self._files, self._path, self._position = files, path, 0
        self._tail, self._size, self._etag = files.get(path, f"bytes=-{TAIL_BYTES}")
        self._block, self._block_start = b"", 0

    def readable(self) -> bool:
        """True: the object can be read."""
        return True

    def seekable(self) -> bool:
        """True: the position can be set."""
        return True

    def tell(self) -> int:
        """The position in the object."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position and return it; ValueError before the start."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"{self._path}: seek before the start")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the position on; returns the number of bytes, 0 at the end."""
        data = self._at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _at(self, start: int, length: int) -> bytes:
        """At most ``length`` bytes from ``start``; empty only at the end."""
        tail_start = self._size - len(self._tail)
        if start >= tail_start:
            return self._tail[start - tail_start : start - tail_start + length]
        at = start - self._block_start
        if not 0 <= at < len(self._block):
            end = min(start + max(length, READ_AHEAD_BYTES), tail_start)
            self._block = self._files.get(self._path, f"bytes={start}-{end - 1}", self._etag)[0]
            self._block_start, at = start, 0
        return self._block[at : at + length]
