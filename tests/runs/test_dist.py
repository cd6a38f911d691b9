"""``make dist``: the wheel and the packed environment, unpacked elsewhere and run as a cluster would."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from blitz_sample.generate import write_sample
from job_runs import QUICK, as_options

CHECKOUT = Path(__file__).resolve().parents[2]
LOCK = CHECKOUT / "requirements/spark40.txt"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("spark35" in sys.prefix, reason="packs the lock of the default environment"),
]


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Iterator[Path]:
    """What ``make dist`` makes, in a folder of its own."""
    folder = tmp_path_factory.mktemp("dist")
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT)]
    subprocess.run(wheel, check=True, timeout=120)
    # The cluster's Python where this machine has one there, else the one that runs this.
    prefix = "/usr" if Path(f"/usr/bin/python{VERSION}").exists() else sys.base_prefix
    # Bytecode of all libraries takes as long as the rest; the run makes that of the few modules that it imports.
    environment = {**os.environ, "BLITZ_VENV": sys.prefix, "BLITZ_PYTHON_PREFIX": prefix, "PIP_COMPILE": "0"}
    command = [str(CHECKOUT / "scripts/pack.sh"), str(LOCK), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "environment.tar.gz: blitz and" in done.stdout
    yield folder
    shutil.rmtree(folder)  # 200 MB


@pytest.fixture(scope="module")
def elsewhere(dist, tmp_path_factory) -> Iterator[Path]:
    """A working directory as on a cluster: the archive unpacked in ``environment``, nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with tarfile.open(dist / "environment.tar.gz") as archive:
        archive.extractall(folder / "environment", filter="tar")
    yield folder
    shutil.rmtree(folder)


def test_it_holds_the_locked_libraries_and_no_spark(dist, elsewhere):
    site = elsewhere / f"environment/lib/python{VERSION}/site-packages"
    found = {}
    for path in site.glob("*.dist-info"):
        name, version = path.name.removesuffix(".dist-info").split("-")
        found[re.sub(r"[-_.]+", "-", name).lower()] = version
    assert found.pop("blitz") == "0.1.0"
    locked = {}
    for line in LOCK.read_text().split():
        name, _, version = line.partition("==")
        locked[re.sub(r"[-_.]+", "-", name).lower()] = version
    assert {name: locked.get(name) for name in found} == found
    needed = {"pyarrow", "pandas", "numpy", "scikit-learn", "scipy", "pydantic", "boto3", "jinja2", "matplotlib"}
    assert needed <= found.keys()
    assert not {"pyspark", "py4j", "pytest", "moto", "pip", "duckdb", "ruff"} & found.keys()
    assert set((dist / "environment.txt").read_text().split()) <= set(LOCK.read_text().split())


def test_the_sample_runs_with_its_python_on_driver_and_executors(dist, elsewhere):
    write_sample(2000, 3, f"{elsewhere}/data/sample")
    (elsewhere / "conf.json").write_text((CHECKOUT / "conf/local.json").read_text())
    (elsewhere / "run_all.py").write_text((CHECKOUT / "jobs/run_all.py").read_text())  # the script alone, as on S3
    pyspark = find_spec("pyspark")
    assert pyspark is not None and pyspark.origin is not None
    home = elsewhere / "spark"  # by links: executors work below it
    home.mkdir()
    for each in Path(pyspark.origin).parent.iterdir():
        if each.name in ("bin", "jars", "python"):
            (home / each.name).symlink_to(each)
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPARK", "PYSPARK"))}
    python = "./environment/bin/python"
    environment = {**keep, "SPARK_HOME": str(home), "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    command = [str(home / "bin/spark-submit"), "--master", "local-cluster[1,2,1024]", "--conf", "spark.ui.enabled=false",
               *as_options(QUICK), "--archives", f"{dist}/environment.tar.gz#environment", "run_all.py", "--conf", "conf.json"]  # fmt: skip
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Micro-segments of" in done.stdout
    micro = pd.read_parquet(elsewhere / "data/out/microsegments.par")
    assert len(micro) > 50 and set(micro["microcluster"]) >= {"0", "1"}
