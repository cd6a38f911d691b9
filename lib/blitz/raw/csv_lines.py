"""Lines of large CSV files that are not records, and records that are damaged (docs/contract.md, section 9)."""

from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

from blitz.raw import value_columns, values
from blitz.raw.csv_cells import EXTRA
from blitz.raw.specs import Kind, TableSpec
from blitz.raw.tables import FileGroup

_BETWEEN = "\x1f"
_MISSING = value_columns.any_literal(values.MISSING)
_BLANKS = f"[{values.BLANKS.replace(_BETWEEN, '')}]*"
_MISSING_CELL = rf"{_BLANKS}(?:{_MISSING})?{_BLANKS}"
_EMPTY_LINE = rf"^{_MISSING_CELL}(?:{_BETWEEN}{_MISSING_CELL})*$"


def is_skipped(group: FileGroup) -> Column:
    """Whether a line is empty or repeats the header."""
    stored = [column for column in group.columns if column.position is not None]
    every = F.concat_ws(_BETWEEN, *[F.col(f"c{at}") for at in range(group.width)])
    between = rf"{_BLANKS}{_BETWEEN}{_BLANKS}"
    names = between.join(value_columns.literal(column.source or column.name) for column in stored)
    header = rf"(?i)^{_BLANKS}{names}{_BLANKS}$"
    is_header = F.concat_ws(_BETWEEN, *[F.col(column.cell) for column in stored]).rlike(header)
    first = F.col(stored[0].cell)
    # Most lines; no missing word does, and no name of a column.
    ends_with_digit = F.coalesce(F.substring(first, -1, 1).between("0", "9"), F.lit(False))
    return F.when(ends_with_digit, False).otherwise(every.rlike(_EMPTY_LINE) | is_header)


def has_lost_text(group: FileGroup, spec: TableSpec) -> Column:
    """Whether text of a line was not UTF-8, apart from codes, numbers, flags and times: these cannot be read then."""
    kinds = {field.name: field.kind for field in spec.fields}
    checked = {column.position for column in group.columns if kinds[column.name] not in (Kind.TEXT, Kind.AS_IS)}
    others = [F.col(f"c{at}") for at in range(group.width) if at not in checked]
    lost = [F.contains(cell, F.lit(values.LOST_TEXT)) for cell in others]
    return reduce(Column.__or__, [F.coalesce(each, F.lit(False)) for each in lost], F.lit(False))


def is_damaged(group: FileGroup) -> Column:
    """Whether a line has more values than the header, or is the rest of a record that began in the line before."""
    extra = [F.col(name) for name in EXTRA]
    has_extra = F.coalesce(*extra).isNotNull() & ~F.concat_ws(_BETWEEN, *extra).rlike(_EMPTY_LINE)
    return has_extra if group.multi_line else has_extra | _closes_quote(group)


def continues_record(group: FileGroup) -> Column:
    """Whether a rejected line is the rest of a record that began in the line before, inside quotes.

    It closes that quote in its first cell; or the quote is the first sign of the line, so that it seems to open one and
    all that follows is in the first cell.
    """
    if group.multi_line:
        return F.lit(False)
    others = [F.col(f"c{at}") for at in range(1, group.width)]
    has_separator = F.coalesce(F.contains(F.col("c0"), F.lit(group.separator)), F.lit(False))
    return _closes_quote(group) | (has_separator & F.coalesce(*others).isNull() if others else F.lit(False))


def _closes_quote(group: FileGroup) -> Column:
    """Whether the first cell ends with a quote that it does not open.

    An inch sign does so as well. So where the cell is not read, the line must be short, as the rest of a record is.
    """
    first = F.col("c0")
    is_odd = (F.length(first) - F.length(F.translate(first, '"', ""))) % 2 == 1
    closes = F.when(first.endswith('"'), is_odd).otherwise(False)  # few cells do: quotes are counted in these alone
    is_read = any(column.position == 0 for column in group.columns)
    return closes if is_read else closes & F.col(f"c{group.width - 1}").isNull()
