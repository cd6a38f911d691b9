"""Publish a folder of files: prepare it next to the output, then swap, under a lock."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from blitz import storage
from blitz.errors import BlitzError, PublishError
from blitz.publish.base import Store, translate_errors
from blitz.publish.local import local_store
from blitz.publish.lock import LockGuard

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_log = logging.getLogger(__name__)


class StagedFiles:
    """The files of one output, from the empty staging folder to the swap; made by ``publishing_files``."""

    def __init__(self, store: Store, guard: LockGuard, path: str, run_id: str) -> None:
        self.folder = store.staging(run_id)
        self.is_committed = False
        self._store, self._guard, self._path, self._run_id = store, guard, path, run_id

    def replaces_delta(self) -> bool:
        """Whether the output is a Delta table now; PublishError where it cannot be read."""
        with translate_errors(self._path):
            return self._store.is_delta()

    def commit(self, swap: Callable[[], None] | None = None) -> None:
        """Replace the output by the files in ``folder``.

        Args:
            swap: does the replacement instead of the store, as a transaction does.

        Raises PublishError where the swap failed or another run took over the lock.
        """
        with translate_errors(self._path):
            self._guard.assert_held()
            if swap is None:
                self._store.swap(self._run_id)
            else:
                swap()
        self.is_committed = True


@contextmanager
def publishing_files(path: str, *, run_id: str, store: Store | None = None) -> Iterator[StagedFiles]:
    """Publish what the block writes below ``StagedFiles.folder``, in place of the output at ``path``.

    For files that are not a table, such as CSV exports; ``publishing`` is for tables. The block must make sure that
    the files at ``path`` may be replaced, and must call ``commit``. If it raises or does not commit, the output stays
    as it was, and what was staged is removed.

    Args:
        path: folder of the output.
        run_id: letters, digits, ``-`` and ``_``; part of the names of temporary files.
        store: the place of the output; by default the one for the scheme of ``path``.

    Raises PublishError where another run is publishing to ``path`` or the output contains something else.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise PublishError(f"invalid run id {run_id!r}; use letters, digits, '-' and '_' only", path=path)
    with translate_errors(path):
        store = store or store_of(path)
    with _locked(store, path, run_id) as guard:
        with translate_errors(path):
            store.recover()
            store.refuse_foreign()
        files = StagedFiles(store, guard, path, run_id)
        try:
            yield files
        finally:
            if files.is_committed:
                _clean(store, path, run_id)
            else:
                _roll_back(store, path, guard)


def recover(path: str, *, store: Store | None = None) -> None:
    """Complete or undo the swap of a run that died, and remove what that run left next to the output.

    Publishing does this first; a run that only reads an output calls it before. Raises PublishError where a living run
    is publishing there.
    """
    with translate_errors(path):
        store = store or store_of(path)
    with _locked(store, path, "recover"), translate_errors(path):
        store.recover()


def store_of(path: str) -> Store:
    """The store for the scheme of a path; PublishError for the root of a file system or bucket."""
    if storage.is_local(path):
        return local_store(path)
    if storage.is_s3(path):
        from blitz.publish.s3 import S3Store  # boto3 takes half a second to import

        return S3Store(path)
    from blitz.publish.hadoop import hadoop_store  # Spark Connect clients come without py4j

    return hadoop_store(path)


@contextmanager
def _locked(store: Store, path: str, run_id: str) -> Iterator[LockGuard]:
    with ExitStack() as stack:
        with translate_errors(path):  # of taking the lock, not of the block
            guard = stack.enter_context(store.lock(run_id))
        yield guard


def _roll_back(store: Store, path: str, guard: LockGuard) -> None:
    """Remove what was staged. An error here is only logged: the one that stopped the publishing is to be reported."""
    try:
        guard.assert_held()  # without the lock, the files next to the output may be another run's
        store.recover()
    except (BlitzError, OSError) as error:
        _log.warning("%s: could not remove temporary files, the next run will: %s", path, error)


def _clean(store: Store, path: str, run_id: str) -> None:
    """Remove the old table. An error here is only logged: the new table is published."""
    try:
        store.clean(run_id)
    except (BlitzError, OSError) as error:
        _log.warning("%s: published, but could not remove the old table, the next run will: %s", path, error)
