"""Whole runs over tables of catalogs, in a process of their own: see test_catalogs.py. On Spark 3.5 those alone."""

import pyspark
import pytest

from job_runs import run_tests_apart


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_on_tables() -> None:
    chosen = ("-k", "every_column or erased") if pyspark.__version__.startswith("3.5") else ()
    run_tests_apart("tests/crash/run_on_catalogs.py", *chosen)
