"""Lines of large CSV files that are not records, and records that are damaged (docs/contract.md, section 9)."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from blitz.raw import value_columns, values
from blitz.raw.csv_cells import EXTRA
from blitz.raw.tables import FileGroup

_BETWEEN = "\x1f"


def _literal(text: str) -> str:
    """A regular expression of exactly this text, as Java and Rust read it."""
    return "".join(
        sign if sign.isalnum() or sign == " " else rf"\{sign}" if sign in r"\^[]" else f"[{sign}]" for sign in text
    )


_MISSING = "|".join(_literal(word) for word in sorted(values.MISSING, key=len, reverse=True))
_BLANKS = f"[{values.BLANKS.replace(_BETWEEN, '')}]*"
_MISSING_CELL = rf"{_BLANKS}(?:{_MISSING})?{_BLANKS}"
_EMPTY_LINE = rf"^{_MISSING_CELL}(?:{_BETWEEN}{_MISSING_CELL})*$"


def is_skipped(group: FileGroup) -> Column:
    """Whether a line is empty or repeats the header."""
    stored = [column for column in group.columns if column.position is not None]
    every = F.concat_ws(_BETWEEN, *[F.col(f"c{at}") for at in range(group.width)])
    names = rf"{_BLANKS}{_BETWEEN}{_BLANKS}".join(_literal(column.source or column.name) for column in stored)
    is_header = F.concat_ws(_BETWEEN, *[F.col(column.cell) for column in stored]).rlike(
        rf"(?i)^{_BLANKS}{names}{_BLANKS}$"
    )
    begins_with_digit = F.ascii(F.col(stored[0].cell)).between(48, 57)  # most lines: nothing else is looked at
    return F.when(begins_with_digit, False).otherwise(every.rlike(_EMPTY_LINE) | is_header)


def is_damaged(group: FileGroup) -> Column:
    """Whether a line has more values than the header."""
    return _any_present([_present(name) for name in EXTRA])


def is_broken(cell: Column) -> Column:
    """Whether a cell of a rejected row begins or ends with a quote that has no other: its record has several lines."""
    quotes = F.length(cell) - F.length(F.translate(cell, '"', ""))
    return F.coalesce((quotes % 2 == 1) & cell.rlike('^"|"$'), F.lit(False))


def _present(name: str) -> Column:
    return value_columns.present_text(value_columns.strip(F.col(name)))


def _any_present(cells: Sequence[Column]) -> Column:
    return F.coalesce(*cells).isNotNull()
