"""Why rows were rejected, in words, with shapes instead of values (docs/contract.md, section 8)."""

from dataclasses import dataclass, replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.raw.specs import Field, Kind
from blitz.raw.tables import FileGroup, RawColumn, RawTable
from blitz.raw.typed_columns import TypedColumns
from blitz.raw.typed_rows import CONTINUES, DAMAGED, LOST, raw_values
from blitz.raw.values import LOST_TEXT

MOST_LINES = 8
_SHAPE_LENGTH = 40
_NO_COLUMN = ""  # the line as a whole
_WHAT = {
    Kind.ID: "not a whole number",
    Kind.CODE: "a code that lost digits in a spreadsheet, or characters; export the column as text",
    Kind.NUMBER: "not a number",
    Kind.FLAG: "neither true nor false",
}


def rejections(quarantine: DataFrame, table: RawTable, timezone: str) -> list[str]:
    """A line per file and column with a value that cannot be read: the reason, how many rows, the shape of an example
    (digits as 9, letters as a) and the config key that would read it, where there is one; the most frequent first.
    Without the rests of records (``damaged_files``).

    Args:
        quarantine: the rejected rows of the table, as ``read_rejected`` returns them.
        table: the raw table that they come from.
        timezone: the zone of local times.
    """
    columns = tuple(RawColumn(field.name, _physical(table, field.name)) for field in table.spec.fields)
    group = FileGroup("json", columns, 0)
    typed = TypedColumns(replace(table, groups=(group,)), timezone)
    records = quarantine.where(~_is_marked(CONTINUES)).select("file", "raw", _is_marked(DAMAGED).alias(DAMAGED))
    rows = typed.with_values(raw_values(records, columns, ["file", DAMAGED]), group)
    column, shape = _first_problem(typed, group)
    counted = rows.select("file", column.alias("column"), shape.alias("shape")).groupBy("file", "column")
    found = counted.agg(F.count(F.lit(1)).alias("rows"), F.min("shape").alias("shape")).collect()
    most_first = sorted(found, key=lambda row: (-row["rows"], row["file"], row["column"]))
    lines = [_line(table, row["file"], row["column"], row["rows"], row["shape"]) for row in most_first[:MOST_LINES]]
    more = len(most_first) - MOST_LINES
    return [*lines, f"and {more} more columns or files"] if more > 0 else lines


@dataclass(frozen=True)
class DamagedFiles:
    """A line per CSV file, with how many rejected rows of it there are: rows that are the rest of a record
    (``half_records``), and rows with text that is not UTF-8 (``not_utf8``)."""

    half_records: list[str]
    not_utf8: list[str]


def damaged_files(quarantine: DataFrame) -> DamagedFiles:
    """The files whose rejected rows say that other rows of them cannot be trusted either."""
    is_lost = _is_marked(LOST) | F.contains(F.col("raw"), F.lit(LOST_TEXT))
    counts = {"rests": F.count_if(_is_marked(CONTINUES)), "lost": F.count_if(is_lost)}
    of_files = quarantine.groupBy("file").agg(*[count.alias(name) for name, count in counts.items()])
    found = of_files.where((F.col("rests") > 0) | (F.col("lost") > 0)).orderBy("file").collect()

    def lines(name: str) -> list[str]:
        return [f"{row['file']}: {row[name]:,} row{'s' * (row[name] != 1)}" for row in found if row[name]]

    return DamagedFiles(lines("rests"), lines("lost"))


def _is_marked(mark: str) -> Column:
    return F.coalesce(F.get_json_object("raw", f"$.{mark}") == "true", F.lit(False))


def _physical(table: RawTable, name: str) -> str:
    """Text where any file has the column as text; else its values can only be missing."""
    kinds = {column.physical for group in table.groups for column in group.columns if column.name == name}
    return "text" if "text" in kinds or not kinds & {"nanos", "nanos_local", "instant", "local", "date"} else "null"


def _first_problem(typed: TypedColumns, group: FileGroup) -> tuple[Column, Column]:
    """The first column of a row that cannot be read, and the shape of its cell; none where the columns have shifted."""
    column, shape = F.when(F.col(DAMAGED), _NO_COLUMN), F.when(F.col(DAMAGED), "")
    for name, is_wrong, cell in typed.problems(group):
        column, shape = column.when(is_wrong, F.lit(name)), shape.when(is_wrong, _shape(cell))
    return column.otherwise(_NO_COLUMN), shape


def _shape(cell: Column) -> Column:
    letters = F.regexp_replace(F.substring(cell, 1, _SHAPE_LENGTH), r"\p{L}", "a")
    return F.regexp_replace(letters, r"\p{Nd}", "9")


def _line(table: RawTable, file: str, column: str, rows: int, shape: str | None) -> str:
    count = f"{rows:,} row" + "s" * (rows != 1)
    if column == _NO_COLUMN:
        return f"{file}: {count} with more values than the header has columns; quote the values that have a separator"
    field = next(field for field in table.spec.fields if field.name == column)
    what = _what(table, field) if shape else "missing"
    return f"{file}: column {column!r}, {count}: {what}" + (f" (it looks like {shape})" if shape else "")


def _what(table: RawTable, field: Field) -> str:
    if field.kind in (Kind.INSTANT, Kind.LOCAL):
        key = table.options.time_key
        how = f"; set {key} to its Spark pattern, such as dd/MM/yyyy{' HH:mm' * (field.name != 'invoice_date')}"
        return "not an ISO date or time" + (how if key else "")
    return _WHAT.get(field.kind, "not readable")
