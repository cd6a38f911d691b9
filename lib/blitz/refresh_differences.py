"""Rows that came or went between two tables that refreshes keep, compared once for all channels."""

from collections.abc import Callable, Hashable
from threading import Lock

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from blitz import storage


class Differences:
    """The differences from older tables, each written once below ``folder-…``: Swiggy and in-store ask side by side."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._found: dict[Hashable, DataFrame] = {}
        self._one_at_a_time = Lock()

    def since(self, older: Hashable, compare: Callable[[], DataFrame]) -> DataFrame:
        """The rows that ``compare`` gives for the older table of this name; it is called for the first who asks."""
        with self._one_at_a_time:
            if older not in self._found:
                rows, path = compare(), storage.spark_path(f"{self._folder}-{len(self._found)}")
                rows.write.mode("overwrite").parquet(path)
                self._found[older] = rows.sparkSession.read.schema(rows.schema).parquet(path)
            return self._found[older]


def differing(one: DataFrame, other: DataFrame) -> DataFrame:
    """The distinct rows that the two frames do not hold equally often; a null equals a null."""
    names = one.columns
    rows = one.select(*names, F.lit(1).alias("times")).unionByName(other.select(*names, F.lit(-1).alias("times")))
    return rows.groupBy(*names).agg(F.sum("times").alias("times")).where(F.col("times") != 0).select(*names)
