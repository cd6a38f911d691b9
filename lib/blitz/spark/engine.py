"""The engines that can execute a run, and how they differ (how each reads raw files: blitz.raw.readers).

Spark is the JVM of a cluster or of this machine. Sail (pysail, Rust) speaks the Spark Connect protocol: a server inside
this process executes the same DataFrame code without Java. It listens on a free port of the loopback interface, and
whoever can connect to that port can run code as this user.
"""

import os
import re
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from pyspark.sql import Column, DataFrame, Observation, SparkSession

from blitz.errors import BlitzError

SPARK, SAIL = "spark", "sail"
_sail_sessions: WeakSet[SparkSession] = WeakSet()


def engine_of(spark: SparkSession) -> str:
    """The engine behind a session: ``spark`` or ``sail``."""
    return SAIL if spark in _sail_sessions else SPARK


@dataclass(frozen=True)
class SailServer:
    """Sail inside this process, and the one session that uses it."""

    spark: SparkSession
    server: Any

    def stop(self) -> None:
        """End the session and the server."""
        self.spark.stop()
        self.server.stop()
        os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)  # a later session of this process may be of another kind


def start_sail() -> SailServer:
    """Start Sail. Raises BlitzError where it is not installed."""
    os.environ.setdefault("RUST_LOG", "error")
    try:
        from pysail.spark import SparkConnectServer
    except ImportError as error:
        raise BlitzError(
            "run.engine is sail, and pysail is not installed: pip install 'blitz[sail]', or use --engine spark"
        ) from error
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
    _sail_sessions.add(spark)
    return SailServer(spark, server)


def observed(df: DataFrame, metrics: Sequence[Column]) -> tuple[DataFrame, Callable[[], dict[str, Any]]]:
    """The same rows, and a function that returns the metrics by name once an action has run over them.

    Spark computes them in that action, Sail with a query of its own.
    """

    def counted() -> dict[str, Any]:
        return df.agg(*metrics).first().asDict()  # type: ignore[union-attr]

    if engine_of(df.sparkSession) == SAIL:
        return df, counted
    observation = Observation()
    # Spark Connect 4.0 answers a write with the outermost of nested observations alone: count the others then.
    return df.observe(observation, *metrics), lambda: observation.get or counted()


def path_to_read(spark: SparkSession, uri: str) -> str:
    """The URI of a file or folder of exactly this name as the engine reads it: both take a path for a glob, Spark lets
    its characters be escaped, Sail decodes ``%5B``."""
    if engine_of(spark) == SAIL:
        return _encoded(uri)
    return re.sub(r"([*?\[\]{}\\])", r"\\\1", uri)


def path_to_write(spark: SparkSession, uri: str) -> str:
    """The URI of a folder of exactly this name as the engine writes it."""
    return _encoded(uri) if engine_of(spark) == SAIL else uri


def _encoded(uri: str) -> str:
    scheme, slashes, path = uri.rpartition("://")
    return scheme + slashes + urllib.parse.quote(path, safe="/=")


def writes_empty_tables(spark: SparkSession) -> bool:
    """Whether the engine writes a file for a frame without rows."""
    return engine_of(spark) == SPARK
