"""The header of a CSV file, and which of its columns are those of a spec (docs/contract.md, section 9).

The encoding and the separator are recognised by the header; everything else about a file follows from them.
"""

import codecs
import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from blitz import storage
from blitz.raw.values import clean_text, strip

# What a damaged file, or one that is not what its name says, raises: pyarrow's own errors are of several classes.
DAMAGED = (pa.ArrowException, OSError, EOFError, UnicodeError, csv.Error, zlib.error)
HEADER_BYTES = 1 << 20  # a first line longer than this is not a header
SEPARATORS = (",", ";", "\t", "|")
_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_GZIP = b"\x1f\x8b"
_OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive; export it as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; export it as CSV",
    b"PAR1\x15": "a Parquet file; let its name end with .parquet",
    _GZIP: "compressed; let its name end with .csv.gz",
}


@dataclass(frozen=True)
class Header:
    """The stripped column names of a CSV file and the separator between them; ``is_all``: no line with values follows,
    as far as the file was read."""

    names: tuple[str, ...]
    separator: str
    is_all: bool


def is_csv(path: str) -> bool:
    """Whether the name is that of a CSV file."""
    return path.lower().endswith((".csv", ".csv.gz", ".txt"))


def unreadable(path: str, error: Exception) -> str:
    """The message about a file whose reading ended with one of DAMAGED."""
    reason = (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".")
    is_cut_off = isinstance(error, (EOFError, zlib.error, pa.ArrowException))  # the other reasons name the way out
    way_out = "; copy the file again" if is_cut_off else ""
    return f"{path}: cannot be read as {'CSV' if is_csv(path) else 'Parquet'}: {reason}{way_out}"


def csv_header(path: str, wanted: Collection[str], allow_wide: bool = False) -> Header | None:
    """The first line that has a value, split by the separator that gives most of the ``wanted`` names.

    Returns None for a file without such a line: it is empty. Raises one of DAMAGED: UnicodeError naming
    an encoding other than UTF-8 (with ``allow_wide``, UTF-16 and UTF-32 with a byte order mark are read) or another
    format, EOFError for a short file whose compressed data is cut off.
    """
    head = storage.read_bytes(path, limit=HEADER_BYTES)
    is_complete = len(head) < HEADER_BYTES
    if path.lower().endswith(".gz"):
        if head and not head.startswith(_GZIP):
            raise gzip.BadGzipFile("its name ends with .gz, but it is not compressed: rename it")
        head = _unzipped(head, is_complete)
        is_complete = False
    wide = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    if wide and not allow_wide:
        raise UnicodeError(f"it is {wide.upper()}; save it as UTF-8")
    return header_of(decoded(head, is_complete), wanted)


def _unzipped(data: bytes, is_complete: bool) -> bytes:
    """The first HEADER_BYTES of the text; a compressed file may have several members, the first with a header alone."""
    text = b""
    while data.startswith(_GZIP) and len(text) < HEADER_BYTES:
        unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
        text += unzip.decompress(data, HEADER_BYTES - len(text))
        if is_complete and not unzip.eof and not unzip.unconsumed_tail:
            raise EOFError("the compressed data is cut off")
        data = unzip.unused_data
    return text


def decoded(data: bytes, is_complete: bool = True) -> str:
    """The text of a file's bytes, as UTF-8 or by its byte order mark. Raises UnicodeError saying what they are."""
    if other := next((what for mark, what in _OTHER_FORMATS.items() if data.startswith(mark)), None):
        raise UnicodeError(f"it is {other}")
    wide = next((name for mark, name in _WIDE.items() if data.startswith(mark)), None)
    try:
        return codecs.getincrementaldecoder(wide or "utf-8-sig")().decode(data, final=is_complete)
    except UnicodeDecodeError as error:
        if wide:
            raise UnicodeError(
                f"begins as {wide.upper()}, but is damaged at byte {error.start}; save it as UTF-8"
            ) from error
        guess = "UTF-16 without a byte order mark" if b"\0" in data[:200] else "likely Windows-1252 or Latin-1"
        raise UnicodeError(f"byte {error.start} is not UTF-8 ({guess}); save it as UTF-8") from error


def header_of(text: str, wanted: Collection[str]) -> Header | None:
    """The header of the text of a CSV file; see ``csv_header``. Raises UnicodeError for text with null characters."""
    if "\0" in text[:HEADER_BYTES]:
        raise UnicodeError("has null characters (likely UTF-16 without a byte order mark); save it as UTF-8")
    names = {_key(name) for name in wanted}
    found = [header for separator in SEPARATORS if (header := _split(text, separator))]
    return max(found, key=lambda header: len(names & {_key(name) for name in header.names}), default=None)


def _split(text: str, separator: str) -> Header | None:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names: tuple[str, ...] | None = None
    for row in rows:
        if any(clean_text(cell.strip("".join(SEPARATORS))) for cell in row):
            if names is not None:
                return Header(names, separator, is_all=False)
            names = tuple(strip(cell) for cell in row)
    return Header(names, separator, is_all=True) if names else None


def match_columns(wanted: Sequence[str], names: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """The place of every wanted column among the names of a file, regardless of case and outer blanks where that is
    unambiguous; and what is wrong with the others."""
    places, problems = {}, []
    for name in wanted:
        exact = [at for at, found in enumerate(names) if found == name]
        alike = exact or [at for at, found in enumerate(names) if _key(found) == _key(name)]
        if len(alike) == 1:
            places[name] = alike[0]
        elif len(exact) > 1:
            problems.append(f"column {name!r} appears {len(exact)} times")
        elif alike:
            problems.append(f"columns {' and '.join(repr(names[at]) for at in alike)} could all be {name!r}")
        else:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
            problems.append(f"column {name!r} is missing" + (f" (is it {near[0]!r}?)" if near else ""))
    return places, problems


def _key(name: str) -> str:
    return strip(name).lower()
