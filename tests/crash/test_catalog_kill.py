"""kill -9 of publications to tables of catalogs, at eight moments for each format.

A process with a JVM takes ten seconds to start, so that one kill hits all: it publishes to eight Iceberg and eight Delta
tables, each begun a little later than the one before. Every other publication has other columns than its table.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from job_runs import environment

pytestmark = pytest.mark.slow
MOMENTS = 8
TABLES = {
    f"table:{schema}.t{at}": fmt
    for at in range(MOMENTS)
    for fmt, schema in (("iceberg", "ice.db"), ("delta", "spark_catalog.db"))
}
OLD, NEW, NEXT = {"old": 30}, {"new": 30}, {"next": 30}

COMMON = """
import json, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pyspark.sql import functions as F
from blitz.publish.tables import publish, publishing, read_output
from catalogs import catalog_session
folder, tables = sys.argv[1], json.loads(sys.argv[2])
spark = catalog_session(folder)

def say(word):
    print(json.dumps(word), flush=True)

def rows(tag, path=""):
    made = spark.range(0, 30, 1, 3).select("id", F.lit(tag).alias("which one"))
    return made.withColumn("one more", F.lit(1)) if tag == "new" and path[-1] in "0246" else made

def put(tag, path):
    with publishing(path, fmt=tables[path], run_id=tag) as output:
        output.stage(rows(tag, path))
        output.commit()

def seen(path):
    return {row[0]: row[1] for row in read_output(spark, path).groupBy("which one").count().collect()}
"""
PUBLISH = """
for path, fmt in tables.items():
    publish(rows("old"), path, fmt=fmt, run_id="old")
started = time.monotonic()
put("new", list(tables)[-1])
pause = (time.monotonic() - started) / 4
say("ready")
def later(at, path):
    time.sleep(at * pause)
    put("new", path)
    say(path)
with ThreadPoolExecutor(len(tables)) as pool:
    list(pool.map(later, range(len(tables)), tables))
"""
LOOK = """
say({path: seen(path) for path in tables})
for path in list(tables)[-4:]:
    put("next", path)
say({path: seen(path) for path in tables})
"""


def process(folder: Path, script: str) -> subprocess.Popen[str]:
    env = environment(PYTHONPATH=os.pathsep.join(path for path in sys.path if path), PYSPARK_PYTHON=sys.executable)
    command = [sys.executable, "-c", COMMON + script, str(folder), json.dumps(TABLES)]
    out = subprocess.PIPE
    return subprocess.Popen(
        command, env=env, cwd=folder, stdout=out, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def heard(running: subprocess.Popen[str]) -> Any:
    assert running.stdout is not None
    return json.loads(running.stdout.readline())


def test_kills_leave_the_version_before_or_the_new_one(tmp_path: Path) -> None:
    publications = process(tmp_path, PUBLISH)
    assert heard(publications) == "ready"
    done = {list(TABLES)[-1]} | {heard(publications) for _ in range(MOMENTS // 2)}
    os.killpg(publications.pid, signal.SIGKILL)
    publications.wait()
    later = process(tmp_path, LOOK)
    found = heard(later)
    assert all(found[path] == NEW for path in done), (done, found)
    assert all(rows in (OLD, NEW) for rows in found.values()), found
    assert list(found.values()).count(OLD) >= MOMENTS // 2, found
    after = heard(later)
    assert [after[path] for path in list(TABLES)[-4:]] == [NEXT] * 4  # what was killed is in nobody's way
    assert later.wait() == 0
