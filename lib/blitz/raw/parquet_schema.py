"""The columns of a Parquet file as Spark must read them, from its footer alone."""

import pyarrow as pa
import pyarrow.parquet as pq

from blitz import storage
from blitz.raw.tables import RawColumn


def parquet_columns(path: str) -> tuple[list[RawColumn], int]:
    """The columns of a Parquet file, and its number of rows.

    Raises pyarrow.ArrowException or OSError for a damaged file.
    """
    with storage.open_input(path) as source, pq.ParquetFile(source) as file:
        schema = file.schema_arrow
        physical = {
            file.schema.column(at).path: file.schema.column(at).physical_type for at in range(len(file.schema.names))
        }
        rows = file.metadata.num_rows
    return [_column(field, physical.get(field.name, "")) for field in schema], rows


def _column(field: pa.Field, stored: str) -> RawColumn:
    is_dictionary = pa.types.is_dictionary(field.type)
    kind = field.type.value_type if is_dictionary else field.type
    return RawColumn(field.name, *_physical(kind, stored), is_dictionary=is_dictionary)


def _physical(kind: pa.DataType, stored: str) -> tuple[str, str]:
    """(physical type, Spark DDL type that reads it without loss) of an Arrow type."""
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
    "string_view": ("text", "string"),
    "binary_view": ("text", "string"),
    "large_binary": ("text", "string"),
    "binary": ("text", "string"),
    "date32[day]": ("date", "date"),
    "null": ("null", "string"),
}
