"""The Spark session of a command."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import SparkSession

from blitz.config import Config
from blitz.spark.engine import Engine
from blitz.spark.session import open_session


@contextmanager
def spark_session(
    command: str, settings: Mapping[str, str], s3_endpoint: str | None, engine: Engine
) -> Iterator[SparkSession]:
    """Open the running session or a new one of ``engine`` with ``settings``; a new one stops at the end.

    Raises BlitzError where Spark does not start or refuses a setting that the results depend on.
    """
    session = open_session(f"blitz {command}", settings, s3_endpoint, engine)
    try:
        yield session.spark
    finally:
        session.stop()


@contextmanager
def session_for(command: str, config: Config) -> Iterator[SparkSession]:
    """Open the session that the config describes (see ``spark_session``)."""
    with spark_session(
        command, config.spark, config.run.s3_endpoint, Engine(config.run.engine, config.run.memory)
    ) as spark:
        yield spark
