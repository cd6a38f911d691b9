"""Parquet folders written and read by the engine of a session, under any name, with any number of rows."""

import io
from collections.abc import Sequence

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from blitz.spark.engine import path_to_read, path_to_write, writes_empty_tables
from blitz.storage import list_files, spark_path, write_bytes


def write_parquet(df: DataFrame, path: str) -> None:
    """Write a frame as a new Parquet folder, which has its schema even where there are no rows. Fails where the folder
    exists."""
    df.write.mode("error").parquet(path_to_write(df.sparkSession, spark_path(path)))
    if not writes_empty_tables(df.sparkSession) and not list_files(path):
        sink = io.BytesIO()
        pq.write_table(to_arrow_schema(df.schema).empty_table(), sink)
        write_bytes(f"{path.rstrip('/')}/part-0.parquet", sink.getvalue())


def read_parquet(spark: SparkSession, paths: Sequence[str], schema: StructType | str | None = None) -> DataFrame:
    """The rows of Parquet files or folders of exactly these names; ``schema`` None: that of the files."""
    reader = spark.read if schema is None else spark.read.schema(schema)
    return reader.parquet(*[path_to_read(spark, spark_path(path)) for path in paths])
