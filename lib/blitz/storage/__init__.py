"""Files on local disks, S3 and Hadoop file systems. Use it as ``from blitz import storage``; see ``facade``."""

from blitz.storage.base import FileInfo
from blitz.storage.facade import (
    configure,
    copy,
    delete,
    exists,
    is_reachable,
    list_files,
    open_input,
    read_bytes,
    s3_files,
    write_bytes,
)
from blitz.storage.paths import is_local, is_s3, is_table, local_path, scheme_of, spark_path

__all__ = [
    "FileInfo",
    "configure",
    "copy",
    "delete",
    "exists",
    "is_local",
    "is_reachable",
    "is_s3",
    "is_table",
    "list_files",
    "local_path",
    "open_input",
    "read_bytes",
    "s3_files",
    "scheme_of",
    "spark_path",
    "write_bytes",
]
