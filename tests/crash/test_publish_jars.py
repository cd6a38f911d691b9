"""Publishing with Delta Lake and s3a, in a process of its own, since Spark must start with their jars."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_delta_and_s3a() -> None:
    """About two minutes on two cores, and the first time a download of 600 MB from Maven Central."""
    path = os.pathsep.join(str(CHECKOUT / folder) for folder in ("lib", "tests", "tests/support"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    ran = subprocess.run(
        [*command, str(CHECKOUT / "tests/crash/publish_with_jars.py")],
        env=dict(os.environ, PYTHONPATH=path),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-6000:]
