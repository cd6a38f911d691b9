"""Parquet folders written and read by the engine of a session, under any name, with any number of rows."""

import csv
import uuid
from collections.abc import Mapping, Sequence

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from blitz.spark.engine import path_to_read, path_to_write, quotes_csv, writes_empty_tables
from blitz.spark.parquet import empty_file
from blitz.storage import list_files, spark_path, write_bytes

EMPTY = "part-empty-"  # how the name of the one file of a table without rows begins, where the engine writes none


def write_parquet(df: DataFrame, path: str) -> None:
    """Write a frame as a new Parquet folder, which has its schema even where there are no rows. Fails where the folder
    exists."""
    df.write.mode("error").parquet(path_to_write(df.sparkSession, spark_path(path)))
    if not writes_empty_tables(df.sparkSession) and not list_files(path):
        # A name of its own: on S3 no new table may have a file of the name of an old one's.
        write_bytes(f"{path.rstrip('/')}/{EMPTY}{uuid.uuid4()}.parquet", empty_file(df))


def write_lists(df: DataFrame, path: str, key: str, most_rows: int, options: Mapping[str, str]) -> None:
    """Write CSV files below new folders ``key=value`` of a folder, in the order of the rows.

    Args:
        df: text columns, and ``key``.
        path: the folder.
        key: the column that names the folder of a row.
        most_rows: the most rows of one file.
        options: of Spark's CSV writer; all cells must be quoted.
    """
    spark = df.sparkSession
    if quotes_csv(spark):
        writer = df.write.mode("error").partitionBy(key).options(**options).option("maxRecordsPerFile", most_rows)
        writer.csv(path_to_write(spark, spark_path(path)))
        return
    rows, export = pd.DataFrame(df.toPandas()), uuid.uuid4()  # no two exports share names of files
    for name, part in rows.groupby(key, sort=True):
        cells = part.drop(columns=key)
        for at in range(0, len(cells), most_rows):
            some = cells.iloc[at : at + most_rows]
            text = some.to_csv(index=False, quoting=csv.QUOTE_ALL, lineterminator="\n")
            write_bytes(f"{path.rstrip('/')}/{key}={name}/part-{at // most_rows:05d}-{export}.csv", text.encode())
    write_bytes(f"{path.rstrip('/')}/_SUCCESS", b"")


def read_parquet(spark: SparkSession, paths: Sequence[str], schema: StructType | str | None = None) -> DataFrame:
    """The rows of Parquet files or folders of exactly these names; ``schema`` None: that of the files."""
    reader = spark.read if schema is None else spark.read.schema(schema)
    return reader.parquet(*[path_to_read(spark, spark_path(path)) for path in paths])
