"""Whole runs over tables of catalogs, in a process of their own: see test_catalogs.py. Also part of the 3.5 matrix."""

import pytest

from crash.test_catalogs import run_in_own_process


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_on_tables() -> None:
    run_in_own_process("run_on_catalogs.py")
