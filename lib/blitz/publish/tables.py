"""Publish a table: write beside the old one, check, swap (contract: publishing).

| where | what a reader sees | when a run dies |
|---|---|---|
| Parquet, local disk | the old table or the new, exchanged in one call | the old or the new |
| Parquet, HDFS; no exchange | between two renames, for an instant, no table | the next run completes the swap |
| Parquet, S3 | for about a second rows of both (``publish_s3``) | the next run completes the swap |
| Delta, anywhere | the old version or the new | the old or the new |

A reader that listed the old Parquet files and opens one after they went gets a missing-file error, never mixed rows.

A Delta table that does not exist yet is built beside and swapped in like Parquet, so that readers of whatever stood
there never see it half; from then on each run is one transaction. One run at a time may publish to an output.
"""

import errno
import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from blitz import storage
from blitz.errors import BlitzError, InputError, PublishError
from blitz.publish import delta as publish_delta
from blitz.publish.lock import Held

Format = Literal["parquet", "delta"]
Check = Callable[[int], None]
FOOTER_THREADS = 16
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """A table that was published: its path as configured, rows, data files and their bytes."""

    path: str
    rows: int
    files: int
    bytes: int


class Store(Protocol):
    """The output's place: one implementation for file systems with renames, one for S3."""

    def lock(self, run_id: str) -> AbstractContextManager[Held]: ...
    def recover(self) -> None: ...
    def refuse_foreign(self) -> None: ...
    def staging(self, run_id: str) -> str: ...
    def is_delta(self) -> bool: ...
    def swap(self, run_id: str) -> None: ...
    def clean(self, run_id: str) -> None: ...


def publish(df: DataFrame, path: str, *, fmt: Format = "parquet", run_id: str, check: Check | None = None) -> Published:
    """Publish ``df`` at ``path`` in place of what stands there; rows are counted from Parquet footers, not by a job.

    Args:
        df: the rows; an empty one gives a readable table with its schema.
        path: folder of the output; an existing one must look like a table.
        fmt: ``parquet`` or ``delta``.
        run_id: letters, digits, ``-`` and ``_``; names what the run writes beside the output.
        check: called with the number of rows before the swap; what it raises stops the publishing, the old table stays.
            Over an existing Delta table it costs a second write: a transaction cannot be checked before it ends.

    Raises PublishError where another run publishes there, the path holds something else, or the swap failed; errors of
    Spark while it computes ``df`` pass as they are. The old table is in place after each of them.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise PublishError(f"{path}: run id {run_id!r} may hold letters, digits, '-' and '_' only")
    if fmt not in ("parquet", "delta"):
        raise PublishError(f"{path}: run.format is {fmt!r}; choose parquet or delta")
    if fmt == "delta" and _is_out_of_reach(df, path):
        return Published(path, *publish_delta.commit_unlisted(df, path, check))
    with _output(path, run_id) as (store, held):
        with clear_errors(path):
            transaction = fmt == "delta" and store.is_delta()
        if transaction and check is None:
            publish_delta.commit(df, path)
            return Published(path, *publish_delta.last_commit(path))
        with _staged(store, path, run_id, held) as staging:
            _write(df, staging, "parquet" if transaction else fmt, path)
            published = inspect(df, staging, path, by_name=transaction or fmt == "parquet")
            if check is not None:
                check(published.rows)
            with clear_errors(path):
                held()
            if transaction:
                publish_delta.commit(df.sparkSession.read.parquet(storage.spark_path(staging, literal=True)), path)
            else:
                with clear_errors(path):
                    store.swap(run_id)
    return published


def publish_files(path: str, *, run_id: str, write: Callable[[str], Published]) -> Published:
    """Publish the files that ``write`` puts below a staging folder, in place of what stands at ``path``.

    For what is no table, such as CSV exports; the same locks, swaps and clean-up as ``publish``.

    Args:
        path: folder of the output; ``write`` must make sure first that what stands there may go.
        run_id: as for ``publish``.
        write: called with the staging folder; writes and checks, and returns what is published. What it raises stops
            the publishing, the old files stay.
    """
    with _output(path, run_id) as (store, held), _staged(store, path, run_id, held) as staging:
        published = write(staging)
        with clear_errors(path):
            held()
            store.swap(run_id)
    return published


def recover(path: str) -> None:
    """Bring an output back to a whole table after a run that died, and remove what that run left beside it.

    ``publish`` does this first; a run that only reads an output calls it before. Raises PublishError where a living run
    is publishing there.
    """
    with clear_errors(path):
        store = _store(path)
    with _locked(store, path, "recover"), clear_errors(path):
        store.recover()


def read_output(spark: SparkSession, path: str, fmt: Format = "parquet") -> DataFrame:
    """The rows of a published table; InputError where there is none."""
    reader = spark.read.format(fmt)
    try:
        table = reader.load(storage.spark_path(path, literal=fmt == "parquet"))
        table.columns  # noqa: B018  (Spark Connect looks at the path only now)
    except Exception as error:
        if any(name in str(error) for name in ("PATH_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE")):
            raise InputError(f"{path}: no table there; run the step that makes it first") from error
        raise
    return table


def _store(path: str) -> Store:
    if storage.is_local(path):
        from blitz.publish.tree import local_store

        return local_store(path)
    if storage.is_s3(path):
        from blitz.publish.s3 import S3Store

        return S3Store(path)
    from blitz.publish.hadoop import hadoop_store

    return hadoop_store(path)


def _is_out_of_reach(df: DataFrame, path: str) -> bool:
    """Whether only Spark itself reaches the path: a scheme of Hadoop's, over Spark Connect."""
    return not storage.is_local(path) and not storage.is_s3(path) and not hasattr(df.sparkSession, "_jsparkSession")


def _write(df: DataFrame, staging: str, fmt: Format, path: str) -> None:
    if fmt == "delta":
        publish_delta.commit(df, staging, output=path)
    else:
        df.write.mode("error").parquet(storage.spark_path(staging))


def inspect(df: DataFrame, staging: str, path: str, *, by_name: bool) -> Published:
    """Read the footers of the staged table: files are whole, columns are the frame's, rows are counted."""
    with clear_errors(path):
        found = storage.list_files(staging)
        files = [info for info in found if info.path.endswith(".parquet")]
        with ThreadPoolExecutor(FOOTER_THREADS) as pool:
            footers = list(pool.map(lambda info: _footer(info.path), files))
    if not files and by_name:
        raise PublishError(
            f"{path}: Spark wrote no file that this machine sees; all machines of the cluster must share the output's "
            "file system (HDFS, S3, a mount)"
        )
    expected = list(df.columns)
    for info, (names, _) in zip(files, footers, strict=True):
        if len(names) != len(expected) or (by_name and names != expected):
            raise PublishError(f"{info.path}: the file was written with other columns than the table has; run again")
    return Published(path, sum(rows for _, rows in footers), len(files), sum(info.size for info in files))


def _footer(path: str) -> tuple[list[str], int]:
    try:
        with storage.open_input(path) as source, pq.ParquetFile(source) as file:
            return list(file.schema_arrow.names), int(file.metadata.num_rows)
    except pa.ArrowInvalid as error:
        raise PublishError(f"{path}: the file was not written whole; run again") from error


def _roll_back(store: Store, path: str, held: Held) -> None:
    """Remove the staged table; the error that stopped the publishing is the one to report, not a second one here."""
    try:
        held()  # without the lock, what stands beside the output may be another run's
        store.recover()
    except (BlitzError, OSError) as error:
        _log.warning("%s: what this run wrote beside it could not be removed, the next run will: %s", path, error)


def _clean(store: Store, path: str, run_id: str) -> None:
    """Remove the old table; the new one is published, whatever happens here."""
    try:
        store.clean(run_id)
    except (BlitzError, OSError) as error:
        _log.warning("%s: published, but the old table could not be removed, the next run will: %s", path, error)


@contextmanager
def _output(path: str, run_id: str) -> Iterator[tuple[Store, Held]]:
    """The output's place, locked, whole, and holding nothing that must not be replaced."""
    with clear_errors(path):
        store = _store(path)
    with _locked(store, path, run_id) as held:
        with clear_errors(path):
            store.recover()
            store.refuse_foreign()
        yield store, held


@contextmanager
def _staged(store: Store, path: str, run_id: str, held: Held) -> Iterator[str]:
    """The folder to write to; what is left beside the output goes, whether the publishing succeeds or fails."""
    try:
        yield store.staging(run_id)
    except BaseException:
        _roll_back(store, path, held)
        raise
    _clean(store, path, run_id)


@contextmanager
def _locked(store: Store, path: str, run_id: str) -> Iterator[Held]:
    with ExitStack() as stack:
        with clear_errors(path):
            held = stack.enter_context(store.lock(run_id))
        yield held


@contextmanager
def clear_errors(path: str) -> Iterator[None]:
    """Say in one line that and why publishing at ``path`` failed."""
    try:
        yield
    except InputError as error:
        raise PublishError(f"{path}: could not be published: {str(error).removeprefix(f'{path}: ')}") from error
    except OSError as error:
        raise PublishError(f"{path}: could not be published: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return "it is a mount point or spans two file systems; use a folder below the mount"
    return (
        f"{error.strerror or type(error).__name__} ({error.filename or 'no file named'}); check space and permissions"
    )
