"""Raw files to typed rows: the only reader of raw data (contract: inputs, accounts).

Every row is read with the types that its file holds, and cast without losing it: a row whose key is missing or whose
numbers cannot be read carries the reason ``bad_record``, one without a time ``bad_timestamp``.
"""

from collections.abc import Callable
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.accounts import Reason
from blitz.raw.csv_cells import EXTRA, FILE
from blitz.raw.files import FileGroup, RawColumn, RawTable
from blitz.raw.readers import FileColumn, cell_of, raw_cells
from blitz.raw.specs import REASON, Field, Kind
from blitz.spark.columns import quoted, whole

_SPARK_TYPES = {"integer": "bigint", "float": "double", "decimal": "double", "boolean": "boolean"}
_WIDENING = ("boolean", "bigint", "double")  # each holds what the ones before hold


def read_table(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """The typed rows of a raw table.

    Returns the columns of the table's spec, in that order (ID bigint, CODE and TEXT string, NUMBER double, FLAG
    boolean, INSTANT UTC timestamp, LOCAL wall-clock timestamp held as if it were UTC), and ``reject_reason``: null for
    a good row. The session must have time zone UTC, and ANSI off: a cast of bad text gives null (see session.py).
    """
    return _read(spark, table, timezone, None, lambda group, reason: [])


def read_with_file_name(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """``read_table``, plus one column ``file_name``."""
    return _read(spark, table, timezone, "name", lambda group, reason: [F.col(FILE).alias("file_name")])


def read_with_raw(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """``read_table``, plus the columns ``file`` and ``raw`` of ``read_rejected``: null for a good row."""

    def rejected(group: FileGroup, reason: Column) -> list[Column]:
        is_bad = reason.isNotNull()
        return [F.when(is_bad, F.col(FILE)).alias("file"), F.when(is_bad, _raw(group)).alias("raw")]

    return _read(spark, table, timezone, "path", rejected)


def _read(
    spark: SparkSession,
    table: RawTable,
    timezone: str,
    file: FileColumn | None,
    extra: Callable[[FileGroup, Column], list[Column]],
) -> DataFrame:
    typed = _Typing(table, timezone)
    frames = []
    for group in table.groups:
        if group.paths:
            cells = raw_cells(spark, group, file)
            reason = typed.reason(cells.group)
            frames.append(cells.frame.select(*typed.columns(cells.group), reason, *extra(cells.group, reason)))
    return reduce(DataFrame.unionByName, frames)


def read_rejected(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """The rows that ``read_table`` rejects: ``table``, ``file``, ``reason``, ``raw`` (JSON text of the raw values)."""
    typed = _Typing(table, timezone)
    frames = []
    for group in table.groups:
        if not group.paths:
            continue
        cells = raw_cells(spark, group, "path")
        row = cells.frame.select(
            F.lit(table.spec.name).alias("table"),
            F.col(FILE).alias("file"),
            typed.reason(cells.group).alias("reason"),
            _raw(cells.group).alias("raw"),
        )
        frames.append(row.where(F.col("reason").isNotNull()))
    return reduce(DataFrame.unionByName, frames)


def _raw(group: FileGroup) -> Column:
    """The raw values of a row as JSON text."""
    return F.to_json(F.struct(*[cell_of(column).alias(column.name) for column in group.columns]))


class _Typing:
    """The casts of one table: the same for every group of its files, so that their union has one schema."""

    def __init__(self, table: RawTable, timezone: str) -> None:
        self.spec = table.spec
        self.timezone = timezone
        self.as_is = {f.name: _common_type(table, f.name) for f in table.spec.fields if f.kind is Kind.AS_IS}

    def columns(self, group: FileGroup) -> list[Column]:
        """One typed column per field of the spec."""
        raw = {column.name: column for column in group.columns}
        return [self._cast(field, raw[field.name]).alias(field.name) for field in self.spec.fields]

    def reason(self, group: FileGroup) -> Column:
        """Why a row is rejected, or null."""
        raw = {column.name: column for column in group.columns}
        bad = [F.lit(False)]
        for field in self.spec.fields:
            value = self._cast(field, raw[field.name])
            if field.required:
                bad.append(value.isNull())
            elif field.kind in (Kind.ID, Kind.NUMBER, Kind.FLAG) and _can_fail(field, raw[field.name]):
                bad.append(value.isNull() & _present(raw[field.name]))
        if group.format == "csv":
            bad += [F.col(name).isNotNull() for name in EXTRA]
        reason = F.when(reduce(Column.__or__, bad), F.lit(Reason.BAD_RECORD))
        if self.spec.time:
            time = self._cast(self._field(self.spec.time), raw[self.spec.time])
            reason = reason.when(time.isNull(), F.lit(Reason.BAD_TIMESTAMP))
        return reason.alias(REASON)

    def _field(self, name: str) -> Field:
        return next(field for field in self.spec.fields if field.name == name)

    def _cast(self, field: Field, column: RawColumn) -> Column:
        if field.kind is Kind.AS_IS:
            return self._as_is(field, column)
        if field.kind in (Kind.INSTANT, Kind.LOCAL):
            return _time(column, self.timezone if field.kind is Kind.LOCAL else None)
        return _CASTS[field.kind](column)

    def _as_is(self, field: Field, column: RawColumn) -> Column:
        target = self.as_is[field.name]
        if target == "timestamp":
            return _time(column, None)
        if target == "string":
            return _code(column) if column.physical in ("float", "decimal") else _text(column)
        return _finite(column).cast(target) if column.physical == "float" else cell_of(column).cast(target)


def _common_type(table: RawTable, name: str) -> str:
    """The one Spark type that holds a carried-through column of all files of a table."""
    kinds = {column.physical for group in table.groups for column in group.columns if column.name == name} - {"null"}
    if kinds and kinds <= {"nanos", "nanos_local", "instant", "local", "date"}:
        return "timestamp"
    types = {_SPARK_TYPES.get(kind, "string") for kind in kinds}
    if len(types) > 1 and types <= set(_WIDENING):  # integers with nulls and flags with nulls, as pandas writes them
        return max(types, key=_WIDENING.index)
    return types.pop() if len(types) == 1 else "string"


def _can_fail(field: Field, column: RawColumn) -> bool:
    """Whether a value can be there and yet not be of its kind."""
    return column.physical == "text" or (field.kind is Kind.ID and column.physical in ("float", "decimal"))


def _present(column: RawColumn) -> Column:
    if column.physical == "float":
        return _finite(column).isNotNull()
    if column.physical == "text":
        return _text(column).isNotNull() & ~F.lower(_text(column)).isin("nan", "null", "none")
    return cell_of(column).isNotNull()


def _finite(column: RawColumn) -> Column:
    """A float with NaN as null: Spark holds NaN for greater than any number."""
    return F.when(~F.isnan(cell_of(column)), cell_of(column))


def _text(column: RawColumn) -> Column:
    trimmed = F.trim((_finite(column) if column.physical == "float" else cell_of(column)).cast("string"))
    return F.when(trimmed != "", trimmed)


def _id(column: RawColumn) -> Column:
    if column.physical == "text":
        return whole(_code(column))
    if column.physical in ("float", "decimal"):
        number = cell_of(column).cast("bigint")
        return F.when(number.cast("double") == cell_of(column).cast("double"), number)
    return cell_of(column).cast("bigint")


def _code(column: RawColumn) -> Column:
    if column.physical in ("float", "decimal"):
        number = cell_of(column).cast("bigint")
        return F.when(number.cast("double") == cell_of(column).cast("double"), number.cast("string")).otherwise(
            _text(column)
        )
    text = _text(column)
    return F.when(F.instr(text, ".") > 0, F.regexp_replace(text, r"^([+-]?\d+)\.0*$", "$1")).otherwise(text)


def _number(column: RawColumn) -> Column:
    if column.physical == "float":
        return _finite(column).cast("double")
    if column.physical == "text":
        value = _text(column).cast("double")
        return F.when(~F.isnan(value) & (F.abs(value) != F.lit(float("inf"))), value)
    return cell_of(column).cast("double")


def _flag(column: RawColumn) -> Column:
    if column.physical == "boolean":
        return cell_of(column)
    if column.physical == "text":
        text = F.lower(_text(column))
        return F.when(text.isin("true", "t", "yes", "y", "1", "1.0"), True).when(
            text.isin("false", "f", "no", "n", "0", "0.0"), False
        )
    return _number(column) != 0


def _time(column: RawColumn, local_zone: str | None) -> Column:
    """A timestamp: the UTC instant, or with ``local_zone`` the wall-clock time there, held as if it were UTC."""
    cell = cell_of(column)
    if column.physical in ("nanos", "nanos_local"):
        nanos = quoted(column.cell)  # whole-number arithmetic: as a double the last microseconds would be lost
        value = F.timestamp_micros(F.expr(f"({nanos} - pmod({nanos}, 1000L)) div 1000L"))
    elif column.physical == "text":
        text = _text(column)
        value = F.when(_is_iso_time(text), text.cast("timestamp"))
    else:
        value = cell.cast("timestamp")
    if local_zone is None:
        return value
    shifted = F.from_utc_timestamp(value, local_zone)
    if column.physical in ("nanos", "instant"):
        return shifted
    if column.physical == "text":
        return F.when(_has_zone(_text(column)), shifted).otherwise(value)
    return value


def _is_iso_time(text: Column) -> Column:
    """Whether a text begins as a full date does and, if it goes on, goes on as a time does; the cast checks the rest.

    The cast alone would take "2025", "2025-1-1" and, as today's, "12:30". Compared by place: a regular expression costs
    a run's largest file, the customer mapping, more than all the rest of its reading.
    """

    def at(place: int, *chars: str) -> Column:
        return F.substring(text, place, 1).isin(*chars)

    is_date = at(5, "-") & at(8, "-")
    return is_date & ((F.length(text) == 10) | ((F.length(text) >= 16) & at(11, " ", "T") & at(14, ":")))


def _has_zone(text: Column) -> Column:
    """Whether anything but digits and marks of a time stands behind the minutes: Z, UTC, +05:30, a region's name."""
    return (F.length(text) > 16) & (F.translate(F.substring(text, 17, 64), "0123456789:. ", "") != "")


_CASTS: dict[Kind, Callable[[RawColumn], Column]] = {
    Kind.ID: _id,
    Kind.CODE: _code,
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.FLAG: _flag,
}
