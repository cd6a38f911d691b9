"""The small mapping files, read on the driver: every row with the line that it begins in, or an error naming it.

They hold thousands of rows that every order depends on, so nothing in them is dropped or guessed (docs/contract.md,
section 9): a line with a value too many, a quote that does not end and a code that lost digits are errors.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from blitz import storage
from blitz.errors import InputError
from blitz.raw import values
from blitz.raw.catalog_tables import text_rows
from blitz.raw.headers import DAMAGED, Header, decoded, header_of, is_csv, match_columns, unreadable
from blitz.raw.specs import Field, Kind, TableSpec
from blitz.raw.tables import FileGroup, RawTable

_MOST_NAMED = 5  # lines that one message names


@dataclass(frozen=True)
class _Line:
    """A record: the line of the file that it begins in (None: not a text file), its cells, the lines it takes."""

    number: int | None
    cells: Sequence[str | None]
    lines: int = 1


class _FileError(Exception):
    """What is wrong with one file."""


def read_small(table: RawTable, spark: SparkSession | None = None) -> pd.DataFrame:
    """The rows of a small mapping file: text columns, None where one is missing; ``spark`` reads tables of a catalog.

    Codes are without a trailing ``.0``; ids are digits without leading zeros (None where they are not a whole number)
    and numbers floats, so that equal values are equal. Raises InputError naming the file, and the line where it can.
    """
    parts = [_read(info.path, table.spec) for info in table.files]
    if spark is not None and storage.is_table(table.path):
        parts = [_read_table(spark, group, table) for group in table.groups]
    names = [field.name for field in table.spec.fields]
    return pd.concat([pd.DataFrame(part, columns=names, dtype=object) for part in parts], ignore_index=True)


def _read_table(spark: SparkSession, group: FileGroup, table: RawTable) -> list[list[object]]:
    """The typed rows of a table of a catalog, one value per field of the spec."""
    problems: list[str] = []
    lines = (_Line(None, cells) for cells in text_rows(spark, group))
    rows = [_typed(line, table.spec.fields, problems) for line in lines]
    _raise_if_any(problems, table.path, table.spec)
    return rows


def _read(path: str, spec: TableSpec) -> list[list[object]]:
    """The typed rows of a file, one value per field of the spec."""
    wanted = [field.name for field in spec.fields]
    problems: list[str] = []
    try:
        lines = _csv_lines(path, wanted) if is_csv(path) else _parquet_lines(path, wanted)
        rows = [_typed(line, spec.fields, problems) for line in lines]
    except _FileError as error:
        raise InputError(f"{path} ({spec.name}): {error}") from error
    except DAMAGED as error:
        raise InputError(unreadable(path, error)) from error
    _raise_if_any(problems, path, spec)
    return rows


def _raise_if_any(problems: Sequence[str], path: str, spec: TableSpec) -> None:
    if problems:
        more = f"; and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
        raise InputError(f"{path} ({spec.name}): " + "; ".join(problems[:_MOST_NAMED]) + more)


def _typed(line: _Line, fields: Sequence[Field], problems: list[str]) -> list[object]:
    row = []
    for field, cell in zip(fields, line.cells, strict=True):
        place = f"line {line.number}, column {field.name!r}" if line.number else f"column {field.name!r}"
        if line.lines > 1 and cell is not None and ("\n" in cell or "\r" in cell):
            problems.append(
                f"{place}: a line break inside quotes; likely a quote is missing and swallows the next lines"
            )
        try:
            row.append(_value(field.kind, cell))
        except values.UnreadableError as error:
            problems.append(f"{place}: {error} (it looks like {values.shape(cell or '')})")
    return row


def _value(kind: Kind, cell: str | None) -> object:
    if kind is Kind.ID:
        try:
            number = values.whole_number(cell)
        except values.UnreadableError:
            values.code(cell)  # lost digits are an error; another text is no id, and maps nothing
            return None
        return None if number is None else str(number)
    if kind is Kind.CODE:
        return values.code(cell)
    return values.number(cell) if kind is Kind.NUMBER else values.clean_text(cell)


def _parquet_lines(path: str, wanted: Sequence[str]) -> Iterator[_Line]:
    with storage.open_input(path) as source:
        table = pq.read_table(source)
    places = _places(wanted, table.column_names)
    columns = [table.column(at).to_pylist() for at in places]
    for cells in zip(*columns, strict=True):
        yield _Line(None, [_as_text(cell) for cell in cells])


def _as_text(cell: object) -> str | None:
    return cell.decode() if isinstance(cell, bytes) else None if cell is None else str(cell)


def _csv_lines(path: str, wanted: Sequence[str]) -> Iterator[_Line]:
    """The records of a CSV file without empty lines and repeated headers; short ones end in None."""
    data = storage.read_bytes(path)
    text = decoded(gzip.decompress(data) if path.lower().endswith(".gz") else data)
    header = header_of(text, wanted)
    if header is None:
        return
    places = _places(wanted, header.names)
    width = len(header.names)
    is_begun = False
    for line in _records(text, header):
        if _is_header(line, header):
            is_begun = True
        if not is_begun or _is_header(line, header):
            continue
        _check_swallowed(line, header)
        if any(values.clean_text(cell) for cell in line.cells[width:]):
            raise _FileError(
                f"line {line.number} has {len(line.cells)} values, but the header has {width} columns; "
                "quote the values that have a separator"
            )
        yield replace(line, cells=[line.cells[at] if at < len(line.cells) else None for at in places])


def _places(wanted: Sequence[str], names: Sequence[str]) -> list[int]:
    found, problems = match_columns(wanted, [values.strip(name) for name in names])
    if problems:
        raise _FileError("; ".join(problems))
    return [found[name] for name in wanted]


def _records(text: str, header: Header) -> Iterator[_Line]:
    """The records that have a value. Raises _FileError for a quote that never ends."""
    source = io.StringIO(text, newline="")
    rows = csv.reader(source, delimiter=header.separator)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    before = 0
    for row in rows:
        line = _Line(before + 1, row, rows.line_num - before)
        before = rows.line_num
        if any(values.clean_text(cell) for cell in row):
            yield line
    _check_end(text, before, header)


def _check_end(text: str, lines: int, header: Header) -> None:
    """Raise _FileError where the last record is open: Python's reader ends it with the file and says nothing."""
    probe = "blitz end of file"
    rows = csv.reader(io.StringIO(text.rstrip("\r\n") + "\n" + probe + "\n", newline=""), delimiter=header.separator)
    at = 0
    for row in rows:
        begin, at, last = at + 1, rows.line_num, row
    if last != [probe]:
        raise _FileError(f"line {begin}: a quote is not closed")


def _is_header(line: _Line, header: Header) -> bool:
    cells = [values.strip(cell or "").lower() for cell in line.cells]
    return cells == [name.lower() for name in header.names]


def _check_swallowed(line: _Line, header: Header) -> None:
    """Raise _FileError where a cell holds what looks like further records."""
    if line.lines == 1:
        return
    for name, cell in zip(header.names, line.cells, strict=False):
        inner = (cell or "").splitlines()[1:]
        if any(part.count(header.separator) >= len(header.names) - 1 for part in inner):
            raise _FileError(f"line {line.number}, column {name!r}: a quote is not closed and swallows the next lines")
