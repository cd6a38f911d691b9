"""What refreshes find out by comparing tables that they keep, each written once for all channels."""

from collections.abc import Callable, Hashable
from threading import Lock

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from blitz import storage


class WrittenOnce:
    """Tables that are each written once below ``folder-…``: Swiggy and in-store ask for them side by side."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._found: dict[Hashable, DataFrame] = {}
        self._one_at_a_time = Lock()

    def get(self, name: Hashable, compute: Callable[[], DataFrame]) -> DataFrame:
        """The rows that ``compute`` gives for this name; it is called for the first who asks."""
        with self._one_at_a_time:
            if name not in self._found:
                rows, path = compute(), storage.spark_path(f"{self._folder}-{len(self._found)}")
                rows.write.mode("overwrite").parquet(path)
                self._found[name] = rows.sparkSession.read.schema(rows.schema).parquet(path)
            return self._found[name]


def differing(one: DataFrame, other: DataFrame) -> DataFrame:
    """The distinct rows that the two frames do not hold equally often; a null equals a null."""
    names = one.columns
    rows = one.select(*names, F.lit(1).alias("times")).unionByName(other.select(*names, F.lit(-1).alias("times")))
    return rows.groupBy(*names).agg(F.sum("times").alias("times")).where(F.col("times") != 0).select(*names)
