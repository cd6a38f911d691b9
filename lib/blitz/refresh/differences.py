"""Tables that a refresh derives by comparison, each written once for all channels."""

from collections.abc import Callable, Hashable
from threading import Lock

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from blitz.storage.frames import read_parquet, write_parquet


class SharedTables:
    """Tables that are written once below ``folder-…``: Swiggy and in-store ask for them at the same time."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._tables: dict[Hashable, DataFrame] = {}
        self._lock = Lock()

    def get(self, name: Hashable, compute: Callable[[], DataFrame]) -> DataFrame:
        """Return the rows of ``compute``, which runs only for the first caller with this ``name``."""
        with self._lock:
            if name not in self._tables:
                rows, path = compute(), f"{self._folder}-{len(self._tables)}"
                write_parquet(rows, path)
                self._tables[name] = read_parquet(rows.sparkSession, [path], rows.schema)
            return self._tables[name]


def symmetric_difference(one: DataFrame, other: DataFrame) -> DataFrame:
    """Return the distinct rows that the two frames do not contain equally often; a null equals a null."""
    names = one.columns
    rows = one.select(*names, F.lit(1).alias("times")).unionByName(other.select(*names, F.lit(-1).alias("times")))
    return rows.groupBy(*names).agg(F.sum("times").alias("times")).where(F.col("times") != 0).select(*names)
