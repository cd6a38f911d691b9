"""Exact quantiles of columns, by numpy's linear method, from one aggregation of all of them.

``percentile`` of the engines interpolates in another order of operations than numpy: where a quantile is a value of
the data, it may come out one rounding below it, and all customers of that value change sides.
"""

from collections.abc import Sequence
from math import floor

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from blitz.spark.columns import quoted_col


def exact_quantiles(
    df: DataFrame, columns: Sequence[str], shares: Sequence[float], rows: int
) -> dict[str, tuple[float, ...]]:
    """The quantiles of each column at ``shares`` (0 to 1), equal to ``numpy.quantile``.

    Args:
        df: the frame; no value of ``columns`` is null.
        columns: numeric columns.
        shares: the quantiles.
        rows: the number of rows of ``df``, at least 1.
    """
    places = [share * (rows - 1) for share in shares]
    wanted = sorted({at for place in places for at in (floor(place), min(floor(place) + 1, rows - 1))})
    found = _values_at(df, columns, wanted)

    def quantile(values: dict[int, float], place: float) -> float:
        below = floor(place)
        ends = [values[below], values[min(below + 1, rows - 1)]]
        return float(np.quantile(ends, place - below))

    return {name: tuple(quantile(found[name], place) for place in places) for name in columns}


def _values_at(df: DataFrame, columns: Sequence[str], places: Sequence[int]) -> dict[str, dict[int, float]]:
    """Per column the values at some places of its ascending order, counted from 0."""
    cells = [F.struct(F.lit(at).alias("at"), quoted_col(name).cast("double").alias("value"))
             for at, name in enumerate(columns)]  # fmt: skip
    long = df.select(F.explode(F.array(*cells)).alias("cell")).select("cell.at", "cell.value")
    counted = long.groupBy("at", "value").agg(F.count(F.lit(1)).alias("rows"))
    until = F.sum("rows").over(
        Window.partitionBy("at").orderBy("value").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    ranked = counted.select("at", "value", "rows", until.alias("until"))
    covers = F.lit(False)
    for place in places:
        covers = covers | ((F.col("until") > place) & (F.col("until") - F.col("rows") <= place))
    found: dict[str, dict[int, float]] = {name: {} for name in columns}
    for row in ranked.where(covers).collect():
        first, end = row["until"] - row["rows"], row["until"]
        found[columns[row["at"]]].update({place: row["value"] for place in places if first <= place < end})
    return found
