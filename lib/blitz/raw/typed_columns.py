"""The typed columns of a raw table: how each of its cells becomes a value, and why a row is rejected.

All values are computed in one ``select``, text by ``value_columns``, and settled in the next; the reason follows from
the values and the raw cells in one more, so that nothing is computed twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.accounts import Reason
from blitz.raw import time_formats, value_columns
from blitz.raw.channels import business_time
from blitz.raw.readers import cell_of
from blitz.raw.specs import REASON, Field, Kind
from blitz.raw.tables import FileGroup, RawColumn, RawTable
from blitz.spark.columns import quoted

_NAMES = (Kind.TEXT, Kind.AS_IS)  # text whose own words count; the others are codes, numbers, flags and times
_TIMES = (Kind.INSTANT, Kind.LOCAL)
_SPARK_TYPES = {"integer": "bigint", "float": "double", "decimal": "double", "boolean": "boolean"}
_WIDENING = ("boolean", "bigint", "double")  # each holds what the ones before hold
_EXACT = {"float": 2**24, "double": 2**53}  # the greatest whole number that the type holds without losing digits


@dataclass(frozen=True)
class _Cell:
    """One field of the spec in one group of files, and the name of its value."""

    at: int
    field: Field
    column: RawColumn

    @property
    def is_text(self) -> bool:
        return self.column.physical == "text"

    @property
    def raw(self) -> Column:
        return cell_of(self.column)

    @property
    def value(self) -> str:
        return f"_v{self.at}"

    @property
    def is_present(self) -> Column:
        """Whether the cell of a code, number, flag or time has a text that ought to be a value."""
        return self.raw.isNotNull() & ~value_columns.is_missing_word(self.raw)


class TypedColumns:
    """The casts of one table: the same for every group of its files, so that their union has one schema.

    Args:
        table: the raw table.
        timezone: the zone of local times.
    """

    def __init__(self, table: RawTable, timezone: str) -> None:
        self.spec = table.spec
        self.timezone = timezone
        self.time_format = table.options.time_format
        self.day_starts = table.options.day_starts
        self.as_is = {f.name: _common_type(table, f.name) for f in table.spec.fields if f.kind is Kind.AS_IS}

    def with_values(self, rows: DataFrame, group: FileGroup) -> DataFrame:
        """The rows with the value of every field; ``columns`` and ``reason`` refer to them."""
        cells = self._cells(group)
        values = [_fenced(self._value(cell)) if cell.is_text else self._value(cell) for cell in cells]
        found = rows.select("*", *[value.alias(cell.value) for value, cell in zip(values, cells, strict=True)])
        unsettled = [cell for cell in cells if cell.is_text and cell.field.kind in (Kind.CODE, Kind.NUMBER)]
        settled = {cell.value: value_columns.settled(F.col(cell.value), cell.field.kind) for cell in unsettled}
        return found.withColumns(settled) if settled else found

    def columns(self, group: FileGroup) -> list[Column]:
        """One typed column per field of the spec."""
        return [F.col(cell.value).alias(cell.field.name) for cell in self._cells(group)]

    def reason(self, group: FileGroup, is_damaged: Column | None = None) -> Column:
        """Why a row is rejected, or null; ``is_damaged``: whether its line cannot be taken apart."""
        cells = self._cells(group)
        bad = [problem for cell in cells if (problem := self._problem(cell)) is not None]
        if is_damaged is not None:
            bad.append(is_damaged)
        reason = F.when(reduce(Column.__or__, bad, F.lit(False)), F.lit(Reason.BAD_RECORD))
        for cell in cells:
            if cell.field.name == self.spec.time:
                reason = reason.when(F.col(cell.value).isNull(), F.lit(Reason.BAD_TIMESTAMP))
        return reason.alias(REASON)

    def problems(self, group: FileGroup) -> list[tuple[str, Column, Column]]:
        """Of every field that can be wrong: its name, whether it is, and its cell as text."""
        found = []
        for cell in self._cells(group):
            problem = self._problem(cell)
            if cell.field.name == self.spec.time:
                problem = F.col(cell.value).isNull()
            if problem is not None:
                found.append((cell.field.name, problem, cell.raw.cast("string")))
        return found

    def _cells(self, group: FileGroup) -> list[_Cell]:
        by_name = {column.name: column for column in group.columns}
        return [_Cell(at, field, by_name[field.name]) for at, field in enumerate(self.spec.fields)]

    def _problem(self, cell: _Cell) -> Column | None:
        """Whether the value makes its row a bad record; None where it cannot."""
        value, kind = F.col(cell.value), cell.field.kind
        if cell.field.required:
            return value.isNull()
        if kind in _NAMES or cell.field.name == self.spec.time or kind is Kind.INSTANT:
            return None
        if cell.is_text:
            return value.isNull() & cell.is_present
        if cell.column.physical in ("float", "decimal") and kind is not Kind.LOCAL:
            present = cell.raw.isNotNull()
            return value.isNull() & (present & ~F.isnan(cell.raw) if cell.column.physical == "float" else present)
        return None

    def _value(self, cell: _Cell) -> Column:
        kind = cell.field.kind
        if kind is Kind.AS_IS:
            return self._as_is(cell)
        if kind in _TIMES:
            return self._business_day(self._formatted(cell, _time(cell, self.timezone if kind is Kind.LOCAL else None)))
        if cell.is_text:
            return _OF_TEXT[kind](cell.raw)
        return _OF_TYPED[kind](cell.column)

    def _business_day(self, time: Column) -> Column:
        """The time, moved to its business day where it is more than a date."""
        if not self.day_starts:
            return time
        return F.when(time.cast("date").cast("timestamp") == time, time).otherwise(business_time(time, self.day_starts))

    def _formatted(self, cell: _Cell, iso: Column) -> Column:
        """The time by the config's pattern, else as ISO text."""
        if self.time_format is None or not cell.is_text:
            return iso
        by_pattern = F.to_timestamp(value_columns.clean_word(cell.raw), time_formats.lenient(self.time_format))
        return F.coalesce(by_pattern, iso) if time_formats.may_be_iso(self.time_format) else by_pattern

    def _as_is(self, cell: _Cell) -> Column:
        target = self.as_is[cell.field.name]
        if target == "timestamp":
            return _time(cell, None)
        if target == "string":
            if cell.is_text:
                return value_columns.clean_text(cell.raw)
            text = _typed_text(cell.column)
            is_number = cell.column.physical in ("float", "decimal")
            return F.coalesce(_typed_code(cell.column), text) if is_number else text
        return (_not_nan(cell.column) if cell.column.physical == "float" else cell.raw).cast(target)


def _fenced(value: Column) -> Column:
    """The same value, as an expression that optimizers leave where it is.

    A filter on a value (good rows, a join key that is not null) would otherwise be moved below the ``select`` of the
    values, and the values below a union: each would be computed once more for the filter, and planned once per group of
    files. Neither Spark nor DataFusion moves anything over a column that may differ from row to row. The sum is needed:
    Spark 4 knows the range of ``rand`` itself and replaces a bare comparison by true.
    """
    return F.when(F.rand(0) + 1 >= 0, value)


def _time(cell: _Cell, local_zone: str | None) -> Column:
    """A timestamp: the UTC instant, or with ``local_zone`` the wall-clock time there, held as if it were UTC."""
    physical = cell.column.physical
    if cell.is_text:
        return value_columns.local_time(cell.raw, local_zone) if local_zone else value_columns.instant(cell.raw)
    if physical in ("nanos", "nanos_local"):
        nanos = quoted(cell.column.cell)  # whole-number arithmetic: as a double the last microseconds would be lost
        value = F.timestamp_micros(F.expr(f"({nanos} - pmod({nanos}, 1000L)) div 1000L"))
    else:
        value = cell.raw.cast("timestamp")
    is_instant = physical in ("nanos", "instant")
    return F.from_utc_timestamp(value, local_zone) if local_zone and is_instant else value


def _common_type(table: RawTable, name: str) -> str:
    """The one Spark type that holds a carried-through column of all files of a table."""
    kinds = {column.physical for group in table.groups for column in group.columns if column.name == name} - {"null"}
    if kinds and kinds <= {"nanos", "nanos_local", "instant", "local", "date"}:
        return "timestamp"
    types = {_SPARK_TYPES.get(kind, "string") for kind in kinds}
    if len(types) > 1 and types <= set(_WIDENING):  # integers with nulls and flags with nulls, as pandas writes them
        return max(types, key=_WIDENING.index)
    return types.pop() if len(types) == 1 else "string"


def _not_nan(column: RawColumn) -> Column:
    """A float with NaN as null: Spark takes NaN for greater than any number."""
    cell = cell_of(column)
    return F.when(~F.isnan(cell), cell)


def _typed_text(column: RawColumn) -> Column:
    return (_not_nan(column) if column.physical == "float" else cell_of(column)).cast("string")


def _typed_whole(column: RawColumn) -> Column:
    """The whole number of a float or decimal, as bigint or decimal; null where it is none or may have lost digits."""
    cell = cell_of(column)
    if column.physical == "decimal":
        precision = column.ddl.removeprefix("decimal(").partition(",")[0]
        return F.when(cell % 1 == 0, cell.cast(f"decimal({precision},0)"))
    is_exact = F.abs(cell) <= F.lit(float(_EXACT[column.ddl]))
    return F.when(is_exact & (F.floor(cell) == cell), cell.cast("bigint"))


def _typed_id(column: RawColumn) -> Column:
    if column.physical in ("float", "decimal"):
        return _typed_whole(column).cast("bigint")
    return cell_of(column).cast("bigint")


def _typed_code(column: RawColumn) -> Column:
    if column.physical not in ("float", "decimal"):
        return _typed_text(column)
    return F.coalesce(_typed_whole(column).cast("string"), _fraction(column))


def _fraction(column: RawColumn) -> Column:
    """The text of a code that is not a whole number; null for one that may have lost digits."""
    cell = cell_of(column)
    return F.when((F.floor(cell) != cell) & ~F.isnan(cell), cell.cast("string"))


def _typed_number(column: RawColumn) -> Column:
    if column.physical == "float":
        value = _not_nan(column).cast("double")
        return F.when(F.abs(value) != F.lit(float("inf")), value)
    return cell_of(column).cast("double")


def _typed_flag(column: RawColumn) -> Column:
    return cell_of(column) if column.physical == "boolean" else _typed_number(column) != 0


_OF_TEXT: dict[Kind, Callable[[Column], Column]] = {
    Kind.ID: value_columns.whole_number,
    Kind.CODE: value_columns.code,
    Kind.TEXT: value_columns.clean_text,
    Kind.NUMBER: value_columns.number,
    Kind.FLAG: value_columns.flag,
}
_OF_TYPED: dict[Kind, Callable[[RawColumn], Column]] = {
    Kind.ID: _typed_id,
    Kind.CODE: _typed_code,
    Kind.TEXT: _typed_text,
    Kind.NUMBER: _typed_number,
    Kind.FLAG: _typed_flag,
}
