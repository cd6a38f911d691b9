"""Small files and listings, wherever they are: local disk and its mounts, S3, and what Spark's Hadoop can reach.

| path | how |
|---|---|
| ``/x``, ``x``, ``file:///x``, ``/Volumes/…`` | the local file system |
| ``dbfs:/x`` | the mount ``/dbfs/x`` (``dbfs:/Volumes/…``: ``/Volumes/…``) |
| ``s3://``, ``s3a://`` | boto3; endpoint from ``configure`` or ``AWS_ENDPOINT_URL`` (``_S3``) |
| ``hdfs://``, ``abfss://``, ``gs://``, … | Hadoop's FileSystem of the active classic SparkSession |

Every failure is an ``InputError``: one line with the path and the way out, without credentials.
Contract: configuration, paths.
"""

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from blitz.storage.base import GLOB_CHARS, Backend, FileInfo
from blitz.storage.local import LocalFiles, local_path

if TYPE_CHECKING:
    from blitz.storage.s3 import S3Files

__all__ = [
    "FileInfo",
    "configure",
    "copy",
    "delete",
    "exists",
    "is_local",
    "is_reachable",
    "is_s3",
    "list_files",
    "local_path",
    "open_input",
    "read_bytes",
    "s3_files",
    "spark_path",
    "write_bytes",
]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_LOCAL_SCHEMES = {"", "file", "dbfs"}
_S3_SCHEMES = {"s3", "s3a", "s3n"}
_s3_settings: dict[str, Any] = {}


def configure(endpoint: str | None = None, region: str | None = None, boto3_session: Any = None) -> None:
    """Set how S3 is reached from here on; None leaves the choice to the environment and boto3's own chain.

    Args:
        endpoint: URL of an S3 of one's own; buckets are then addressed by path.
        region: region of the buckets.
        boto3_session: a ``boto3.Session`` with credentials of its own.
    """
    _s3_settings.update(endpoint=endpoint, region=region, session=boto3_session)


def list_files(path: str) -> list[FileInfo]:
    """The data files of a file, a folder (recursive) or a glob, sorted by path; an empty list where there are none.

    Left out are empty files and, below the folder or where a glob does not ask for them, hidden names (``_x``, ``.x``).
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
    """Write a whole file; local disk and S3 show the old content or the new, never a part (HDFS: no such promise)."""
    _backend(path).write_bytes(path, data)


def copy(source: str, target: str) -> None:
    """Copy a file within one kind of file system, on its side where it can: a hard link, a copy inside S3.

    For files that nobody changes afterwards.
    """
    _backend(source).copy(source, target)


def delete(path: str) -> None:
    """Delete a file, or a folder with all that is below (hidden names too); nothing happens where there is none."""
    _backend(path).delete(path)


def spark_path(path: str, *, literal: bool = False) -> str:
    """The path as Spark must get it.

    Local paths become absolute ``file:`` URIs, since a cluster's default file system may be another one; ``dbfs:/``,
    ``/Volumes`` and every other scheme stay as they are.

    Args:
        path: a path or glob.
        literal: escape glob characters, for a file whose own name holds them (readers only: writers take no globs).
    """
    if _scheme(path) in ("", "file"):
        local = os.path.abspath(local_path(path))
        path = local if local.startswith("/Volumes/") else f"file://{local}"
    return "".join(f"\\{c}" if c in GLOB_CHARS or c in "]}\\" else c for c in path) if literal else path


def is_local(path: str) -> bool:
    """Whether the path is on this machine's file system or one of its mounts."""
    return _scheme(path) in _LOCAL_SCHEMES


def is_s3(path: str) -> bool:
    """Whether the path is in an S3 bucket."""
    return _scheme(path) in _S3_SCHEMES


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
    """The S3 backend as configured, for what only S3 has (copies, conditional writes)."""
    from blitz.storage.s3 import S3Files  # boto3 takes half a second to import; local runs never need it

    endpoint = _s3_settings.get("endpoint")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    return _s3_backend(S3Files, endpoint, _s3_settings.get("region"), _s3_settings.get("session"))


@lru_cache(maxsize=4)
def _s3_backend(kind: "type[S3Files]", endpoint: str | None, region: str | None, session: Any) -> "S3Files":
    return kind(endpoint, region, session)


def _scheme(path: str) -> str:
    match = _SCHEME.match(path)
    return match.group(1).lower() if match else ""


def _backend(path: str) -> Backend:
    if is_local(path):
        return LocalFiles()
    if is_s3(path):
        return s3_files()
    from blitz.storage.hadoop import HadoopFiles

    return HadoopFiles()
