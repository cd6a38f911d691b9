"""Publish a table: stage it next to the old one, check it, commit (docs/contract.md, section 7).

    with publishing(path, run_id=run_id) as output:
        output.stage(frame)
        ...  # checks; raise to keep the old table
        published = output.commit()

| where | what a reader sees | when a run dies |
|---|---|---|
| Parquet, local disk | the old table or the new, exchanged in one call | the old or the new |
| Parquet, HDFS; no exchange | between two renames, for an instant, no table | the next run completes the swap |
| Parquet, S3 | for about a second rows of both (``publish/s3.py``) | the next run completes the swap |
| Delta, anywhere | the old version or the new | the old or the new |
| a table of a catalog (``publish/catalog.py``) | the old version or the new | the old or the new |

A reader that listed the old Parquet files and opens one after it was deleted gets a missing-file error, never mixed
rows. A Delta table that does not exist yet is staged and swapped in like Parquet, so that no reader sees it half
written; from then on each run is one transaction. One run at a time may publish to an output.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from blitz import storage
from blitz.catalog import tables as catalog
from blitz.errors import InputError, PublishError
from blitz.publish import delta
from blitz.publish.base import Published, Store, translate_errors
from blitz.publish.catalog import CommentOf, no_comment, publishing_table
from blitz.publish.files import StagedFiles, publishing_files, recover
from blitz.storage.frames import read_parquet, write_parquet

__all__ = [
    "Format",
    "Output",
    "Published",
    "Writer",
    "inspect",
    "output_exists",
    "publish",
    "publishing",
    "read_output",
    "recover",
]

Format = Literal["parquet", "delta", "iceberg"]
Writer = Callable[[DataFrame, str], None]  # writes the rows of a frame as Parquet files below a new folder
FOOTER_THREADS = 16


class Output(Protocol):
    """A table that is being published; made by ``publishing`` and ``publishing_months``."""

    def stage(self, df: DataFrame) -> Published:
        """Compute ``df`` and write it where no reader sees it; returns what ``commit`` will publish.

        Raises PublishError where the files were not written completely; errors of Spark pass unchanged.
        """

    def rows(self) -> DataFrame:
        """The staged rows, as ``commit`` will publish them; they can be read until then. PublishError where nothing
        was staged."""

    def commit(self) -> Published:
        """Replace the old table by the staged one.

        Raises PublishError where nothing was staged, the swap failed, or another run took over the lock.
        """


@contextmanager
def publishing(
    path: str,
    *,
    fmt: Format = "parquet",
    run_id: str,
    is_checked: bool = True,
    comment_of: CommentOf = no_comment,
    write: Writer | None = None,
    store: Store | None = None,
) -> Iterator[Output]:
    """Publish a table at ``path`` in place of the old one: ``stage``, check, ``commit``, in that order.

    If the block raises or does not commit, the old table stays and what was staged is removed.

    Args:
        path: folder of the output, which must contain a table or nothing if it exists; or a table of a catalog.
        fmt: ``parquet`` or ``delta``; of a table of a catalog ``delta``, ``iceberg``, or ``parquet`` for that of the
            catalog.
        run_id: letters, digits, ``-`` and ``_``; part of the names of temporary files.
        is_checked: whether the block does anything between ``stage`` and ``commit``. Over an existing Delta table
            that costs a second write: a transaction cannot be checked before it ends. With False, ``stage`` is the
            transaction.
        comment_of: the column comments of a table of a catalog.
        write: writes the staged Parquet files; by default Spark does.
        store: the place of the output; by default the one for the scheme of ``path``.

    Where only Spark itself reaches ``path`` (Delta on a Hadoop scheme over Spark Connect), ``stage`` is a transaction,
    and a block that does not commit restores the version before it.

    Raises PublishError where another run is publishing to ``path`` or the output contains something else.
    """
    if storage.is_table(path):
        with publishing_table(path, fmt=fmt, run_id=run_id, is_checked=is_checked, comment_of=comment_of) as table:
            yield table
        return
    if fmt not in ("parquet", "delta"):
        raise PublishError(f"run.format is {fmt!r}; choose parquet or delta", path=path)
    if fmt == "delta" and store is None and not storage.is_reachable(path):
        with delta.restoring(path) as transaction:
            yield transaction
        return
    with publishing_files(path, run_id=run_id, store=store) as files:
        if fmt == "delta" and files.replaces_delta():
            yield _StagedTransaction(files, path, write or write_parquet) if is_checked else delta.Transaction(path)
        elif fmt == "delta":
            yield _StagedTable(files, path, lambda df, folder: delta.replace(df, folder, output=path), by_name=False)
        else:
            yield _StagedTable(files, path, write or write_parquet, by_name=True)


def publish(
    df: DataFrame,
    path: str,
    *,
    fmt: Format = "parquet",
    run_id: str,
    comment_of: CommentOf = no_comment,
    write: Writer | None = None,
    store: Store | None = None,
) -> Published:
    """Publish ``df`` at ``path`` in place of the old table, without checks of the caller's own.

    Rows are counted from Parquet footers, not by a job; an empty frame gives a readable table with its schema. Takes
    the arguments of ``publishing`` and raises what it, ``stage`` and ``commit`` raise; the old table stays then.
    """
    unchecked = publishing(
        path, fmt=fmt, run_id=run_id, is_checked=False, comment_of=comment_of, write=write, store=store
    )
    with unchecked as output:
        output.stage(df)
        return output.commit()


class _StagedTable:
    """A table in a staging folder, which takes the place of the output as it is."""

    def __init__(self, files: StagedFiles, path: str, write: Writer, *, by_name: bool) -> None:
        self._files, self._path, self._write, self._by_name = files, path, write, by_name
        self._staged: tuple[DataFrame, Published] | None = None

    def stage(self, df: DataFrame) -> Published:
        self._write(df, self._files.folder)
        published = inspect(df, self._files.folder, self._path, by_name=self._by_name)
        self._staged = df, published
        return published

    def rows(self) -> DataFrame:
        frame, _ = self._require_staged()
        return read_output(frame.sparkSession, self._files.folder, "parquet" if self._by_name else "delta")

    def commit(self) -> Published:
        _, published = self._require_staged()
        self._swap()
        return published

    def _require_staged(self) -> tuple[DataFrame, Published]:
        if self._staged is None:
            raise PublishError("nothing was staged, nothing was published", path=self._path)
        return self._staged

    def _swap(self) -> None:
        self._files.commit()


class _StagedTransaction(_StagedTable):
    """Rows for an existing Delta table: staged as Parquet, then written again in one transaction."""

    def __init__(self, files: StagedFiles, path: str, write: Writer) -> None:
        super().__init__(files, path, write, by_name=True)

    def _swap(self) -> None:
        rows = self.rows()
        self._files.commit(lambda: delta.replace(rows, self._path))


def read_output(spark: SparkSession, path: str, fmt: Format = "parquet") -> DataFrame:
    """The rows of a published table; InputError where there is none."""
    if storage.is_table(path):
        return catalog.read_table(spark, path)
    missing = f"{path}: no table there; run the step that makes it first"
    try:
        table = (
            read_parquet(spark, [path]) if fmt == "parquet" else spark.read.format(fmt).load(storage.spark_path(path))
        )
        columns = table.columns  # Spark Connect looks at the path only now
    except Exception as error:
        if any(name in str(error) for name in ("PATH_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE")):
            raise InputError(missing) from error
        raise
    if not columns:  # what Sail reads where there is nothing
        raise InputError(missing)
    return table


def output_exists(spark: SparkSession, path: str) -> bool:
    """Whether there is a folder or a table of a catalog of this name."""
    return catalog.exists(spark, path) if storage.is_table(path) else storage.exists(path)


def inspect(df: DataFrame, folder: str, path: str, *, by_name: bool) -> Published:
    """Read the Parquet footers below a folder: files are complete, columns are those of ``df``, rows are counted.

    Args:
        df: the frame that was written.
        folder: where its files are.
        path: the output, as messages and the result name it.
        by_name: whether the files have the column names of the frame; with Delta's column mapping they have not.

    Raises PublishError for a damaged file, other columns, or no file at all.
    """
    with translate_errors(path):
        found = storage.list_files(folder)
        files = [info for info in found if info.path.endswith(".parquet")]
        with ThreadPoolExecutor(FOOTER_THREADS) as pool:
            footers = list(pool.map(lambda info: _footer(info.path), files))
    if not files and by_name:
        raise PublishError(
            "Spark wrote no file that this machine sees; all machines of the cluster must share the output's "
            "file system (HDFS, S3, a mount)",
            path=path,
        )
    expected = list(df.columns)
    for info, (names, _) in zip(files, footers, strict=True):
        if len(names) != len(expected) or (by_name and names != expected):
            raise PublishError("the columns of this file are not those of the table; run again", path=info.path)
    return Published(path, sum(rows for _, rows in footers), len(files), sum(info.size for info in files))


def _footer(path: str) -> tuple[list[str], int]:
    try:
        with storage.open_input(path) as source, pq.ParquetFile(source) as file:
            return list(file.schema_arrow.names), int(file.metadata.num_rows)
    except pa.ArrowInvalid as error:
        raise PublishError("the file is incomplete; run again", path=path) from error
