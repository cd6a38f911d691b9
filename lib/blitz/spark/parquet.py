"""A Parquet file without rows: what Sail does not write for a frame without rows."""

import io

import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema


def empty_file(df: DataFrame) -> bytes:
    """Return the content of a Parquet file with the columns of a frame and no rows."""
    sink = io.BytesIO()
    pq.write_table(to_arrow_schema(df.schema).empty_table(), sink)
    return sink.getvalue()
