"""Publishing with Delta Lake and s3a, in a process of its own, since their jars must be there when Spark starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_delta_and_s3a() -> None:
    """About two minutes on two cores, and the first time a download of 600 MB from Maven Central."""
    path = os.pathsep.join([str(HERE.parent / "lib"), str(HERE)])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    ran = subprocess.run(
        [*command, str(HERE / "publish_with_jars.py")],
        env=dict(os.environ, PYTHONPATH=path),
        cwd=HERE.parent,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-6000:]
