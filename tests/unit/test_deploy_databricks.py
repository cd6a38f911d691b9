"""The Databricks jobs, offline: what databricks-bundles accepts, what the files refer to, and the tasks run in order."""

import ast
import importlib
import json
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from databricks.bundles.jobs import Job

from blitz.cli.main import main
from blitz.errors import ConfigError, InputError
from blitz_sample.generate import write_sample

CHECKOUT = Path(__file__).resolve().parents[2]
BUNDLE = yaml.safe_load((CHECKOUT / "databricks.yml").read_text())
FILES = sorted(path for pattern in BUNDLE["include"] for path in CHECKOUT.glob(pattern))
GIVEN = {"notify": "team@example.com", "instance_profile": "arn:aws:iam::1:instance-profile/x"}
WORKSPACE = {"workspace.file_path": "/Workspace/x/files", "workspace.current_user.userName": "a@example.com"}
KINDS = ("serverless", "classic")
GRAPH = {
    "ownapp": set(),
    "swiggy": {"ownapp"},
    "instore": {"ownapp"},
    "customers": {"swiggy", "instore"},
    "segments": {"customers"},
    "microsegments": {"segments"},
    "report": {"microsegments"},
}


def values(target: str) -> dict[str, str]:
    """Every variable of a target; those without a default must be given."""
    body = BUNDLE["targets"][target]
    found = {name: each["default"] for name, each in BUNDLE["variables"].items() if "default" in each}
    found |= GIVEN | body.get("variables", {})
    assert found.keys() == BUNDLE["variables"].keys()
    return {f"var.{name}": value for name, value in found.items()} | WORKSPACE


def resolved(node: Any, known: dict[str, str]) -> Any:
    """The node with every ``${…}`` replaced; an unknown one is a KeyError."""
    if isinstance(node, dict):
        return {key: resolved(value, known) for key, value in node.items()}
    if isinstance(node, list):
        return [resolved(value, known) for value in node]
    if not isinstance(node, str):
        return node
    once = re.sub(r"\$\{([^}]+)\}", lambda match: known[match[1]], node)
    return once if once == node else resolved(once, known)


def jobs(target: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in FILES:
        for name, job in yaml.safe_load(path.read_text())["resources"]["jobs"].items():
            assert name not in found
            found[name] = resolved(job, values(target))
    return found


def entry_points() -> dict[str, str]:
    """The console scripts of setup.py, by name."""
    tree = ast.parse((CHECKOUT / "setup.py").read_text())
    (given,) = (node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "entry_points")
    lines = ast.literal_eval(given)["console_scripts"]
    return {name.strip(): place.strip() for name, place in (line.split("=") for line in lines)}


def tasks(target: str = "prod") -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for job in jobs(target).values():
        for task in job["tasks"]:
            yield job, task


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


def start(monkeypatch: pytest.MonkeyPatch, task: dict[str, Any], **parameters: str) -> object:
    """The task as Databricks starts it: its entry point, its parameters in ``sys.argv``."""
    wheel = task["python_wheel_task"]
    words = [
        re.sub(r"\{\{job\.parameters\.(\w+)\}\}", lambda match: parameters[match[1]], word)
        for word in wheel["parameters"]
    ]
    monkeypatch.setattr(sys, "argv", ["python", *words])
    module, function = entry_points()[wheel["entry_point"]].split(":")
    return getattr(importlib.import_module(module), function)()


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
    assert "Seg15_plus_9" in page.read_text() and "No manifest tells of" not in page.read_text()
    (manifest,) = (tmp_path / "out").rglob("manifest.customers.json")
    assert json.loads(manifest.read_text())["run_date"] == "2025-07-01"  # empty as_of: as in the config
    assert spark.range(3).count() == 3  # a session that the platform started stays

    with pytest.raises(ConfigError, match="01/07/2025"):
        start(monkeypatch, by_key["customers"], conf=str(conf), as_of="01/07/2025")
    assert start(monkeypatch, by_key["customers"], conf=str(conf), as_of="2025-06-01") is None
    assert json.loads(manifest.read_text())["run_date"] == "2025-06-01"


def test_elsewhere_a_failure_is_an_exit_code(monkeypatch, capsys):
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    monkeypatch.setattr(sys, "argv", ["blitz-run-all", "--conf", "no/such.json"])
    from blitz.cli import entry_points as wheel_tasks

    with pytest.raises(SystemExit) as ended:
        wheel_tasks.run_all()
    assert ended.value.code == 2 and "no/such.json" in capsys.readouterr().err
    assert main("run_all", "test", argv=["--conf", "no/such.json", "--as-of", ""]) == 2
