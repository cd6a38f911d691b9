"""Whole runs over tables of catalogs, in a process of their own: see test_catalogs.py. Also run on Spark 3.5."""

import pytest

from job_runs import run_tests_apart


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_on_tables() -> None:
    run_tests_apart("tests/crash/run_on_catalogs.py")
