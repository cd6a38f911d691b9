"""A job that starts its own JVM prints its own lines alone, and the errors of a JVM that does not start."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def conf(tmp_path) -> Path:
    """A config whose segments and micro-segments are published: one customer."""
    text = (CHECKOUT / "conf/local.json").read_text()
    path = tmp_path / "conf.json"
    path.write_text(text.replace("data/sample/", f"{tmp_path}/sample/").replace("data/out/", f"{tmp_path}/out/"))
    for name, more in (("segments", {}), ("microsegments", {"microcluster": ["1"]})):
        folder = tmp_path / "out" / f"{name}.par"
        folder.mkdir(parents=True)
        pd.DataFrame({"algonomy_id": ["007"], "Segment": ["Seg1_5_1"], **more}).to_parquet(folder / "part-0.parquet")
    return path


def export(conf: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The export job, as a person starts it; nothing of Spark is set up."""
    bare = {name: text for name, text in os.environ.items() if not name.startswith(("SPARK", "PYSPARK", "BLITZ"))}
    command = [sys.executable, str(CHECKOUT / "jobs/export.py"), "--engine", "spark", "--conf", str(conf)]
    command += ["--out", f"{conf.parent}/lists"]
    return subprocess.run(command, env=bare | environment, capture_output=True, text=True, timeout=300)


def test_a_job_prints_its_own_lines_alone(conf):
    done = export(conf)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "  Lists by segment  Customers  Folder               Name",
        "  Seg1_5_1                  1  by_segment=Seg1_5_1  1–5 orders, up to 2 products, no weekends",
        "",
        "Cells escaped for spreadsheets: 0",
        f"Written: {conf.parent}/lists, 1 rows in 1 files",
    ]


def test_errors_of_a_java_that_does_not_start_are_shown(conf):
    done = export(conf, SPARK_SUBMIT_OPTS="-XX:+UseSerialGC -XX:+UseParallelGC")
    assert done.returncode == 1
    assert "Multiple garbage collectors selected" in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("export: failed: Spark could not start; check the config's spark")
