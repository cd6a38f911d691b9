"""Publishing with Spark on a local disk; what is checked before, and what is never replaced."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.errors import InputError, PublishError
from blitz.publish import tables as publish
from publish_helpers import NEW, OLD, Rows, frame, no_spark, put, seen  # noqa: F401  (a fixture among them)

# -- with Spark


def test_publish_and_replace(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "out table.parquet")
    first = publish.publish(frame(spark, "old"), path, run_id="r1", check=lambda rows: None)
    assert (first.path, first.rows) == (path, 30)
    assert first.files == len(storage.list_files(path)) and first.bytes == sum(i.size for i in storage.list_files(path))
    assert publish.publish(frame(spark, "new", 7), path, run_id="r2").rows == 7
    assert seen(path) == {"new": 7}
    back = publish.read_output(spark, path)
    assert back.columns == ["id", "which one", "list of ids"]
    assert sorted(map(tuple, back.collect())) == [(i, "new", [i]) for i in range(7)]
    assert os.listdir(tmp_path / "deep") == ["out table.parquet"]


def test_a_table_may_be_replaced_by_what_is_computed_from_it(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    publish.publish(frame(spark, "old"), path, run_id="r1")
    smaller = publish.read_output(spark, path).where("id < 5")
    assert publish.publish(smaller, path, run_id="r2").rows == 5
    assert seen(path) == {"old": 5}


def test_an_empty_table_keeps_its_schema(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    for empty in (
        frame(spark, "x", 0),
        frame(spark, "x").where("id < 0"),
        spark.createDataFrame([], "a int, `b c` string"),
    ):
        assert publish.publish(empty, path, run_id="r").rows == 0
        assert publish.read_output(spark, path).schema.names == empty.columns


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
        publish.publish(frame(spark, tag), path, run_id="r")
    assert os.listdir(tmp_path) == [name]
    assert seen(path) == NEW
    assert publish.read_output(spark, path).count() == 30


def test_spark_fails_while_it_writes(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    publish.publish(frame(spark, "old"), path, run_id="r1")
    failing = frame(spark, "new").withColumn("id", F.expr("if(id < 29, id, raise_error('no such row'))"))
    with pytest.raises(Exception, match="no such row"):
        publish.publish(failing, path, run_id="r2")
    assert seen(path) == OLD and os.listdir(tmp_path) == ["t"]


def test_read_output_without_a_table(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}/none: no table there; run the step that makes it first"):
        publish.read_output(spark, f"{tmp_path}/none")


def test_delta_without_delta_lake(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="t: run.format is delta, but this Spark session has no Delta Lake; add"):
        publish.publish(frame(spark, "x"), str(tmp_path / "t"), fmt="delta", run_id="r")
    assert os.listdir(tmp_path) == []


# -- checks and refusals


@pytest.mark.usefixtures("no_spark")
def test_a_failed_check_leaves_the_old_table(tmp_path: Path) -> None:
    put("old", tmp_path / "t")
    counted = []

    def refuse(rows: int) -> None:
        counted.append(rows)
        raise InputError("too many rejected rows")

    with pytest.raises(InputError, match="^too many rejected rows$"):
        put("new", tmp_path / "t", check=refuse)
    assert counted == [30] and seen(str(tmp_path / "t")) == OLD and os.listdir(tmp_path) == ["t"]


@pytest.mark.usefixtures("no_spark")
@pytest.mark.parametrize("damage", ["truncated", "columns", "nothing"])
def test_a_damaged_write_is_not_published(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("old", tmp_path / "t")

    def write_damaged(df: Rows, staging: str, fmt: str, path: str) -> None:
        if damage == "nothing":
            return os.makedirs(staging)
        df.write_parts(staging)
        part = storage.list_files(staging)[1].path
        if damage == "truncated":
            os.truncate(part, os.path.getsize(part) - 10)
        else:
            pq.write_table(pq.read_table(part).rename_columns(["id", "other"]), part)

    monkeypatch.setattr(publish, "_write", write_damaged)
    expected = {
        "truncated": "not written whole",
        "columns": "other columns",
        "nothing": "no file that this machine sees",
    }
    with pytest.raises(PublishError, match=expected[damage]):
        put("new", tmp_path / "t")
    assert seen(str(tmp_path / "t")) == OLD and os.listdir(tmp_path) == ["t"]


@pytest.mark.usefixtures("no_spark")
def test_foreign_content_is_never_replaced(tmp_path: Path) -> None:
    for name, content in {
        "notes.txt": "x",
        "git/.git/config": "x",
        "sub/part-0.parquet": "x",
        "dir/_SUCCESS/x": "x",
    }.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(content)
    refused = {
        "out/notes.txt": "a file that is not Parquet",
        "out/git": r"\.git",
        "out": "git, notes.txt",
        "out/dir": "_SUCC",
    }
    for path, message in refused.items():
        with pytest.raises(PublishError, match=f"^{tmp_path}/{path}: .*{message}.* would be lost; move it"):
            put("new", tmp_path / path)
    assert (tmp_path / "out/notes.txt").read_text() == "x"


@pytest.mark.usefixtures("no_spark")
@pytest.mark.parametrize("before", ["empty", "dask", "spark", "pandas", "partitions", "delta", "link"])
def test_tables_of_others_are_replaced(before: str, tmp_path: Path) -> None:
    target = tmp_path / "t.parquet"
    real = tmp_path / "real"
    if before == "pandas":  # one file under the name of the output
        pq.write_table(pa.table({"which one": ["x"]}), target)
    elif before == "link":
        real.mkdir()
        target.symlink_to(real)
    else:
        target.mkdir()
    made = {
        "dask": ["part.0.parquet", "_metadata", "_common_metadata"],
        "spark": ["part-00000-x.snappy.parquet", ".part-00000-x.snappy.parquet.crc", "_SUCCESS", "._SUCCESS.crc"],
        "partitions": ["day=1/part-0.parquet", "_temporary/0/x"],
        "delta": ["_delta_log/00000000000000000000.json", "aB/part-0.parquet"],
    }
    for name in made.get(before, []):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("x")
    put("new", target)
    assert seen(str(target)) == NEW
    assert sorted(os.listdir(tmp_path)) == (["real", "t.parquet"] if before == "link" else ["t.parquet"])
    assert target.is_symlink() == (before == "link")


@pytest.mark.usefixtures("no_spark")
def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="run id 'a/b' may hold"):
        put("new", tmp_path / "t", run_id="a/b")
    with pytest.raises(PublishError, match="run.format is 'csv'"):
        put("new", tmp_path / "t", fmt="csv")
    with pytest.raises(PublishError, match="root of a file system"):
        put("new", "/")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PublishError, match="could not be published"):
        put("new", tmp_path / "file" / "t")
    assert os.listdir(tmp_path) == ["file"]
