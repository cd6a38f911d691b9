"""Columns that depend on a few values: the same on both engines, null-free keys, several keys."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from blitz.spark.dependent_columns import with_columns_of
from blitz.spark.staging import Staging

pytestmark = pytest.mark.engines


def test_each_row_gets_the_columns_of_its_keys(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1, 0, 5), (2, 0, 5), (3, 7, 5), (4, 7, 6)], "id int, a bigint, b bigint")
    every = spark.createDataFrame([(0, 5), (7, 5), (7, 6), (9, 9)], "a bigint, b bigint")  # one that no row has
    columns = {"sum": F.col("a") + F.col("b"), "texts": F.array(F.col("a").cast("string"), F.lit("x"))}
    found = with_columns_of(rows, ["a", "b"], columns, every, Staging())
    assert found.columns == ["id", "a", "b", "sum", "texts"]
    assert sorted(map(tuple, found.collect())) == [
        (1, 0, 5, 5, ["0", "x"]),
        (2, 0, 5, 5, ["0", "x"]),
        (3, 7, 5, 12, ["7", "x"]),
        (4, 7, 6, 13, ["7", "x"]),
    ]


def test_no_rows(spark: SparkSession) -> None:
    rows = spark.createDataFrame([], "id int, a bigint")
    found = with_columns_of(rows, ["a"], {"next": F.col("a") + 1}, rows, Staging())
    assert found.columns == ["id", "a", "next"] and found.collect() == []
