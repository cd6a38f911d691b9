"""Publishing to tables of catalogs, in a process of its own, since Spark must start with the jars of Iceberg and Delta.

The first time it takes a download of 60 MB from Maven Central.
"""

import pytest

from job_runs import run_tests_apart


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_publishing() -> None:
    run_tests_apart("tests/crash/publish_to_catalogs.py")
