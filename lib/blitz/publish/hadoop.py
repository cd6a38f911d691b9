"""Outputs on Hadoop file systems (HDFS, abfss, …), through a classic SparkSession: two renames and a journal."""

import time
from contextlib import AbstractContextManager, suppress
from typing import Any

from py4j.protocol import Py4JJavaError

from blitz import storage
from blitz.errors import InputError, PublishError
from blitz.publish.lock import LeaseConflict, LeaseState, LockGuard, lease
from blitz.publish.tree import Entry, TreeStore
from blitz.storage.hadoop import file_system, translate_errors


class HadoopLeaseFile:
    """A lease as a Hadoop file: creation is exclusive, replacement reads before it writes.

    See ``LeaseFile`` for what each method returns and raises.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def create(self, data: bytes) -> str:
        """Create the file and return its tag; LeaseConflict where it exists."""
        files, target = file_system(self.path)
        try:
            stream = files.create(target, False)
        except Py4JJavaError as error:
            with translate_errors(self.path):
                if files.exists(target):
                    raise LeaseConflict from error
                raise
        with translate_errors(self.path):
            stream.write(bytearray(data))
            stream.close()
        return data.decode()

    def read(self) -> LeaseState | None:
        """The lease as it is now; None where there is no file."""
        files, target = file_system(self.path)
        with suppress(InputError):  # released in between
            with translate_errors(self.path):
                modified = files.getFileStatus(target).getModificationTime() / 1000
            data = storage.read_bytes(self.path)
            return LeaseState(data, data.decode(), time.time() - modified)
        return None

    def replace(self, data: bytes, tag: str) -> str:
        """Replace the content and return the new tag; LeaseConflict where the file no longer has ``tag``."""
        state = self.read()
        if state is None or state.tag != tag:
            raise LeaseConflict
        storage.write_bytes(self.path, data)
        return data.decode()

    def remove(self) -> None:
        """Remove the file; a missing one is no error."""
        storage.delete(self.path)


class HadoopTree:
    """A file system through Hadoop's FileSystem; see ``Tree`` for what each method returns and raises."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or a folder of this path."""
        return storage.exists(path)

    def entries(self, path: str) -> list[Entry] | None:
        """The entries of a folder, hidden ones too; None where the path is a file or does not exist."""
        files, target = file_system(path)
        with translate_errors(path):
            if not files.exists(target) or files.getFileStatus(target).isFile():
                return None
            return [(found.getPath().getName(), bool(found.isDirectory())) for found in files.listStatus(target)]

    def read_bytes(self, path: str, limit: int | None = None) -> bytes:
        """The content of a file, or its first ``limit`` bytes."""
        return storage.read_bytes(path, limit)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file."""
        storage.write_bytes(path, data)

    def rename(self, source: str, target: str) -> None:
        """Rename a file or folder; PublishError where ``target`` exists or Hadoop refuses."""
        files, old = file_system(source)
        new: Any = file_system(target)[1]
        with translate_errors(source):
            if files.exists(new) or not files.rename(old, new):
                raise PublishError(
                    f"could not be renamed to {target}; check permissions and who else writes", path=source
                )

    def exchange(self, one: str, other: str) -> bool:
        """False: Hadoop cannot exchange two paths."""
        return False

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with everything below; a missing one is no error."""
        storage.delete(path)

    def fsync_table(self, path: str) -> None:
        """Nothing to do: Hadoop makes a closed file durable."""

    def fsync_names(self, folder: str) -> None:
        """Nothing to do: Hadoop makes a rename durable."""

    def lock(self, lock_path: str, output: str, run_id: str) -> AbstractContextManager[LockGuard]:
        """Lock ``output`` by a lease."""
        return lease(HadoopLeaseFile(lock_path), output, run_id)


def hadoop_store(path: str) -> TreeStore:
    """The store of a path that only Hadoop reaches; PublishError without a classic SparkSession."""
    try:
        file_system(path)
    except InputError as error:
        raise PublishError(f"{error}; or set run.format to delta, which needs no rename") from error
    return TreeStore(HadoopTree(), path, path)
