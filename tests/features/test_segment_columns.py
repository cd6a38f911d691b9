"""Segmentation on small frames: input and expected side by side; expected values are worked out by hand or by numpy."""

import numpy as np
import pytest
from chispa import assert_df_equality

from blitz.accounts import RowMetrics
from blitz.errors import InputError
from blitz.segmentation.microsegments import PlanItem, cap_bounds, plan_rows, prepared
from blitz.segmentation.rules import RuleSet
from blitz.segmentation.segments import (
    account,
    assign,
    assign_band,
    band_tables,
    create_flags,
    load,
    rename_columns,
    segment_metrics,
    summarise,
)

NAN = float("nan")
RULES = RuleSet.model_validate(
    {
        "bands": [
            {
                "name": "few",
                "at_most": 5,
                "rules": [
                    {"segment": "Few_low", "conditions": [{"column": "u", "at_most": 2.5}]},
                    {"segment": "Few_mid", "conditions": [{"column": "u", "greater_than": 2.5, "at_most": 8}]},
                    {"segment": "Few_high", "conditions": [{"column": "u", "greater_than": 8}]},
                ],
            },
            {
                "name": "many",
                "greater_than": 5,
                "rules": [
                    {"segment": "Many_no", "conditions": [{"column": "Lunch_flag", "equals": 0}]},
                    {"segment": "Many_yes", "conditions": [{"column": "Lunch_flag", "equals": 1}]},
                ],
            },
        ]
    }
)


def test_load_drops_each_customer_for_its_first_reason(spark):
    given = spark.createDataFrame(
        [
            ("kept", 100, 1, 2.5),
            ("nan", 1, 1, NAN),
            ("over", 101, 0, 1.0),
            ("none", 1, 0, 1.0),
            ("null", 1, None, None),
            ("unknown", None, 1, 1.0),
            (None, 1, 1, 1.0),
        ],
        "algonomy_id string, ownapp_order_count bigint, unique_dri_category_count int, aov double",
    )
    found = load(given, ["algonomy_id", "aov", "missing"])
    expected = spark.createDataFrame([("kept", 2.5), ("nan", None)], "algonomy_id string, aov double")
    assert_df_equality(found, expected, ignore_nullable=True, ignore_row_order=True)


def test_load_counts_in_the_action_that_reads(spark):
    given = spark.createDataFrame(
        [("a", 100, 1), ("b", 101, 1), ("c", 1, 0), (None, 1, 1)],
        "algonomy_id string, ownapp_order_count bigint, unique_dri_category_count int",
    )
    metrics = RowMetrics()
    assert len(load(given, ["algonomy_id"], metrics).collect()) == 1
    counted = account(metrics)
    assert (counted.read, counted.kept) == (4, 1)
    assert counted.dropped == {"bad_record": 1, "over_100_orders": 1, "no_category": 1}


def test_load_names_the_columns_that_it_needs(spark):
    with pytest.raises(InputError, match="lack ownapp_order_count, unique_dri_category_count"):
        load(spark.createDataFrame([("a",)], "algonomy_id string"), [])


def test_flags_are_1_above_0_and_0_for_a_null(spark):
    given = spark.createDataFrame(
        [("a", 0, 1.5, 7), ("b", 3, 0.0, None), ("c", None, None, 0), ("d", -1, 0.1, 1)],
        "algonomy_id string, `omnichannel_Late Night_order_count` bigint, x_count double, channel_count int",
    )
    found = create_flags(given, ["omnichannel_Late Night_order_count", "x_count", "algonomy_id", "not_there"])
    expected = spark.createDataFrame(
        [("a", 0, 1, 7), ("b", 1, 0, None), ("c", 0, 0, 0), ("d", 0, 1, 1)],
        "algonomy_id string, `omnichannel_Late Night_order_flag` int, x_flag int, channel_count int",
    )
    assert_df_equality(found, expected, ignore_nullable=True)


def test_names_lose_their_scope_and_are_renamed(spark):
    given = spark.createDataFrame(
        [(1, 2, None)], "algonomy_id int, `omnichannel_Late Night_order_flag` int, ownapp_omnichannel_x int"
    )
    found = rename_columns(given, {"Late Night_order_flag": "Late_Night_flag"})
    expected = spark.createDataFrame([(1, 2, None)], "algonomy_id int, Late_Night_flag int, ownapp_omnichannel_x int")
    assert_df_equality(found, expected, ignore_nullable=True)


def test_two_columns_of_one_new_name_are_refused(spark):
    given = spark.createDataFrame([(1, 2)], "omnichannel_x int, y int")
    with pytest.raises(InputError, match="rename_dict gives several columns the name x"):
        rename_columns(given, {"y": "x"})


CUSTOMERS = [
    ("a", 1, 2.5, 0), ("b", 5, 2.500001, 1), ("c", 5, 8.0, 0), ("d", 1, 8.000001, 0), ("e", 1, None, 0),
    ("f", 6, None, 0), ("g", 100, 1.0, 1), ("h", 6, 1.0, None), ("i", None, 1.0, 1),
]  # fmt: skip
FLAGGED = "algonomy_id string, ownapp_order_count bigint, u double, Lunch_flag int"


def test_assign_on_both_sides_of_each_cut(spark):
    metrics = RowMetrics()
    rows = assign(spark.createDataFrame(CUSTOMERS, FLAGGED), RULES)
    found = metrics.observe(rows, segment_metrics(RULES)).collect()
    assert {row["algonomy_id"]: (row["Segment"], row["band"]) for row in found} == {
        "a": ("Few_low", "few"), "b": ("Few_mid", "few"), "c": ("Few_mid", "few"), "d": ("Few_high", "few"),
        "e": (None, "few"), "f": ("Many_no", "many"), "g": ("Many_yes", "many"), "h": (None, "many"),
        "i": (None, None),
    }  # fmt: skip
    assert band_tables(RULES, metrics) == {
        "few": [("Few_low", 1, 1), ("Few_mid", 2, 10), ("Few_high", 1, 1)],
        "many": [("Many_no", 1, 6), ("Many_yes", 1, 100)],
    }


def test_the_summary_of_a_band_has_every_segment(spark):
    assigned = assign_band(spark.createDataFrame([each for each in CUSTOMERS if each[0] != "d"], FLAGGED), "few", RULES)
    found = [tuple(row) for row in summarise(spark, assigned, "few", RULES).collect()]
    assert found == [("Few_low", 1, 1, 1.0), ("Few_mid", 2, 10, 5.0), ("Few_high", 0, 0, None)]


def plan(name, segments, is_capped, columns):
    return PlanItem(name, segments, is_capped, columns, scaler=None, kmeans=None)


def test_each_plan_item_gets_the_customers_of_its_segments(spark):
    table = spark.createDataFrame([("a", 1), ("b", 2), ("c", None), ("d", 4)], "algonomy_id string, x int")
    assignments = spark.createDataFrame(
        [("a", "S1"), ("b", "S2"), ("c", "S2"), ("d", "S9"), ("e", "S1")], "algonomy_id string, Segment string"
    )
    items = [plan("one", ("S1", "S2"), False, ("x",)), plan("two", ("S2",), False, ("x",))]
    expected = spark.createDataFrame(
        [("a", 1, 0), ("b", 2, 0), ("b", 2, 1), ("c", None, 0), ("c", None, 1)], "algonomy_id string, x int, plan int"
    )
    found = plan_rows(table, assignments, items)
    assert_df_equality(found, expected, ignore_nullable=True, ignore_row_order=True)


VALUES = [0.0, 1.0, 2.0, 3.0, 100.0, -50.0, None]


def test_bounds_are_exact_quantiles_as_numpy_computes_them(spark):
    rows = spark.createDataFrame([(0, each) for each in VALUES] + [(1, 7.0)], "plan int, `a b` double")
    known = [each for each in VALUES if each is not None]
    expected = spark.createDataFrame(
        [(0, float(np.quantile(known, 0.01)), float(np.quantile(known, 0.99))), (1, 7.0, 7.0)],
        "plan int, low_0 double, high_0 double",
    )
    found = cap_bounds(rows, ["a b"], 0.01, 0.99)
    assert_df_equality(found, expected, ignore_nullable=True, ignore_row_order=True)


def test_capping_spares_the_band_column_and_plans_that_are_not_capped(spark):
    rows = spark.createDataFrame(
        [(str(at), at, value, plan_at) for plan_at in (0, 1) for at, value in enumerate(VALUES)],
        "algonomy_id string, ownapp_order_count int, x double, plan int",
    )
    columns = ("ownapp_order_count", "x")
    items = [plan("capped", ("S1",), True, columns), plan("plain", ("S2",), False, columns)]
    frame, names = prepared(rows, items, 0.1, 0.9)
    assert names == list(columns)
    known = [each for each in VALUES if each is not None]
    low, high = np.quantile(known, [0.1, 0.9])
    found = {(row["plan"], int(row["algonomy_id"])): (row["x_0"], row["x_1"]) for row in frame.collect()}
    for at, value in enumerate(VALUES):
        capped = 0.0 if value is None else float(np.clip(value, low, high))
        assert found[0, at] == (float(at), pytest.approx(capped, rel=1e-12))
        assert found[1, at] == (float(at), value or 0.0)
