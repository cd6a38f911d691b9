"""Runs with Delta tables in processes of their own, since Spark must start with the jars of Delta."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import compare
import pandas_pipeline
from blitz_sample.generate import write_sample
from delta_log import log_of, rows_of
from job_runs import QUICK, command_of, environment
from places import CHECKOUT

pytestmark = pytest.mark.slow

ORDERS = 3000
DELTA = {
    "spark.jars.packages": "io.delta:delta-spark_2.13:4.0.1",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": 2,
}


def config(folder: Path) -> dict[str, Any]:
    """conf/local.json with Delta tables, on the sample and the outputs of a folder."""
    text = (CHECKOUT / "conf/local.json").read_text()
    body = json.loads(text.replace("data/sample/", f"{folder}/sample/").replace("data/out/", f"{folder}/out/"))
    body["run"]["format"] = "delta"
    body["spark"] |= {**QUICK, **DELTA, "spark.sql.warehouse.dir": f"{folder}/warehouse"}
    return body


def run(folder: Path, body: dict[str, Any], engine: str) -> dict[str, Any]:
    """Run a config and return the manifest."""
    conf = folder / "conf.json"
    conf.write_text(json.dumps(body))
    command = command_of(engine, "run_all", "--conf", str(conf), "--no-report")
    done = subprocess.run(command, env=environment(), cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stdout and "do not add up" not in done.stdout
    customers = Path(body["feature_pipeline"]["customer"]["output_path"])
    manifest: dict[str, Any] = json.loads((customers.parent / "manifest.json").read_text())
    return manifest


def test_runs_and_reruns_with_delta(tmp_path: Path) -> None:
    """The rows are those that pandas computes; a rerun, on either engine over the tables of either, is one more
    transaction with the same rows."""
    write_sample(ORDERS, 5, f"{tmp_path}/sample")
    body = config(tmp_path)
    expected = pandas_pipeline.run(body)
    manifests = []
    for number, engine in enumerate(("sail", "sail", "spark", "sail"), start=1):
        manifest = run(tmp_path, body, engine)
        for step, made in manifest["steps"].items():
            found = rows_of(made["output"])
            assert compare.differences(expected[step], found, compare.KEYS[step]) == [], (engine, step)
            assert made["rows"] == len(found) > 50, (engine, step)
            assert len(log_of(made["output"])) == number, (engine, step)
            assert not manifests or made["accounts"] == manifests[0]["steps"][step]["accounts"], (engine, step)
        manifests.append(manifest)
    assert len({manifest["run_id"] for manifest in manifests}) == len(manifests)
    assert any(" " in name for name in expected["customers"])
