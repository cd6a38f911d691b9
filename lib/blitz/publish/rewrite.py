"""Publish a table again without some of its rows: files that hold none of them stay (docs/contract.md, section 12)."""

from collections.abc import Collection
from contextlib import AbstractContextManager

from pyspark.sql import DataFrame

from blitz import storage
from blitz.errors import PublishError
from blitz.publish import delta
from blitz.publish.base import Published, translate_errors
from blitz.publish.files import publishing_files
from blitz.publish.tables import Output, inspect, publishing
from blitz.storage.frames import EMPTY, write_parquet

_KEPT = "-kept-"


def copy_kept(path: str, names: Collection[str], folder: str, run_id: str) -> None:
    """Copy files of the table at ``path`` to ``folder``: linked on local disk, inside S3, through Hadoop elsewhere.

    They get new names: on S3 no new object may have the name of an old one.
    """
    with translate_errors(path):
        for name in names:
            stem = name.removesuffix(".parquet").split(_KEPT)[0]
            storage.copy(f"{path.rstrip('/')}/{name}", f"{folder}/{stem}{_KEPT}{run_id}.parquet")


def rewriting(path: str, keep: list[str], *, run_id: str) -> AbstractContextManager[Output]:
    """Publish a Parquet table whose files named in ``keep`` stay; the staged rows are those of the others.

    ``keep`` is read when the rows are staged, so that the block can find out under the lock what it has to be. Raises
    as ``publishing``.
    """

    def write(rows: DataFrame, folder: str) -> None:
        write_parquet(rows, folder)
        if keep:
            _remove_empty(folder)
        copy_kept(path, keep, folder, run_id)

    return publishing(path, run_id=run_id, write=write)


def _remove_empty(folder: str) -> None:
    """Remove the one file that ``write_parquet`` writes where no row is left: others are kept."""
    for info in storage.list_files(folder):
        if info.path.rpartition("/")[2].startswith(EMPTY):
            storage.delete(info.path)


def recreate_delta(rows: DataFrame, path: str, *, run_id: str, expected: int) -> Published:
    """Replace a Delta table by a new one without a history; readers see the old or the new.

    Where the storage has no renames (S3), the rows are replaced in one transaction, the files of earlier versions are
    deleted, and their log entries stay. Raises PublishError, and replaces nothing, where there are not ``expected``
    rows.
    """
    if storage.is_s3(path):
        with publishing(path, fmt="delta", run_id=run_id) as output:
            require_rows(output.stage(rows), expected)
            published = output.commit()
        _delete_unreferenced(path)
        return published
    with publishing_files(path, run_id=run_id) as files:
        delta.replace(rows, files.folder, output=path)
        published = inspect(rows, files.folder, path, by_name=False)
        require_rows(published, expected)
        files.commit()
    return published


def require_rows(staged: Published, expected: int) -> None:
    """Raise PublishError where a staged table has other than so many rows."""
    if staged.rows != expected:
        raise PublishError(
            f"{staged.rows:,} rows would be left, and {expected:,} were counted; another run may have published, run "
            "again",
            path=staged.path,
        )


def _delete_unreferenced(path: str) -> None:
    """Delete the data files that the last transaction, which replaced the whole table, did not add."""
    live = {f"{path.rstrip('/')}/{name}" for name in delta.last_files(path)}
    for info in storage.list_files(path):
        if info.path not in live:
            storage.delete(info.path)
