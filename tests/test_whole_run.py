"""The whole run on sample data against an independent pandas computation: every column of every output equal.

BLITZ_TEST_ORDERS sets the size (20,000; 60,000 takes about twice the time). With SPARK_REMOTE set the same test runs on
Spark Connect.
"""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare
import pandas_pipeline
from blitz.cli import main
from blitz.sample.generate import write_sample

CHECKOUT = Path(__file__).resolve().parents[1]
ORDERS = int(os.environ.get("BLITZ_TEST_ORDERS", "20000"))


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    write_sample(ORDERS, 11, f"{folder}/sample")
    text = (CHECKOUT / "conf/local.json").read_text()
    body = json.loads(text.replace("data/sample/", f"{folder}/sample/").replace("data/out/", f"{folder}/out/"))
    (folder / "conf.json").write_text(json.dumps(body))
    return body | {"path": f"{folder}/conf.json"}


@pytest.fixture(scope="module")
def outcome(spark, config, tmp_path_factory) -> dict[str, Any]:
    assert main("run_all", "test", argv=["--conf", config["path"]]) == 0
    manifest = Path(config["feature_pipeline"]["customer"]["output_path"]).parent / "manifest.json"
    return json.loads(manifest.read_text())


@pytest.fixture(scope="module")
def expected(config) -> dict[str, pd.DataFrame]:
    return pandas_pipeline.run(config)


@pytest.mark.parametrize("step", list(compare.KEYS))
@pytest.mark.usefixtures("outcome")
def test_every_column_is_equal(config, expected, step):
    found = compare.read(compare.output_paths(config)[step])
    assert len(found) > ORDERS / 100
    assert compare.differences(expected[step], found, compare.KEYS[step]) == []


@pytest.mark.usefixtures("outcome")
def test_the_columns_stand_in_the_contracts_order(config, expected):
    paths = compare.output_paths(config)
    for step in ("ownapp", "swiggy", "instore", "segments", "microsegments"):
        assert list(compare.read(paths[step])) == list(expected[step])
    customers = list(compare.read(paths["customers"]))
    assert customers[0] == "algonomy_id" and customers[-1] == "channel_count"
    assert len(customers) == len(set(customers)) == 181


def test_all_segments_and_plans_have_members(outcome):
    bands = outcome["steps"]["segments"]["bands"]
    sizes = {name: count for rows in bands.values() for name, count, _ in rows}
    assert len(sizes) == 27 and all(sizes.values()), sizes
    plans = outcome["steps"]["microsegments"]["clusters"]
    assert len(plans) == 11 and all(sum(clusters) for clusters in plans.values()), plans


def test_every_row_is_accounted_for(outcome):
    accounts = [
        (step, account["table"], account["read"], account["kept"] + sum(account["dropped"].values()))
        for step, body in outcome["steps"].items()
        for account in body["accounts"]
    ]
    assert len(accounts) == 10
    assert [each for each in accounts if each[2] != each[3]] == []
    assert sum(read for step, table, read, _ in accounts if table == "orders") >= ORDERS


def test_the_comparison_notices_a_changed_cell():
    frame = pd.DataFrame({"k": [1, 2, 3], "n": [1.0, None, 3.0], "t": ["a", None, "c"], "l": [["x"], [], ["y", "z"]]})
    assert compare.differences(frame, frame.sample(frac=1, random_state=1), ["k"]) == []
    for column, value in [("n", 1.0 + 1e-8), ("t", None), ("l", ["y"]), ("k", 9)]:
        changed = frame.astype(object).copy()
        changed.at[0, column] = value
        changed = changed.astype({"k": "int64", "n": "float64"})
        (problem,) = compare.differences(frame, changed, ["k"])[:1]
        assert problem.startswith(("n:", "t:", "l:", "k:"))
    assert compare.differences(frame, frame.drop(columns="n"), ["k"]) == ["columns missing: ['n'], too many: []"]
    assert compare.differences(frame, frame.iloc[:2], ["k"]) == ["2 rows instead of 3"]
