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
    """Whether a line has more values than the header, or is the rest of a record that began in the line before."""
    has_extra = _any_present([_present(name) for name in EXTRA])
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
    return _closes_quote(group) | (has_separator & ~_any_present(others) if others else F.lit(False))


def _closes_quote(group: FileGroup) -> Column:
    """Whether the first cell ends with a quote that it does not open.

    An inch sign does so as well. So where the cell is not read, the line must be short, as the rest of a record is.
    """
    first = F.col("c0")
    is_odd = (F.length(first) - F.length(F.translate(first, '"', ""))) % 2 == 1
    closes = F.when(first.endswith('"'), is_odd).otherwise(False)  # few cells do: quotes are counted in these alone
    is_read = any(column.position == 0 for column in group.columns)
    return closes if is_read else closes & F.col(f"c{group.width - 1}").isNull()


def _present(name: str) -> Column:
    return value_columns.present_text(value_columns.strip(F.col(name)))


def _any_present(cells: Sequence[Column]) -> Column:
    return F.coalesce(*cells).isNotNull()
