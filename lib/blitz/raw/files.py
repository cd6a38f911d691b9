"""What is in the raw files and tables, found before any job starts: paths, columns, physical types."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pyspark.sql import SparkSession

from blitz import storage
from blitz.errors import InputError, StorageError, by_reason
from blitz.raw import folders
from blitz.raw.catalog_tables import table_group
from blitz.raw.headers import DAMAGED, csv_header, is_csv, match_columns, unreadable
from blitz.raw.parquet_schema import parquet_columns
from blitz.raw.specs import Kind, TableSpec
from blitz.raw.tables import PLAIN, FileGroup, RawColumn, RawTable, ReadOptions, grouped

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
class Source:
    """A table to be found: its spec, its configured path, and how the config says that it is written.

    ``is_small``: a mapping file, which is read on the driver with an encoding of its own.
    """

    spec: TableSpec
    path: str
    options: ReadOptions = PLAIN
    is_small: bool = False


@dataclass(frozen=True)
class _Shape:
    """One file: its schema, None for an empty one; whether it has rows."""

    group: FileGroup | None
    has_rows: bool


def resolve(
    tables: Iterable[Source | tuple[TableSpec, str]],
    *,
    allow_repeated_files: bool = False,
    spark: SparkSession | None = None,
) -> list[RawTable]:
    """Find the files of each table and check their columns (docs/contract.md, sections 2 and 9).

    Tables of a catalog are looked up by ``spark``; without a session they are left unchecked. Returns the tables in the
    order given. Raises InputError listing every missing path, column, wrong type, damaged and repeated file at once.
    """
    found, problems = attempt(
        [each if isinstance(each, Source) else Source(*each) for each in tables], allow_repeated_files, spark
    )
    raise_if_any(problems)
    return found


def raise_if_any(problems: list[str]) -> None:
    """Raise InputError listing the problems, where there are any."""
    if problems:
        raise InputError("the raw data cannot be read:\n" + "\n".join(f"  - {p}" for p in dict.fromkeys(problems)))


def attempt(
    tables: Iterable[Source], allow_repeated_files: bool = False, spark: SparkSession | None = None
) -> tuple[list[RawTable], list[str]]:
    """``resolve``, but what is wrong is returned next to the tables: one with a problem lacks files."""
    problems: list[str] = []
    unlisted: dict[str, list[str]] = {}
    found = [
        _look_up(source, spark, problems)
        if storage.is_table(source.path)
        else _resolve_one(source, allow_repeated_files, problems, unlisted)
        for source in tables
    ]
    return found, problems + by_reason(unlisted)


def _look_up(source: Source, spark: SparkSession | None, problems: list[str]) -> RawTable:
    """A table of a catalog; what is wrong with it goes to ``problems``. Without a session it is left unchecked."""
    unchecked = RawTable(source.spec, source.path, (), options=source.options)
    if spark is None:
        return unchecked
    try:
        wanted = [field.name for field in source.spec.fields]
        shape = _keep_needed(source.path, source, table_group(spark, source.path, wanted), has_rows=True)
    except InputError as error:
        problems.append(f"{error.path} ({source.spec.name}): {error.reason}")
        return unchecked
    if isinstance(shape, str) or shape.group is None:
        problems.append(str(shape))
        return unchecked
    return replace(unchecked, groups=(shape.group,))


def from_folders(table: RawTable, paths: Iterable[str]) -> RawTable:
    """The table, read from the files of other folders. Raises as ``resolve`` does."""
    parts = resolve([(table.spec, folder) for folder in paths], allow_repeated_files=True)
    groups = grouped(group for part in parts for group in part.groups)
    return replace(table, groups=groups, files=tuple(info for part in parts for info in part.files))


def _resolve_one(source: Source, allow_repeated: bool, problems: list[str], unlisted: dict[str, list[str]]) -> RawTable:
    """The table; what is wrong with it goes to ``problems``, or by reason to ``unlisted`` where its storage cannot be
    used at all."""
    spec, path = source.spec, source.path
    nothing = RawTable(spec, path, (), options=source.options)
    try:
        files = tuple(storage.list_files(path))
        managed = folders.managed_table(path, files)
    except StorageError as error:
        unlisted.setdefault(error.reason, []).append(path)
        return nothing
    except InputError as error:
        problems.append(str(error))
        return nothing
    if managed:
        problems.append(f"{path} ({spec.name}): {managed}")
        return nothing
    with ThreadPoolExecutor(FOOTER_THREADS) as pool:
        shapes = list(pool.map(lambda info: _shape(info.path, source), files))
    wrong = [shape for shape in shapes if isinstance(shape, str)]
    problems += wrong
    read = [(info, shape) for info, shape in zip(files, shapes, strict=True) if isinstance(shape, _Shape)]
    full = [(info, shape.group) for info, shape in read if shape.group is not None]
    if not full and not wrong:
        hidden = "; empty files and names that begin with '_' or '.' do not count"
        problems.append(f"{path}: no data file found for {spec.name}{hidden if storage.exists(path) else ''}")
    if not allow_repeated and not source.is_small:
        problems += _repetitions(spec, [info for info, shape in read if shape.has_rows])
    groups = grouped(replace(group, paths=(info.path,)) for info, group in full)
    return RawTable(spec, path, groups, files, source.options)


def _repetitions(spec: TableSpec, files: list[storage.FileInfo]) -> list[str]:
    return [
        f"{other} ({spec.name}): has the same content as {first}, so its rows would count twice; "
        "remove one of them, or set run.allow_repeated_files"
        for first, other in folders.repeated_files(files)
    ]


def _shape(path: str, source: Source) -> _Shape | str:
    """The schema of one file as far as the spec reads it, or what is wrong with it."""
    wanted = [field.name for field in source.spec.fields]
    try:
        if not is_csv(path):
            columns, rows = parquet_columns(path)
            group = FileGroup("parquet", tuple(sorted(columns, key=lambda column: column.name)), width=0)
            return _keep_needed(path, source, group, rows > 0)
        header = csv_header(path, wanted, allow_wide=source.is_small)
        if header is None:
            return _Shape(None, False)
        columns = [RawColumn(name, "text", position=at) for at, name in enumerate(header.names)]
        group = FileGroup("csv", tuple(columns), len(columns), (), header.separator, source.options.multi_line)
        return _keep_needed(path, source, group, not header.is_all)
    except InputError as error:
        return str(error)
    except DAMAGED as error:
        return unreadable(path, error)


def _keep_needed(path: str, source: Source, group: FileGroup, has_rows: bool) -> _Shape | str:
    names = [column.name for column in group.columns]
    given = folders.partition_columns(source.path, path)
    places, wrong = match_columns([f.name for f in source.spec.fields], [*names, *(n for n in given if n not in names)])
    available = [*group.columns, *(_constant(name, value) for name, value in given.items() if name not in names)]
    needed = []
    for wanted in source.spec.fields:
        if wanted.name not in places:
            continue
        column = _of_partition(available[places[wanted.name]], wanted.kind)
        twins = [name for name in names if name != column.name and name.lower() == column.name.lower()]
        if twins and group.format == "parquet":  # CSV columns go by place
            wrong.append(f"columns {column.name!r} and {twins[0]!r} differ in case alone: Spark cannot tell them apart")
        if column.physical not in ALLOWED[wanted.kind]:
            kind = "timestamp" if column.physical.startswith("nanos") else column.ddl
            wrong.append(f"column {wanted.name!r} is {kind}, which cannot be read as {wanted.kind.value}")
        needed.append(
            replace(
                column, name=wanted.name, source=column.source or (None if column.name == wanted.name else column.name)
            )
        )
    if wrong:
        return f"{path} ({source.spec.name}): " + "; ".join(wrong)
    return _Shape(replace(group, columns=tuple(needed)), has_rows)


def _of_partition(column: RawColumn, kind: Kind) -> RawColumn:
    """The column, an integer where a path gives a whole number to a column that has the type of its files: as Spark and
    pyarrow read ``status_id=4/``."""
    if kind is Kind.AS_IS and re.fullmatch("-?(?:0|[1-9][0-9]{0,17})", column.constant or ""):
        return replace(column, physical="integer", ddl="bigint")
    return column


def _constant(name: str, value: str | None) -> RawColumn:
    return RawColumn(name, "null") if value is None else RawColumn(name, "text", constant=value)
