"""Publish a table whose files each hold one month, and keep the files of months that did not change.

The files stand side by side in the output's folder, as ``2025-06-part-….parquet``: readers see the columns of the
frame and no partition column. Kept files are linked (local disk) or copied where they are (S3, HDFS), so that the whole
table is swapped in as ``publish`` does it.
"""

from collections.abc import Collection
from functools import partial

from pyspark.sql import Column, DataFrame

from blitz import storage
from blitz.publish.tables import Check, Published, clear_errors, inspect, publish_files

MONTH = "blitz_month"
_KEPT = "-kept-"


def publish_months(
    rows: DataFrame, month: Column, path: str, *, run_id: str, keep: Collection[str] = (), check: Check | None = None
) -> Published:
    """Publish ``rows`` and the files of ``keep`` at ``path`` in place of what stands there.

    Args:
        rows: the new rows.
        month: their month as text such as ``2025-06``, never null.
        path: folder of the output.
        run_id: as for ``publish``.
        keep: names of files in the output's folder that stay as they are; they have the columns of ``rows``.
        check: as for ``publish``.

    Raises as ``publish`` does.
    """
    return publish_files(path, run_id=run_id, write=partial(_write, rows, month, path, run_id, keep, check))


def month_of(name: str) -> str:
    """The month of a file that ``publish_months`` wrote."""
    return name[: len("2025-06")]


def _write(
    rows: DataFrame, month: Column, path: str, run_id: str, keep: Collection[str], check: Check | None, staging: str
) -> Published:
    _write_folders(rows, month, staging)
    with clear_errors(path):
        folders = _flatten(staging)
        for name in keep:  # under a new name: on S3 no new object may have the name of an old one
            stem = name.removesuffix(".parquet").split(_KEPT)[0]
            storage.copy(f"{path.rstrip('/')}/{name}", f"{staging}/{stem}{_KEPT}{run_id}.parquet")
    if not folders and not keep:  # an empty table still has its columns
        rows.limit(0).write.mode("overwrite").parquet(storage.spark_path(staging))
    published = inspect(rows, staging, path, by_name=True)
    if check is not None:
        check(published.rows)
    return published


def _flatten(staging: str) -> set[str]:
    """Put the files of the months' folders side by side, with the month in their names; returns the folders, gone."""
    folders = set()
    for info in storage.list_files(staging):
        folder, _, name = info.path.rpartition("/")
        if f"{MONTH}=" in folder:
            storage.copy(info.path, f"{staging}/{folder.rpartition('=')[2]}-{name}")
            folders.add(folder)
    for folder in folders:
        storage.delete(folder)
    return folders


def _write_folders(rows: DataFrame, month: Column, staging: str) -> None:
    """One folder per month; Spark joins small and splits large files of a month."""
    by_month = rows.withColumn(MONTH, month)
    # In SQL, since DataFrame.hint of Spark 3.5 refuses a column, and takes its name for a plain text.
    hinted = rows.sparkSession.sql(f"SELECT /*+ REBALANCE({MONTH}) */ * FROM {{rows}}", rows=by_month)
    hinted.write.mode("error").partitionBy(MONTH).parquet(storage.spark_path(staging))
