"""Files and listings on local disks and mounts, S3, and what Spark's Hadoop reaches.

| path | how |
|---|---|
| ``/x``, ``x``, ``file:///x``, ``/Volumes/…`` | the local file system |
| ``dbfs:/x`` | the mount ``/dbfs/x`` (``dbfs:/Volumes/…``: ``/Volumes/…``) |
| ``s3://``, ``s3a://`` | boto3; endpoint from ``configure``, ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` |
| ``hdfs://``, ``abfss://``, ``gs://``, … | Hadoop's FileSystem of the active classic SparkSession |

Every failure is an ``InputError``: one line with the path and the way out, without credentials. See docs/contract.md,
section 1, for the paths of a config.
"""

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from blitz.errors import InputError
from blitz.storage.base import Backend, FileInfo
from blitz.storage.local import LocalFiles
from blitz.storage.paths import is_local, is_s3, is_table

if TYPE_CHECKING:
    from blitz.storage.s3 import S3Files

_s3_settings: dict[str, Any] = {}


def configure(endpoint: str | None = None, region: str | None = None, boto3_session: Any = None) -> None:
    """Set how this process reaches S3 from here on; None leaves the choice to the environment and boto3's own chain.

    Args:
        endpoint: URL of an S3-compatible server; buckets are then addressed by path.
        region: region of the buckets.
        boto3_session: a ``boto3.Session`` with its own credentials.
    """
    _s3_settings.update(endpoint=endpoint, region=region, session=boto3_session)


def list_files(path: str) -> list[FileInfo]:
    """The data files of a file, a folder (recursive) or a glob, sorted by path; an empty list where there are none.

    Empty files are left out, and hidden names (``_x``, ``.x``) below the folder or where a glob does not ask for them.
    """
    return _backend(path).list_files(path)


def exists(path: str) -> bool:
    """Whether there is a file, or a folder (on S3: any object below), of exactly this path."""
    return _backend(path).exists(path)


def read_bytes(path: str, limit: int | None = None) -> bytes:
    """The content of a file, or its first ``limit`` bytes."""
    return _backend(path).read_bytes(path, limit)


def open_input(path: str) -> BinaryIO:
    """A file opened for reading: binary and seekable; on S3 only the ranges that are read are fetched."""
    return _backend(path).open_input(path)


def write_bytes(path: str, data: bytes) -> None:
    """Write a file and its parent folders.

    On local disk and S3 a reader sees the old content or the new, never a part; HDFS does not promise that.
    """
    _backend(path).write_bytes(path, data)


def copy(source: str, target: str) -> None:
    """Copy a file within one kind of storage: a hard link on local disk, a copy inside S3.

    Only for files that never change, since source and target may be the same bytes on disk.
    """
    _backend(source).copy(source, target)


def delete(path: str) -> None:
    """Delete a file, or a folder with everything below (hidden names too); a missing one is no error.

    Raises InputError for the root of a file system or bucket.
    """
    _backend(path).delete(path)


def is_reachable(path: str) -> bool:
    """Whether this process can list and write the path; a Hadoop scheme takes a classic SparkSession.

    Over Spark Connect, only Spark itself reaches such a path.
    """
    if is_local(path) or is_s3(path):
        return True
    try:
        from blitz.storage.hadoop import has_jvm  # Spark Connect clients come without py4j
    except ImportError:
        return False
    return has_jvm()


def s3_files() -> "S3Files":
    """The S3 backend as configured, for what only S3 has (server-side copies, conditional writes)."""
    from blitz.storage.s3 import S3Files  # boto3 takes half a second to import; local runs never need it

    endpoint = _s3_settings.get("endpoint")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    return _s3_backend(S3Files, endpoint, _s3_settings.get("region"), _s3_settings.get("session"))


@lru_cache(maxsize=4)
def _s3_backend(kind: "type[S3Files]", endpoint: str | None, region: str | None, session: Any) -> "S3Files":
    return kind(endpoint, region, session)


def _backend(path: str) -> Backend:
    if is_local(path):
        return LocalFiles()
    if is_s3(path):
        return s3_files()
    if is_table(path):
        raise InputError("a table of a catalog, where a file or folder is needed", path=path)
    from blitz.storage.hadoop import HadoopFiles  # Spark Connect clients come without py4j

    return HadoopFiles()
