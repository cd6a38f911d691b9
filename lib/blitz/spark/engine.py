"""The engines that can execute a run, and how they differ (how each reads raw files: blitz.raw.readers).

Spark is the JVM of a cluster or of this machine. Sail (pysail, Rust) speaks the Spark Connect protocol: a server inside
this process executes the same DataFrame code without Java. It listens on a free port of the loopback interface, and
whoever can connect to that port can run code as this user.
"""

import os
import re
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa
from pyspark.sql import SparkSession

from blitz.errors import BlitzError, ConfigError

SPARK, SAIL = "spark", "sail"
ENGINES = (SPARK, SAIL)
_sail_servers: WeakKeyDictionary[SparkSession, Any] = WeakKeyDictionary()  # a server ends with its last reference


def is_connect(spark: SparkSession) -> bool:
    """Whether the session is a Spark Connect client (Databricks serverless, SPARK_REMOTE)."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def engine_of(spark: SparkSession) -> str:
    """The engine behind a session: ``spark`` or ``sail``."""
    return SAIL if spark in _sail_servers else SPARK


@dataclass(frozen=True)
class Engine:
    """The engine of a new session.

    ``memory`` limits Sail, in bytes with the suffix m or g; None: three quarters of the machine's memory.
    """

    name: str = SPARK
    memory: str | None = None


def chosen_engine(configured: str, asked: str | None = None) -> str:
    """The engine to use: the one asked for on the command line, else the configured one.

    Where a Spark is there already (spark-submit, Databricks, SPARK_REMOTE), it is Spark whatever the config says.
    Raises ConfigError where Sail is asked for there.
    """
    present = _present_spark()
    if present is None:
        return asked or configured
    if asked == SAIL:
        raise ConfigError(
            [f"--engine sail: {present} brings its own Spark; start the job with python, or leave --engine out"]
        )
    return SPARK


def _present_spark() -> str | None:
    """What brings a Spark for this process."""
    places = {
        "DATABRICKS_RUNTIME_VERSION": "Databricks",
        "SPARK_REMOTE": "SPARK_REMOTE",
        "PYSPARK_GATEWAY_PORT": "spark-submit",
    }
    return next((place for variable, place in places.items() if os.environ.get(variable)), None)


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


def start_sail(memory: str | None = None, s3_endpoint: str | None = None) -> SailServer:
    """Start Sail, which reads its settings from the environment. Raises BlitzError where it is not installed."""
    for name, value in (_sail_settings(memory) | _sail_s3(s3_endpoint)).items():
        os.environ.setdefault(name, value)
    # CSV files are parsed by Arrow in this process, whose own pool keeps what it freed: a quarter of a run's peak.
    pa.set_memory_pool(pa.system_memory_pool())
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
    _sail_servers[spark] = server
    return SailServer(spark, server)


def _sail_settings(memory: str | None) -> dict[str, str]:
    """Its own log lines only for errors; a memory limit that ends a query with an error instead of a killed process;
    Parquet compressed as Spark does, which takes a sixth less time than Sail's own choice, and with statistics of
    column chunks alone, a tenth less; larger batches, which take a tenth less in all; no huge pages, which its
    allocator asks for and the kernel clears for a sixth of the time (benchmarks/RESULTS.md)."""
    return {
        "MIMALLOC_ALLOW_THP": "0",
        "RUST_LOG": "error",
        "SAIL_EXECUTION__BATCH_SIZE": "32768",
        "SAIL_PARQUET__COMPRESSION": "snappy",
        "SAIL_PARQUET__STATISTICS_ENABLED": "chunk",
        "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
        "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(_bytes(memory) if memory else machine_memory() * 3 // 4),
    }


def _bytes(size: str) -> int:
    return int(size[:-1]) << {"m": 20, "g": 30}[size[-1].lower()]


def machine_memory() -> int:
    """The memory of this machine, or the limit of its container, in bytes."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no container, or "max"
            found.append(int(Path(path).read_text()))
    return min(found)


def _sail_s3(endpoint: str | None) -> dict[str, str]:
    """The S3 endpoint as Sail takes it, from the config or as boto3 has it."""
    address = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not address:
        return {}
    plain = {"AWS_ALLOW_HTTP": "true"} if address.startswith("http://") else {}
    return {"AWS_ENDPOINT": address, "AWS_ENDPOINT_URL": address, **plain}


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


def quotes_csv(spark: SparkSession) -> bool:
    """Whether the engine can write CSV files with all cells quoted, and names them as Spark does."""
    return engine_of(spark) == SPARK


def writes_empty_tables(spark: SparkSession) -> bool:
    """Whether the engine writes a file for a frame without rows."""
    return engine_of(spark) == SPARK
