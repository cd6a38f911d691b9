"""Spark and Sail give the same tables, accounts, rejected rows and report from the same raw data: random worlds.

BLITZ_TEST_SEED sets the seed of the worlds (1). The same seed gives the same world.
"""

import json
import math
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare
from blitz.cli.main import main
from job_runs import command_of, environment
from places import CHECKOUT
from random_world import Kind, write_random_world

pytestmark = pytest.mark.spark
SEED = int(os.environ.get("BLITZ_TEST_SEED", "1"))
OF_THE_DATA = ("funnel", "customers", "bands", "channels", "hours", "prices", "stores", "plans")  # parts of the report


def both_runs(root: Path, seed: int, kind: Kind) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write a world and run it on both engines; the configs of the run on Spark, in this session, and of that on Sail."""
    body = write_random_world(root, seed, kind)
    other = json.loads(json.dumps(body).replace(f"{root}/out/", f"{root}/sail/"))
    (root / "sail.json").write_text(json.dumps(other))
    command = command_of("sail", "run_all", "--conf", f"{root}/sail.json")
    done = subprocess.run(command, env=environment(), cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert main("run_all", argv=["--conf", f"{root}/conf.json"]) == 0
    return body, other


def written(body: dict[str, Any], name: str) -> dict[str, Any]:
    """A JSON file that a run wrote next to its customers."""
    folder = Path(body["feature_pipeline"]["customer"]["output_path"]).parent
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found


def rejected(path: str | None) -> Counter[tuple[str, ...]]:
    """The rows of a quarantine, with their raw values by name."""
    rows = pd.read_parquet(path).itertuples(index=False) if path else ()
    return Counter(
        (row.table, Path(row.file).name, row.reason, json.dumps(json.loads(row.raw), sort_keys=True)) for row in rows
    )


def agree(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, fractions but for their last digits."""
    if isinstance(one, float) or isinstance(other, float):
        return isinstance(one, int | float) and isinstance(other, int | float) and math.isclose(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(agree(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(agree, one, other))
    return bool(one == other)


@pytest.mark.parametrize("kind", ["clean", "rough", "wide"])
@pytest.mark.usefixtures("spark")
def test_a_random_world_gives_the_same_on_both_engines(tmp_path: Path, kind: Kind) -> None:
    print(f"BLITZ_TEST_SEED={SEED}")
    body, other = both_runs(tmp_path, SEED, kind)
    on_spark, on_sail = written(body, "manifest.json")["steps"], written(other, "manifest.json")["steps"]
    found, others = {}, compare.output_paths(other)
    assert set(on_spark) == set(others)
    for step, path in compare.output_paths(body).items():
        rows = compare.read(path)
        assert len(rows) > 0
        found[step] = compare.differences(rows, compare.read(others[step]), compare.KEYS[step], True)
        assert on_spark[step]["accounts"] == on_sail[step]["accounts"], step
        assert rejected(on_spark[step]["quarantine"]) == rejected(on_sail[step]["quarantine"]), step
    assert not any(found.values()), found
    reports = written(body, "report.json"), written(other, "report.json")
    assert [part for part in OF_THE_DATA if not agree(reports[0][part], reports[1][part])] == []
    assert agree(*(sorted(each["items"]["rows"], key=str) for each in reports))
