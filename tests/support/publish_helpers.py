"""Tables for the publishing tests: written without Spark where only the publishing is under test."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.publish import tables as publish

PARTS = 3
OLD, NEW = {"old": 30}, {"new": 30}


@dataclass
class Rows:
    """As much of a DataFrame as publishing asks for: ``rows`` rows that all say ``tag``."""

    tag: str
    rows: int = 30
    columns: list[str] = field(default_factory=lambda: ["id", "which one"])
    job: str = ""  # in the names of the files, as Spark has it; the tag where not given
    sparkSession: Any = None

    def write_parts(self, staging: str) -> None:
        for part in range(PARTS):
            ids = list(range(part, self.rows, PARTS))
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table({"id": ids, "which one": [self.tag] * len(ids)}), sink)
            storage.write_bytes(
                f"{staging}/part-{part:05}-{self.job or self.tag}.snappy.parquet", sink.getvalue().to_pybytes()
            )
        storage.write_bytes(f"{staging}/_SUCCESS", b"")


def write_rows(df: Rows, staging: str, fmt: str, path: str) -> None:
    """Takes the place of ``publish._write`` in tests without Spark."""
    assert fmt == "parquet"
    df.write_parts(staging)


def seen(path: str) -> dict[str, int]:
    """What a reader of a Parquet folder finds: rows per tag."""
    found: dict[str, int] = {}
    for info in storage.list_files(path):
        if info.path.endswith(".parquet"):
            with storage.open_input(info.path) as source:
                for tag in pq.read_table(source).column("which one").to_pylist():
                    found[tag] = found.get(tag, 0) + 1
    return found


@pytest.fixture
def no_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishing without Spark, for ``put``."""
    monkeypatch.setattr(publish, "_write", write_rows)


def put(tag: str, path: object, run_id: str = "r1", **named: Any) -> publish.Published:
    """Publish ``Rows(tag)``."""
    return publish.publish(Rows(tag), str(path), run_id=run_id, **named)  # type: ignore[arg-type]


def frame(spark: SparkSession, tag: str, rows: int = 30) -> DataFrame:
    """The same rows as ``Rows`` has, and an array, as a DataFrame."""
    return spark.range(rows).select("id", F.lit(tag).alias("which one"), F.array("id").alias("list of ids"))


class Death(BaseException):
    """A machine that dies: this call and every later one fails."""


class Machine:
    """Dies at its ``last``-th call of a watched function."""

    def __init__(self, last: int) -> None:
        self.calls, self.last = 0, last

    def tick(self, *_: object, **__: object) -> None:
        self.calls += 1
        if self.calls >= self.last:
            raise Death

    def watched(self, call: Any) -> Any:
        def step(*args: Any, **named: Any) -> Any:
            self.tick()
            return call(*args, **named)

        return step
