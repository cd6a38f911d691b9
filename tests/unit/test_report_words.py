"""Columns and rules in words, and what changed between two runs: expected values written by hand."""

import json

import pytest

from blitz.config.models import Segmentation
from blitz.report import charts
from blitz.report.changes import changes
from blitz.report.profiles import plan_tables
from blitz.report.words import category_names, label_of, range_words, rule_labels, rule_words
from blitz.segmentation.rules import Range, default_rules, rules_for_band
from places import CHECKOUT

MENU = category_names({"base": ["Filet-O-Fish", "Fries", "fries"], "dri": ["Cold Drinks"]})


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("omnichannel_Late Night_order_count", "Late Night"),
        ("omnichannel_weekend_order_count", "Weekends"),
        ("omnichannel_order_count_with_Mid_Tier_price_range_items", "Mid Tier price"),
        ("omnichannel_categ_base_product_filet_o_fish_count", "Filet-O-Fish"),
        ("omnichannel_categ_base_product_fries_count", "Fries / fries"),
        ("omnichannel_dri_categ_cold_drinks_count", "Cold Drinks"),
        ("omnichannel_categ_base_product_old_thing_count", "Old thing"),
        ("unique_category_base_products_count", "Base products"),
        ("something_else", "Something else"),
    ],
)
def test_labels(column, text):
    assert label_of(column, MENU).text == text


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (None, 2.5, "at most 2 channels"),
        (None, 1.5, "at most 1 channel"),
        (2.5, None, "3 or more channels"),
        (8.5, 11.5, "9 to 11 channels"),
        (2, 3, "3 channels"),
        (None, None, "any number of channels"),
    ],
)
def test_ranges_of_whole_numbers(low, high, words):
    assert range_words(Range(greater_than=low, at_most=high), "channels") == words


def test_the_default_rules_in_words():
    body = json.loads((CHECKOUT / "conf/local.json").read_text())["segmentation"]
    labels = rule_labels(Segmentation(**body), {})
    words = {rule.segment: rule_words(rule, labels) for band in default_rules().bands for rule in band.rules}
    assert len(words) == 27
    assert words["Seg1_5_2"] == ["at most 2 base products", "orders on weekends", "no orders on weekdays"]
    assert words["Seg1_5_6"] == ["3 or more base products", "2 or more channels", "buys Premium-price items"]
    assert words["Seg15_plus_3"] == [
        "9 to 11 base products",
        "no breakfast orders",
        "has late night orders",
        "has evening orders",
    ]


def test_a_rule_on_names_that_no_column_has_keeps_its_own_words():
    assert rule_words(rules_for_band("1_5")[0], {}) == ["unique_cat_base_count <= 2.5", "Weekend_flag = 0"]


def test_standardised_features_of_two_clusters():
    """Values 0, 0, 4 and 4, 8: mean 3.2, variance (2 * 10.24 + 2 * 0.64 + 23.04) / 5 = 8.96."""
    body = json.loads((CHECKOUT / "conf/local.json").read_text())["segmentation"]
    body["micro_plan"] = [{"name": "Seg1_5_3", "source_segments": ["Seg1_5_3"], "model_key": "segment_1_5_3_model"}]
    rows = [
        {"plan": "Seg1_5_3", "cluster": "10", "customers": 2, "mean": [6.0, 1.0], "variance": [4.0, 0.0]},
        {"plan": "Seg1_5_3", "cluster": "2", "customers": 3, "mean": [4 / 3, 1.0], "variance": [32 / 9, 0.0]},
        {"plan": "gone", "cluster": "0", "customers": 9, "mean": [0.0, 0.0], "variance": [0.0, 0.0]},
    ]
    (plan,) = plan_tables(Segmentation(**body), rows, ["channel_count", "constant"], {})
    assert plan["customers"] == 5
    assert [(each["name"], each["customers"], each["share"]) for each in plan["clusters"]] == [
        ("2", 3, 0.6),
        ("10", 2, 0.4),
    ]
    (feature,) = plan["features"]  # what does not vary is left out
    assert feature["name"] == "Channels" and feature["mean"] == pytest.approx(3.2)
    assert feature["scores"] == pytest.approx([(4 / 3 - 3.2) / 8.96**0.5, (6 - 3.2) / 8.96**0.5])


def test_changes_between_two_digests():
    common = {"finished_at": "2025-06-01T00:00:00+00:00", "models": {}, "segments_path": "a"}
    before = {**common, "run_id": "r1", "run_date": "2025-06-01", "rules": "x", "customers": 10, "orders": {"Own app": 50},
              "segments": {"A": 6, "B": 4}, "plans": {"P": 6}}  # fmt: skip
    after = {**common, "run_id": "r2", "run_date": "2025-07-01", "rules": "y", "customers": 12, "orders": {"Own app": 60},
             "segments": {"A": 3, "C": 9}, "plans": {"P": 3}}  # fmt: skip
    moves = [
        {"from": "A", "to": "A", "customers": 3}, {"from": "A", "to": "C", "customers": 2}, {"from": "B", "to": "C", "customers": 4},
        {"from": "A", "to": None, "customers": 1}, {"from": None, "to": "C", "customers": 3},
    ]  # fmt: skip
    found = changes(before, after, moves)
    assert not found["rules_same"] and found["models_same"]
    assert found["totals"][0] == {"name": "Customers", "before": 10, "after": 12, "change": 2, "relative": 0.2}
    rows = {
        each["name"]: (each["before"], each["after"], each["change"], each["relative"]) for each in found["segments"]
    }
    assert rows == {"A": (6, 3, -3, -0.5), "C": (0, 9, 9, None), "B": (4, 0, -4, -1.0)}
    moved = found["moves"]
    assert (moved["stayed"], moved["moved"], moved["entered"], moved["left"]) == (3, 6, 3, 1)
    assert [(each["from"], each["to"]) for each in moved["largest"]] == [("B", "C"), ("A", "C")]
    assert changes(before, after, None)["moves"] is None


def test_a_chart_escapes_names_takes_the_pages_colours_and_needs_nothing():
    rows = [{"name": "<b>&$x$", "change": 3}, {"name": "B", "change": -1}, {"name": "C", "change": 0}]
    picture = str(charts.changes(rows))
    assert "&lt;b&gt;&amp;$x$" in picture and "<b>" not in picture
    assert picture.startswith('<svg class="chart" id="chart-changes"') and picture.rstrip().endswith("</svg>")
    assert "var(--c1)" in picture and "var(--c2)" in picture and "#0101" not in picture
    assert "<image" not in picture and 'href="http' not in picture
