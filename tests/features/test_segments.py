"""SegmentRunner on hand-written customer features: load, flags, names, bands, summary, publishing."""

import logging
import math

import pandas as pd
import pytest
from pyspark.sql import functions as F

from blitz.errors import InputError
from blitz.pipelines import SegmentRunner
from blitz.segmentation.rules import rules_for_band

COUNTS = [
    "omnichannel_weekend_order_count", "omnichannel_weekday_order_count", "omnichannel_Lunch_order_count",
    "omnichannel_Late Night_order_count", "omnichannel_Breakfast_order_count", "omnichannel_Evening_order_count",
    "omnichannel_order_count_with_Premium_price_range_items",
]  # fmt: skip
RENAMES = {
    "unique_category_base_products_count": "unique_cat_base_count",
    "weekend_order_flag": "Weekend_flag", "weekday_order_flag": "Weekday_flag", "Lunch_order_flag": "Lunch_flag",
    "Late Night_order_flag": "Late_Night_flag", "Breakfast_order_flag": "Breakfast_flag",
    "Evening_order_flag": "Evening_flag", "order_flag_with_Premium_price_range_items": "Premium_price_flag",
}  # fmt: skip
COLUMNS = [
    "algonomy_id", "ownapp_order_count", "unique_category_base_products_count", "unique_dri_category_count",
    "channel_count", *COUNTS,
]  # fmt: skip
#    id      n   u  dri  c  WE  WD  LU  LN  BF  EV  PR      expected segment
ROWS = [
    ("0001", 1, 2, 1, 1, 0, 1, 0, 0, 0, 0, 0, "Seg1_5_1"),
    ("0002", 5, 2, 1, 1, 3, 0, 0, 0, 0, 0, 0, "Seg1_5_2"),
    ("0003", 5, 2, 1, 3, 1, 4, 0, 0, 0, 0, 9, "Seg1_5_3"),
    ("0004", 2, 3, 1, 2, 0, 2, 0, 0, 0, 0, 0, "Seg1_5_7"),
    ("0005", 6, 6, 1, 1, 1, 5, 2, 0, 0, 0, 0, "Seg_6_15_03"),
    ("0006", 15, 7, 1, 2, 1, 5, 2, 1, 0, 0, 1, "Seg_6_15_10"),
    ("0007", 16, 9, 1, 1, 1, 5, 2, 1, 0, 4, 0, "Seg15_plus_3"),
    ("0008", 100, 8, 1, 1, 1, 5, 2, 1, 0, 4, 0, "Seg15_plus_4"),
    ("0009", 101, 8, 1, 1, 1, 5, 2, 1, 0, 4, 0, None),  # over 100 orders
    ("0010", 3, 0, 0, 1, 1, 5, 2, 1, 0, 4, 0, None),  # no driver category
    ("0011", 3, 2, 1, 1, None, 5, None, 1, 0, 4, 0, "Seg1_5_1"),  # a null count is no order
]


def body(tmp_path, **changes):
    return {
        "input_path": f"{tmp_path}/customers.parquet", "output_segments_path": f"{tmp_path}/out/segments.par",
        "output_microsegments_path": f"{tmp_path}/out/micro.par",
        "cols_to_keep": COLUMNS[:5], "convert_to_flag": list(COUNTS), "rename_dict": dict(RENAMES),
        "rename_dict_microsegments": {}, "micro_plan": [], **changes,
    }  # fmt: skip


@pytest.fixture
def features(tmp_path):
    frame = pd.DataFrame([row[:-1] for row in ROWS], columns=COLUMNS)
    frame.to_parquet(tmp_path / "customers.parquet", index=False)
    return frame


@pytest.mark.usefixtures("features")
def test_the_rule_pipeline_end_to_end(spark, tmp_path):
    runner = SegmentRunner(body(tmp_path), spark)
    original, combined = runner.run_rule_pipeline()
    assert set(original.columns) == set(COLUMNS) and combined.columns == ["algonomy_id", "Segment"]
    assert not (tmp_path / "out/segments.par").exists()  # it publishes nothing
    result = runner.publish_segments()
    stored = pd.read_parquet(tmp_path / "out/segments.par").sort_values("algonomy_id")
    assert list(stored.itertuples(index=False, name=None)) == [(row[0], row[-1]) for row in ROWS if row[-1]]
    assert sorted(map(tuple, combined.collect())) == list(stored.itertuples(index=False, name=None))
    assert {row["algonomy_id"] for row in original.collect()} == set(stored["algonomy_id"])
    (account,) = result.accounts
    assert (account.read, account.kept) == (11, 9)
    assert {k: v for k, v in account.dropped.items() if v} == {"over_100_orders": 1, "no_category": 1}
    assert ("Seg1_5_1", 2, 4) in result.details["bands"]["1_5"]


@pytest.mark.usefixtures("features")
def test_flags_and_names(spark, tmp_path):
    runner = SegmentRunner(body(tmp_path), spark)
    loaded = runner.load_data()
    assert set(loaded.columns) == set(COLUMNS)
    flagged = runner.create_flags(loaded)
    assert "omnichannel_Late Night_order_flag" in flagged.columns
    assert not [name for name in flagged.columns if name in COUNTS]
    renamed = runner.rename_cols(flagged)
    assert {"Late_Night_flag", "Premium_price_flag", "unique_cat_base_count", "ownapp_order_count"} <= set(
        renamed.columns
    )
    found = {row["algonomy_id"]: row for row in renamed.collect()}
    expected = {"0003": (1, 1, 1, 0), "0011": (0, 1, 0, 0)}  # weekend, weekday, premium, lunch
    names = ("Weekend_flag", "Weekday_flag", "Premium_price_flag", "Lunch_flag")
    assert {who: tuple(found[who][name] for name in names) for who in expected} == expected


def test_the_id_is_never_a_flag(spark, tmp_path, features):
    runner = SegmentRunner(body(tmp_path, convert_to_flag=["algonomy_id", *COUNTS]), spark)
    flagged = runner.create_flags(runner.load_data())
    assert sorted(row[0] for row in flagged.select("algonomy_id").collect()) == sorted(
        row[0] for row in ROWS if row[-1]
    )


@pytest.mark.usefixtures("features")
def test_a_band_gives_summary_and_assignments(spark, tmp_path):
    runner = SegmentRunner(body(tmp_path), spark)
    table = runner.rename_cols(runner.create_flags(runner.load_data()))
    bands = runner.run_rule_segmentation(table)
    assert list(bands) == ["1_5", "6_15", "15_plus"]
    summary, assignments = bands["1_5"]["summary"], bands["1_5"]["assignments"]
    assert sorted(map(tuple, assignments.collect())) == [(r[0], r[-1]) for r in ROWS if str(r[-1]).startswith("Seg1_5")]
    rows = summary.collect()
    assert summary.columns == ["Segment", "Customer Count", "Total Orders", "Avg Orders per Customer"]
    assert [row[0] for row in rows] == [f"Seg1_5_{at}" for at in range(1, 9)]
    by_name = {row[0]: tuple(row)[1:] for row in rows}
    assert by_name["Seg1_5_1"] == (2, 4, 2.0)
    assert by_name["Seg1_5_8"] == (0, 0, None)
    assert by_name["Seg1_5_7"] == (1, 2, 2.0)


def test_the_average_is_rounded_as_numpy_rounds(spark, tmp_path):
    # Seg1_5_1 has 8 customers with 17 orders: 2.125 exactly, which numpy rounds to 2.12 and schoolbooks to 2.13
    orders = [3, 2, 2, 2, 2, 2, 2, 2]
    frame = pd.DataFrame([(f"c{i}", n, 1, 1, 1, *[0] * 7) for i, n in enumerate(orders)], columns=COLUMNS)
    frame.to_parquet(tmp_path / "customers.parquet", index=False)
    runner = SegmentRunner(body(tmp_path), spark)
    table = runner.rename_cols(runner.create_flags(runner.load_data()))
    first = runner.run_rule_segmentation(table)["1_5"]["summary"].collect()[0]
    assert tuple(first) == ("Seg1_5_1", 8, 17, 2.12)


def test_nan_is_missing_and_no_large_number(spark, tmp_path, features):
    frame = features.astype({"omnichannel_weekend_order_count": "float64"})
    assert math.isnan(frame.loc[frame.algonomy_id == "0011", "omnichannel_weekend_order_count"].iloc[0])
    nan_rows = spark.createDataFrame(frame)  # keeps NaN, where Parquet by pandas would write null
    nan_rows.write.parquet(f"{tmp_path}/nan.parquet")
    runner = SegmentRunner(body(tmp_path, input_path=f"{tmp_path}/nan.parquet"), spark)
    found = {row[0]: row[1] for row in runner.run_rule_pipeline()[1].collect()}
    assert found["0011"] == "Seg1_5_1"


@pytest.mark.usefixtures("features")
def test_a_missing_column_warns_until_a_rule_needs_it(spark, tmp_path, caplog):
    logging.getLogger("blitz").propagate = True
    runner = SegmentRunner(body(tmp_path, cols_to_keep=[*COLUMNS[:5], "no_such_column"]), spark)
    with caplog.at_level(logging.WARNING, logger="blitz"):
        assert runner.publish_segments().output.rows == 9
    assert "no_such_column" in caplog.text
    lacking = SegmentRunner(body(tmp_path, convert_to_flag=[n for n in COUNTS if "Lunch" not in n]), spark)
    with pytest.raises(InputError, match="the rules need Lunch_flag"):
        lacking.publish_segments()
    assert pd.read_parquet(tmp_path / "out/segments.par").shape == (9, 2)  # the last good output stands


@pytest.mark.usefixtures("features")
def test_names_that_collide_are_refused(spark, tmp_path):
    runner = SegmentRunner(body(tmp_path), spark)
    table = runner.create_flags(runner.load_data()).withColumn("Weekend_flag", F.lit(1))
    with pytest.raises(InputError, match="rename_dict gives several columns the name Weekend_flag"):
        runner.rename_cols(table)


def test_no_customers_at_all(spark, tmp_path, features):
    features.iloc[:0].astype(dict.fromkeys(COLUMNS[1:], "int64")).to_parquet(
        tmp_path / "customers.parquet", index=False
    )
    runner = SegmentRunner(body(tmp_path), spark)
    assert runner.publish_segments().output.rows == 0
    table = runner.rename_cols(runner.create_flags(runner.load_data()))
    rows = runner.run_rule_segmentation(table)["15_plus"]["summary"].collect()
    assert [tuple(row)[1:] for row in rows] == [(0, 0, None)] * 9


def test_the_rules_of_a_band_stand_in_one_place(spark, tmp_path):
    runner = SegmentRunner(body(tmp_path), spark)
    assert (runner.id_col, runner.target_col, runner.lower_q, runner.upper_q) == (
        "algonomy_id", "ownapp_order_count", 0.01, 0.99,
    )  # fmt: skip
    assert [rule.segment for rule in rules_for_band("15_plus")] == [f"Seg15_plus_{at}" for at in range(1, 10)]
    assert runner.rules_for_band("1_5") == runner._rules_for_band("1_5") == rules_for_band("1_5")
    assert runner.config["output_segments_path"] == f"{tmp_path}/out/segments.par"
    assert runner.config.get("no_such_key") is None and runner.config.get("lower_q") == 0.01


def test_save_segments_takes_a_frame_of_ones_own(spark, tmp_path):
    frame = spark.range(3).select(F.col("id").cast("string").alias("algonomy_id"), F.lit("S").alias("Segment"), "id")
    SegmentRunner(body(tmp_path), spark).save_segments(frame, f"{tmp_path}/mine.par")
    assert list(pd.read_parquet(tmp_path / "mine.par").columns) == ["algonomy_id", "Segment"]
