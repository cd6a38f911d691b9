"""Bounded samples: how many rows of each stratum, which rows, and the rows on the driver."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.segmentation.segments import ID_COLUMN
from blitz.spark.engine import is_connect

DRAW = "_draw"
Stratum = TypeVar("Stratum", bound=Hashable)


def allocate(counts: Mapping[Stratum, int], most: int) -> dict[Stratum, int]:
    """Return how many rows each stratum contributes so that the sample has at most ``most`` rows.

    Small strata contribute all their rows; the large ones share the rest evenly.
    """
    left = most
    sizes: dict[Stratum, int] = {}
    by_count = sorted(counts, key=lambda name: (counts[name], str(name)))
    for at, name in enumerate(by_count):
        sizes[name] = min(counts[name], left // (len(by_count) - at))
        left -= sizes[name]
    return sizes


def with_draw(df: DataFrame, seed: int) -> DataFrame:
    """Return the frame with ``_draw``, a number in [0, 1) that depends on the customer's id and the seed alone."""
    hashed = F.xxhash64(F.col(ID_COLUMN), F.lit(seed))
    return df.withColumn(DRAW, F.shiftrightunsigned(hashed, 11) / F.lit(float(2**53)))


def is_candidate(stratum: Column, counts: Mapping[Stratum, int], sizes: Mapping[Stratum, int]) -> Column:
    """Return whether a row is a candidate for the sample: few more rows than each stratum's size, to be cut exactly.

    ``counts`` are the rows of each stratum, ``sizes`` what ``allocate`` gives.
    """
    limit = F.lit(0.0)
    for name, count in counts.items():
        wanted = sizes[name] + 6 * sizes[name] ** 0.5 + 10  # six standard deviations: never too few in practice
        limit = F.when(stratum == F.lit(name), F.lit(1.0 if sizes[name] == count else wanted / count)).otherwise(limit)
    return F.col(DRAW) < limit


def to_driver(df: DataFrame) -> pd.DataFrame:
    """Return the frame as pandas, through Arrow: row by row a large sample takes minutes."""
    spark, key = df.sparkSession, "spark.sql.execution.arrow.pyspark.enabled"
    if is_connect(spark):  # always uses Arrow
        return df.toPandas()
    before = spark.conf.get(key)
    spark.conf.set(key, "true")
    try:
        return df.toPandas()
    finally:
        spark.conf.set(key, str(before))
