"""The unit lane has no engine: a test in it that starts one, or asks for a session, fails."""

import sys
from typing import NoReturn

import pytest
from pyspark.sql import SparkSession

REFUSED = "tests/unit has no engine: this test belongs in tests/features or tests/runs"


@pytest.fixture
def spark() -> NoReturn:
    """In place of the session of the other lanes."""
    pytest.fail(REFUSED)


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse sessions in this process, and a JVM in the processes that a test starts."""

    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail(REFUSED)

    for name in ("getOrCreate", "create"):
        monkeypatch.setattr(SparkSession.Builder, name, refuse)
    monkeypatch.setenv("SPARK_HOME", "/tests-unit-has-no-engine")  # where PySpark looks for the JVM's jars
    monkeypatch.setitem(sys.modules, "pysail.spark", None)  # importing it is an ImportError
