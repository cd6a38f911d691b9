"""What stands in the raw files, found on the driver before any job starts: paths, columns, physical types."""

import csv
import difflib
import io
import zlib
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.parquet as pq

from blitz import storage
from blitz.errors import InputError, StorageError, by_reason
from blitz.raw.specs import Kind, TableSpec

HEADER_BYTES = 1 << 20  # a header line longer than this is no header
FOOTER_THREADS = 16

# Physical types that a column of each kind may have. CSV columns are all "text".
_NUMERIC = {"integer", "float", "decimal", "text", "null"}
_TIMES = {"nanos", "nanos_local", "instant", "local", "date", "text", "null"}
ALLOWED = {
    Kind.ID: _NUMERIC,
    Kind.CODE: _NUMERIC,
    Kind.TEXT: _NUMERIC | {"boolean"},
    Kind.NUMBER: _NUMERIC | {"boolean"},
    Kind.FLAG: _NUMERIC | {"boolean"},
    Kind.INSTANT: _TIMES,
    Kind.LOCAL: _TIMES,
    Kind.AS_IS: _NUMERIC | _TIMES | {"boolean"},
}


@dataclass(frozen=True)
class RawColumn:
    """A column as a file holds it: name, physical type, Spark DDL type to read it with, its place in a CSV line."""

    name: str
    physical: str
    ddl: str = "string"
    position: int | None = None

    @property
    def cell(self) -> str:
        """The column's name in the DataFrame that reads it; CSV columns go by place, whatever the header says."""
        return self.name if self.position is None else f"c{self.position}"


@dataclass(frozen=True)
class FileGroup:
    """Files of one table that can be read with one schema; ``width`` is the number of columns in a CSV header."""

    format: str
    columns: tuple[RawColumn, ...]
    width: int
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawTable:
    """A raw table that is ready to be read: ``path`` as configured, its files grouped by schema."""

    spec: TableSpec
    path: str
    groups: tuple[FileGroup, ...]
    files: tuple[storage.FileInfo, ...] = field(repr=False, default=())

    def only(self, paths: Collection[str]) -> "RawTable":
        """Some files of the table, to be read with the types of all."""
        groups = tuple(replace(g, paths=tuple(path for path in g.paths if path in paths)) for g in self.groups)
        return replace(self, groups=groups, files=tuple(info for info in self.files if info.path in paths))

    def from_folders(self, folders: Iterable[str]) -> "RawTable":
        """The table, read from the files of other folders. Raises as ``resolve`` does."""
        parts = resolve([(self.spec, folder) for folder in folders])
        groups = grouped(group for part in parts for group in part.groups)
        return replace(self, groups=groups, files=tuple(info for part in parts for info in part.files))


def resolve(tables: Iterable[tuple[TableSpec, str]]) -> list[RawTable]:
    """Find the files of each (spec, path) and check their columns (contract: inputs).

    Returns the tables in the order given. Raises InputError listing every missing path, column and wrong type at once.
    """
    problems: list[str] = []
    unlisted: dict[str, list[str]] = {}
    found = [_resolve_one(spec, path, problems, unlisted) for spec, path in tables]
    problems += by_reason(unlisted)
    if problems:
        raise InputError("the raw data cannot be read:\n" + "\n".join(f"  - {p}" for p in dict.fromkeys(problems)))
    return found


def _resolve_one(spec: TableSpec, path: str, problems: list[str], unlisted: dict[str, list[str]]) -> RawTable:
    """The table; what is wrong with it goes to ``problems``, or by reason to ``unlisted`` where its storage cannot be
    used at all."""
    try:
        files = tuple(storage.list_files(path))
    except StorageError as error:
        unlisted.setdefault(error.reason, []).append(path)
        return RawTable(spec, path, ())
    except InputError as error:
        problems.append(str(error))
        return RawTable(spec, path, ())
    if not files:
        hidden = "; empty files and names that begin with '_' or '.' do not count"
        problems.append(f"{path}: no data file found for {spec.name}{hidden if storage.exists(path) else ''}")
        return RawTable(spec, path, ())
    with ThreadPoolExecutor(FOOTER_THREADS) as pool:
        shapes = list(pool.map(lambda info: _shape(info.path, spec), files))
    problems += [shape for shape in shapes if isinstance(shape, str)]
    read = zip(files, shapes, strict=True)
    groups = grouped(replace(shape, paths=(info.path,)) for info, shape in read if not isinstance(shape, str))
    return RawTable(spec, path, groups, files)


def grouped(groups: Iterable[FileGroup]) -> tuple[FileGroup, ...]:
    """The groups, those that can be read with one schema as one."""
    paths: dict[FileGroup, list[str]] = {}
    for group in groups:
        paths.setdefault(replace(group, paths=()), []).extend(group.paths)
    return tuple(replace(shape, paths=tuple(found)) for shape, found in paths.items())


def _shape(path: str, spec: TableSpec) -> FileGroup | str:
    """The schema of one file as far as ``spec`` reads it, or what is wrong with it."""
    try:
        if path.lower().endswith((".csv", ".csv.gz", ".txt")):
            names = csv_header(path)
            columns = [RawColumn(name, "text", position=at) for at, name in enumerate(names)]
            group = FileGroup("csv", tuple(columns), len(names))
        else:
            columns = sorted(parquet_columns(path), key=lambda column: column.name)
            group = FileGroup("parquet", tuple(columns), width=0)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        reason = str(error).splitlines()[0][:200]
        return f"{path}: cannot be read as {'CSV' if '.csv' in path.lower() else 'Parquet'}: {reason}"
    return _keep_needed(path, spec, group)


def _keep_needed(path: str, spec: TableSpec, group: FileGroup) -> FileGroup | str:
    names = [column.name for column in group.columns]
    wrong = []
    for wanted in spec.fields:
        if wanted.name not in names:
            near = difflib.get_close_matches(wanted.name, names, n=1, cutoff=0.6)
            wrong.append(f"column {wanted.name!r} is missing" + (f" (is it {near[0]!r}?)" if near else ""))
        elif names.count(wanted.name) > 1:
            wrong.append(f"column {wanted.name!r} stands there {names.count(wanted.name)} times")
        else:
            column = group.columns[names.index(wanted.name)]
            twins = [name for name in names if name != wanted.name and name.lower() == wanted.name.lower()]
            if twins and group.format == "parquet":  # CSV columns go by place
                wrong.append(
                    f"columns {wanted.name!r} and {twins[0]!r} differ in case alone: Spark cannot tell them apart"
                )
            if column.physical not in ALLOWED[wanted.kind]:
                wrong.append(f"column {wanted.name!r} is {column.ddl}, which cannot be read as {wanted.kind.value}")
    if wrong:
        return f"{path} ({spec.name}): " + "; ".join(wrong)
    needed = {wanted.name for wanted in spec.fields}
    return FileGroup(group.format, tuple(c for c in group.columns if c.name in needed), group.width)


def csv_header(path: str) -> list[str]:
    """The trimmed column names of a CSV file: its first line that is not empty."""
    head = storage.read_bytes(path, limit=HEADER_BYTES)
    if path.lower().endswith(".gz"):
        head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEADER_BYTES)
    text = head.decode("utf-8-sig", errors="replace")
    rows = csv.reader(io.StringIO(text, newline=""))
    header = next((row for row in rows if any(cell.strip() for cell in row)), None)
    if header is None:
        raise csv.Error("no header line")
    return [name.strip() for name in header]


def parquet_columns(path: str) -> list[RawColumn]:
    """The columns of a Parquet file, from its footer alone."""
    with storage.open_input(path) as source, pq.ParquetFile(source) as file:
        schema = file.schema_arrow
        physical = {
            file.schema.column(at).path: file.schema.column(at).physical_type for at in range(len(file.schema.names))
        }
    return [RawColumn(f.name, *_physical(f.type, physical.get(f.name, ""))) for f in schema]


def _physical(kind: pa.DataType, stored: str) -> tuple[str, str]:
    """(physical type, Spark DDL type that reads it without loss) of an Arrow type."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        if stored == "INT96":
            return "instant", "timestamp"
        if kind.unit == "ns":  # read as its integer: Spark has no nanosecond type
            return ("nanos" if kind.tz else "nanos_local"), "bigint"
        return ("instant", "timestamp") if kind.tz else ("local", "timestamp_ntz")
    if pa.types.is_integer(kind):
        return "integer", _INTEGERS[str(kind)]
    if pa.types.is_decimal(kind):
        return "decimal", f"decimal({kind.precision},{kind.scale})"
    simple = _SIMPLE.get(str(kind))
    return simple if simple else ("other", str(kind))


_INTEGERS = {
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "smallint",
    "uint16": "int",
    "uint32": "bigint",
    "uint64": "decimal(20,0)",
}
_SIMPLE = {
    "bool": ("boolean", "boolean"),
    "float": ("float", "float"),
    "double": ("float", "double"),
    "string": ("text", "string"),
    "large_string": ("text", "string"),
    "binary": ("text", "string"),
    "date32[day]": ("date", "date"),
    "null": ("null", "string"),
}
