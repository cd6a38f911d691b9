"""Data sources in Python for Sail, which calls them in this process: CSV cells, and Parquet rows with their file.

The options of both name the files and columns; blitz.raw.readers sets them.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from blitz import storage
from blitz.raw.csv_cells import FILE, batches, cell_schema, line_chunks, records, unzipped, without_header
from blitz.raw.tables import FileGroup, RawColumn

SPLIT = 16 << 20  # bytes of a CSV file that one task reads

_ARROW_TYPES = {
    "bigint": pa.int64(),
    "int": pa.int32(),
    "smallint": pa.int16(),
    "tinyint": pa.int8(),
    "boolean": pa.bool_(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}


def from_source(spark: SparkSession, group: FileGroup, file: str | None) -> DataFrame:
    """The rows of a file group by the data source for its format; ``file`` (path or name) adds ``_file``."""
    source = CsvSource if group.format == "csv" else ParquetSource
    spark.dataSource.register(source)
    request = {
        "paths": group.paths,
        "width": group.width,
        "separator": group.separator,
        "multi_line": group.multi_line,
        "columns": [(c.cell, c.physical, c.ddl, c.position) for c in group.columns if c.is_stored],
        "file": file,
    }
    return spark.read.format(source.name()).option("request", json.dumps(request)).load()


@dataclass(frozen=True)
class Request:
    """What is to be read."""

    paths: tuple[str, ...]
    width: int
    separator: str
    multi_line: bool
    columns: tuple[RawColumn, ...]
    file: str | None

    @classmethod
    def of(cls, options: dict[str, str]) -> "Request":
        """The request in the options of a data source."""
        body = json.loads(options["request"])
        columns = tuple(RawColumn(*column) for column in body["columns"])
        return cls(tuple(body["paths"]), body["width"], body["separator"], body["multi_line"], columns, body["file"])

    def schema(self, cells: pa.Schema) -> pa.Schema:
        """The columns that are returned, given those of the cells."""
        return cells.append(pa.field(FILE, pa.string())) if self.file else cells

    def rows(self, batch: pa.RecordBatch, path: str) -> pa.RecordBatch:
        """The cells of a file as they are returned."""
        if not self.file:
            return batch
        label = path.rpartition("/")[2] if self.file == "name" else storage.spark_path(path)
        file = pa.repeat(pa.scalar(label), batch.num_rows)
        return pa.RecordBatch.from_arrays([*batch.columns, file], schema=self.schema(batch.schema))


class FileRange(InputPartition):
    """The lines that begin in a range of bytes of a file; all of the file where ``end`` is None."""

    def __init__(self, path: str, start: int = 0, end: int | None = None) -> None:
        super().__init__((path, start, end))


class _Source(DataSource):
    @property
    def request(self) -> Request:
        return Request.of(dict(self.options))


class CsvSource(_Source):
    """Cells of CSV files as text."""

    @classmethod
    def name(cls) -> str:
        """Its name as a format."""
        return "blitz_csv"

    def schema(self) -> StructType:
        """Text columns by position, those of EXTRA and, where asked for, ``_file``."""
        return from_arrow_schema(self.request.schema(cell_schema(self.request.width)))

    def reader(self, schema: StructType) -> DataSourceReader:
        """A reader of the files of the request."""
        return _CsvReader(self.request)


class _CsvReader(DataSourceReader):
    def __init__(self, request: Request) -> None:
        self.request = request

    def partitions(self) -> Sequence[InputPartition]:
        sizes = {info.path: info.size for path in self.request.paths for info in storage.list_files(path)}
        if self.request.multi_line:
            return [FileRange(path) for path in self.request.paths]
        return [part for path in self.request.paths for part in _ranges(path, sizes.get(path, 0))]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._read(*partition.value)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise OSError(
                f"{partition.value[0]}: the compressed data is cut off or damaged; copy the file again"
            ) from error
        except UnicodeDecodeError as error:
            raise OSError(
                f"{partition.value[0]}: has text that is not UTF-8 (likely Windows-1252 or Latin-1); save it as UTF-8"
            ) from error

    def _read(self, path: str, start: int, end: int | None) -> Iterator[pa.RecordBatch]:
        with storage.open_input(path) as source:
            content = unzipped(source) if _is_gzip(path) else source
            if self.request.multi_line:
                text = content.read().decode("utf-8-sig")
                for batch in records(text, self.request.width, self.request.separator):
                    yield self.request.rows(batch, path)
                return
            chunks = line_chunks(content, start, end)
            for batch in batches(
                chunks if start else without_header(chunks), self.request.width, self.request.separator
            ):
                yield self.request.rows(batch, path)


def _ranges(path: str, size: int) -> list[FileRange]:
    if _is_gzip(path) or size <= SPLIT:
        return [FileRange(path)]
    return [FileRange(path, start, start + SPLIT) for start in range(0, size, SPLIT)]


def _is_gzip(path: str) -> bool:
    return path.lower().endswith(".gz")


class ParquetSource(_Source):
    """Rows of Parquet files; nanoseconds as their integer."""

    @classmethod
    def name(cls) -> str:
        """Its name as a format."""
        return "blitz_parquet"

    def schema(self) -> StructType:
        """The columns of the request with their types and, where asked for, ``_file``."""
        return from_arrow_schema(self.request.schema(_arrow_schema(self.request)), prefer_timestamp_ntz=True)

    def reader(self, schema: StructType) -> DataSourceReader:
        """A reader of the files of the request."""
        return _ParquetReader(self.request)


class _ParquetReader(DataSourceReader):
    def __init__(self, request: Request) -> None:
        self.request = request

    def partitions(self) -> Sequence[InputPartition]:
        return [FileRange(path) for path in self.request.paths]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        path = partition.value[0]
        schema = _arrow_schema(self.request)
        with storage.open_input(path) as source, pq.ParquetFile(source) as file:
            for batch in file.iter_batches(columns=[column.name for column in self.request.columns]):
                columns = [_cast(batch.column(field.name), field.type) for field in schema]
                yield self.request.rows(pa.RecordBatch.from_arrays(columns, schema=schema), path)


def _arrow_schema(request: Request) -> pa.Schema:
    return pa.schema([(column.name, _arrow_type(column.ddl)) for column in request.columns])


def _arrow_type(ddl: str) -> pa.DataType:
    if ddl.startswith("decimal("):
        precision, scale = ddl.removeprefix("decimal(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    return _ARROW_TYPES[ddl]


def _cast(values: Any, target: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    # From nanoseconds, a cast may cut digits that no column needs; all others are between equal or wider types.
    return values.cast(target, safe=not pa.types.is_timestamp(target))
