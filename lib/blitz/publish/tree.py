"""Outputs on file systems that can rename a folder: local disks, mounts, HDFS.

Beside an output ``P/N`` stand, while a run publishes: its lock ``P/.N.blitz.lock``, the new table ``P/.N.blitz-RUN``
and, where the two cannot be exchanged in one call, the old table ``P/.N.blitz-RUN.old`` with the journal
``P/.N.blitz.journal``. Spark and we skip names that begin with a dot.
"""

import ctypes
import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from blitz import storage
from blitz.errors import PublishError
from blitz.publish.lock import Held, LocalLeaseFile, flock, flock_works, lease
from blitz.storage.local import fsync_path

PARQUET_MAGIC = b"PAR1"
_OUR_FILES = {"_SUCCESS", "_metadata", "_common_metadata", ".gitkeep", ".DS_Store"}
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_AT_FDCWD, _EXCHANGE = -100, 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS are the same number


def foreign(names: list[tuple[str, bool]]) -> list[str]:
    """Of the (name, is a folder) entries of an output folder, those that no table writer made."""
    if ("_delta_log", True) in names:
        return []
    return [name for name, is_folder in names if not _of_a_table(name, is_folder)]


def _of_a_table(name: str, is_folder: bool) -> bool:
    if is_folder:
        return "=" in name or name == "_temporary"
    made = name.endswith((".parquet", ".par", ".crc", "_$folder$")) or name.startswith(
        ("part-", "_committed_", "_started_")
    )
    return made or name in _OUR_FILES


def refuse_foreign(path: str, names: list[tuple[str, bool]] | None, magic: bytes) -> None:
    """Raise PublishError where what stands at the output path is not a table: it would be lost.

    Args:
        names: entries of the folder; None for a single file, of which ``magic`` are the first bytes.
    """
    if names is None and magic != PARQUET_MAGIC:
        raise PublishError(
            f"{path}: is a file that is not Parquet and would be lost; move it or change the output path"
        )
    strangers = sorted(foreign(names or []))
    if strangers:
        some = ", ".join(strangers[:3]) + (", …" if len(strangers) > 3 else "")
        raise PublishError(
            f"{path}: holds what no table has ({some}) and would be lost; move it or change the output path"
        )


class Tree(Protocol):
    """The few calls that publishing needs of a file system."""

    def exists(self, path: str) -> bool: ...
    def entries(self, path: str) -> list[tuple[str, bool]] | None: ...
    def rename(self, source: str, target: str) -> None: ...
    def exchange(self, one: str, other: str) -> bool: ...
    def remove(self, path: str) -> None: ...
    def settle_table(self, path: str) -> None: ...
    def settle_names(self, folder: str) -> None: ...
    def lock(self, lock_path: str, output: str, run_id: str) -> AbstractContextManager[Held]: ...


class TreeStore:
    """An output folder on a file system with renames."""

    def __init__(self, tree: Tree, target: str, shown: str) -> None:
        self._tree, self._target, self._shown = tree, target.rstrip("/"), shown
        self._parent, _, self._name = self._target.rpartition("/")
        if not self._name:
            raise PublishError(f"{shown}: the root of a file system cannot be an output; add a folder name")
        self._journal = f"{self._parent}/.{self._name}.blitz.journal"

    def lock(self, run_id: str) -> AbstractContextManager[Held]:
        return self._tree.lock(f"{self._parent}/.{self._name}.blitz.lock", self._shown, run_id)

    def staging(self, run_id: str) -> str:
        return f"{self._parent}/.{self._name}.blitz-{run_id}"

    def is_delta(self) -> bool:
        return any(
            name.endswith((".json", ".parquet")) for name, _ in self._tree.entries(f"{self._target}/_delta_log") or ()
        )

    def refuse_foreign(self) -> None:
        if self._tree.exists(self._target):
            names = self._tree.entries(self._target)
            refuse_foreign(self._shown, names, b"" if names is not None else storage.read_bytes(self._target, 4))

    def recover(self) -> None:
        """Bring the output back to a whole table after a run that died, and remove what that run left."""
        if self._tree.exists(self._journal):
            self._finish(storage.read_bytes(self._journal))
        for name, _ in self._tree.entries(f"{self._parent}/") or ():
            if name.startswith(f".{self._name}.blitz-"):
                self._tree.remove(f"{self._parent}/{name}")

    def _finish(self, journal: bytes) -> None:
        """Complete a swap that stopped between its two renames: the new table was whole before the first."""
        if journal.endswith(b"}") and not self._tree.exists(self._target):
            names = json.loads(journal)
            sides = [f"{self._parent}/{names['new']}", f"{self._parent}/{names['old']}"]
            whole = next((side for side in sides if self._tree.exists(side)), None)
            if whole is not None:
                self._tree.rename(whole, self._target)
                self._tree.settle_names(self._parent)
        self._tree.remove(self._journal)

    def swap(self, run_id: str) -> None:
        """Put the staged table in the place of the old one."""
        new = self.staging(run_id)
        self._tree.settle_table(new)
        if not self._tree.exists(self._target):
            self._tree.rename(new, self._target)
        elif not self._tree.exchange(new, self._target):
            self._two_renames(new, f"{new}.old")
        self._tree.settle_names(self._parent)

    def _two_renames(self, new: str, old: str) -> None:
        names = {"new": new.rpartition("/")[2], "old": old.rpartition("/")[2]}
        storage.write_bytes(self._journal, json.dumps(names).encode())
        self._tree.rename(self._target, old)
        try:
            self._tree.rename(new, self._target)
        except BaseException:
            self._tree.rename(old, self._target)  # where this fails too, the journal stays for the next run
            self._tree.remove(self._journal)
            raise
        self._tree.remove(self._journal)

    def clean(self, run_id: str) -> None:
        """Remove the old table and the staging of this run."""
        for left in (f"{self.staging(run_id)}.old", self.staging(run_id)):
            self._tree.remove(left)


class LocalTree:
    """The local file system, and mounts that look like one."""

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def entries(self, path: str) -> list[tuple[str, bool]] | None:
        if not os.path.isdir(path):
            return None
        with os.scandir(path) as found:
            return [(entry.name, entry.is_dir()) for entry in found]

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def exchange(self, one: str, other: str) -> bool:
        """Exchange two paths in one step; False where this system or file system cannot."""
        libc = ctypes.CDLL(None, use_errno=True)
        first, second = os.fsencode(one), os.fsencode(other)
        if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
            failed = libc.renamex_np(first, second, _EXCHANGE)
        elif hasattr(libc, "renameat2"):
            failed = libc.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _EXCHANGE)
        else:
            return False
        if failed and ctypes.get_errno() not in _NO_EXCHANGE:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), other)
        return not failed

    def remove(self, path: str) -> None:
        # The JVM of a run that was just killed may add a last file while its folder is being removed.
        for attempt in range(5):
            try:
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                elif os.path.lexists(path):
                    os.unlink(path)
                return
            except OSError as error:
                if attempt == 4 or error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EBUSY):
                    raise
                time.sleep(0.2 * (attempt + 1))

    def settle_table(self, path: str) -> None:
        """Force a table's files onto the disk, so that a power cut after the swap cannot leave empty ones."""
        for root, _, names in os.walk(path):
            for name in names:
                fsync_path(os.path.join(root, name))
            fsync_path(root)

    def settle_names(self, folder: str) -> None:
        """Force the names in a folder onto the disk."""
        fsync_path(folder or "/")

    @contextmanager
    def lock(self, lock_path: str, output: str, run_id: str) -> Iterator[Held]:
        folder = os.path.dirname(lock_path)
        os.makedirs(folder, exist_ok=True)
        if flock_works(folder):
            kind: AbstractContextManager[Held] = flock(lock_path, output, run_id)
        else:
            kind = lease(LocalLeaseFile(lock_path), output, run_id)
        with kind as held:
            yield held


def local_store(path: str) -> TreeStore:
    """The output of a local path; a link to a folder is followed, so that the link stays."""
    return TreeStore(LocalTree(), os.path.realpath(storage.local_path(path)), path)
