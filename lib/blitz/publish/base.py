"""What all kinds of outputs share: the record of a published table, the store interface, error messages."""

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from blitz.errors import InputError, PublishError
from blitz.publish.lock import LockGuard


@dataclass(frozen=True)
class Published:
    """A table that was published: its path as configured, rows, data files and their bytes.

    ``version``: of a table of a catalog, the version (Delta) or the id of the snapshot (Iceberg) that was written.
    """

    path: str
    rows: int
    files: int
    bytes: int
    version: str | None = None


class Store(Protocol):
    """The place of one output. Its methods raise BlitzError or OSError where the file system refuses a call."""

    def lock(self, run_id: str) -> AbstractContextManager[LockGuard]:
        """Lock the output for the block; PublishError at once where a living run has the lock."""

    def recover(self) -> None:
        """Complete or undo the swap of a run that died, and remove what that run left. Call it under the lock.

        Raises PublishError where the swap can neither be completed nor undone.
        """

    def refuse_foreign(self) -> None:
        """Raise PublishError where the output contains anything that is not part of a table."""

    def staging(self, run_id: str) -> str:
        """The path of the folder in which a run prepares its table. Readers of the output do not see it."""

    def is_delta(self) -> bool:
        """Whether the output is a Delta table now."""

    def swap(self, run_id: str) -> None:
        """Replace the output by the staged table. After an error, ``recover`` completes or undoes the swap."""

    def discard(self, run_id: str) -> None:
        """Remove the output, under the lock; what is left after an interruption, ``recover`` removes."""

    def clean(self, run_id: str) -> None:
        """Remove the staging folder and the old table after a swap."""


@contextmanager
def translate_errors(path: str) -> Iterator[None]:
    """Turn storage errors into one PublishError that says which output could not be published, and why."""
    try:
        yield
    except InputError as error:
        reason = error.reason if error.path == path else str(error)
        raise PublishError(f"could not be published: {reason}", path=path) from error
    except OSError as error:
        raise PublishError(f"could not be published: {_reason(error)}", path=path) from error


def _reason(error: OSError) -> str:
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return "it is a mount point or spans two file systems; use a folder below the mount"
    return (
        f"{error.strerror or type(error).__name__} ({error.filename or 'no file named'}); check space and permissions"
    )
