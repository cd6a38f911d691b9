"""A run with Delta tables, in a process of its own, since Spark must start with the jars of Delta."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare
import pandas_pipeline
from blitz_sample.generate import write_sample

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]
ORDERS = 3000
DELTA = {
    "spark.jars.packages": "io.delta:delta-spark_2.13:4.0.1",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": 2,
}
QUICK = {
    "spark.sql.codegen.wholeStage": False,
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": 2,
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
}


def config(folder: Path) -> dict[str, Any]:
    """conf/local.json with Delta tables, on the sample and the outputs of a folder."""
    text = (CHECKOUT / "conf/local.json").read_text()
    body = json.loads(text.replace("data/sample/", f"{folder}/sample/").replace("data/out/", f"{folder}/out/"))
    body["run"]["format"] = "delta"
    body["spark"] |= {**QUICK, **DELTA, "spark.sql.warehouse.dir": f"{folder}/warehouse"}
    return body


def run(folder: Path, body: dict[str, Any]) -> dict[str, Any]:
    """Run a config and return the manifest."""
    conf = folder / "conf.json"
    conf.write_text(json.dumps(body))
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK", "PYSPARK"))}
    done = subprocess.run(
        ["./spark-submit.sh", "--master", "local[2]", "jobs/run_all.py", "--conf", str(conf)],
        env={**bare, "BLITZ_VENV": str(Path(sys.executable).parents[1])},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stdout and "do not add up" not in done.stdout
    customers = Path(body["feature_pipeline"]["customer"]["output_path"])
    manifest: dict[str, Any] = json.loads((customers.parent / "manifest.json").read_text())
    return manifest


def log_of(table: str) -> list[list[dict[str, Any]]]:
    """The actions of every transaction of a Delta table, in order."""
    entries = sorted(Path(table, "_delta_log").glob("*.json"))
    return [[json.loads(line) for line in entry.read_text().splitlines()] for entry in entries]


def rows_of(table: str) -> pd.DataFrame:
    """The rows of a Delta table by its log, under the names of its column mapping."""
    alive: set[str] = set()
    names: dict[str, str] = {}
    for action in (action for entry in log_of(table) for action in entry):
        if "add" in action:
            alive.add(action["add"]["path"])
        if "remove" in action:
            alive.discard(action["remove"]["path"])
        if "metaData" in action:
            fields = json.loads(action["metaData"]["schemaString"])["fields"]
            names = {field["metadata"]["delta.columnMapping.physicalName"]: field["name"] for field in fields}
    rows = pd.concat([pd.read_parquet(f"{table}/{path}") for path in alive], ignore_index=True)
    return rows.rename(columns=names)[list(names.values())]


def test_a_run_and_its_rerun_with_delta(tmp_path: Path) -> None:
    """One to two minutes. The rows are those that pandas computes; a rerun is one more transaction with the same rows."""
    write_sample(ORDERS, 5, f"{tmp_path}/sample")
    body = config(tmp_path)
    first = run(tmp_path, body)
    expected = pandas_pipeline.run(body)
    tables = {step: body["output"] for step, body in first["steps"].items()}
    before = {step: len(log_of(path)) for step, path in tables.items()}
    again = run(tmp_path, body)
    assert again["run_id"] != first["run_id"]
    for step, path in tables.items():
        found = rows_of(path)
        assert compare.differences(expected[step], found, compare.KEYS[step]) == [], step
        assert len(log_of(path)) == before[step] + 1, step
        for manifest in (first, again):
            assert manifest["steps"][step]["rows"] == len(found) > 50, step
        assert first["steps"][step]["accounts"] == again["steps"][step]["accounts"], step
    assert any(" " in name for name in expected["customers"])
