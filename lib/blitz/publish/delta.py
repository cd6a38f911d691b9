"""Delta outputs: each run replaces an existing Delta table in one transaction."""

import importlib
import json
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from blitz import storage
from blitz.errors import PublishError
from blitz.publish.base import Published
from blitz.spark.engine import is_connect

COLUMN_MAPPING = {"delta.columnMapping.mode": "name"}  # names with blanks need it
_INCOMPATIBLE_TABLE = ("DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES", "DELTA_FEATURES_REQUIRE_MANUAL_ENABLEMENT")
_LOG_ENTRY = re.compile(r"(\d{20})\.json$")


def replace(df: DataFrame, path: str, *, output: str | None = None) -> None:
    """Replace rows and schema of the Delta table at ``path`` in one transaction; creates the table if necessary.

    ``output`` is the path that messages name, where the table is staged for another place. Raises PublishError where
    the session has no Delta Lake or the table lacks a feature that the rows need.
    """
    with translate_delta_errors(output or path):
        writer = df.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.options(**COLUMN_MAPPING).save(storage.spark_path(path))


def last_commit(path: str) -> Published:
    """Rows, files and bytes that the last transaction of a Delta table added, read from its log without a Spark job.

    Raises PublishError where the log has no entry.
    """
    added = _added(path)
    rows = sum(json.loads(add.get("stats") or "{}").get("numRecords", 0) for add in added)
    return Published(path, rows, len(added), sum(add["size"] for add in added))


def last_files(path: str) -> list[str]:
    """The names of the files that the last transaction of a Delta table added, below the table's folder.

    Raises PublishError where the log has no entry.
    """
    return [urllib.parse.unquote(add["path"]) for add in _added(path)]


def versions(path: str) -> int:
    """How many versions the log of a Delta table has an entry of."""
    return len(_entries(path))


def _entries(path: str) -> list[str]:
    # The log's folder is hidden, but a root that is asked for by name is listed.
    log = [info.path for info in storage.list_files(f"{path.rstrip('/')}/_delta_log")]
    return sorted(name for name in log if _LOG_ENTRY.search(name))


def _added(path: str) -> list[dict[str, Any]]:
    entries = _entries(path)
    if not entries:
        raise PublishError("the Delta log has no entry after the commit; check who else writes there", path=path)
    actions = [json.loads(line) for line in storage.read_bytes(entries[-1]).splitlines() if line.strip()]
    return [action["add"] for action in actions if "add" in action]


class Transaction:
    """An output whose ``stage`` is the transaction already: nothing is checked before readers see it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._staged: tuple[DataFrame, Published] | None = None

    def stage(self, df: DataFrame) -> Published:
        """Replace the table by ``df``; rows, files and bytes come from the Delta log."""
        replace(df, self._path)
        published = last_commit(self._path)
        self._staged = df, published
        return published

    def rows(self) -> DataFrame:
        """The rows of the transaction; PublishError where nothing was staged."""
        frame, _ = self._require_staged()
        return frame.sparkSession.read.format("delta").load(storage.spark_path(self._path))

    def commit(self) -> Published:
        """What the transaction published; PublishError where nothing was staged."""
        return self._require_staged()[1]

    def _require_staged(self) -> tuple[DataFrame, Published]:
        if self._staged is None:
            raise PublishError("nothing was staged, nothing was published", path=self._path)
        return self._staged


class RestorableTransaction(Transaction):
    """A transaction on a path that only Spark reaches; ``restore`` brings back the version before it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.is_committed = False
        self._table: Any = None
        self._version_before: int | None = None

    def stage(self, df: DataFrame) -> Published:
        """Replace the table by ``df``; rows, files and bytes come from the metrics of the transaction."""
        tables = _delta_tables(df.sparkSession)
        if tables.isDeltaTable(df.sparkSession, self._path):
            history = tables.forPath(df.sparkSession, self._path).history(1)
            self._version_before = history.collect()[0]["version"]
        replace(df, self._path)
        self._table = tables.forPath(df.sparkSession, self._path)
        metrics = self._table.history(1).collect()[0]["operationMetrics"]
        numbers = [int(metrics.get(name, 0)) for name in ("numOutputRows", "numFiles", "numOutputBytes")]
        rows, files, size = numbers
        published = Published(self._path, rows, files, size)
        self._staged = df, published
        return published

    def commit(self) -> Published:
        """Keep what the transaction published; PublishError where nothing was staged."""
        published = super().commit()
        self.is_committed = True
        return published

    def restore(self) -> None:
        """Bring back the version before the transaction, if there was one."""
        if self._table is not None and self._version_before is not None:
            self._table.restoreToVersion(self._version_before)


@contextmanager
def restoring(path: str) -> Iterator[RestorableTransaction]:
    """A transaction at ``path`` that is undone where the block does not commit it."""
    transaction = RestorableTransaction(path)
    try:
        yield transaction
    finally:
        if not transaction.is_committed:
            transaction.restore()


def _delta_tables(spark: SparkSession) -> Any:
    try:
        name = "delta.connect.tables" if is_connect(spark) else "delta.tables"
        return importlib.import_module(name).DeltaTable
    except ImportError:  # Databricks has one class for both
        return importlib.import_module("delta.tables").DeltaTable


@contextmanager
def translate_delta_errors(path: str) -> Iterator[None]:
    """Say in one line that Delta Lake is missing, or that the table lacks column mapping."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if "DATA_SOURCE_NOT_FOUND" in text or "Failed to find the data source: delta" in text:
            raise PublishError(
                "run.format is delta, but this Spark session has no Delta Lake; "
                "add the package io.delta:delta-spark that fits its version, or set run.format to parquet",
                path=path,
            ) from error
        if "DELTA_CONFIGURE_SPARK_SESSION_WITH_EXTENSION_AND_CATALOG" in text:
            raise PublishError(
                "Delta Lake needs spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension and "
                "spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog in the config (spark)",
                path=path,
            ) from error
        if any(name in text for name in _INCOMPATIBLE_TABLE):
            raise PublishError(
                "the existing Delta table was not written by Blitz and lacks column mapping by name or the "
                "feature timestampNtz; move it, or set its properties delta.columnMapping.mode=name and "
                "delta.feature.timestampNtz=supported, and run again",
                path=path,
            ) from error
        raise
