"""CSV bytes to Arrow columns of text, cell by cell as Spark's reader reads them (docs/contract.md, sections 2 and 9).

Each line is a record. Lines without quotes, and lines whose quotes enclose entire cells, go through Arrow's parser;
the few others (too many or too few cells, stray quotes, quotes together with blanks around a cell) are parsed one by
one, by the same rules as in Spark.
"""

import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

# Values after the last column of the header: the cells of such a line have shifted.
EXTRA = ("_extra0", "_extra1", "_extra2", "_extra3")
FILE = "_file"  # the file that a row comes from
CHUNK = 8 << 20
_BLANK = "".join(map(chr, range(33)))  # what Spark trims around a cell
_BLANK_BYTES = _BLANK.encode()
# A cell without quotes or blanks around it, or one enclosed in quotes; SEP is the separator.
_REGULAR_CELL = r'(?:(?:[^"SEP\x00-\x20](?:[^"SEP\r\n]*[^"SEP\x00-\x20])?)?|"(?:[^"\r\n]|"")*")'
_REGULAR_LINE = f"{_REGULAR_CELL}(?:[SEP]{_REGULAR_CELL})*"
_REGULAR = f"^{_REGULAR_LINE}$"
_ALL_REGULAR = rf"^{_REGULAR_LINE}(?:(?:\r\n|\r|\n){_REGULAR_LINE})*$"


def cell_names(width: int) -> list[str]:
    """The columns of CSV rows with a header of ``width`` columns: ``c0``, ``c1`` … and those of EXTRA."""
    return [*(f"c{at}" for at in range(width)), *EXTRA]


def cell_schema(width: int) -> pa.Schema:
    """The columns of CSV rows, all text."""
    return pa.schema([(name, pa.string()) for name in cell_names(width)])


def line_chunks(source: BinaryIO, start: int, end: int | None) -> Iterator[bytes]:
    """Complete lines in chunks: those that begin after the first line end in the range (for a start of 0: all), up to
    and including the line that contains byte ``end``. None: up to the end of the file.

    Adjacent ranges of a file give each of its lines exactly once.
    """
    position = start
    if start:
        source.seek(start - 1)
        position = start - 1 + len(source.readline())
    while end is None or position < end:
        size = CHUNK if end is None else min(CHUNK, end - position)
        chunk = source.read(size)
        if not chunk:
            return
        if not chunk.endswith(b"\n"):
            chunk += source.readline()
        position += len(chunk)
        yield chunk


def without_header(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks of a file from after its header, the first line that is not blank."""
    for chunk in chunks:
        rest = re.sub(rb"\A[\x00-\x20]*", b"", chunk)
        if rest:
            header = re.match(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)", rest)
            yield rest[header.end() if header else 0 :]
            break
    yield from chunks


def unzipped(source: BinaryIO) -> BinaryIO:
    """The content of a gzip file."""
    return gzip.GzipFile(fileobj=source, mode="rb")  # type: ignore[return-value]


def batches(chunks: Iterator[bytes], width: int, separator: str = ",") -> Iterator[pa.RecordBatch]:
    """The rows of chunks of complete lines, in no fixed order. Raises UnicodeDecodeError for text that is not UTF-8."""
    for chunk in chunks:
        if not chunk:
            continue
        try:
            yield from _batches(chunk, width, separator)
        except pa.ArrowInvalid:
            chunk.decode()  # what Arrow says of text that is not UTF-8 depends on where it is
            raise


def _batches(chunk: bytes, width: int, separator: str) -> Iterator[pa.RecordBatch]:
    others: list[str] = []
    tables: list[pa.Table] = []
    if b'"' not in chunk and width > 1:
        tables = [_parsed(chunk, width, separator, None, others)]
    elif width > 1 and _match([chunk], _ALL_REGULAR, separator)[0].as_py():  # as exporters that quote all cells
        tables = [_parsed(chunk, width, separator, '"', others)]
    else:
        plain, quoted, others = _sorted_lines(chunk, separator)
        tables = [_parsed(plain, width, separator, None, others), _parsed(quoted, width, separator, '"', others)]
    rows = [cells(line, separator) for line in others if line.strip(_BLANK)]
    tables.append(_table([[_at(row, at) for row in rows] for at in range(width + len(EXTRA))], width))
    yield from pa.concat_tables(tables).combine_chunks().to_batches()


def _sorted_lines(chunk: bytes, separator: str) -> tuple[bytes, bytes, list[str]]:
    """(lines without quotes, lines whose quotes enclose entire cells, all others); blank lines are left out."""
    lines = [line for line in chunk.splitlines() if line.strip(_BLANK_BYTES)]
    plain = b"\n".join(line for line in lines if b'"' not in line)
    quoted = [line for line in lines if b'"' in line]
    regular = _match(quoted, _REGULAR, separator).to_pylist()
    enclosed = b"\n".join(line for line, is_regular in zip(quoted, regular, strict=True) if is_regular)
    return plain, enclosed, [line.decode() for line, is_regular in zip(quoted, regular, strict=True) if not is_regular]


def _match(texts: Sequence[bytes], expression: str, separator: str) -> pa.Array:
    """Whether each text has only regular cells; one expression for all lines of a chunk takes a third of the time."""
    return pc.match_substring_regex(pa.array(texts, pa.string()), expression.replace("SEP", separator))


def _parsed(data: bytes, width: int, separator: str, quote: str | None, others: list[str]) -> pa.Table:
    """The lines with exactly ``width`` cells as a table; ``others`` gets the rest."""
    if not data:
        return cell_schema(width).empty_table()

    def keep(row: pa_csv.InvalidRow) -> str:
        others.append(row.text)
        return "skip"

    names = cell_names(width)[:width]
    table = pa_csv.read_csv(
        pa.BufferReader(data),
        pa_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        pa_csv.ParseOptions(
            delimiter=separator, quote_char=quote or False, double_quote=quote is not None, invalid_row_handler=keep
        ),
        pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    columns = [column if quote else pc.ascii_trim(column, _BLANK) for column in table.columns]
    nothing = pa.nulls(table.num_rows, pa.string())
    return pa.table([*columns, *[nothing] * len(EXTRA)], schema=cell_schema(width))


def _table(columns: Sequence[Sequence[str | None]], width: int) -> pa.Table:
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=cell_schema(width))


def _at(row: Sequence[str | None], at: int) -> str | None:
    return row[at] if at < len(row) else None


def records(text: str, width: int, separator: str) -> Iterator[pa.RecordBatch]:
    """The rows of a file in which a record may go on in the next line inside quotes, without the first: the header."""
    rows = [
        [cell.strip(_BLANK) or None for cell in row]
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    ]
    with_values = [row for row in rows if any(row)][1:]
    columns = [[_at(row, at) for row in with_values] for at in range(width + len(EXTRA))]
    yield from _table(columns, width).to_batches()


def cells(line: str, separator: str = ",") -> list[str | None]:
    """The cells of one line; null where empty.

    A quoted cell may contain commas and doubled quotes. Where text follows its closing quote, the cell ends at the next
    comma and keeps its quotes; where the closing quote is missing, it ends with the line.
    """
    found: list[str | None] = []
    at = 0
    while True:
        while at < len(line) and line[at] in _BLANK and line[at] != separator:
            at += 1
        value, at = _quoted(line, at, separator) if line[at : at + 1] == '"' else _unquoted(line, at, separator)
        found.append(value or None)
        if at >= len(line):
            return found
        at += 1  # the comma


def _unquoted(line: str, at: int, separator: str) -> tuple[str, int]:
    end = line.find(separator, at)
    end = len(line) if end < 0 else end
    return line[at:end].rstrip(_BLANK), end


def _quoted(line: str, at: int, separator: str) -> tuple[str, int]:
    closing = re.compile(r'"((?:[^"]|"")*)(")?').match(line, at)
    assert closing
    content = closing[1].replace('""', '"')
    if closing[2] is None:
        return content or '"', len(line)
    rest, end = _unquoted(line, closing.end(), separator)
    return (f'"{content}"{rest}' if rest else content), end
