"""Counting the rows of a frame in the action that computes them, on each engine."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from threading import Lock
from typing import Any
from uuid import uuid4

import pandas as pd
from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from blitz.spark.engine import SAIL, engine_of

Totals = Callable[[], dict[str, int]]


def observed(df: DataFrame, metrics: Mapping[str, Column], keep: Column) -> tuple[DataFrame, Totals]:
    """Count the rows of a frame in the action that computes them.

    Args:
        df: the frame.
        metrics: what each row adds to a total: a boolean or whole number, null adds nothing.
        keep: which rows pass; all of them are counted.

    Returns the rows that pass, and a function that returns the totals by name after an action ran over them.
    """
    values = {name: metric.cast("bigint") for name, metric in metrics.items()}
    observe = _observed_by_sail if engine_of(df.sparkSession) == SAIL else _observed_by_spark
    return observe(df, values, keep)


def _observed_by_spark(df: DataFrame, values: Mapping[str, Column], keep: Column) -> tuple[DataFrame, Totals]:
    observation = Observation()
    sums = [F.sum(value).alias(name) for name, value in values.items()]

    @cache
    def totals() -> dict[str, int]:
        # Spark Connect 4.0 returns only the outermost of nested observations: count the others then.
        found = observation.get or df.agg(*sums).first().asDict()  # type: ignore[union-attr]
        return {name: int(total or 0) for name, total in found.items()}

    return df.observe(observation, *sums).where(keep), totals


def _observed_by_sail(df: DataFrame, values: Mapping[str, Column], keep: Column) -> tuple[DataFrame, Totals]:
    """Sail has no observations, but it calls Python functions in this process: the filter itself counts.

    Because one function counts and filters, the optimizer cannot apply the condition any earlier.
    """
    key = uuid4().hex
    sums = [F.coalesce(value, F.lit(0).cast("bigint")) for value in values.values()]
    passes: Any = F.pandas_udf(_counting_filter(key), "boolean")  # type: ignore[call-overload]
    kept = F.coalesce(keep, F.lit(False))

    def totals() -> dict[str, int]:
        return dict(zip(values, _totals.get(key, [0] * len(values)), strict=True))

    return df.where(passes.asNondeterministic()(kept, *sums)), totals


_totals: dict[str, list[int]] = {}
_totals_lock = Lock()


def _counting_filter(key: str) -> Callable[..., pd.Series]:
    def passes(keep: pd.Series, *values: pd.Series) -> pd.Series:
        add_totals(key, [int(value.sum()) for value in values])
        return keep

    return passes


def add_totals(key: str, values: Sequence[int]) -> None:
    """Add the totals of one batch of rows; called by Sail's threads."""
    with _totals_lock:
        before = _totals.get(key, [0] * len(values))
        _totals[key] = [total + value for total, value in zip(before, values, strict=True)]
