"""Publishing with Spark on a local disk."""

import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.errors import InputError, PublishError
from blitz.publish.tables import publish, read_output
from publish_helpers import NEW, OLD, frame, seen


def test_publish_and_replace(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "out table.parquet")
    first = publish(frame(spark, "old"), path, run_id="r1")
    assert (first.path, first.rows) == (path, 30)
    assert first.files == len(storage.list_files(path)) and first.bytes == sum(i.size for i in storage.list_files(path))
    assert publish(frame(spark, "new", 7), path, run_id="r2").rows == 7
    assert seen(path) == {"new": 7}
    back = read_output(spark, path)
    assert back.columns == ["id", "which one", "list of ids"]
    assert sorted(map(tuple, back.collect())) == [(i, "new", [i]) for i in range(7)]
    assert os.listdir(tmp_path / "deep") == ["out table.parquet"]


def test_a_table_may_be_replaced_by_what_is_computed_from_it(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    publish(frame(spark, "old"), path, run_id="r1")
    smaller = read_output(spark, path).where("id < 5")
    assert publish(smaller, path, run_id="r2").rows == 5
    assert seen(path) == {"old": 5}


def test_an_empty_table_keeps_its_schema(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    for empty in (
        frame(spark, "x", 0),
        frame(spark, "x").where("id < 0"),
        spark.createDataFrame([], "a int, `b c` string"),
    ):
        assert publish(empty, path, run_id="r").rows == 0
        assert read_output(spark, path).schema.names == empty.columns


ODD_NAMES = [
    "a b.parquet",
    "quote'\"`",
    "semi;$(touch hacked)",
    "per%20cent%",
    "brace{x}[1]*?",
    "back\\slash",
    "ünïcode",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_path_names(name: str, spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    for tag in ("old", "new"):
        publish(frame(spark, tag), path, run_id="r")
    assert os.listdir(tmp_path) == [name]
    assert seen(path) == NEW
    assert read_output(spark, path).count() == 30


def test_spark_fails_while_it_writes(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    publish(frame(spark, "old"), path, run_id="r1")
    failing = frame(spark, "new").withColumn("id", F.expr("if(id < 29, id, raise_error('no such row'))"))
    with pytest.raises(Exception, match="no such row"):
        publish(failing, path, run_id="r2")
    assert seen(path) == OLD and os.listdir(tmp_path) == ["t"]


def test_read_output_without_a_table(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}/none: no table there; run the step that makes it first"):
        read_output(spark, f"{tmp_path}/none")


@pytest.mark.spark
def test_delta_without_delta_lake(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="t: run.format is delta, but this Spark session has no Delta Lake; add"):
        publish(frame(spark, "x"), str(tmp_path / "t"), fmt="delta", run_id="r")
    assert os.listdir(tmp_path) == []
