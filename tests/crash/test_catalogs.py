"""Tables of catalogs, in processes of their own, since Spark must start with the jars of Iceberg and Delta.

The first time it takes a download of 60 MB from Maven Central.
"""

import os
import subprocess
import sys

import pytest

from job_runs import environment
from places import CHECKOUT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_publishing() -> None:
    run_in_own_process("publish_to_catalogs.py")


def run_in_own_process(name: str) -> None:
    folders = ("lib", "tests", "tests/support", "benchmarks", "scripts")
    path = os.pathsep.join(str(CHECKOUT / folder) for folder in folders)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "--show-capture=stdout"]
    ran = subprocess.run(
        [*command, str(CHECKOUT / "tests/crash" / name)],
        env=environment(PYTHONPATH=path, PYSPARK_PYTHON=sys.executable),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-6000:]
