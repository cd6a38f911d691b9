"""Jobs on Sail as a user starts them: a process of its own, without Java."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from places import CHECKOUT


def run_all(config: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "conf.json"
    path.write_text(json.dumps(config))
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK", "PYSPARK", "SAIL", "JAVA"))}
    command = [sys.executable, "jobs/run_all.py", "--conf", str(path), "--no-report", "--engine", "sail"]
    return subprocess.run(command, cwd=CHECKOUT, env=bare, capture_output=True, text=True, check=False)


def test_data_too_large_for_the_memory_ends_in_one_line(sample_config: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps(sample_config).replace("/out/", f"/out-{tmp_path.name}/")
    config = json.loads(text)
    del config["path"]
    config["run"] = config["run"] | {"memory": "2m"}
    ended = run_all(config, tmp_path)
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if line.startswith("run_all: ")]
    assert len(said) == 1
    assert "too large for run.memory on this machine; raise it, or use --engine spark" in said[0]
    assert not Path(config["segmentation"]["output_segments_path"]).exists()
