"""Delta outputs: a transaction of its own where there is a Delta table already."""

import importlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from blitz import storage
from blitz.errors import PublishError

COLUMN_MAPPING = {"delta.columnMapping.mode": "name"}  # names with blanks need it
_TABLE_OF_ANOTHER = ("DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES", "DELTA_FEATURES_REQUIRE_MANUAL_ENABLEMENT")
_LOG_ENTRY = re.compile(r"(\d{20})\.json$")


def commit(df: DataFrame, path: str, *, output: str | None = None) -> None:
    """Replace the rows and the schema of the Delta table at ``path`` (made where there is none) in one transaction.

    ``output`` is the path that messages name, where the table is made for another place.
    """
    with clear_errors(output or path):
        writer = df.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.options(**COLUMN_MAPPING).save(storage.spark_path(path))


def last_commit(path: str) -> tuple[int, int, int]:
    """Rows, files and bytes that the last transaction of a Delta table added, read from its log without a Spark job."""
    # The log's folder is hidden, but a root that is asked for by name is listed.
    log = [info.path for info in storage.list_files(f"{path.rstrip('/')}/_delta_log")]
    entries = sorted(name for name in log if _LOG_ENTRY.search(name))
    if not entries:
        raise PublishError(f"{path}: the Delta log holds no entry after the commit; check who else writes there")
    actions = [json.loads(line) for line in storage.read_bytes(entries[-1]).splitlines() if line.strip()]
    added = [action["add"] for action in actions if "add" in action]
    rows = sum(json.loads(add.get("stats") or "{}").get("numRecords", 0) for add in added)
    return rows, len(added), sum(add["size"] for add in added)


def commit_unlisted(df: DataFrame, path: str, check: Callable[[int], None] | None) -> tuple[int, int, int]:
    """``commit`` where neither boto3 nor a JVM reaches the store (Spark Connect): the check follows the transaction.

    A failed check restores the version before; returns rows, files and bytes.
    """
    tables = _delta_tables(df.sparkSession)
    before = None
    if tables.isDeltaTable(df.sparkSession, path):
        before = tables.forPath(df.sparkSession, path).history(1).collect()[0]["version"]
    commit(df, path)
    table = tables.forPath(df.sparkSession, path)
    metrics = table.history(1).collect()[0]["operationMetrics"]
    rows = int(metrics.get("numOutputRows", 0))
    try:
        if check is not None:
            check(rows)
    except BaseException:
        if before is not None:
            table.restoreToVersion(before)
        raise
    return rows, int(metrics.get("numFiles", 0)), int(metrics.get("numOutputBytes", 0))


def _delta_tables(spark: SparkSession) -> Any:
    try:
        name = "delta.tables" if hasattr(spark, "_jsparkSession") else "delta.connect.tables"
        return importlib.import_module(name).DeltaTable
    except ImportError:  # Databricks has one class for both
        return importlib.import_module("delta.tables").DeltaTable


@contextmanager
def clear_errors(path: str) -> Iterator[None]:
    """Say in one line what a missing Delta Lake, or a table without column mapping, means."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if "DATA_SOURCE_NOT_FOUND" in text or "Failed to find the data source: delta" in text:
            raise PublishError(
                f"{path}: run.format is delta, but this Spark session has no Delta Lake; "
                "add the package io.delta:delta-spark that fits its version, or set run.format to parquet"
            ) from error
        if "DELTA_CONFIGURE_SPARK_SESSION_WITH_EXTENSION_AND_CATALOG" in text:
            raise PublishError(
                f"{path}: Delta Lake needs spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension and "
                "spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog in the config (spark)"
            ) from error
        if any(name in text for name in _TABLE_OF_ANOTHER):
            raise PublishError(
                f"{path}: the Delta table there was made by others and lacks column mapping by name or the feature "
                "timestampNtz; move it, or set its properties delta.columnMapping.mode=name and "
                "delta.feature.timestampNtz=supported, and run again"
            ) from error
        raise
