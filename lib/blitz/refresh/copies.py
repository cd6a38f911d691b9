"""Typed copies of CSV tables, so that a refresh parses only new files and reads columns of the others.

A copy is a Parquet folder with the good rows of the raw files that were new when it was made. It is valid while its
files are intact, its rows would be typed the same way, and none of its raw files was rewritten or removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.raw import typed_rows as sources
from blitz.raw.cut_off import naming_cut_off_files
from blitz.raw.files import from_folders
from blitz.raw.specs import REASON, Kind
from blitz.raw.tables import RawTable
from blitz.refresh.state import TableCopy, output_files, typing_hash
from blitz.spark.columns import quoted_col
from blitz.storage.frames import write_parquet

MAX_COPIES = 16  # of one table; then all its files are copied again, together: each copy is a scan of its own


@dataclass(frozen=True)
class ErasedRows:
    """The rows of a table that belong to orders of erased customers.

    Args:
        digest: of the suppression list; empty where it has no entries.
        key: the key of the order that a row belongs to.
        keys: ``order_key`` of the customers' orders.
    """

    digest: str
    key: Column
    keys: DataFrame

    def without(self, rows: DataFrame) -> DataFrame:
        """The rows of other orders."""
        return rows.join(self.keys, self.key == F.col("order_key"), "left_anti") if self.digest else rows


def materialize_csv(
    spark: SparkSession, table: RawTable, timezone: str, before: Sequence[TableCopy], folder: str, erased: ErasedRows
) -> tuple[RawTable, tuple[TableCopy, ...]]:
    """Return the table as a refresh reads it, and its copies: from copies where all files are CSV, else as it is.

    Files that are in no valid copy of ``before`` are copied to ``folder``, without the rows of erased customers.
    """
    if any(group.format != "csv" for group in table.groups):
        return table, ()
    files, typed_by = set(table.files), typing_hash(table, timezone, erased.digest)
    copies = [copy for copy in before if copy.typed_by == typed_by and files.issuperset(copy.sources)]
    copies = [copy for copy in copies if copy.is_intact()]
    copies = copies if len(copies) < MAX_COPIES else []
    missing = table.only({info.path for info in files} - {info.path for copy in copies for info in copy.sources})
    if missing.files:
        with naming_cut_off_files(missing):
            _write(erased.without(sources.read_table(spark, missing, timezone)), missing, folder)
        copies.append(TableCopy(folder, missing.files, output_files(folder), typed_by))
    return from_folders(table, [copy.folder for copy in copies]), tuple(copies)


def _write(rows: DataFrame, table: RawTable, folder: str) -> None:
    """Write the good rows. Local times stay without a zone, so that none is applied to them again."""

    def column(name: str, kind: Kind) -> Column:
        return quoted_col(name).cast("timestamp_ntz").alias(name) if kind is Kind.LOCAL else quoted_col(name)

    columns = [column(field.name, field.kind) for field in table.spec.fields]
    good = rows.where(F.col(REASON).isNull()).select(*columns)
    write_parquet(good, folder)
