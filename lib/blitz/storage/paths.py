"""What a path says by itself: its scheme, the kind of storage, and how this machine and Spark write it."""

import os
import re

GLOB_CHARS = frozenset("*?[{")
SCHEMES = ("s3", "s3a", "dbfs", "file", "hdfs", "abfss", "gs", "table")
TABLE = "table:"  # what the name of a table of a catalog begins with; see blitz.catalog
BUCKET_SCHEMES = frozenset({"s3", "s3a", "abfss", "gs"})
_LOCAL_SCHEMES = frozenset({"", "file", "dbfs"})
_S3_SCHEMES = frozenset({"s3", "s3a"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(/?)")


def scheme_of(path: str) -> str:
    """The scheme of a path in lower case; "" for a plain path.

    A scheme is a name before a colon that is one of ``SCHEMES`` or has a slash after it. So ``s3:bucket`` has one,
    although it is not a valid path, and the file ``a:b.csv`` has none.
    """
    match = _SCHEME.match(path)
    if match is None or not (match[2] or match[1].lower() in SCHEMES):
        return ""
    return match[1].lower()


def is_local(path: str) -> bool:
    """Whether the path is on the file system of this machine or one of its mounts."""
    return scheme_of(path) in _LOCAL_SCHEMES


def is_s3(path: str) -> bool:
    """Whether the path is in an S3 bucket."""
    return scheme_of(path) in _S3_SCHEMES


def is_table(path: str) -> bool:
    """Whether this is no path but the name of a table of a catalog, such as ``table:catalog.schema.name``."""
    return path.startswith(TABLE)


def local_path(path: str) -> str:
    """The path as the file system of this machine knows it: ``file:`` is removed, ``dbfs:/X`` becomes ``/dbfs/X``.

    Nothing is percent-decoded, because Hadoop does not decode either.
    """
    scheme = scheme_of(path)
    if scheme == "file":
        return "/" + path[len("file:") :].removeprefix("//localhost").lstrip("/")
    if scheme == "dbfs":
        rest = path[len("dbfs:") :].lstrip("/")
        return f"/{rest}" if rest.split("/", 1)[0] == "Volumes" else f"/dbfs/{rest}"
    return path


def spark_path(path: str, *, literal: bool = False) -> str:
    """The path as Spark must get it.

    Local paths become absolute ``file:`` URIs, since the default file system of a cluster may be another one;
    ``dbfs:/``, ``/Volumes`` and every other scheme stay as they are.

    Args:
        path: a path or glob.
        literal: escape glob characters, for a file whose own name contains them (only for reading: Spark takes no
            globs when it writes).
    """
    if scheme_of(path) in ("", "file"):
        local = os.path.abspath(local_path(path))
        path = local if local.startswith("/Volumes/") else f"file://{local}"
    return "".join(f"\\{c}" if c in GLOB_CHARS or c in "]}\\" else c for c in path) if literal else path
