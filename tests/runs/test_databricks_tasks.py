"""The tasks of the Databricks job run in order in a session that the platform started."""

import importlib
import json
import re
import sys
from graphlib import TopologicalSorter
from typing import Any

import pandas as pd
import pytest

from blitz.errors import ConfigError, InputError
from blitz_sample.generate import write_sample
from bundle import GRAPH, entry_points, jobs
from places import CHECKOUT

pytestmark = pytest.mark.usefixtures("interpreted")
PLACES = {"catalog": "main", "schema": "blitz"}  # parameters of the job that a config of paths does not use


def start(monkeypatch: pytest.MonkeyPatch, task: dict[str, Any], **parameters: str) -> object:
    """The task as Databricks starts it: its entry point, its parameters in ``sys.argv``."""
    wheel = task["python_wheel_task"]
    words = [
        re.sub(r"\{\{job\.parameters\.(\w+)\}\}", lambda match: (PLACES | parameters)[match[1]], word)
        for word in wheel["parameters"]
    ]
    monkeypatch.setattr(sys, "argv", ["python", *words])
    module, function = entry_points()[wheel["entry_point"]].split(":")
    return getattr(importlib.import_module(module), function)()


@pytest.mark.spark
def test_the_tasks_run_in_order_in_a_session_that_stays(spark, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    write_sample(2000, 5, f"{tmp_path}/sample")
    text = (CHECKOUT / "conf/local.json").read_text()
    text = text.replace("data/sample/", f"{tmp_path}/sample/").replace("data/out/", f"{tmp_path}/out/")
    conf = tmp_path / "conf.json"
    conf.write_text(text)
    by_key = {task["task_key"]: task for task in jobs("prod")["blitz_serverless"]["tasks"]}

    with pytest.raises(InputError, match="run the step ownapp first"):
        start(monkeypatch, by_key["swiggy"], conf=str(conf), as_of="")
    for key in TopologicalSorter(GRAPH).static_order():
        assert start(monkeypatch, by_key[key], conf=str(conf), as_of="") is None
    body = json.loads(text)["segmentation"]
    assert len(pd.read_parquet(body["output_microsegments_path"])) > 50
    (page,) = (tmp_path / "out").rglob("report.html")
    assert "Seg15_plus_9" in page.read_text() and "There is no manifest of" not in page.read_text()
    (manifest,) = (tmp_path / "out").rglob("manifest.customers.json")
    assert json.loads(manifest.read_text())["run_date"] == "2025-07-01"  # empty as_of: as in the config
    assert spark.range(3).count() == 3  # a session that the platform started stays

    with pytest.raises(ConfigError, match="01/07/2025"):
        start(monkeypatch, by_key["customers"], conf=str(conf), as_of="01/07/2025")
    assert start(monkeypatch, by_key["customers"], conf=str(conf), as_of="2025-06-01") is None
    assert json.loads(manifest.read_text())["run_date"] == "2025-06-01"
