"""Tables for the publishing tests, written without Spark where only the publishing is under test; and faults."""

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.errors import InputError
from blitz.publish.base import Store
from blitz.publish.tables import Published, publish

OLD, NEW = {"old": 30}, {"new": 30}


@dataclass
class Rows:
    """As much of a DataFrame as publishing asks for: ``rows`` rows that all say ``tag``, in ``parts`` files."""

    tag: str
    rows: int = 30
    columns: list[str] = field(default_factory=lambda: ["id", "which one"])
    job: str = ""  # in the names of the files, as Spark does it; by default the tag
    name: str = "part"  # how the names of the files begin
    parts: int = 3


def write_rows(df: Any, folder: str, before: Callable[[], None] = lambda: None) -> None:
    """A writer for ``Rows``; ``before`` is called before each file."""
    for part in range(df.parts):
        ids = list(range(part, df.rows, df.parts))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": ids, "which one": [df.tag] * len(ids)}), sink)
        before()
        name = f"{df.name}-{part:05}-{df.job or df.tag}.snappy.parquet"
        storage.write_bytes(f"{folder}/{name}", sink.getvalue().to_pybytes())
    before()
    storage.write_bytes(f"{folder}/_SUCCESS", b"")


def put(
    tag: str,
    path: object,
    run_id: str = "r1",
    *,
    write: Callable[[Any, str], None] = write_rows,
    store: Store | None = None,
    **named: Any,
) -> Published:
    """Publish ``Rows(tag, **named)``."""
    rows: Any = Rows(tag, **named)
    return publish(rows, str(path), run_id=run_id, write=write, store=store)


def seen(path: str) -> dict[str, int]:
    """What a reader of a Parquet folder finds: rows per tag."""
    found: dict[str, int] = {}
    for info in storage.list_files(path):
        if info.path.endswith(".parquet"):
            with storage.open_input(info.path) as source:
                for tag in pq.read_table(source).column("which one").to_pylist():
                    found[tag] = found.get(tag, 0) + 1
    return found


def frame(spark: SparkSession, tag: str, rows: int = 30) -> DataFrame:
    """The same rows as ``Rows`` has, and an array, as a DataFrame."""
    return spark.range(rows).select("id", F.lit(tag).alias("which one"), F.array("id").alias("list of ids"))


class Death(BaseException):
    """A machine that dies: this call and every later one fails."""


class Machine:
    """Dies at its ``last``-th call."""

    def __init__(self, last: int) -> None:
        self.calls, self.last = 0, last

    def tick(self, *_: object, **__: object) -> None:
        self.calls += 1
        if self.calls >= self.last:
            raise Death


class Watched:
    """Any object, with ``before(name, *arguments)`` called before each of its methods in ``names``."""

    def __init__(self, target: Any, names: Collection[str], before: Callable[..., None]) -> None:
        self._target, self._names, self._before = target, names, before

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        if name not in self._names:
            return method

        def call(*args: Any, **named: Any) -> Any:
            self._before(name, *args)
            return method(*args, **named)

        return call


def bury(path: str) -> None:
    """Make the owner of an output's lock look dead: its process id belongs to a process born at another time."""
    folder, _, name = path.rpartition("/")
    lock = f"{folder}/.{name}.blitz.lock"
    with suppress(InputError):  # it died before it had the lock
        owner = json.loads(storage.read_bytes(lock))
        storage.write_bytes(lock, json.dumps(owner | {"born": "0"}).encode())
