"""A quiet start of the JVM: its stderr without the lines that every start prints; errors come through as they are."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

# Java prints it before any setting of ours is read: Spark 4 starts it with --add-modules.
_NOISE = b"WARNING: Using incubator modules: jdk.incubator.vector"


def start_context(settings: Mapping[str, str]) -> None:
    """Start the JVM and the Spark context with ``settings``, for ``SparkSession.builder`` to find.

    Nothing happens where a JVM runs already: one of this process, or that of spark-submit.
    """
    from pyspark import SparkConf, SparkContext  # a client of Spark Connect alone has no Py4J
    from pyspark.java_gateway import launch_gateway

    if "PYSPARK_GATEWAY_PORT" in os.environ or SparkContext._gateway is not None:
        return
    conf = SparkConf().setAll(list(settings.items()))
    with _stderr_filter() as stderr, _log4j_settings():
        gateway = launch_gateway(conf, {"stderr": stderr})  # type: ignore[no-untyped-call]
    SparkContext(conf=conf, gateway=gateway)


@contextmanager
def _stderr_filter() -> Iterator[int]:
    """Yield a file descriptor for a child's stderr; a thread copies it to ours, without the noise."""
    source, sink = os.pipe()
    threading.Thread(target=copy_without_noise, args=(source, os.dup(2)), name="blitz-jvm-stderr", daemon=True).start()
    try:
        yield sink
    finally:
        os.close(sink)


def copy_without_noise(source: int, target: int) -> None:
    """Copy bytes from one file descriptor to the other as they arrive, without the noise; closes both at the end.

    Unfinished lines are passed on at once, except for the beginning of a line that may be noise: a progress bar has no
    line ends.
    """
    with open(source, "rb", buffering=0) as reader, open(target, "wb", buffering=0) as writer:
        pending = b""
        while chunk := reader.read(65536):
            *lines, pending = (pending + chunk).split(b"\n")
            ready = b"".join(line + b"\n" for line in lines if not line.startswith(_NOISE))
            if not _NOISE.startswith(pending[: len(_NOISE)]):
                ready, pending = ready + pending, b""
            _write(writer.fileno(), ready)
        _write(writer.fileno(), pending)


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


@contextmanager
def _log4j_settings() -> Iterator[None]:
    """Let a JVM that starts in this context log errors alone, where the user has no log4j settings."""
    if _has_log4j_settings():
        yield
        return
    before = os.environ.get("SPARK_SUBMIT_OPTS", "")
    with resources.as_file(resources.files("blitz.spark").joinpath("log4j2.properties")) as path:
        os.environ["SPARK_SUBMIT_OPTS"] = f"-Dlog4j2.configurationFile={path.as_uri()} {before}"
        try:
            yield
        finally:
            os.environ["SPARK_SUBMIT_OPTS"] = before


def _has_log4j_settings() -> bool:
    """Whether SPARK_SUBMIT_OPTS or Spark's conf folder has log4j settings, as in spark-submit.sh."""
    if "log4j" in os.environ.get("SPARK_SUBMIT_OPTS", "") + os.environ.get("PYSPARK_SUBMIT_ARGS", ""):
        return True
    home = os.environ.get("SPARK_HOME")
    folder = os.environ.get("SPARK_CONF_DIR") or (home and f"{home}/conf")
    return bool(folder) and Path(str(folder), "log4j2.properties").exists()
