"""Outputs on local disks and on mounts that look like one."""

import ctypes
import errno
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from blitz import storage
from blitz.publish.lock import LeaseConflict, LeaseState, LockGuard, flock, flock_works, lease
from blitz.publish.tree import Entry, Tree, TreeStore
from blitz.storage.local import fsync_path

_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_AT_FDCWD, _EXCHANGE = -100, 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS are the same number


class LocalTree:
    """The local file system, and mounts that look like one; see ``Tree`` for what each method returns and raises.

    Args:
        use_flock: False takes a lease even where the file system supports ``flock``.
    """

    def __init__(self, *, use_flock: bool = True) -> None:
        self._use_flock = use_flock

    def exists(self, path: str) -> bool:
        """Whether there is a file, a folder or a link of this path."""
        return os.path.lexists(path)

    def entries(self, path: str) -> list[Entry] | None:
        """The entries of a folder, hidden ones too; None where the path is a file or does not exist."""
        if not os.path.isdir(path):
            return None
        with os.scandir(path) as found:
            return [(entry.name, entry.is_dir()) for entry in found]

    def read_bytes(self, path: str, limit: int | None = None) -> bytes:
        """The content of a file, or its first ``limit`` bytes."""
        return storage.read_bytes(path, limit)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file; a reader sees the old content or the new."""
        storage.write_bytes(path, data)

    def rename(self, source: str, target: str) -> None:
        """Rename a file or folder."""
        os.rename(source, target)

    def exchange(self, one: str, other: str) -> bool:
        """Exchange two paths in one atomic call; False where the system or the file system cannot."""
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
        """Remove a file, or a folder with everything below; a missing one is no error."""
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

    def fsync_table(self, path: str) -> None:
        """Force the files of a table onto the disk, so that a power cut after the swap leaves no empty ones."""
        for root, _, names in os.walk(path):
            for name in names:
                fsync_path(os.path.join(root, name))
            fsync_path(root)

    def fsync_names(self, folder: str) -> None:
        """Force the names in a folder onto the disk."""
        fsync_path(folder or "/")

    @contextmanager
    def lock(self, lock_path: str, output: str, run_id: str) -> Iterator[LockGuard]:
        """Lock ``output`` by ``flock``, or by a lease where the file system has no ``flock``."""
        folder = os.path.dirname(lock_path)
        os.makedirs(folder, exist_ok=True)
        kind: AbstractContextManager[LockGuard]
        if self._use_flock and flock_works(folder):
            kind = flock(lock_path, output, run_id)
        else:
            kind = lease(LocalLeaseFile(lock_path), output, run_id)
        with kind as guard:
            yield guard


def local_store(path: str, tree: Tree | None = None) -> TreeStore:
    """The store of a local path; a link to a folder is followed, so that the link stays.

    ``tree`` is the file system, by default ``LocalTree()``. Raises PublishError for the root folder.
    """
    return TreeStore(tree or LocalTree(), os.path.realpath(storage.local_path(path)), path)


class LocalLeaseFile:
    """A lease on a mount without flock; see ``LeaseFile`` for what each method returns and raises."""

    def __init__(self, path: str) -> None:
        self.path = path

    def create(self, data: bytes) -> str:
        """Create the file and return its tag; LeaseConflict where it exists."""
        try:
            with open(self.path, "xb") as file:
                file.write(data)
        except FileExistsError:
            raise LeaseConflict from None
        return data.decode()

    def read(self) -> LeaseState | None:
        """The lease as it is now; None where there is no file."""
        try:
            with open(self.path, "rb") as file:
                data = file.read()
            return LeaseState(data, data.decode(), time.time() - os.stat(self.path).st_mtime)
        except FileNotFoundError:
            return None

    def replace(self, data: bytes, tag: str) -> str:
        """Replace the content and return the new tag; LeaseConflict where the file no longer has ``tag``."""
        state = self.read()
        if state is None or state.tag != tag:
            raise LeaseConflict
        with open(self.path, "wb") as file:
            file.write(data)
        return data.decode()

    def remove(self) -> None:
        """Remove the file; a missing one is no error."""
        with suppress(FileNotFoundError):
            os.unlink(self.path)
