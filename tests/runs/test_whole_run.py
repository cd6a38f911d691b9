"""The whole run on sample data against an independent pandas computation: every column of every output equal.

BLITZ_TEST_ORDERS sets the size (10,000). With SPARK_REMOTE set the same test runs on Spark Connect.
"""

import hashlib
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import compare
import pandas_pipeline
from conftest import CHECKOUT, ORDERS

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


def test_the_manifest_names_the_code_that_ran(sample_run):
    folder = CHECKOUT / "lib/blitz"
    names = [str(path.relative_to(folder)) for kind in ("py", "json", "j2") for path in folder.rglob(f"*.{kind}")]
    lines = [f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n" for name in sorted(names)]
    assert sample_run["code"] == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_every_row_is_accounted_for(sample_run):
    accounts = [
        (step, account["table"], account["read"], account["kept"] + sum(account["dropped"].values()))
        for step, body in sample_run["steps"].items()
        for account in body["accounts"]
    ]
    assert len(accounts) == 10
    assert [each for each in accounts if each[2] != each[3]] == []
    assert sum(read for step, table, read, _ in accounts if table == "orders") >= ORDERS


FRAME = pd.DataFrame(
    {
        "k": [1, 2, 3],
        "id": [5_000_000_001, 5_000_000_002, 5_000_000_003],
        "n": [1.5, None, 3.0],
        "t": ["a", None, "c"],
        "b": [True, False, True],
        "at": pd.to_datetime(["2025-01-01", "2025-01-02", None]),
        "l": [["x", "y"], [], ["y", "z"]],
    }
)


def test_the_comparison_takes_rows_in_any_order_and_fractions_within_a_billionth():
    shuffled = FRAME.sample(frac=1, random_state=1)
    assert compare.differences(FRAME, shuffled, ["k"]) == []
    assert compare.differences(FRAME, shuffled.assign(n=shuffled["n"] * (1 + 1e-12)), ["k"]) == []


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", [5_000_000_001, 5_000_000_002, 5_000_000_004]),  # as doubles within a billionth of each other
        ("n", [1.5 + 1e-8, None, 3.0]),
        ("n", [1.5, 0.0, 3.0]),
        ("t", ["a", "", "c"]),
        ("b", [True, False, False]),
        ("at", pd.to_datetime(["2025-01-01", "2025-01-02 00:00:00.000001", None], format="ISO8601")),
        ("l", [["x", "y"], [], ["z", "y"]]),
        ("l", [["x", "y"], None, ["y", "z"]]),
    ],
)
def test_the_comparison_notices_a_changed_cell(column, values):
    changed = FRAME.assign(**{column: values})
    assert compare.differences(FRAME, changed, ["k"]) == [f"{column}: 1 of 3 rows differ"]
    assert compare.differences(changed, FRAME, ["k"]) == [f"{column}: 1 of 3 rows differ"]


def test_the_comparison_notices_other_columns_rows_and_kinds():
    def found(changed: pd.DataFrame) -> list[str]:
        return compare.differences(FRAME, changed, ["k"])

    assert found(FRAME.drop(columns="n")) == ["columns missing: ['n'], too many: []"]
    assert found(FRAME.assign(z=1)) == ["columns missing: [], too many: ['z']"]
    assert found(FRAME.iloc[:2]) == ["2 rows instead of 3"]
    assert found(FRAME.assign(k=[1, 1, 3])) == ["k: repeated in 1 rows, 0 of them expected"]
    assert found(FRAME.assign(id=FRAME["id"].astype(float))) == ["id: number instead of integer"]
    assert found(FRAME.assign(b=[1, 0, 1])) == ["b: integer instead of flag"]
    assert found(FRAME.assign(at=FRAME["at"].dt.tz_localize("UTC"))) == ["at: instant instead of local time"]
    assert found(FRAME.assign(t=[1, None, 2])) == ["t: number instead of text"]


def test_integers_with_nulls_are_the_same_integers_when_pandas_holds_them_as_doubles():
    nullable = pd.DataFrame({"k": [1, 2, 3], "v": pd.array([0, None, 1], dtype="Int64")})
    doubles = nullable.assign(v=[0.0, None, 1.0])
    assert compare.differences(nullable, doubles, ["k"]) == []
    assert compare.differences(nullable, doubles.assign(v=[0.0, None, 0.0]), ["k"]) == ["v: 1 of 3 rows differ"]
