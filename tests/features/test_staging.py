"""Frames that are computed once, and the first rows of repeated keys: on Sail they go through temporary files."""

import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from blitz.spark.engine import SAIL, engine_of
from blitz.spark.first_rows import first_rows
from blitz.spark.staging import Staging


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def staging(places: Path) -> Iterator[Staging]:
    staging = Staging()
    yield staging
    staging.remove()


def test_rows_are_computed_once(spark: SparkSession, staging: Staging) -> None:
    random = spark.range(50).select("id", F.rand().alias("value"))
    once = staging.once(random)
    if engine_of(spark) == SAIL:
        assert sorted(once.collect()) == sorted(once.collect())
    else:
        assert once is random


def test_values_and_types_stay(spark: SparkSession, staging: Staging) -> None:
    schema = "id bigint, name string, at timestamp, local timestamp_ntz, amount double, flag boolean"
    moment = dt.datetime(2025, 1, 6, 7, 30, 0, 123456)
    rows = spark.createDataFrame([(1, "a", moment, moment, 0.1, True), (None,) * 6], schema)
    once = staging.once(rows)
    assert once.dtypes == rows.dtypes
    assert sorted(once.collect(), key=str) == sorted(rows.collect(), key=str)


def test_a_frame_without_rows_keeps_its_columns(spark: SparkSession, staging: Staging) -> None:
    nothing = spark.createDataFrame([(1, "a")], "id bigint, name string").where("id = 2")
    once = staging.once(nothing)
    assert once.dtypes == nothing.dtypes
    assert once.collect() == []


def test_shared_rows_are_computed_for_the_first_caller_alone(spark: SparkSession, staging: Staging) -> None:
    asked: list[str] = []

    def rows(name: str):
        asked.append(name)
        return spark.range(3).select(F.lit(name).alias("name"))

    found = [staging.shared(key, lambda key=key: rows(key)).first()["name"] for key in ("a", "b", "a")]
    assert found == ["a", "b", "a"]
    assert asked == ["a", "b"]


def test_files_are_removed(spark: SparkSession, places: Path) -> None:
    staging = Staging()
    staging.once(spark.range(3)).collect()
    assert len(list(places.iterdir())) == (engine_of(spark) == SAIL)
    staging.remove()
    assert list(places.iterdir()) == []


ROWS = [(1, 5, "b"), (1, 7, "z"), (1, 7, "c"), (2, None, "a"), (3, 1, "a"), (3, 1, "a"), (4, None, "n"), (4, 0, "m")]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (ROWS, [(1, 7, "c"), (2, None, "a"), (3, 1, "a"), (4, 0, "m")]),
        (ROWS[4:6], [(3, 1, "a")]),  # repeated keys alone
        (ROWS[3:5], [(2, None, "a"), (3, 1, "a")]),  # none
        ([], []),
    ],
)
def test_first_rows(spark: SparkSession, staging: Staging, rows: list, expected: list) -> None:
    df = spark.createDataFrame(rows, "key bigint, value int, name string")
    found = first_rows(df, "key", [F.col("value").desc_nulls_last(), F.col("name").asc()], staging)
    assert found.columns == ["key", "value", "name"]
    assert sorted(map(tuple, found.collect())) == expected


@pytest.mark.spark
def test_what_several_steps_read_stays_on_the_disks_of_a_classic_session(spark: SparkSession, staging: Staging) -> None:
    rows = staging.shared("mapping", lambda: spark.range(3).toDF("cached"), cached=True)
    seldom = staging.shared("orders", lambda: spark.range(4).toDF("not cached"))
    assert rows.storageLevel.useDisk and not rows.storageLevel.useMemory
    assert not seldom.storageLevel.useDisk
    staging.remove()
    assert not rows.storageLevel.useDisk
