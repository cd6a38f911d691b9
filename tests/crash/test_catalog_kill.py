"""kill -9 at eight moments of publications to tables of catalogs: a reader finds the version before or the new one.

Each process publishes to an Iceberg and to a Delta table side by side, every other one with other columns. It first
says what its killed predecessor left, so that no further session is needed to look.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from job_runs import environment

pytestmark = pytest.mark.slow
MOMENTS = 8
PATHS = {"iceberg": "table:ice.db.t", "delta": "table:spark_catalog.db.t"}

PUBLISH = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pyspark.sql import functions as F
from blitz.publish.tables import output_exists, publishing, read_output
from catalogs import catalog_session
folder, tag, paths = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
spark = catalog_session(folder)

def seen(path):
    rows = read_output(spark, path).groupBy("which one").count().collect() if output_exists(spark, path) else []
    return {row[0]: row[1] for row in rows}

def put(fmt, path):
    rows = spark.range(0, 30, 1, 6).select("id", F.lit(tag).alias("which one"))
    rows = rows if tag % 2 else rows.withColumn("one more", F.lit(tag))
    with publishing(path, fmt=fmt, run_id=f"run-{tag}") as output:
        output.stage(rows)
        output.commit()

print(json.dumps({fmt: seen(path) for fmt, path in paths.items()}), flush=True)
with ThreadPoolExecutor(2) as pool:
    list(pool.map(put, paths, paths.values()))
print("done", flush=True)
"""


class Publication:
    """A process that says what is in the tables, then publishes."""

    def __init__(self, folder: Path, tag: int) -> None:
        env = environment(PYTHONPATH=os.pathsep.join(path for path in sys.path if path), PYSPARK_PYTHON=sys.executable)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PUBLISH, str(folder), str(tag), json.dumps(PATHS)],
            env=env,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.found: dict[str, dict[str, int]] = json.loads(self._line())
        self.started = time.monotonic()

    def finish(self) -> float:
        """Wait for the end; the seconds that publishing took."""
        assert self._line() == "done\n"
        took = time.monotonic() - self.started
        assert self.process.wait() == 0
        return took

    def kill(self, after: float) -> None:
        time.sleep(after)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _line(self) -> Any:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def test_kills_leave_the_version_before_or_the_new_one(tmp_path: Path) -> None:
    first = Publication(tmp_path, 0)
    assert first.found == {"iceberg": {}, "delta": {}}
    length = first.finish()
    possible = {fmt: {0} for fmt in PATHS}
    outcomes = []
    for tag in range(1, MOMENTS + 2):
        publication = Publication(tmp_path, tag)
        for fmt, rows in publication.found.items():
            assert list(rows.values()) == [30] and set(map(int, rows)) <= possible[fmt], (tag, fmt, rows, possible)
            possible[fmt] = {int(next(iter(rows)))}
            outcomes.append(tag - 1 in possible[fmt])
        if tag <= MOMENTS:
            publication.kill(length * (tag - 0.5) / MOMENTS)
            possible = {fmt: before | {tag} for fmt, before in possible.items()}
        else:
            publication.finish()  # what killed runs left is in nobody's way
    assert False in outcomes[2:]  # at least one kill came before the commit
    last = Publication(tmp_path, MOMENTS + 2)
    assert last.found == {fmt: {str(MOMENTS + 1): 30} for fmt in PATHS}
    last.kill(0)
