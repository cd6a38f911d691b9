"""Which engine a job gets, and what Sail is told before it starts."""

import os

import pytest

from blitz.errors import ConfigError
from blitz.spark import engine
from blitz.spark.engine import SAIL, SPARK, chosen_engine

PRESENT = {
    "PYSPARK_GATEWAY_PORT": "spark-submit",
    "DATABRICKS_RUNTIME_VERSION": "Databricks",
    "SPARK_REMOTE": "SPARK_REMOTE",
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in PRESENT:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("configured", "asked", "expected"),
    [(SPARK, None, SPARK), (SAIL, None, SAIL), (SAIL, SPARK, SPARK), (SPARK, SAIL, SAIL)],
)
def test_the_command_line_overrides_the_config(configured: str, asked: str | None, expected: str) -> None:
    assert chosen_engine(configured, asked) == expected


@pytest.mark.parametrize("variable", PRESENT)
def test_where_a_spark_is_there_it_is_used(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    assert chosen_engine(SAIL) == SPARK
    assert chosen_engine(SAIL, SPARK) == SPARK
    with pytest.raises(ConfigError, match=f"--engine sail: {PRESENT[variable]} brings its own Spark; start the job"):
        chosen_engine(SPARK, SAIL)


def test_the_memory_of_the_machine() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < engine.machine_memory() <= physical
