"""Customer features on small frames of order features; expected values are worked out by hand."""

import datetime as dt
from datetime import date

import pytest
from pyspark.sql import functions as F

from blitz.accounts import RowMetrics
from blitz.features.customers import CustomerSettings, customer_accounts, customer_features
from blitz.raw.channels import CHANNELS
from blitz.raw.menu import Category, Menu

MENU = Menu(
    (
        Category("dri", "Burgers", 0),
        Category("dri", "Sides", 1),
        Category("base", "Mc Veggie", 2),
        Category("base", "mc-veggie", 3),  # another name with the same column
    )
)
SETTINGS = CustomerSettings(
    start=date(2025, 1, 1), end=date(2025, 7, 1), timezone="Asia/Kolkata", bucket_labels=["Low", "High"], menu=MENU
)
COLUMNS = (
    "algonomy_id string, at string, total_price double, discounted_price double, price double, delivered string, "
    "Low_items_count int, High_items_count int, dri_categ_burgers int, dri_categ_sides int, "
    "categ_base_product_mc_veggie int, unique_dri_categories_in_order array<string>, "
    "unique_base_products_in_order array<string>"
)
NOTHING = (0, 0, 0, 0, 0, [], [])
BURGER = (1, 0, 1, 0, 1, ["Burgers"], ["Mc Veggie"])
SIDES = (0, 1, 0, 1, 1, ["Sides"], ["mc-veggie"])


def orders(spark, channel, rows):
    """The order features of a channel; rows: customer, time, total, discount, price, delivery time, marks."""
    frame = spark.createDataFrame([(*row[:6], *row[6]) for row in rows], COLUMNS)
    local, price = F.col("at").cast("timestamp"), F.col("price")
    if channel == "instore":
        return frame.withColumns(
            {"BussTime": local.cast("timestamp_ntz"), "order_placed_datetime": local, "BaseAmount": price}
        )
    return frame.withColumns(
        {
            "order_placed_datetime": local,
            "actual_delivery_time": F.col("delivered").cast("timestamp"),
            "sub_total_price": price,
        }
    )


@pytest.fixture
def computed(spark):
    """Compute the customer features; returns the rows by customer and the accounts by table."""

    def compute(ownapp=(), swiggy=(), instore=()):
        given = {**dict.fromkeys(CHANNELS, ()), "ownapp": ownapp, "swiggy": swiggy, "instore": instore}
        metrics = RowMetrics()
        frames = {name: orders(spark, name, rows) for name, rows in given.items()}
        rows = customer_features(frames, SETTINGS, metrics).collect()
        accounts = {account.table: account for account in customer_accounts(metrics)}
        return {row["algonomy_id"]: row.asDict() for row in rows}, accounts

    return compute


OWN = [
    ("a", "2025-06-27 18:30:00", 10.0, 5.0, 15.0, "2025-06-27 19:00:00", BURGER),  # Saturday 00:00 in India
    ("a", "2025-06-30 18:29:59", 20.0, None, 15.0, None, SIDES),  # the last second of the window: Monday 23:59:59
    ("a", "2025-06-30 18:30:00", 999.0, 9.0, 9.0, None, BURGER),  # outside
    ("b", "2024-12-31 18:30:00", None, None, None, None, NOTHING),  # the first instant of the window, all null
]


def test_one_channel(computed):
    rows, accounts = computed(ownapp=OWN)
    assert set(rows) == {"a", "b"}
    found = rows["a"]
    assert (found["omnichannel_order_count"], found["ownapp_order_count"], found["swiggy_order_count"]) == (2, 2, 0)
    assert (found["omnichannel_weekend_order_count"], found["omnichannel_weekday_order_count"]) == (1, 1)
    assert (found["omnichannel_aov"], found["omnichannel_avg_discount"]) == (15.0, 5.0)
    assert found["omnichannel_avg_discount_pct"] == 0.25  # 5 / (15 + 5); the order with a null discount is left out
    assert found["channels_ordered_from"] == "OC only"
    assert found["ownapp_first_order_at"] == dt.datetime(2025, 6, 28)
    assert found["ownapp_last_order_at"] == dt.datetime(2025, 6, 30, 23, 59, 59)
    assert (found["ownapp_recency"], found["ownapp_tenure_days"]) == (0, 3)
    assert found["ownapp_avg_days_between_orders"] == 3.0
    assert found["omnichannel_Late Night_order_count"] == 1
    assert found["omnichannel_Dinner_Late Night_order_count"] == 2
    assert found["omnichannel_Breakfast_Lunch_order_count"] == 0
    assert found["ownapp_order_count_with_Low_price_range_items"] == 1
    assert found["ownapp_dri_categ_burgers_count"] == 1
    assert found["omnichannel_categ_base_product_mc_veggie_count"] == 2
    assert found["unique_base_products_in_order"] == ["Mc Veggie", "mc-veggie"]
    assert found["unique_category_base_products_count"] == 2
    assert (found["unique_dri_categories_in_order"], found["unique_dri_category_count"]) == (["Burgers", "Sides"], 2)
    assert (found["ownapp_avg_delivery_time_minutes"], found["channel_count"]) == (30.0, 1)
    account = accounts["ownapp order features"]
    assert (account.read, account.kept, account.dropped) == (4, 3, {"outside_window": 1})
    assert (accounts["instore order features"].read, accounts["instore order features"].kept) == (0, 0)


def test_a_customer_of_one_order_with_nulls(computed):
    found = computed(ownapp=OWN)[0]["b"]
    nulls = [
        "omnichannel_avg_discount_pct", "omnichannel_aov", "omnichannel_avg_discount",
        "ownapp_avg_days_between_orders", "ownapp_avg_delivery_time_minutes",
    ]  # fmt: skip
    assert {name: found[name] for name in nulls} == dict.fromkeys(nulls)
    assert (found["unique_base_products_in_order"], found["unique_category_base_products_count"]) == ([], 0)
    assert (found["ownapp_tenure_days"], found["ownapp_recency"]) == (1, 181)  # 1 January to 1 July 2025


def test_channels_meet_in_the_omnichannel_scope_alone(computed):
    rows, accounts = computed(
        ownapp=[("a", "2025-03-01 06:30:00", 10.0, 0.0, 10.0, None, BURGER)],  # Saturday noon in India
        swiggy=[("a", "2025-03-03 06:30:00", 20.0, 0.0, 0.0, None, SIDES)],  # a zero divisor is left out
        instore=[  # local times
            ("a", "2025-03-04 23:59:59", 30.0, None, None, None, BURGER),
            ("z", "2025-03-04 12:00:00", 30.0, 1.0, 9.0, None, BURGER),  # no own-app order
        ],
    )
    assert set(rows) == {"a"}
    found = rows["a"]
    assert found["channels_ordered_from"] == "OC + Dine in + Swiggy"
    assert (found["channel_count"], found["omnichannel_order_count"], found["ownapp_order_count"]) == (3, 3, 1)
    assert (found["omnichannel_dri_categ_burgers_count"], found["ownapp_dri_categ_burgers_count"]) == (2, 1)
    assert found["omnichannel_last_order_at"] == dt.datetime(2025, 3, 4, 23, 59, 59)
    assert found["ownapp_last_order_at"] == dt.datetime(2025, 3, 1, 12)
    assert (found["omnichannel_avg_discount_pct"], found["omnichannel_avg_discount"]) == (0.0, 0.0)
    assert [found[f"{name}_order_count"] for name in ("omnichannel_Lunch", "ownapp_Lunch", "omnichannel_Dinner")] == [
        2, 1, 1,
    ]  # fmt: skip
    assert (accounts["instore order features"].read, accounts["instore order features"].kept) == (2, 2)


def test_a_negative_mean_discount_becomes_0(computed):
    rows, _ = computed(ownapp=[("a", "2025-03-01 06:30:00", 10.0, -5.0, 15.0, None, NOTHING)])
    assert rows["a"]["omnichannel_avg_discount_pct"] == 0.0
    assert rows["a"]["omnichannel_avg_discount"] == -5.0
