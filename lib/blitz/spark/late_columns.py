"""Columns that join late: wide rows do not pass through the joins that decide which of them are kept."""

from collections.abc import Callable
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

    def joined_to(self, other: DataFrame, per_key: Callable[[DataFrame], DataFrame]) -> DataFrame:
        """Return the rows, on Sail only their keys, with the columns of another frame, null where that has no row.

        Args:
            other: rows with the key, several for some keys.
            per_key: makes one row per key of such rows. Spark gets the result of all rows of ``other``. Sail leaves
                other keys out before it groups; a key without a row is then in one row whose other columns are null.
        """
        if self.is_late:
            return per_key(self.rows.select(self.key).join(other, self.key, "left"))
        return self.rows.join(per_key(other), self.key, "left")

    def join_to(self, kept: DataFrame) -> DataFrame:
        """Return the rows of ``kept``, which derive from ``joined_to``, with all columns."""
        return kept.join(self.rows, self.key) if self.is_late else kept
