"""The whole run on sample data against an independent pandas computation: every column of every output equal.

BLITZ_TEST_ORDERS sets the size (10,000). With SPARK_REMOTE set the same test runs on Spark Connect.
"""

import os
import shutil
import subprocess
import sys
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import compare
import pandas_pipeline
from places import CHECKOUT, ORDERS

pytestmark = pytest.mark.engines
SEGMENTS = {
    *(f"Seg1_5_{place}" for place in range(1, 9)),
    *(f"Seg_6_15_{place:02}" for place in range(1, 11)),
    *(f"Seg15_plus_{place}" for place in range(1, 10)),
}


@pytest.fixture(scope="module")
def expected(sample_config: dict[str, Any]) -> dict[str, pd.DataFrame]:
    return pandas_pipeline.run(sample_config)


@pytest.mark.parametrize("step", list(compare.KEYS))
@pytest.mark.usefixtures("sample_run")
def test_every_column_is_equal(sample_config, expected, step):
    assert len(expected[step]) > ORDERS / 100
    assert compare.compare_outputs({step: expected[step]}, sample_config) == []


@pytest.mark.usefixtures("sample_run")
def test_customers_have_the_standard_menus_columns(sample_config):
    columns = list(compare.read(compare.output_paths(sample_config)["customers"]))
    assert columns[0] == "algonomy_id" and columns[-1] == "channel_count"
    assert len(columns) == len(set(columns)) == 181


@pytest.mark.usefixtures("sample_run")
def test_instants_are_stored_in_utc_and_local_times_without_a_zone(sample_config):
    zones = {
        (step, field.name): field.type.tz
        for step, path in compare.output_paths(sample_config).items()
        for field in pq.read_table(path).schema
        if str(field.type).startswith("timestamp")
    }
    app = ["order_placed_datetime", "actual_delivery_time", "schedule_datetime", "order_delivery_datetime"]
    ends = [f"{scope}_{end}_order_at" for scope in ("omnichannel", "ownapp") for end in ("first", "last")]
    assert zones == {
        **{(channel, name): "UTC" for channel in ("ownapp", "swiggy") for name in app},
        ("instore", "order_placed_datetime"): "UTC",
        ("instore", "BussTime"): None,
        **{("customers", name): None for name in ends},
    }


@pytest.mark.usefixtures("sample_run")
def test_all_segments_and_plans_have_members(sample_config):
    paths = compare.output_paths(sample_config)
    plans = {item["name"] for item in sample_config["segmentation"]["micro_plan"]}
    assert len(SEGMENTS) == 27 and len(plans) == 11
    assert set(compare.read(paths["segments"])["Segment"]) == SEGMENTS
    assert set(compare.read(paths["microsegments"])["Segment"]) == plans


@pytest.mark.usefixtures("sample_run")
def test_the_comparison_notices_what_is_wrong_in_an_output(sample_config, expected):
    good = expected["segments"]
    wrong = good.assign(Segment=good["Segment"].where(good.index != 3, "Seg1_5_9"))
    assert compare.compare_outputs({"segments": wrong}, sample_config) == [
        f"segments: Segment: 1 of {len(good):,} rows differ"
    ]
    turned = good[["Segment", "algonomy_id"]]
    assert compare.compare_outputs({"segments": turned}, sample_config) == ["segments: columns in another order"]


HASH_BEFORE_AND_AFTER_AN_EDIT = """
import sys
from pathlib import Path
import blitz
from blitz.run.manifest import code_hash

print(code_hash())
with open(Path(blitz.__file__).parent / sys.argv[1], "a") as file:
    file.write(" ")
print(code_hash())
"""


@pytest.mark.parametrize("edited", ["features/orders.py", "segmentation/default_rules.json"])
def test_the_manifest_names_the_code_that_ran(sample_run, tmp_path, edited):
    """A copy of the package has the same hash anywhere, until any of its files changes."""
    shutil.copytree(CHECKOUT / "lib/blitz", tmp_path / "blitz", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", HASH_BEFORE_AND_AFTER_AN_EDIT, edited]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    before, after = done.stdout.split()
    assert sample_run["code"] == before != after


def test_every_row_is_accounted_for(sample_run):
    accounts = [
        (step, account["table"], account["read"], account["kept"] + sum(account["dropped"].values()))
        for step, body in sample_run["steps"].items()
        for account in body["accounts"]
    ]
    assert len(accounts) == 14
    assert [each for each in accounts if each[2] != each[3]] == []
    assert sum(read for step, table, read, _ in accounts if table == "orders") >= ORDERS
