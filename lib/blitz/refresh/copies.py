"""Typed copies of CSV tables, so that a refresh parses new files alone and reads the columns of the others.

A copy is a Parquet folder with the good rows of some raw files: those that were new when it was made. It counts for as
long as it is whole, its rows would be typed the same way, and none of its raw files was written again or removed.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.raw import typed_rows as sources
from blitz.raw.files import RawTable
from blitz.raw.specs import REASON, Kind
from blitz.refresh.state import Copy, copy_of, described, typed_by
from blitz.spark.columns import named
from blitz.storage.frames import write_parquet

MOST_COPIES = 16  # of one table; then all its files are copied again, together: each copy is a scan of its own


def copied(
    spark: SparkSession, table: RawTable, timezone: str, before: Sequence[Copy], folder: str
) -> tuple[RawTable, list[Copy]]:
    """The table as a refresh reads it: by its copies where all its files are CSV, else as it is; and the copies.

    Files that are in no copy of ``before`` that counts are copied to ``folder``.
    """
    if any(group.format != "csv" for group in table.groups):
        return table, []
    now, typed = {tuple(file) for file in described(table.files)}, typed_by(table.spec, timezone)
    copies = [
        copy for copy in before if copy.typed_by == typed and now.issuperset(map(tuple, copy.files)) and copy.is_whole()
    ]
    copies = copies if len(copies) < MOST_COPIES else []
    missing = table.only({info.path for info in table.files} - {file[0] for copy in copies for file in copy.files})
    if missing.files:
        _write(sources.read_table(spark, missing, timezone), missing, folder)
        copies.append(copy_of(missing, folder, timezone))
    return table.from_folders(copy.folder for copy in copies), copies


def _write(rows: DataFrame, table: RawTable, folder: str) -> None:
    """Write the good rows. Local times are written as such, so that no zone is applied to them again."""

    def column(name: str, kind: Kind) -> Column:
        return named(name).cast("timestamp_ntz").alias(name) if kind is Kind.LOCAL else named(name)

    columns = [column(field.name, field.kind) for field in table.spec.fields]
    good = rows.where(F.col(REASON).isNull()).select(*columns)
    write_parquet(good, folder)
