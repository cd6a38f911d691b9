"""Outputs on file systems that can rename a folder: local disks, mounts, HDFS.

While a run publishes to ``P/N``, the folder ``P`` also contains its lock ``P/.N.blitz.lock``, the new table
``P/.N.blitz-RUN`` and, where the two cannot be exchanged in one call, the old table ``P/.N.blitz-RUN.old`` with the
journal ``P/.N.blitz.journal``. Readers skip names that begin with a dot.
"""

import json
from contextlib import AbstractContextManager
from typing import Protocol

from blitz.errors import PublishError
from blitz.publish.lock import LockGuard

PARQUET_MAGIC = b"PAR1"
Entry = tuple[str, bool]  # a name in a folder, and whether it is a folder itself
_TABLE_FILES = {"_SUCCESS", "_metadata", "_common_metadata", ".gitkeep", ".DS_Store"}
_TABLE_PREFIXES = ("part-", "_committed_", "_started_")
_TABLE_SUFFIXES = (".parquet", ".par", ".crc", "_$folder$")


def refuse_foreign(path: str, entries: list[Entry] | None, magic: bytes) -> None:
    """Raise PublishError where the output is not a table, so that no other data is overwritten.

    Args:
        path: the output, as the message names it.
        entries: the entries of the folder; None for a single file.
        magic: the first bytes of a single file.
    """
    if entries is None and magic != PARQUET_MAGIC:
        raise PublishError(
            "is a file that is not Parquet; refusing to overwrite, move it or change the output path", path=path
        )
    if not entries or ("_delta_log", True) in entries:
        return
    foreign = sorted(name for name, is_folder in entries if not _is_of_table(name, is_folder))
    if foreign:
        names = ", ".join(foreign[:3]) + (", …" if len(foreign) > 3 else "")
        raise PublishError(
            f"contains files that are not part of a table ({names}); refusing to overwrite, move them or "
            "change the output path",
            path=path,
        )


def _is_of_table(name: str, is_folder: bool) -> bool:
    if is_folder:
        return "=" in name or name == "_temporary"
    return name in _TABLE_FILES or name.startswith(_TABLE_PREFIXES) or name.endswith(_TABLE_SUFFIXES)


class Tree(Protocol):
    """The calls that publishing needs of a file system. They raise BlitzError or OSError where it refuses one."""

    def exists(self, path: str) -> bool:
        """Whether there is a file, a folder or a link of this path."""

    def entries(self, path: str) -> list[Entry] | None:
        """The entries of a folder, hidden ones too; None where the path is a file or does not exist."""

    def read_bytes(self, path: str, limit: int | None = None) -> bytes:
        """The content of a file, or its first ``limit`` bytes."""

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file."""

    def rename(self, source: str, target: str) -> None:
        """Rename a file or folder; an error where ``target`` exists."""

    def exchange(self, one: str, other: str) -> bool:
        """Exchange two paths in one atomic call; False, with nothing changed, where the file system cannot."""

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with everything below; a missing one is no error."""

    def fsync_table(self, path: str) -> None:
        """Make the files of a table durable, so that a power cut after the swap leaves no empty ones."""

    def fsync_names(self, folder: str) -> None:
        """Make the renames in a folder durable."""

    def lock(self, lock_path: str, output: str, run_id: str) -> AbstractContextManager[LockGuard]:
        """Lock ``output`` through ``lock_path`` for the block; PublishError at once where a living run has the lock."""


class TreeStore:
    """An output folder on a file system with renames.

    Args:
        tree: the file system.
        target: the folder, as the file system names it.
        shown: the folder, as messages name it.

    Raises PublishError for the root of a file system.
    """

    def __init__(self, tree: Tree, target: str, shown: str) -> None:
        self._tree, self._target, self._shown = tree, target.rstrip("/"), shown
        self._parent, _, self._name = self._target.rpartition("/")
        if not self._name:
            raise PublishError("the root of a file system cannot be an output; add a folder name", path=shown)
        self._journal = f"{self._parent}/.{self._name}.blitz.journal"

    def lock(self, run_id: str) -> AbstractContextManager[LockGuard]:
        """Lock the output for the block; PublishError at once where a living run has the lock."""
        return self._tree.lock(f"{self._parent}/.{self._name}.blitz.lock", self._shown, run_id)

    def staging(self, run_id: str) -> str:
        """The hidden folder next to the output in which a run prepares its table."""
        return f"{self._parent}/.{self._name}.blitz-{run_id}"

    def is_delta(self) -> bool:
        """Whether the output is a Delta table now."""
        log = self._tree.entries(f"{self._target}/_delta_log") or ()
        return any(name.endswith((".json", ".parquet")) for name, _ in log)

    def refuse_foreign(self) -> None:
        """Raise PublishError where the output contains anything that is not part of a table."""
        if self._tree.exists(self._target):
            entries = self._tree.entries(self._target)
            magic = self._tree.read_bytes(self._target, len(PARQUET_MAGIC)) if entries is None else b""
            refuse_foreign(self._shown, entries, magic)

    def recover(self) -> None:
        """Complete the swap of a run that died between its two renames; remove what any dead run left."""
        if self._tree.exists(self._journal):
            self._finish(self._tree.read_bytes(self._journal))
        for name, _ in self._tree.entries(f"{self._parent}/") or ():
            if name.startswith(f".{self._name}.blitz-"):
                self._tree.remove(f"{self._parent}/{name}")

    def _finish(self, journal: bytes) -> None:
        # The new table was complete before the first rename. A journal that was cut short came before both.
        if journal.endswith(b"}") and not self._tree.exists(self._target):
            names = json.loads(journal)
            candidates = [f"{self._parent}/{names['new']}", f"{self._parent}/{names['old']}"]
            complete = next((path for path in candidates if self._tree.exists(path)), None)
            if complete is not None:
                self._tree.rename(complete, self._target)
                self._tree.fsync_names(self._parent)
        self._tree.remove(self._journal)

    def swap(self, run_id: str) -> None:
        """Replace the output by the staged table: one exchange where the file system can, else two renames."""
        new = self.staging(run_id)
        self._tree.fsync_table(new)
        if not self._tree.exists(self._target):
            self._tree.rename(new, self._target)
        elif not self._tree.exchange(new, self._target):
            self._rename_twice(new, f"{new}.old")
        self._tree.fsync_names(self._parent)

    def _rename_twice(self, new: str, old: str) -> None:
        names = {"new": new.rpartition("/")[2], "old": old.rpartition("/")[2]}
        self._tree.write_bytes(self._journal, json.dumps(names).encode())
        self._tree.rename(self._target, old)
        try:
            self._tree.rename(new, self._target)
        except BaseException:
            self._tree.rename(old, self._target)  # if this fails too, the next run reads the journal
            self._tree.remove(self._journal)
            raise
        self._tree.remove(self._journal)

    def discard(self, run_id: str) -> None:
        """Remove the output: renamed first, so that no reader sees a part of it."""
        if self._tree.exists(self._target):
            self._tree.rename(self._target, f"{self.staging(run_id)}.old")
            self._tree.fsync_names(self._parent)
        self.clean(run_id)

    def clean(self, run_id: str) -> None:
        """Remove the old table and the staging folder of this run."""
        self._tree.remove(f"{self.staging(run_id)}.old")
        self._tree.remove(self.staging(run_id))
