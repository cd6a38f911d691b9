"""Jobs on Sail as a user starts them: a process of its own, without Java."""

import json
import subprocess
from pathlib import Path
from typing import Any

import compare
import pandas_pipeline
from job_runs import command_of, environment
from places import CHECKOUT


def elsewhere(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The config with outputs of its own."""
    body: dict[str, Any] = json.loads(json.dumps(config).replace("/out/", f"/out-{folder.name}/"))
    del body["path"]
    return body


def run_all(config: dict[str, Any], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = folder / "conf.json"
    path.write_text(json.dumps(config))
    command = command_of("sail", "run_all", "--conf", str(path), "--no-report")
    places = environment("JAVA", **variables)
    return subprocess.run(command, cwd=CHECKOUT, env=places, capture_output=True, text=True, check=False)


def test_data_too_large_for_the_memory_ends_in_one_line(sample_config: dict[str, Any], tmp_path: Path) -> None:
    config = elsewhere(sample_config, tmp_path)
    config["run"] = config["run"] | {"memory": "2m"}
    ended = run_all(config, tmp_path)
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if line.startswith("run_all: ")]
    assert len(said) == 1
    assert "too large for run.memory on this machine; raise it, or use --engine spark" in said[0]
    assert not Path(config["segmentation"]["output_segments_path"]).exists()


def test_sails_cluster_mode_gives_the_same_tables(sample_config: dict[str, Any], tmp_path: Path) -> None:
    """With driver and workers that exchange partitions over the network, all on this machine."""
    config = elsewhere(sample_config, tmp_path)
    ended = run_all(config, tmp_path, SAIL_MODE="local-cluster")
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    assert compare.compare_outputs(pandas_pipeline.run(config), config) == []
