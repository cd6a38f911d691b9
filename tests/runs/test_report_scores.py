"""The report's scores, value and transitions: hand-written tables, counted by hand."""

from datetime import date

import pytest

from blitz.report.score_aggregates import rfm_groups, score_groups, transition_groups
from blitz.report.scores import score_numbers, transition_numbers, value_numbers
from blitz.segmentation.score_rules import load_rfm_rules

pytestmark = pytest.mark.engines
SCORES = [  # customer, spend, orders, lifecycle, r, f, m, name, repeat days, spend per repeat day
    ("a", 900.0, 9, "active", 5, 5, 5, "recent_frequent_high_spend", 4, 100.0),
    ("b", 60.0, 2, "lapsed", 1, 1, 1, "away_occasional", 1, 20.0),
    ("c", 40.0, 1, "one_time", 2, 1, 1, "away_occasional", 0, 0.0),
    ("d", 0.0, 0, "late", 1, 2, 5, "away_high_spend", 0, 0.0),
]
SEGMENTS = [("a", "A"), ("b", "A"), ("c", "B"), ("z", "B")]
MAY, JUNE, AUGUST = date(2025, 5, 1), date(2025, 6, 1), date(2025, 8, 1)
HISTORY = [  # customer, run date, segment, lifecycle
    ("a", MAY, "A", "active"), ("a", JUNE, "A", "due"), ("a", AUGUST, "B", "active"),
    ("b", MAY, "A", "due"), ("b", JUNE, "B", "late"),  # gone in August
    ("c", MAY, "B", "new"), ("c", AUGUST, "B", "one_time"),  # not there in June: left, and entered again
    ("d", JUNE, None, "new"), ("d", AUGUST, "A", "active"),  # no segment, then one
    ("e", MAY, None, "late"), ("e", JUNE, None, "late"), ("e", AUGUST, None, None),  # none stays none
]  # fmt: skip


@pytest.fixture(scope="module")
def groups(spark):
    scores = spark.createDataFrame(
        SCORES,
        "algonomy_id string, total_spend double, spend_orders bigint, lifecycle string, r_score int, f_score int, "
        "m_score int, rfm_segment string, clv_frequency bigint, clv_monetary_value double",
    )
    segments = spark.createDataFrame(SEGMENTS, "algonomy_id string, Segment string")
    return score_groups(scores, segments), rfm_groups(scores)


def test_lifecycles_names_and_the_grid(groups) -> None:
    found = score_numbers(*groups, load_rfm_rules(), 30, {"recency": [1, 2, 3, 4]})
    rows = {each["name"]: (each["customers"], each["share"], each["spend"], each["spend_share"], each["each"])
            for each in found["lifecycles"]}  # fmt: skip
    assert rows == {
        "new": (0, 0.0, 0, 0.0, None),
        "one_time": (1, 0.25, 40.0, 0.04, 40.0),
        "active": (1, 0.25, 900.0, 0.9, 900.0),
        "due": (0, 0.0, 0, 0.0, None),
        "late": (1, 0.25, 0.0, 0.0, 0.0),
        "lapsed": (1, 0.25, 60.0, 0.06, 60.0),
    }
    assert [(each["name"], each["customers"]) for each in found["rfm"]][:3] == [
        ("away_occasional", 2), ("recent_frequent_high_spend", 1), ("away_high_spend", 1),
    ]  # fmt: skip
    assert found["rfm"][0]["words"] == "Away long, few orders, lower spend" and len(found["rfm"]) == 12
    assert found["grid"] == [[0, 0, 0, 0, 1], [0] * 5, [0] * 5, [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]  # recency 5 first
    assert (found["customers"], found["most"], found["cuts"]) == (4, 1, {"recency": [1, 2, 3, 4]})


def test_value(groups) -> None:
    found = value_numbers(*groups)
    assert (found["spend"], found["orders"], found["each"]) == (1000.0, 12, 250.0)
    assert found["per_order"] == pytest.approx(1000 / 12)
    assert (found["again"], found["again_share"], found["again_value"]) == (2, 0.5, 60.0)
    assert found["top"] == {"customers": 2, "share": 0.5, "spend_share": 0.9}
    assert [(each["name"], each["customers"], each["spend"]) for each in found["segments"]] == [
        ("A", 2, 960.0), ("B", 1, 40.0), (None, 1, 0.0),
    ]  # fmt: skip
    first = found["segments"][0]
    assert (first["share"], first["each"], first["leaving_share"]) == (0.96, 480.0, 60 / 960)


def test_transitions_between_consecutive_dates(spark) -> None:
    history = spark.createDataFrame(HISTORY, "algonomy_id string, run_date date, segment string, lifecycle string")
    found = transition_numbers(transition_groups(history))
    assert found is not None
    assert (found["dates"], found["months"]) == (["2025-05-01", "2025-06-01", "2025-08-01"], 3)
    keys = ("months", "before", "stayed", "moved", "left", "entered")
    assert [tuple(pair[key] for key in keys) for pair in found["pairs"]] == [(1, 4, 2, 1, 1, 1), (2, 4, 1, 2, 1, 1)]
    assert [(pair["stayed_share"], pair["moved_share"], pair["left_share"]) for pair in found["pairs"]] == [
        (0.5, 0.25, 0.25), (0.25, 0.5, 0.25),
    ]  # fmt: skip
    cells = {row["from"]: (row["customers"], {cell["to"]: cell["customers"] for cell in row["cells"] if cell["customers"]})
             for row in found["lifecycles"]}  # fmt: skip
    assert cells == {
        "new": (2, {"active": 1, "left": 1}),
        "one_time": (0, {}),
        "active": (1, {"due": 1}),
        "due": (2, {"active": 1, "late": 1}),
        "late": (3, {"late": 1, "left": 1}),  # and one whose next lifecycle is unknown
        "lapsed": (0, {}),
    }
    assert found["moves"] == [{"from": "A", "to": "B", "customers": 2, "share": pytest.approx(2 / 3)}]


def test_one_date_has_no_transitions(spark) -> None:
    history = spark.createDataFrame(HISTORY[:1], "algonomy_id string, run_date date, segment string, lifecycle string")
    assert transition_numbers(transition_groups(history)) is None
