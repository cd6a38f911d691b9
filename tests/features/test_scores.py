"""Spend, quantiles and scores on small frames; expected values are worked out by hand or by numpy."""

import warnings
from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from blitz.features.quantiles import exact_quantiles
from blitz.features.scores import (
    ScoreSettings,
    count_rows,
    cut_points,
    known_customers,
    lifetime_inputs,
    score_accounts,
    scores,
)
from blitz.features.spend import SpendSettings, customer_spend
from blitz.raw.channels import CHANNELS
from blitz.segmentation.rules import segment_column
from blitz.segmentation.score_rules import lifecycle_rules, load_rfm_rules

pytestmark = pytest.mark.engines
END = date(2025, 7, 1)
WINDOWS = SpendSettings(date(2024, 1, 1), date(2025, 1, 1), END, "Asia/Kolkata")
# channel: customer, time (UTC; in store local), price
ORDERS = {
    "ownapp": [
        ("a", "2025-06-27 18:30:00", 10.0),  # Saturday 28 June, 00:00 in India
        ("a", "2025-06-28 18:29:59", 20.5),  # the same local day
        ("a", "2025-06-30 18:29:59", None),  # Monday 30 June, no price
        ("a", "2025-06-30 18:30:00", 999.0),  # 1 July, after the window
        ("b", "2024-12-31 18:29:59", 70.0),  # in the order window, before the customer window
        ("b", "2025-01-01 06:00:00", 5.0),
        ("c", "2025-03-01 06:00:00", None),  # a single order without a price
        ("x", "2025-03-01 06:00:00", 50.0),  # no customer of the features
    ],
    "swiggy": [
        ("b", "2023-12-31 18:29:59", 1000.0),
        ("b", "2024-02-29 12:00:00", 30.0),
    ],  # the first before both windows
    "instore": [("a", "2025-06-29 23:59:59", 0.1), ("a", "2025-06-29 00:00:00", 0.2)],  # one day, local times
}
CUSTOMERS = [  # customer, recency, orders, average gap, first order (customer window)
    ("a", 0, 5, 0.75, datetime(2025, 6, 28)),
    ("b", 180, 1, None, datetime(2025, 1, 1, 11, 30)),
    ("c", 121, 1, None, datetime(2025, 3, 1, 11, 30)),
    ("d", 9, 2, 3.0, datetime(2025, 5, 31, 23, 59, 59)),  # no order in the order features
]


def order_frames(spark):
    frames = {}
    for name in CHANNELS:
        frame = spark.createDataFrame(ORDERS[name], "algonomy_id string, at string, total_price double")
        at = F.col("at").cast("timestamp")
        frames[name] = frame.withColumns({"BussTime": at.cast("timestamp_ntz"), "order_placed_datetime": at})
    return frames


@pytest.fixture
def known(spark):
    features = spark.createDataFrame(
        CUSTOMERS,
        "algonomy_id string, omnichannel_recency bigint, omnichannel_order_count bigint, "
        "omnichannel_avg_days_between_orders double, omnichannel_first_order_at timestamp_ntz",
    )
    return known_customers(features, customer_spend(order_frames(spark), WINDOWS), END)


def test_spend_of_both_windows_by_local_days(spark):
    rows = {row["algonomy_id"]: row for row in customer_spend(order_frames(spark), WINDOWS).collect()}
    keys = ("total_spend", "spend_orders", "first_day", "last_day", "order_days", "repeat_spend")
    assert {name: tuple(row[key] for key in keys) for name, row in rows.items()} == {
        "a": (30.8, 4, date(2025, 6, 28), date(2025, 6, 30), 3, 0.3),  # 0.1 + 0.2 on the 29th, nothing on the 30th
        "b": (5.0, 1, date(2024, 2, 29), date(2025, 1, 1), 3, 75.0),
        "c": (0.0, 0, date(2025, 3, 1), date(2025, 3, 1), 1, 0.0),
        "x": (50.0, 1, date(2025, 3, 1), date(2025, 3, 1), 1, 0.0),
    }


def test_every_order_is_accounted_for(known):
    counts = count_rows(known)
    assert (counts["customers"], counts["without_orders"]) == (4, 1)
    assert {each.table.split()[0]: (each.read, each.kept, *each.dropped.values()) for each in score_accounts(counts)} == {
        "ownapp": (8, 6, 1, 1), "swiggy": (2, 1, 1, 0), "instore": (2, 2, 0, 0),
    }  # fmt: skip


def test_scores_of_customers(known):
    customers = known.where("is_customer")
    given = {"recency": [9, 100, 150, 200], "frequency": [1, 2, 2, 4]}
    cuts = cut_points(customers, 4, given)
    spend = [30.8, 5.0, 0.0, 0.0]
    assert cuts == {**given, "monetary": np.quantile(spend, [0.2, 0.4, 0.6, 0.8]).tolist()}
    lifecycle, rfm = lifecycle_rules(30), load_rfm_rules()
    settings = ScoreSettings(END, segment_column("lifecycle", lifecycle), segment_column("rfm", rfm), cuts)
    frame = scores(customers, settings)
    rows = {row["algonomy_id"]: row.asDict() for row in frame.collect()}
    expected = {  # cuts of spend: 0, 1, 4, 15.32
        # spend, orders with a price, missed, lifecycle, r, f, m, repeat days, recency, age, mean of repeat days
        "a": (30.8, 4, 0.0, "new", 5, 5, 5, 2, 2, 2, 0.15),
        "b": (5.0, 1, None, "one_time", 2, 1, 4, 2, 307, 487, 37.5),
        "c": (0.0, 0, None, "one_time", 3, 1, 1, 0, 0, 121, 0.0),
        "d": (0.0, 0, 3.0, "late", 5, 2, 1, None, None, None, None),
    }
    names = ["total_spend", "spend_orders", "missed_visits", "lifecycle", "r_score", "f_score", "m_score",
             "clv_frequency", "clv_recency_days", "clv_t_days", "clv_monetary_value"]  # fmt: skip
    assert {name: tuple(row[key] for key in names) for name, row in rows.items()} == expected
    named = {name: (row["rfm"], row["rfm_segment"]) for name, row in rows.items()}
    assert named == {
        "a": ("555", "recent_frequent_high_spend"),
        "b": ("214", "away_high_spend"),
        "c": ("311", "cooling_occasional"),
        "d": ("521", "recent_occasional"),
    }
    kinds = dict(frame.dtypes)
    assert [kinds[name] for name in names] == [
        "double", "bigint", "double", "string", "int", "int", "int", "bigint", "bigint", "bigint", "double",
    ]  # fmt: skip


def test_no_customer_has_no_cut_points(known):
    assert cut_points(known.where("false"), 0, {}) == {"recency": [], "frequency": [], "monetary": []}


@pytest.mark.parametrize("rows", [1, 2, 6, 11, 100])
def test_quantiles_are_numpys_to_the_last_bit(spark, rows):
    """Few values: most quantiles are one of them, or between two of them."""
    rng = np.random.default_rng(rows)
    table = {"x": rng.integers(0, 4, rows).astype(float), "y": (rng.integers(0, 900, rows) / 7).round(2)}
    frame = spark.createDataFrame(
        [(float(a), float(b)) for a, b in zip(*table.values(), strict=True)], "x double, y double"
    )
    shares = (0.2, 0.4, 0.6, 0.8)
    found = exact_quantiles(frame, ["x", "y"], shares, rows)
    assert found == {name: tuple(np.quantile(values, shares)) for name, values in table.items()}


def test_lifetime_inputs_are_those_of_lifetimes(spark):
    """Random orders, some without a price: lifetimes' own summary of the same orders, for every customer."""
    from lifetimes.utils import summary_data_from_transaction_data

    rng = np.random.default_rng(5)
    start = pd.Timestamp("2024-01-01")
    frame = pd.DataFrame({"algonomy_id": rng.integers(0, 60, 400).astype(str), "channel": rng.integers(0, 3, 400)})
    frame["local"] = start + pd.to_timedelta(rng.integers(0, 546 * 24, 400), unit="h")
    frame["total_price"] = np.where(rng.random(400) < 0.2, np.nan, rng.integers(1, 99_999, 400) / 100)
    orders = {}
    for at, name in enumerate(CHANNELS):
        mine = frame[frame["channel"] == at]
        instants = mine["local"] if name == "instore" else mine["local"] - pd.Timedelta(hours=5, minutes=30)
        cells = zip(mine["algonomy_id"], instants.astype(str), mine["total_price"], strict=True)
        rows = [(who, when, None if np.isnan(price) else float(price)) for who, when, price in cells]
        table = spark.createDataFrame(rows, "algonomy_id string, at string, total_price double")
        time = F.col("at").cast("timestamp")
        orders[name] = table.withColumns({"BussTime": time.cast("timestamp_ntz"), "order_placed_datetime": time})
    spend = customer_spend(orders, WINDOWS)
    found = pd.DataFrame(spend.select("algonomy_id", *lifetime_inputs(END)).toPandas()).set_index("algonomy_id")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a pandas newer than lifetimes
        expected = summary_data_from_transaction_data(
            frame, "algonomy_id", "local", "total_price", freq="D", observation_period_end="2025-06-30"
        )
    assert len(found) == len(expected) == 60 and frame["total_price"].isna().sum() > 20
    found.columns = expected.columns
    pd.testing.assert_frame_equal(found.astype(float).sort_index(), expected.sort_index(), rtol=1e-12)
