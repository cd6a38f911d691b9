"""Exported lists without erased customers: CSV and Parquet files with a column of ids, one after the other.

Each file is replaced in one call, so that a reader sees it before or after; the bytes of the other lines of a CSV file
stay as they are.
"""

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from blitz import storage
from blitz.erase.request import ID_COLUMNS
from blitz.publish.files import store_of
from blitz.raw.headers import Header, decoded, header_of
from blitz.raw.values import UnreadableError, code, strip

_CSV, _PARQUET = (".csv", ".txt", ".tsv"), (".parquet", ".par")


@dataclass(frozen=True)
class ListFile:
    """A file of a list: its rows, how many are the customers', and its content without them.

    ``problem``: why it was not searched.
    """

    path: str
    rows: int = 0
    hits: int = 0
    rest: bytes | None = None
    problem: str | None = None


def erase_from_lists(folder: str, customers: Collection[str], run_id: str, *, dry_run: bool) -> list[ListFile]:
    """Replace the files of a folder that hold rows of the customers; returns all its files, without their content.

    Raises PublishError where an export is publishing there.
    """
    if dry_run:
        return [_searched(info.path, customers) for info in storage.list_files(folder)]
    store, found = store_of(folder), []
    with store.lock(run_id):
        store.recover()
        for info in storage.list_files(folder):
            searched = _searched(info.path, customers)
            if searched.rest is not None:
                _replace(searched.path, searched.rest)
            found.append(ListFile(searched.path, searched.rows, searched.hits, None, searched.problem))
    return found


def _replace(path: str, data: bytes) -> None:
    parent, _, name = path.rpartition("/")
    storage.delete(f"{parent}/.{name}.crc")  # Hadoop's checksum of the content before
    storage.write_bytes(path, data)


def _searched(path: str, customers: Collection[str]) -> ListFile:
    lower = path.lower()
    if lower.endswith(_PARQUET):
        return _search_parquet(path, customers)
    return _search_csv(path, customers) if lower.endswith(_CSV) else ListFile(path, problem="neither CSV nor Parquet")


def _search_csv(path: str, customers: Collection[str]) -> ListFile:
    data = storage.read_bytes(path)
    try:
        text = decoded(data)
        header = header_of(text, ID_COLUMNS)
    except UnicodeError as error:
        return ListFile(path, problem=str(error))
    at = _places(header)
    if header is None or not at:
        return ListFile(path, problem=f"no column {' or '.join(ID_COLUMNS)}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ListFile(path, problem="it is UTF-16; save it as UTF-8")
    rows, kept = 0, []
    for cells, raw in _records(text, header.separator):
        is_header = not rows and tuple(map(strip, cells)) == header.names
        rows += bool(cells) and not is_header
        if not any(_code(cells[place]) in customers for place in at if place < len(cells)):
            kept.append((cells, raw, is_header))
    hits = rows - sum(bool(cells) and not is_header for cells, _, is_header in kept)
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    return ListFile(path, rows, hits, mark + "".join(raw for _, raw, _ in kept).encode() if hits else None)


def _records(text: str, separator: str) -> Iterator[tuple[list[str], str]]:
    """The cells of every record of a CSV text, and its own characters."""
    taken: list[str] = []

    def lines() -> Iterable[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    for cells in csv.reader(lines(), delimiter=separator):
        raw = "".join(taken)
        taken.clear()
        yield cells, raw


def _places(header: Header | None) -> list[int]:
    return [at for at, name in enumerate(header.names) if name.lower() in ID_COLUMNS] if header else []


def _code(cell: str) -> str | None:
    """The id of a cell, as the customer mapping's codes are read; None where it is none."""
    try:
        return code(cell)
    except UnreadableError:
        return None


def _search_parquet(path: str, customers: Collection[str]) -> ListFile:
    try:
        with storage.open_input(path) as source, pq.ParquetFile(source) as file:
            names = [name for name in file.schema_arrow.names if name.lower() in ID_COLUMNS]
            if not names:
                return ListFile(path, problem=f"no column {' or '.join(ID_COLUMNS)}")
            return _without(path, file, names, customers)
    except pa.ArrowException as error:
        return ListFile(path, problem=f"damaged: {str(error).splitlines()[0][:200]}")


def _without(path: str, file: pq.ParquetFile, names: list[str], customers: Collection[str]) -> ListFile:
    rows, hits, sink = file.metadata.num_rows, 0, io.BytesIO()
    with pq.ParquetWriter(sink, file.schema_arrow, compression="snappy") as writer:
        for at in range(file.num_row_groups):
            group = file.read_row_group(at)
            theirs = pa.array([False] * group.num_rows)
            for name in names:
                cells = pc.cast(group[name], pa.string()).combine_chunks()
                ids = [each for each in cells.unique().to_pylist() if each and _code(each) in customers]
                theirs = pc.or_(theirs, pc.is_in(cells, value_set=pa.array(ids, pa.string())))
            hits += pc.sum(theirs).as_py() or 0
            writer.write_table(group.filter(pc.invert(theirs)))
    return ListFile(path, rows, hits, sink.getvalue() if hits else None)
