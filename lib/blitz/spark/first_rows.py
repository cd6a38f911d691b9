"""The first row of each key, on each engine."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from blitz.spark.engine import SAIL, engine_of
from blitz.spark.partitions import partitioned_by
from blitz.spark.staging import Staging

_RANK = "_rank"


def first_rows(df: DataFrame, key: str, order: Sequence[Column], staging: Staging) -> DataFrame:
    """Return the first row of each key.

    Args:
        df: the rows; most keys are expected to have one. No key is null.
        key: the column of the keys.
        order: what the rows of a key are sorted by.
        staging: gets the repeated rows on Sail.
    """
    if engine_of(df.sparkSession) == SAIL:
        return _first_by_sail(df, key, order, staging)
    return _first_by_window(df, key, order)


def _first_by_window(df: DataFrame, key: str, order: Sequence[Column]) -> DataFrame:
    window = Window.partitionBy(key).orderBy(*order)
    ranked = partitioned_by(df, key).withColumn(_RANK, F.row_number().over(window))
    return ranked.where(F.col(_RANK) == 1).drop(_RANK)


def _first_by_sail(df: DataFrame, key: str, order: Sequence[Column], staging: Staging) -> DataFrame:
    """Sail's window sorts all columns of all rows: it gets those of repeated keys alone."""
    counted = df.groupBy(key).agg(F.count(F.lit(1)).alias("rows"))
    repeated = staging.once(counted.where(F.col("rows") > 1).select(key))
    if repeated.isEmpty():
        return df
    first = staging.once(_first_by_window(df.join(repeated, key, "left_semi"), key, order))
    return df.join(repeated, key, "left_anti").unionByName(first)
