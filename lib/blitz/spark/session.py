"""The Spark session: the same settings on classic Spark, Databricks and Spark Connect."""

import atexit
import hashlib
import io
import logging
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pyspark.sql import SparkSession

import blitz
from blitz.errors import BlitzError
from blitz.spark.engine import SAIL, Engine, engine_of, is_connect, start_sail
from blitz.spark.failures import reason
from blitz.spark.quiet import start_context

log = logging.getLogger(__name__)

# What the results depend on: a session that refuses one of these cannot be used.
REQUIRED = {
    "spark.sql.session.timeZone": "UTC",  # instants are stored as UTC, local times are computed explicitly
    "spark.sql.ansi.enabled": "false",  # on in Spark 4, off in 3.5; a cast of bad text must give null, not an error
}
# What a platform may refuse with a warning.
WISHED = {
    "spark.sql.legacy.parquet.nanosAsLong": "true",  # pandas writes nanoseconds, which Spark refuses otherwise
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",  # Spark 3.5 refuses days before 1900 otherwise
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",  # a text that a pattern does not read is null, not an error
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",  # small tables from the driver: see mappings.py
    # By what a shuffle wrote, which is known: the own-app users of 8 million orders are 8 MB. Sorted instead, they take
    # the customer mapping through two shuffles more: Swiggy and in-store 121 s, not 101 (benchmarks/RESULTS.md).
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "64MB",
    # HotSpot leaves methods over 8 KB of bytecode interpreted, and code of wide rows is longer: such a stage
    # runs as separate operators, whose code is cut into small methods (benchmarks/RESULTS.md).
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # A stage that turns out empty would take its row counts with it.
    "spark.sql.adaptive.optimizer.excludedRules": ("org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation"),
}


@dataclass(frozen=True)
class Session:
    """A session, and how to end it: not at all where something else started it."""

    spark: SparkSession
    _end: Callable[[], None] | None = field(default=None, repr=False)

    def stop(self) -> None:
        """Stop the session if this process started it."""
        if self._end:
            self._end()


def open_session(
    app: str, conf: Mapping[str, str], s3_endpoint: str | None = None, engine: Engine | None = None
) -> Session:
    """The running session, or a new one of ``engine`` (Spark) with ``conf``; what spark-submit or the cluster set
    stays.

    Raises BlitzError where the platform refuses a setting that the results depend on.
    """
    session = _running(conf) or _new(app, conf, s3_endpoint, engine)
    ship_package(session.spark)
    return session


def _running(conf: Mapping[str, str]) -> Session | None:
    """The active session, or that of Databricks or SPARK_REMOTE."""
    active = SparkSession.getActiveSession()
    on_databricks = "DATABRICKS_RUNTIME_VERSION" in os.environ
    if active is None and not on_databricks and not os.environ.get("SPARK_REMOTE"):
        return None
    spark = active or SparkSession.builder.getOrCreate()
    configure(spark, {key: value for key, value in conf.items() if key.startswith("spark.sql.")})
    return Session(spark, spark.stop if active is None and not on_databricks else None)


def _new(app: str, conf: Mapping[str, str], s3_endpoint: str | None, engine: Engine | None) -> Session:
    if engine and engine.name == SAIL:
        server = start_sail(engine.memory, s3_endpoint)
        configure(server.spark)
        return Session(server.spark, server.stop)
    spark = _start(app, conf, s3_endpoint)
    configure(spark)
    return Session(spark, spark.stop)


def _start(app: str, conf: Mapping[str, str], s3_endpoint: str | None) -> SparkSession:
    """A classic session. The settings of spark-submit's command line win over the config file's."""
    from pyspark import SparkConf

    given = SparkConf()
    if given.get("spark.master", "local[*]").startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers run this Python, not the first on the PATH
    # On a cluster the driver's log is all there is; on a terminal its traces would bury the one message that counts.
    level = "FATAL" if given.get("spark.master", "local[*]").startswith("local") else "ERROR"
    progress = str(_on_terminal()).lower()
    settings = {"spark.ui.showConsoleProgress": progress, "spark.log.level": level, **_s3(s3_endpoint), **conf}
    builder = SparkSession.builder.appName(given.get("spark.app.name", app))
    for key, value in settings.items():
        if not given.contains(key):
            builder = builder.config(key, value)
    try:
        start_context({"spark.app.name": app, **settings})
        spark = builder.getOrCreate()
        spark.conf.get("spark.sql.session.timeZone")  # only now Spark looks at the values of spark.sql settings
    except Exception as error:
        raise BlitzError(f"Spark could not start; check the config's spark section: {reason(error)}") from error
    return spark


def _on_terminal() -> bool:
    """Whether Spark's errors go to a terminal, where it can draw its progress bar.

    spark-submit runs this process with a pipe for its outputs; what counts are those of the parent, Spark itself.
    """
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return sys.stderr.isatty()
    try:
        return os.readlink(f"/proc/{os.getppid()}/fd/2").startswith(("/dev/pts/", "/dev/tty"))
    except OSError:  # no Linux
        return False


def _s3(endpoint: str | None) -> dict[str, str]:
    """S3 through s3a where no platform brings an S3 file system of its own; the endpoint as boto3 has it."""
    if Path("/usr/share/aws/emr").exists():
        return {}
    settings = {"spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem"}
    address = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if address:
        settings |= {
            "spark.hadoop.fs.s3a.endpoint": address,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": str(address.startswith("https")).lower(),
        }
    return settings


def configure(spark: SparkSession, conf: Mapping[str, str] | None = None) -> None:
    """Set what the results depend on, then what helps; a refusal is an error for the one, a warning for the other."""
    for key, value in {**WISHED, **(conf or {})}.items():
        try:
            spark.conf.set(key, value)
        except Exception as error:  # the classes differ by platform: Py4J, Connect, Databricks
            log.warning("this platform refuses %s=%s (%s); continuing without it", key, value, type(error).__name__)
    for key, value in REQUIRED.items():
        try:
            spark.conf.set(key, value)
        except Exception as error:
            raise BlitzError(f"this platform refuses {key}={value}, which the results depend on: {error}") from error


def ship_package(spark: SparkSession) -> None:
    """Send this package to the executors where it runs from a checkout; an installed one is there already.

    Sail runs Python in this process, which has it.

    Sent again after an edit, in a session that stays (a notebook), it is another file: Spark fails every task where a
    file of the same name changes.
    """
    folder = Path(blitz.__file__).parent
    if engine_of(spark) == SAIL:
        return
    if not folder.is_dir() or "site-packages" in folder.parts or "dist-packages" in folder.parts:
        return
    data = _packed(folder)
    # The same file for the same sources: Spark refuses a second file of one name from another folder.
    archive = _archive_folder() / f"blitz-{hashlib.sha256(data).hexdigest()[:12]}.zip"
    if not archive.exists():
        archive.write_bytes(data)
    if is_connect(spark):
        spark.addArtifacts(str(archive), pyfile=True)
    else:
        spark.sparkContext.addPyFile(str(archive))


@cache
def _archive_folder() -> Path:
    """A temporary folder for the package; executors may fetch it from there until the driver ends."""
    folder = tempfile.mkdtemp(prefix="blitz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _packed(folder: Path) -> bytes:
    """The package as a zip file, byte for byte the same for the same sources."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix in (".py", ".json", ".j2"):
                name = str(Path("blitz") / path.relative_to(folder))
                packed.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return sink.getvalue()
