"""kill -9 at moments spread over a publication: a reader finds the old table or the new, and the next run succeeds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blitz import storage
from blitz.publish.files import recover
from publish_helpers import NEW, OLD, seen
from publish_helpers import put as put_rows

pytestmark = pytest.mark.slow
MOMENTS = {"python": 10, "sail": 8, "spark": 2}  # a process with a JVM takes five seconds to start

PYTHON = """
import sys, time
from publish_helpers import put
print("ready", flush=True)
put("new", sys.argv[1], "killed", job=str(time.time_ns()))
print("done", flush=True)
"""
ENGINE = """
import sys
from pyspark.sql import functions as F
from blitz.publish.tables import publish
from blitz.spark.engine import Engine
from blitz.spark.session import open_session
from job_runs import QUICK
conf = QUICK | {"spark.ui.enabled": "false", "spark.master": "local[2]"}
spark = open_session("killed", conf, engine=Engine("NAME")).spark
rows = spark.range(0, 30, 1, 6).select("id", F.lit("new").alias("which one"))
rows.where("id < 0").collect()
print("ready", flush=True)
publish(rows, sys.argv[1], run_id="killed")
print("done", flush=True)
"""
SCRIPTS = {"python": PYTHON, "sail": ENGINE.replace("NAME", "sail"), "spark": ENGINE.replace("NAME", "spark")}


def put(tag: str, path: str) -> None:
    put_rows(tag, path, tag, job=str(time.time_ns()))


def started(script: str, path: str) -> subprocess.Popen[str]:
    """A process that is about to call ``publish``."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p), PYSPARK_PYTHON=sys.executable)
    command = [sys.executable, "-c", script, path]
    out = subprocess.PIPE
    process = subprocess.Popen(
        command, env=env, stdout=out, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def killed(script: str, path: str, share: float, length: float, *, with_children: bool) -> None:
    process = started(script, path)
    time.sleep(length * share)
    if with_children:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()  # the JVM lives on for a moment and may still write
    process.wait()


def length_of(script: str, path: str) -> float:
    """Seconds of a publication that is not killed."""
    process = started(script, path)
    start = time.monotonic()
    assert process.stdout is not None and process.stdout.readline() == "done\n"
    took = time.monotonic() - start
    assert process.wait() == 0 and seen(path) == NEW
    return took


def moments(writer: str) -> list[float]:
    """Shares of a publication's length, from its start on."""
    return [number / MOMENTS[writer] for number in range(MOMENTS[writer])]


@pytest.mark.parametrize("writer", list(SCRIPTS))
def test_killed_on_a_local_disk(writer: str, tmp_path: Path) -> None:
    path, script = str(tmp_path / "t"), SCRIPTS[writer]
    length = length_of(script, path)
    outcomes = []
    for number, share in enumerate(moments(writer)):
        put("old", path)
        killed(script, path, share, length, with_children=number % 2 == 0)
        outcomes.append(seen(path))
        assert outcomes[-1] in (OLD, NEW)
        put("new", path)
        assert seen(path) == NEW
    assert OLD in outcomes
    put("old", path)
    assert [name for name in os.listdir(tmp_path) if name != "t"] == []


def test_killed_on_s3(bucket: str) -> None:
    """A reader sees the old table or the new, or the journal records a swap that is not complete."""
    path = f"s3://{bucket}/t"
    length = length_of(PYTHON, path)
    for number, share in enumerate(moments("python")):
        put("old", path)
        killed(PYTHON, path, share, length, with_children=True)
        assert seen(path) in (OLD, NEW) or storage.exists(f"s3://{bucket}/.t.blitz.journal")
        if number % 2:
            put("new", path)
            assert seen(path) == NEW
        else:
            recover(path)
            assert seen(path) in (OLD, NEW)
        left = [item.key for item in storage.s3_files().objects(bucket, ".t", path)]
        assert left == []
