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
from databricks.bundles.schemas import Schema
from databricks.bundles.volumes import Volume

from blitz.cli import entry_points as wheel_tasks
from blitz.cli.main import main
from blitz.config import load_config
from blitz.config.paths import tables_of
from bundle import BUNDLE, FILES, GRAPH, KINDS, entry_points, jobs, resolved, resources, tasks, values
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
        assert sorted(used) == ["as_of", "catalog", "conf", "schema"] == sorted(parameters)


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
            "conf": "/Workspace/x/files/conf/unity.json",
            "catalog": "main",
            "schema": "blitz",
            "as_of": "{{job.trigger.time.iso_date}}",
        }
        for task in job["tasks"]:
            assert task["max_retries"] == 1 and not task["retry_on_timeout"]
            assert 0 < task["timeout_seconds"] <= job["timeout_seconds"]
    (dev,) = {each["default"] for job in jobs("dev").values() for each in job["parameters"] if each["name"] == "as_of"}
    assert dev == "" and BUNDLE["targets"]["dev"]["mode"] == "development"


def test_each_developer_has_a_schema_and_the_outputs_are_tables_in_it():
    """The parameters of a development target, given to the command that a task runs: names of tables, and a volume."""
    known = values("dev")
    schema = resolved(resources("schemas")["blitz"], known)
    volume = resolved(resources("volumes")["files"], known)
    assert (schema["catalog_name"], schema["name"]) == ("main", "blitz_a") == tuple(volume.values())[:2]
    assert Schema.from_dict(schema) and Volume.from_dict(volume)
    job = jobs("dev")["blitz_serverless"]
    given = {each["name"]: each["default"] for each in job["parameters"]}
    config = load_config(f"{CHECKOUT}/conf/unity.json", catalog=given["catalog"], schema=given["schema"])
    outputs = {config.feature_pipeline.channel(name).output_path for name in ("ownapp", "swiggy", "instore")}
    assert outputs == {f"table:main.blitz_a.orders_{name}" for name in ("ownapp", "swiggy", "instore")}
    assert config.feature_pipeline.scores_path == "table:main.blitz_a.users_scores"
    assert config.segmentation.input_path == config.feature_pipeline.customer.output_path
    assert config.run.manifest_path == f"/Volumes/main/blitz_a/{volume['name']}/manifest.json"
    assert config.run.format == "delta" and tables_of(config)


def test_configs_with_tables_are_the_production_config_with_other_outputs():
    prod = json.loads((CHECKOUT / "conf/prod.json").read_text())
    for name in ("unity", "glue"):
        other = json.loads((CHECKOUT / f"conf/{name}.json").read_text())
        for body in ("feature_pipeline", "segmentation"):
            assert without_outputs(other[body]) == without_outputs(prod[body])


def without_outputs(node):
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if not key.startswith("output_") and key != "input_path"}
        return {key: without_outputs(value) for key, value in kept.items()}
    return node


def test_elsewhere_a_failure_is_an_exit_code(monkeypatch, capsys):
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    monkeypatch.setattr(sys, "argv", ["blitz-run-all", "--conf", "no/such.json"])
    with pytest.raises(SystemExit) as ended:
        wheel_tasks.run_all()
    assert ended.value.code == 2 and "no/such.json" in capsys.readouterr().err
    assert main("run_all", argv=["--conf", "no/such.json", "--as-of", ""]) == 2
