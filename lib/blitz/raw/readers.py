"""Raw files and tables to DataFrames of raw cells: the only module that knows how an engine reads them.

Spark reads all formats itself. Sail 0.7 reads Parquet itself; it has no reader for CSV lines with too many or too few
values and does not say from which file a row comes. For these there is sail_sources.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.raw import catalog_tables
from blitz.raw.csv_cells import FILE, cell_names
from blitz.raw.tables import FileGroup, RawColumn
from blitz.spark.columns import quoted, quoted_col
from blitz.spark.engine import SAIL, SPARK, engine_of, path_to_read
from blitz.storage.frames import read_parquet

_UNREAD = "_unread"  # never selected: keeps Spark's CSV column pruning on, which pads short lines instead of failing
FileColumn = Literal["path", "name"]


@dataclass(frozen=True)
class RawCells:
    """The rows of a file group.

    ``frame`` has a column for each column of the group by its ``cell`` name; of CSV files those of ``cell_names``, as
    text. ``group`` has the types as read.
    """

    frame: DataFrame
    group: FileGroup


def raw_cells(spark: SparkSession, group: FileGroup, file: FileColumn | None = None) -> RawCells:
    """Read the files of a group; ``file`` adds a column ``_file`` with the file's URI or its name."""
    return _READERS[engine_of(spark)](spark, group, file)


def cell_of(column: RawColumn) -> Column:
    """The raw value of a column of ``raw_cells``."""
    if column.constant is not None:
        return F.lit(column.constant).cast(column.ddl)
    if column.physical == "null":  # a column of nulls that the writer gave no type
        return F.lit(None).cast("string")
    return quoted_col(column.cell)


def _read_with_spark(spark: SparkSession, group: FileGroup, file: FileColumn | None) -> RawCells:
    if group.format == catalog_tables.FORMAT:
        rows = catalog_tables.table_rows(spark, group)
        return RawCells(rows.withColumn(FILE, F.lit(group.paths[0])) if file else rows, group)
    if group.format == "parquet":
        frame = read_parquet(spark, group.paths, _ddl(group))
    else:
        paths = [path_to_read(spark, storage.spark_path(path)) for path in group.paths]
        names = [*cell_names(group.width), _UNREAD]
        schema = ", ".join(f"{name} string" for name in names)
        reader = spark.read.options(ignoreLeadingWhiteSpace=True, ignoreTrailingWhiteSpace=True)  # tabs, too
        reader = reader.options(sep=group.separator, multiLine=group.multi_line)
        frame = reader.csv(paths, schema=schema, header=True, quote='"', escape='"', mode="PERMISSIVE")
    return RawCells(frame.withColumn(FILE, F.col(f"_metadata.file_{file}")) if file else frame, group)


def _read_with_sail(spark: SparkSession, group: FileGroup, file: FileColumn | None) -> RawCells:
    """Nanoseconds are read as timestamps where Sail reads, as their integer where this package does. Sail cannot read
    columns of categories as what they are."""
    from blitz.raw.sail_sources import from_source  # needs pyspark 4, which Sail does anyway

    if group.format == "csv" or file or any(column.is_dictionary for column in group.columns):
        return RawCells(from_source(spark, group, file), group)
    group = replace(group, columns=tuple(_as_timestamp(column) for column in group.columns))
    return RawCells(read_parquet(spark, group.paths, _ddl(group)), group)


def _as_timestamp(column: RawColumn) -> RawColumn:
    physical, ddl = _NANOS.get(column.physical, (column.physical, column.ddl))
    return replace(column, physical=physical, ddl=ddl)


_NANOS = {"nanos": ("instant", "timestamp"), "nanos_local": ("local", "timestamp_ntz")}
_READERS: dict[str, Callable[[SparkSession, FileGroup, FileColumn | None], RawCells]] = {
    SPARK: _read_with_spark,
    SAIL: _read_with_sail,
}


def _ddl(group: FileGroup) -> str:
    stored = [column for column in group.columns if column.is_stored]
    return ", ".join(f"{quoted(column.cell)} {column.ddl}" for column in stored)
