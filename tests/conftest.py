"""One Spark session for all tests: UTC, two shuffle partitions, no UI, its warehouse in a temporary folder.

SPARK_REMOTE (e.g. local[2]) makes it a Spark Connect session; the tests are the same.
"""

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    from pyspark.sql import SparkSession

    from blitz.session import configure, ship_package

    builder = SparkSession.builder.config("spark.sql.shuffle.partitions", "2").config("spark.ui.enabled", "false")
    if remote := os.environ.get("SPARK_REMOTE"):
        session = builder.remote(remote).getOrCreate()
    else:
        builder = builder.config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        builder = builder.config("spark.driver.memory", "2g").config("spark.log.level", "ERROR")
        session = (
            builder.config("spark.driver.host", "127.0.0.1").master("local[2]").appName("blitz tests").getOrCreate()
        )
    configure(session)
    ship_package(session)
    yield session
    session.stop()
