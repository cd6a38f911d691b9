"""Columns that join late: wide rows do not pass through the joins that decide which of them are kept."""

from dataclasses import dataclass

from pyspark.sql import DataFrame

from blitz.spark.engine import SAIL, engine_of


@dataclass(frozen=True)
class LateColumns:
    """Rows with a unique key whose other columns are needed at the end alone.

    Spark carries them along: to join them later would read their files a second time.
    """

    rows: DataFrame
    key: str

    @property
    def is_late(self) -> bool:
        """Whether the engine profits: Sail, which reads a few columns of Parquet files fast and copies rows to join."""
        return engine_of(self.rows.sparkSession) == SAIL

    def keys(self) -> DataFrame:
        """Return the rows to be joined first: on Sail only their keys."""
        return self.rows.select(self.key) if self.is_late else self.rows

    def join_to(self, kept: DataFrame) -> DataFrame:
        """Return the rows of ``kept``, which derive from ``keys``, with all columns."""
        return kept.join(self.rows, self.key) if self.is_late else kept
