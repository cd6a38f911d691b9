"""The jobs' command line: exit codes, messages, steps, dry runs, and spark-submit on executors of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from blitz.cli.main import main
from blitz_sample.generate import write_sample
from job_runs import QUICK, as_options

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(2000, 3, str(folder))
    return folder


@pytest.fixture
def config(sample, tmp_path) -> dict:
    """conf/local.json on this test's data and outputs."""
    text = (CHECKOUT / "conf/local.json").read_text()
    return json.loads(text.replace("data/sample/", f"{sample}/").replace("data/out/", f"{tmp_path}/out/"))


def write(folder: Path, body: dict, name: str = "conf.json") -> str:
    path = folder / name
    path.write_text(json.dumps(body))
    return str(path)


def run_all(*arguments: str) -> int:
    return main("run_all", argv=[str(each) for each in arguments])


def outputs(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.par*") if path.is_dir()}


def test_steps_two_files_and_the_last_good_output(spark, config, tmp_path, capsys):
    features = write(tmp_path, config["feature_pipeline"], "feature_pipeline_config.json")
    segmentation = write(tmp_path, config["segmentation"], "segmentation_config.json")
    users_own = ("--feature_pipeline_config", features, "--segmentation_config", segmentation)

    assert run_all(*users_own, "--steps", "swiggy") == 1  # own app comes first
    assert "run the step ownapp first" in capsys.readouterr().err
    assert run_all(*users_own, "--steps", "segments,customers,ownapp,swiggy,instore") == 0
    printed = capsys.readouterr().out
    assert "Segments, band 15_plus" in printed and "Micro-segments" not in printed
    good = pd.read_parquet(config["segmentation"]["output_segments_path"]).sort_values("algonomy_id")
    assert len(good) > 100 and not good["algonomy_id"].duplicated().any()
    (manifest,) = (tmp_path / "out").rglob("manifest.ownapp_swiggy_instore_customers_segments.json")
    body = json.loads(manifest.read_text())
    assert set(body["steps"]) == {"ownapp", "swiggy", "instore", "customers", "segments"}
    for step in body["steps"].values():
        for account in step["accounts"]:
            assert account["read"] == account["kept"] + sum(account["dropped"].values()), account

    config["segmentation"]["cols_to_keep"].remove("channel_count")  # a rule needs it
    config["feature_pipeline"] = features
    assert run_all("--conf", write(tmp_path, config), "--steps", "segments") == 1
    error = capsys.readouterr().err
    assert "run_all: failed: segments: the rules need channel_count" in error and "Traceback" not in error
    again = pd.read_parquet(config["segmentation"]["output_segments_path"]).sort_values("algonomy_id")
    assert again.equals(good)


def bare_environment(**more: str) -> dict[str, str]:
    """An environment in which blitz is not importable and no Spark is set up."""
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "SPARK", "PYSPARK"))
    }
    folder = Path(sys.executable).parent
    return {**keep, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **more}


@pytest.mark.slow
def test_spark_submit_on_executors_of_their_own(config, tmp_path):
    """Raw spark-submit from a checkout ships the package to processes that have nothing of it."""
    command = ["spark-submit", "--master", "local-cluster[2,1,1024]", "--conf", "spark.ui.enabled=false",
               *as_options(QUICK), str(CHECKOUT / "jobs/run_all.py"),
               "--conf", write(tmp_path, config), "--no-report"]  # fmt: skip
    environment = bare_environment(PYSPARK_PYTHON=sys.executable)
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Micro-segments of" in done.stdout and "Manifest: " in done.stdout
    assert "INFO BlockManager" not in done.stderr and "Setting Spark log level" in done.stderr
    micro = pd.read_parquet(config["segmentation"]["output_microsegments_path"])
    assert len(micro) > 50 and set(micro["microcluster"]) >= {"0", "1"}


def test_spark_submit_sh_leaves_the_terminal_to_the_job(config, tmp_path):
    environment = bare_environment(BLITZ_VENV=str(Path(sys.executable).parents[1]))
    arguments = ["jobs/run_all.py", "--conf", write(tmp_path, config), "--dry-run"]
    done = subprocess.run(
        [CHECKOUT / "spark-submit.sh", *arguments], env=environment, cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("Run date 2025-07-01"), done.stderr
    java_says = "WARNING: Using incubator modules"
    assert [line for line in done.stderr.splitlines() if not line.startswith(java_says)] == []


HELP_OF_EACH_JOB = """
import contextlib, io, runpy, sys
from pathlib import Path

jobs, path = sys.argv[1:], list(sys.path)
for job in jobs:
    sys.path[:] = path
    for name in [name for name in sys.modules if name.partition(".")[0] == "blitz"]:
        del sys.modules[name]  # each job finds the package by itself
    sys.argv, said, code = [job, "--help"], io.StringIO(), None
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(job, run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    print(Path(job).name, code, said.getvalue().split(":")[0])
"""


def test_every_job_helps(tmp_path):
    """In one process, since the libraries take longer to import than the jobs."""
    jobs = sorted((CHECKOUT / "jobs").glob("*.py"))
    command = [sys.executable, "-c", HELP_OF_EACH_JOB, *map(str, jobs)]
    done = subprocess.run(command, env=bare_environment(), cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{job.name} 0 usage" for job in jobs], done.stderr
