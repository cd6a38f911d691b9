"""Publish a table whose files each contain one month, and keep the files of months that did not change.

The files are next to each other in the output's folder, as ``2025-06-part-….parquet``: readers see the columns of the
frame and no partition column. Kept files are linked (local disk) or copied on the server's side (S3, HDFS), so that
the table is swapped in as a whole, like any other.
"""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

from pyspark.sql import Column, DataFrame

from blitz import storage
from blitz.publish.base import Store, translate_errors
from blitz.publish.rewrite import copy_kept
from blitz.publish.tables import Output, Writer, publishing
from blitz.storage.frames import write_parquet

MONTH = "blitz_month"


def publishing_months(
    path: str,
    month: Column,
    *,
    run_id: str,
    keep: Collection[str] | Callable[[], Collection[str]] = (),
    unchanged: DataFrame | None = None,
    write: Writer | None = None,
    store: Store | None = None,
) -> AbstractContextManager[Output]:
    """Publish at ``path``, in files of one month each: the staged rows, ``unchanged`` rows and the files of ``keep``.

    Used as ``publishing``, and raises as it does.

    Args:
        path: folder of the output.
        month: the month of a staged row as text such as ``2025-06``, never null.
        run_id: as for ``publishing``.
        keep: names of files in the output's folder that stay as they are; they have the columns of the staged rows. A
            function is asked for them while the output is locked.
        unchanged: rows of files that are rewritten, with the columns of the staged rows.
        write: writes the rows below one folder ``blitz_month=…`` for each month; by default Spark does.
        store: as for ``publishing``.
    """
    write_folders = write or (lambda rows, folder: write_month_folders(rows, month, folder))

    def write_files(rows: DataFrame, folder: str) -> None:
        write_folders(rows if unchanged is None else rows.unionByName(unchanged), folder)
        with translate_errors(path):
            months = _flatten(folder)
            kept = keep() if callable(keep) else keep
        copy_kept(path, kept, folder, run_id)
        if not months and not kept:  # an empty table still has its columns
            storage.delete(folder)  # of what an engine writes without rows
            write_parquet(rows.limit(0), folder)

    return publishing(path, run_id=run_id, write=write_files, store=store)


def month_of(name: str) -> str:
    """The month of a file that was published by month."""
    return name[: len("2025-06")]


def _flatten(folder: str) -> set[str]:
    """Move the files of the months' folders into ``folder``, their month in their names; returns the folders."""
    months = set()
    for info in storage.list_files(folder):
        parent, _, name = info.path.rpartition("/")
        if f"{MONTH}=" in parent:
            storage.copy(info.path, f"{folder}/{parent.rpartition('=')[2]}-{name}")
            months.add(parent)
    for parent in months:
        storage.delete(parent)
    return months


def write_month_folders(rows: DataFrame, month: Column, folder: str) -> None:
    """Write one folder for each month; Spark merges small and splits large files of a month."""
    by_month = rows.withColumn(MONTH, month)
    # In SQL, since DataFrame.hint of Spark 3.5 refuses a column, and takes its name for a plain text.
    hinted = rows.sparkSession.sql(f"SELECT /*+ REBALANCE({MONTH}) */ * FROM {{rows}}", rows=by_month)
    hinted.write.mode("error").partitionBy(MONTH).parquet(storage.spark_path(folder))
