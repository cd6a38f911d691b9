"""Raw files to typed rows: the only reader of raw data (docs/contract.md, sections 2 and 8).

Every row is read with the types that its file holds, and cast without losing it: a row whose key is missing or whose
numbers cannot be read carries the reason ``bad_record``, one without a time ``bad_timestamp``.
"""

from collections.abc import Callable, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.raw import csv_lines
from blitz.raw.csv_cells import FILE
from blitz.raw.readers import FileColumn, RawCells, cell_of, raw_cells
from blitz.raw.specs import REASON, TableSpec
from blitz.raw.tables import FileGroup, RawColumn, RawTable
from blitz.raw.typed_columns import TypedColumns
from blitz.spark.columns import quoted

# In the raw values of a rejected row: whether csv_lines.continues_record and csv_lines.has_lost_text hold, and whether
# its line cannot be taken apart.
CONTINUES, LOST, DAMAGED = "_continues_record", "_has_lost_text", "_damaged"

# The columns of the rows of a group: given the table's types, the group, and why a row is rejected.
Select = Callable[[TypedColumns, FileGroup, Column], list[Column]]


def read_table(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """The typed rows of a raw table.

    Returns the columns of the table's spec, in that order (ID bigint, CODE and TEXT string, NUMBER double, FLAG
    boolean, INSTANT UTC timestamp, LOCAL wall-clock timestamp held as if it were UTC), and ``reject_reason``: null for
    a good row. The session must have time zone UTC, and ANSI off: a cast of bad text gives null (see session.py).
    """
    return _read(spark, table, timezone, None, lambda typed, group, reason: [*typed.columns(group), reason])


def read_with_file_name(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """``read_table``, plus one column ``file_name``."""

    def select(typed: TypedColumns, group: FileGroup, reason: Column) -> list[Column]:
        return [*typed.columns(group), reason, F.col(FILE).alias("file_name")]

    return _read(spark, table, timezone, "name", select)


def read_with_raw(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """``read_table``, plus the columns ``file`` and ``raw`` of ``read_rejected``: null for a good row."""

    def select(typed: TypedColumns, group: FileGroup, reason: Column) -> list[Column]:
        is_bad = reason.isNotNull()
        file, raw = F.when(is_bad, F.col(FILE)).alias("file"), F.when(is_bad, _raw(group)).alias("raw")
        return [*typed.columns(group), reason, file, raw]

    return _read(spark, table, timezone, "path", select)


def rejected_rows(rows: DataFrame, name: str) -> DataFrame:
    """``read_rejected`` of the table with this name from the rows of ``read_with_raw``."""
    columns = (F.lit(name).alias("table"), "file", F.col(REASON).alias("reason"), "raw")
    return rows.where(F.col(REASON).isNotNull()).select(*columns)


def read_rejected(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """The rows that ``read_table`` rejects: ``table``, ``file``, ``reason``, ``raw`` (JSON text of the raw values)."""
    return rejected_rows(read_with_raw(spark, table, timezone), table.spec.name)


def _read(spark: SparkSession, table: RawTable, timezone: str, file: FileColumn | None, select: Select) -> DataFrame:
    """The rows of all groups with the columns that ``select`` returns; it may use the column FILE.

    Groups whose columns have the same types are one before they are typed: the rules of values are planned and compiled
    once per table, not once per order of columns in a header.
    """
    typed = TypedColumns(table, timezone)
    alike: dict[FileGroup, list[DataFrame]] = {}
    for group in table.groups:
        if group.paths:
            cells = raw_cells(spark, group, file)
            shape = FileGroup(group.format, tuple(_by_name(column) for column in cells.group.columns), 0)
            alike.setdefault(shape, []).append(_cells_by_name(cells, table.spec, file is not None))
    frames = []
    for shape, parts in alike.items():
        rows = typed.with_values(reduce(DataFrame.unionByName, parts), shape)
        reason = typed.reason(shape, F.col(DAMAGED) if shape.format == "csv" else None)
        frames.append(rows.select(*select(typed, shape, reason)))
    return reduce(DataFrame.unionByName, frames)


def _cells_by_name(cells: RawCells, spec: TableSpec, has_file: bool) -> DataFrame:
    """The raw rows by the names of the spec, with FILE where they have it; of CSV lines also DAMAGED,
    and with FILE also CONTINUES and LOST."""
    group, rows = cells.group, cells.frame
    columns = [cell_of(column).alias(column.name) for column in group.columns if column.physical != "null"]
    if has_file:
        columns.append(F.col(FILE))
    if group.format == "csv":
        rows = rows.where(~csv_lines.is_skipped(group))
        has_lost_text = csv_lines.has_lost_text(group, spec)
        columns.append((csv_lines.is_damaged(group) | has_lost_text).alias(DAMAGED))
        if has_file:
            columns += [csv_lines.continues_record(group).alias(CONTINUES), has_lost_text.alias(LOST)]
    return rows.select(*columns)


def _by_name(column: RawColumn) -> RawColumn:
    """The column as ``_cells_by_name`` returns it."""
    return RawColumn(column.name, column.physical, column.ddl)


def _raw(group: FileGroup) -> Column:
    """The raw values of a row as JSON text; CONTINUES, LOST and DAMAGED are in it where they hold."""
    cells = [_json_value(column).alias(column.name) for column in group.columns]
    if group.format == "csv":
        cells += [F.when(F.col(mark), True).alias(mark) for mark in (CONTINUES, LOST, DAMAGED)]
    return F.to_json(F.struct(*cells))


def raw_values(rejected: DataFrame, columns: Sequence[RawColumn], keep: Sequence[str]) -> DataFrame:
    """Rejected rows with their raw values as text columns of the spec's names, after the columns of ``keep``."""
    schema = ", ".join(f"{quoted(column.name)} string" for column in columns)
    cells = rejected.select(*keep, F.from_json("raw", schema).alias("_cells"))
    return cells.select(*keep, "_cells.*")


def _json_value(column: RawColumn) -> Column:
    """The cell; a time as text with all its digits, which Spark's JSON cuts to thousandths."""
    cell = cell_of(column)
    return cell.cast("string") if column.physical in ("instant", "local") else cell
