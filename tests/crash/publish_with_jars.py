"""Publishing with Delta Lake and with s3a: these need jars, hence a session and a process of their own.

Not collected by itself: ``tests/crash/test_publish_jars.py`` runs it.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.errors import InputError, PublishError
from blitz.publish import s3 as publish_s3
from blitz.publish.delta import restoring
from blitz.publish.files import recover
from blitz.publish.tables import Format, Published, publish, publishing, read_output
from job_runs import QUICK
from publish_helpers import Death, bury, seen
from s3_fixtures import Calls, s3a_conf

DELTA = "io.delta:delta-spark_2.13:4.0.1"


@pytest.fixture(scope="module")
def jars(moto_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    conf = QUICK | s3a_conf(moto_server)
    conf["spark.jars.packages"] += f",{DELTA}"
    conf["spark.sql.extensions"] = "io.delta.sql.DeltaSparkSessionExtension"
    conf["spark.sql.catalog.spark_catalog"] = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
    conf["spark.sql.warehouse.dir"] = str(tmp_path_factory.mktemp("warehouse"))
    conf |= {"spark.ui.showConsoleProgress": "false", "spark.databricks.delta.snapshotPartitions": "2"}
    conf |= {"spark.ui.enabled": "false", "spark.driver.memory": "1g"}
    conf |= {"spark.log.level": "OFF", "spark.sql.session.timeZone": "UTC"}
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = SparkSession.builder.config(map=conf).master("local[2]").getOrCreate()
    yield session
    session.stop()


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"s3://{request.getfixturevalue('bucket')}/deep"


def frame(spark: SparkSession, tag: str, rows: int = 30) -> DataFrame:
    made = spark.range(rows).repartition(3).select("id", F.lit(tag).alias("which one"), F.array("id").alias("a list"))
    return made.withColumn("at", F.to_timestamp_ntz(F.lit("2024-01-01 00:00:00")))


def tags(spark: SparkSession, path: str, fmt: Format) -> dict[str, int]:
    rows = read_output(spark, path, fmt).groupBy("which one").count().collect()
    return {row[0]: row[1] for row in rows}


def put(df: DataFrame, path: str, fmt: Format, run_id: str = "r") -> Published:
    return publish(df, path, fmt=fmt, run_id=run_id)


def put_checked(df: DataFrame, path: str, error: Exception | None = None) -> Published:
    """Publish a Delta table with a check between ``stage`` and ``commit``, which raises the error if there is one."""
    with publishing(path, fmt="delta", run_id="r") as output:
        staged = output.stage(df)
        assert staged.rows == 30
        if error:
            raise error
        assert output.commit() == staged
    return staged


def hidden(folder: str) -> list[str]:
    """What is left next to the outputs."""
    if storage.is_local(folder):
        return [name for name in os.listdir(folder) if name.startswith(".")]
    found = storage.s3_files().objects(folder.split("/")[2], "", folder)
    return [item.key for item in found if "/.t" in item.key]


def test_parquet(jars: SparkSession, folder: str) -> None:
    path = f"{folder}/t x.parquet"
    for tag, rows in (("old", 30), ("new", 7)):
        done = put(frame(jars, tag, rows), path, "parquet")
        assert (done.rows, done.files) == (rows, 3) and done.bytes > 1000
        assert tags(jars, path, "parquet") == {tag: rows} == seen(path)
    assert put(frame(jars, "none", 0), path, "parquet").rows == 0
    assert read_output(jars, path).columns == ["id", "which one", "a list", "at"]
    assert hidden(folder) == []
    with pytest.raises(InputError, match="no table there"):
        read_output(jars, f"{folder}/none")


def test_delta(jars: SparkSession, folder: str) -> None:
    path = f"{folder}/t"
    first = put_checked(frame(jars, "old"), path)
    assert first.rows == 30 and first.files == 3
    second = put(frame(jars, "new", 7), path, "delta")
    assert (second.rows, second.path) == (7, path) and second.files >= 1 and second.bytes > 500
    assert tags(jars, path, "delta") == {"new": 7}
    put_checked(frame(jars, "third").withColumn("one more", F.lit(1)), path)
    assert tags(jars, path, "delta") == {"third": 30}
    versions = jars.read.format("delta").option("versionAsOf", 1).load(storage.spark_path(path))
    assert versions.count() == 7 and "one more" not in versions.columns
    assert put(frame(jars, "none", 0), path, "delta").rows == 0
    assert read_output(jars, path, "delta").count() == 0
    assert hidden(folder) == []


def test_a_check_stops_before_the_transaction(jars: SparkSession, folder: str) -> None:
    path = f"{folder}/t"
    refused = InputError("too many rejected rows")
    with pytest.raises(InputError, match="too many rejected"):
        put_checked(frame(jars, "new"), path, refused)
    assert not storage.exists(path)
    put(frame(jars, "old"), path, "delta")
    with pytest.raises(InputError, match="too many rejected"):
        put_checked(frame(jars, "new"), path, refused)
    assert tags(jars, path, "delta") == {"old": 30}
    assert len(storage.list_files(f"{path}/_delta_log/*.json")) == 1 and hidden(folder) == []


def test_spark_fails_inside_a_transaction(jars: SparkSession, folder: str) -> None:
    path = f"{folder}/t"
    failing = frame(jars, "new").withColumn("id", F.expr("if(id < 29, id, raise_error('no such row'))"))
    for fmt in ("delta", "parquet"):
        put(frame(jars, "old"), path, fmt)
        with pytest.raises(Exception, match="no such row"):
            put(failing, path, fmt)
        assert tags(jars, path, fmt) == {"old": 30}
    assert hidden(folder) == []


def test_the_format_may_change(jars: SparkSession, folder: str) -> None:
    path = f"{folder}/t"
    formats: list[Format] = ["parquet", "delta", "parquet", "delta", "delta", "parquet"]
    for number, fmt in enumerate(formats):
        put(frame(jars, f"tag{number}"), path, fmt)
        assert tags(jars, path, fmt) == {f"tag{number}": 30}
        assert bool(storage.list_files(f"{path}/_delta_log")) == (fmt == "delta")
        if fmt == "parquet":
            assert seen(path) == {f"tag{number}": 30}
    assert hidden(folder) == []


def test_a_delta_table_without_column_mapping(jars: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    jars.range(3).write.format("delta").save(path)
    with pytest.raises(PublishError, match=f"^{path}: the existing Delta table .* lacks column mapping.*set its prop"):
        put(frame(jars, "new"), path, "delta")
    with pytest.raises(PublishError, match=f"^{path}: the existing Delta table .* lacks column mapping.*set its prop"):
        put(frame(jars, "new").drop("at"), path, "delta")
    assert jars.read.format("delta").load(path).count() == 3


def test_delta_out_of_reach(jars: SparkSession, tmp_path: Path) -> None:
    """Where neither boto3 nor the JVM reaches the store, a block that does not commit restores the version before."""
    path = str(tmp_path / "t")
    with restoring(path) as output:
        staged = output.stage(frame(jars, "old"))
        assert output.commit() == staged and staged.rows == 30 and staged.files >= 1 and staged.bytes > 500
    with restoring(path) as output:
        assert output.stage(frame(jars, "new", 7)).rows == 7
        assert tags(jars, path, "delta") == {"new": 7}
    assert tags(jars, path, "delta") == {"old": 30}


def test_readers_of_s3_while_the_table_changes(jars: SparkSession, bucket: str) -> None:
    """Between the old and the new table a reader of S3 may find rows of both; how long that lasts is printed."""
    path = f"s3://{bucket}/t"
    put(frame(jars, "old"), path, "parquet")
    stop, results = threading.Event(), []

    def read_on() -> None:
        while not stop.is_set():
            keys = [item.key for item in storage.s3_files().objects(bucket, "t/", path)]
            results.append(
                (time.monotonic(), tuple(key for key in keys if key.endswith(".parquet")), "t/_SUCCESS" in keys)
            )

    reader = threading.Thread(target=read_on)
    reader.start()
    put(frame(jars, "new"), path, "parquet")
    stop.set()
    reader.join()
    old, new = results[0][1], results[-1][1]
    mixed = [moment for moment, keys, _ in results if keys not in (old, new)]
    assert all(not success for _, keys, success in results if keys not in (old, new))
    print(f"S3 gap: {max(mixed) - min(mixed) if mixed else 0:.3f} s over {len(results)} listings")


def test_dead_between_the_copies(
    jars: SparkSession,
    bucket: str,
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new Delta table over Parquet on S3: the run dies after the point of no return, recover completes the swap."""
    monkeypatch.setattr(publish_s3, "THREADS", 1)
    path = f"s3://{bucket}/t"
    put(frame(jars, "old"), path, "parquet")
    completed: list[str] = []

    def die(call: str, _: Mapping[str, Any]) -> None:
        completed.extend([call] if call == "CompleteMultipartUpload" else [])
        if len(completed) > 1:
            raise Death

    with calls.before(die), pytest.raises(Death):
        put(frame(jars, "new"), path, "delta")
    bury(path)
    assert json.loads(storage.read_bytes(f"s3://{bucket}/.t.blitz.journal"))["run_id"] == "r"
    recover(path)
    assert tags(jars, path, "delta") == {"new": 30}
    assert hidden(f"s3://{bucket}") == []
