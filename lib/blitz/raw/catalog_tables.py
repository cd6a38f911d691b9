"""Raw tables of a catalog: their columns, found before any job starts; their rows (docs/contract.md, section 10)."""

from collections.abc import Iterator, Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from blitz.catalog.spelling import found_as
from blitz.catalog.tables import read_table
from blitz.raw.tables import FileGroup, RawColumn
from blitz.spark.columns import quoted_col

FORMAT = "table"  # of the group of a table's columns
_PHYSICAL: dict[type[T.DataType], tuple[str, str]] = {  # physical type and Spark DDL type, as of Parquet files
    T.ByteType: ("integer", "tinyint"),
    T.ShortType: ("integer", "smallint"),
    T.IntegerType: ("integer", "int"),
    T.LongType: ("integer", "bigint"),
    T.FloatType: ("float", "float"),
    T.DoubleType: ("float", "double"),
    T.BooleanType: ("boolean", "boolean"),
    T.StringType: ("text", "string"),
    T.VarcharType: ("text", "string"),
    T.CharType: ("text", "string"),
    T.BinaryType: ("text", "string"),
    T.DateType: ("date", "date"),
    T.TimestampType: ("instant", "timestamp"),
    T.TimestampNTZType: ("local", "timestamp_ntz"),
    T.NullType: ("null", "string"),
}


def table_group(spark: SparkSession, path: str, wanted: Sequence[str]) -> FileGroup:
    """The columns of a table of a catalog; InputError where there is none of this name.

    Many catalogs have no names with blanks or capitals, so a wanted name is also found in snake case (``MDS ID`` as
    ``mds_id``).
    """
    fields = read_table(spark, path).schema.fields
    names = {found: want for want, found in found_as(wanted, [field.name for field in fields]).items()}
    columns = [
        RawColumn(names.get(field.name, field.name), *_physical(field.dataType), source=field.name) for field in fields
    ]
    return FileGroup(FORMAT, tuple(columns), width=0, paths=(path,))


def _physical(kind: T.DataType) -> tuple[str, str]:
    if isinstance(kind, T.DecimalType):
        return "decimal", kind.simpleString()
    return _PHYSICAL.get(type(kind), ("other", kind.simpleString()))


def table_rows(spark: SparkSession, group: FileGroup) -> DataFrame:
    """The rows of the group's table, its columns by their names there and with the types of the group."""
    columns = [quoted_col(each.cell).cast(each.ddl).alias(each.cell) for each in group.columns if each.is_stored]
    return read_table(spark, group.paths[0]).select(*columns)


def text_rows(spark: SparkSession, group: FileGroup) -> Iterator[list[str | None]]:
    """The rows of a small table as text, its columns in the order of the group."""
    text = [
        (F.lit(None) if each.physical == "null" else quoted_col(each.cell)).cast("string").alias(f"c{at}")
        for at, each in enumerate(group.columns)
    ]
    for row in read_table(spark, group.paths[0]).select(*text).collect():
        yield list(row)
