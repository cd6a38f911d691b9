"""Files on local disks, S3 and whatever Hadoop reaches; ``from blitz import storage`` is the way in (facade.py)."""

from blitz.storage.base import FileInfo
from blitz.storage.facade import (
    configure,
    copy,
    delete,
    exists,
    is_local,
    is_reachable,
    is_s3,
    list_files,
    open_input,
    read_bytes,
    s3_files,
    spark_path,
    write_bytes,
)
from blitz.storage.local import local_path

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
