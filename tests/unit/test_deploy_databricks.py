"""The Databricks jobs, offline: what databricks-bundles accepts and what the files refer to."""

import importlib
import json
import re
import sys
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from databricks.bundles.jobs import Job

from blitz.cli import entry_points as wheel_tasks
from blitz.cli.main import main
from bundle import BUNDLE, FILES, GRAPH, KINDS, entry_points, jobs, tasks
from places import CHECKOUT


@pytest.mark.parametrize("target", ["dev", "prod"])
def test_databricks_bundles_accepts_the_jobs(target):
    found = jobs(target)
    assert found.keys() == {f"blitz_{kind}" for kind in KINDS}
    for job in found.values():
        assert Job.from_dict(job).as_dict()["tasks"] == job["tasks"]  # nothing unknown was dropped
    with pytest.raises(ValueError, match="cron_expression"):
        Job.from_dict({**found["blitz_classic"], "schedule": {"cron_expression": "x", "timezone_id": "UTC"}})


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph(kind):
    job = jobs("prod")[f"blitz_{kind}"]
    keys = [task["task_key"] for task in job["tasks"]]
    assert len(keys) == len(set(keys))
    found = {task["task_key"]: {each["task_key"] for each in task.get("depends_on", [])} for task in job["tasks"]}
    assert found == GRAPH
    list(TopologicalSorter(found).static_order())  # raises CycleError


def test_what_a_task_refers_to_exists():
    known = entry_points()
    wheel_folder = re.search(r"--wheel-dir (\S+)", BUNDLE["artifacts"]["blitz"]["build"])
    assert wheel_folder is not None
    for job, task in tasks():
        wheel = task["python_wheel_task"]
        assert wheel["package_name"] == "blitz"
        module, function = known[wheel["entry_point"]].split(":")
        assert callable(getattr(importlib.import_module(module), function))
        if "environment_key" in task:
            (environment,) = job["environments"]
            assert task["environment_key"] == environment["environment_key"] and "job_cluster_key" not in task
            wheels = environment["spec"]["dependencies"]
        else:
            (cluster,) = job["job_clusters"]
            assert task["job_cluster_key"] == cluster["job_cluster_key"] and "environments" not in job
            wheels = [each["whl"] for each in task["libraries"]]
        (path,) = wheels
        built = (CHECKOUT / wheel_folder[1] / "blitz-0.1.0-py3-none-any.whl").resolve()
        assert fnmatch(str(built), str((CHECKOUT / "resources" / Path(path).parent).resolve() / Path(path).name))
        parameters = {each["name"] for each in job["parameters"]}
        used = re.findall(r"\{\{job\.parameters\.(\w+)\}\}", json.dumps(wheel["parameters"]))
        assert sorted(used) == ["as_of", "conf"] == sorted(parameters)


def test_every_reference_and_variable_is_used():
    text = "".join(path.read_text() for path in [*FILES, CHECKOUT / "databricks.yml"])
    used = set(re.findall(r"\$\{var\.(\w+)\}", text))
    assert used == BUNDLE["variables"].keys()
    assert (CHECKOUT / BUNDLE["variables"]["conf"]["default"].removeprefix("${workspace.file_path}/")).is_file()
    assert all((CHECKOUT / folder).is_dir() for folder in BUNDLE["sync"]["exclude"] if folder != "data")


def test_schedules_retries_timeouts_and_notices():
    prod = jobs("prod")
    assert [prod[f"blitz_{kind}"]["schedule"]["pause_status"] for kind in KINDS] == ["UNPAUSED", "PAUSED"]
    for job in prod.values():
        schedule = job["schedule"]
        assert (schedule["timezone_id"], schedule["quartz_cron_expression"]) == ("Asia/Kolkata", "0 0 7 1 * ?")
        assert job["queue"] == {"enabled": True} and job["max_concurrent_runs"] == 1
        assert job["email_notifications"]["on_failure"] == ["team@example.com"]
        assert {each["name"]: each["default"] for each in job["parameters"]} == {
            "conf": "/Workspace/x/files/conf/prod.json",
            "as_of": "{{job.trigger.time.iso_date}}",
        }
        for task in job["tasks"]:
            assert task["max_retries"] == 1 and not task["retry_on_timeout"]
            assert 0 < task["timeout_seconds"] <= job["timeout_seconds"]
    (dev,) = {each["default"] for job in jobs("dev").values() for each in job["parameters"] if each["name"] == "as_of"}
    assert dev == "" and BUNDLE["targets"]["dev"]["mode"] == "development"


def test_elsewhere_a_failure_is_an_exit_code(monkeypatch, capsys):
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    monkeypatch.setattr(sys, "argv", ["blitz-run-all", "--conf", "no/such.json"])
    with pytest.raises(SystemExit) as ended:
        wheel_tasks.run_all()
    assert ended.value.code == 2 and "no/such.json" in capsys.readouterr().err
    assert main("run_all", argv=["--conf", "no/such.json", "--as-of", ""]) == 2
