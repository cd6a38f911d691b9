"""Order features on small frames: input and expected side by side; expected values are worked out by hand."""

import datetime as dt
from datetime import date

import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from blitz.accounts import RowMetrics
from blitz.features.order_customers import OrderCustomers, customer_keys, erased_keys, with_customer_flags
from blitz.features.orders import (
    OrderSettings,
    OrderTables,
    daypart,
    in_window,
    is_weekend,
    order_accounts,
    order_features,
)
from blitz.raw.channels import CHANNELS
from blitz.raw.menu import Category, Menu
from blitz.spark.local_times import local_time

INDIA = "Asia/Kolkata"
OWNAPP = CHANNELS["ownapp"]


def at(text):
    return dt.datetime.fromisoformat(text) if text else None


@pytest.mark.parametrize(
    ("local", "part", "weekend"),
    [
        ("2025-01-10 00:00:00", "Late Night", 0),  # a Friday
        ("2025-01-10 05:59:59.999999", "Late Night", 0),
        ("2025-01-10 06:00:00", "Breakfast", 0),
        ("2025-01-10 10:59:59.999999", "Breakfast", 0),
        ("2025-01-10 11:00:00", "Lunch", 0),
        ("2025-01-10 14:59:59.999999", "Lunch", 0),
        ("2025-01-10 15:00:00", "Evening", 0),
        ("2025-01-10 18:59:59.999999", "Evening", 0),
        ("2025-01-10 19:00:00", "Dinner", 0),
        ("2025-01-10 23:59:59.999999", "Dinner", 0),
        ("2025-01-11 00:00:00", "Late Night", 1),
        ("2025-01-12 23:59:59.999999", "Dinner", 1),
        ("2025-01-13 00:00:00", "Late Night", 0),
        (None, None, None),
    ],
)
def test_daypart_and_weekend(spark, local, part, weekend):
    given = spark.createDataFrame([(local,)], "local string").select(F.col("local").cast("timestamp").alias("local"))
    found = given.select(daypart(F.col("local")).alias("part"), is_weekend(F.col("local")).alias("weekend"))
    expected = spark.createDataFrame([(part, weekend)], "part string, weekend int")
    assert_df_equality(found, expected, ignore_nullable=True)


def test_the_window_is_closed_at_its_first_local_midnight_and_open_at_its_last(spark):
    instants = [  # India is 5:30 ahead of UTC
        ("2025-03-31 18:29:59.999999", False),
        ("2025-03-31 18:30:00", True),
        ("2025-06-30 18:29:59.999999", True),
        ("2025-06-30 18:30:00", False),
        (None, None),
    ]
    given = spark.createDataFrame([(text,) for text, _ in instants], "at string")
    local = local_time(F.col("at").cast("timestamp"), INDIA)
    found = given.select("at", in_window(local, date(2025, 4, 1), date(2025, 7, 1)).alias("inside"))
    expected = spark.createDataFrame(instants, "at string, inside boolean")
    assert_df_equality(found, expected, ignore_nullable=True, ignore_row_order=True)


def test_the_smallest_customer_wins_as_text_and_incomplete_rows_name_none(spark):
    given = spark.createDataFrame(
        [(1, "9"), (1, "10"), (1, "9"), (2, "0007"), (2, "0007"), (3, None), (None, "5")],
        "order_key bigint, customer string",
    )
    expected = spark.createDataFrame(
        [(1, "10", True), (2, "0007", False), (3, None, None)],
        "order_key bigint, algonomy_id string, is_conflict boolean",
    )
    assert_df_equality(customer_keys(given), expected, ignore_nullable=True, ignore_row_order=True)


def test_an_order_is_erased_where_its_smallest_customer_is(spark):
    rows = [
        (1, "a"),
        (2, "a"), (2, "b"),  # b does not get the order
        (3, "0"), (3, "a"),  # it is 0's
        (4, "a"), (4, "c"),
        (5, ""), (5, "b"),  # as a refresh keeps an erased customer
        (7, "b"), (7, "b"),
        (None, "a"), (8, None),
    ]  # fmt: skip
    keyed = spark.createDataFrame(rows, "order_key bigint, customer string")
    erased = spark.createDataFrame([("a",), ("c",), ("",), ("nobody",)], "algonomy_id string")
    flagged = with_customer_flags(customer_keys(keyed), None, erased).collect()
    assert {row["order_key"]: (row["algonomy_id"], row["is_erased"]) for row in flagged} == {
        1: ("a", True), 2: ("a", True), 3: ("0", False), 4: ("a", True), 5: ("", True), 7: ("b", False),
        8: (None, False),
    }  # fmt: skip
    stems = spark.createDataFrame([(1,), (2,), (3,), (5,)], "stem bigint")
    found = erased_keys(keyed, erased, stems, OWNAPP).collect()
    assert sorted(row["order_key"] for row in found) == [1, 2, 5]


def test_customer_flags(spark):
    schema = "order_key bigint, algonomy_id string, is_conflict boolean"
    known = spark.createDataFrame([(1, "a", False), (2, "b", True), (3, None, False), (4, "c", False)], schema)
    users = spark.createDataFrame([("a",), ("a",), ("c",), (None,)], "algonomy_id string")
    erased = spark.createDataFrame([("b",), ("c",)], "algonomy_id string")
    for given, gone, flags in (
        (users, erased, {1: (False, True), 2: (True, False), 3: (False, False), 4: (True, True)}),
        (users, None, {1: (False, True), 2: (False, False), 3: (False, False), 4: (False, True)}),
        (None, erased, {1: (False, True), 2: (True, True), 3: (False, True), 4: (True, True)}),
        (None, None, dict.fromkeys((1, 2, 3, 4), (False, True))),
    ):
        rows = [(*row, *flags[row["order_key"]]) for row in known.collect()]
        expected = spark.createDataFrame(rows, f"{schema}, is_erased boolean, is_ownapp_user boolean")
        found = with_customer_flags(known, given, gone)
        assert_df_equality(found, expected, ignore_nullable=True, ignore_row_order=True)


SETTINGS = OrderSettings(
    start=date(2025, 1, 1),
    end=date(2025, 7, 1),
    timezone=INDIA,
    price_bins=[0.0, 100.0, 1000.0],
    bucket_labels=["Low", "High"],
    excluded_stores=["9993"],
)
MENU = Menu((Category("dri", "Burgers", 0), Category("dri", "Sides", 1), Category("base", "Mc Veggie", 2)))
ORDER_COLUMNS = {  # the raw columns of a typed own-app order that these tests do not look at
    "user_id": "bigint", "platform": "string", "channel": "string", "store_name": "string",
    "order_delivery_datetime": "timestamp", "payment_method": "string", "gross_price": "double",
    "applied_coupon": "string", "discounted_price": "double", "actual_subtotal": "double",
    "sub_total_price": "double", "schedule_datetime": "timestamp", "status_id": "bigint", "tip": "double",
    "before_payment_delivery_eta": "bigint", "before_payment_pickup_eta": "bigint",
    "is_distance_fee_applicable": "boolean", "offer_applied": "boolean", "business_model_id_id": "bigint",
}  # fmt: skip


def tables(spark, orders, lines):
    """The inputs of ``order_features``: orders as (id, time, total, store, reject_reason), lines as (order, item,
    quantity, price, promo, reject_reason)."""
    frame = spark.createDataFrame(
        orders, "id bigint, at string, total_price double, store_id_id bigint, reject_reason string"
    )
    others = [F.lit(None).cast(kind).alias(name) for name, kind in ORDER_COLUMNS.items()]
    typed = frame.select("*", F.col("at").cast("timestamp").alias("order_placed_datetime"), *others).drop("at")
    line_schema = (
        "sales_id bigint, item_id_id bigint, quantity double, original_price double, promo_item boolean, "
        "reject_reason string"
    )
    flags = [F.lit(None).cast("boolean").alias(name) for name in ("is_customized", "is_veg")]
    customers = [
        (1, "0007", False, False, True),
        (2, "0008", True, False, True),
        (4, "0009", False, False, False),
        (5, "0010", False, False, True),
        (6, "0011", False, True, True),
        (7, None, None, True, False),
    ]
    return OrderTables(
        orders=typed,
        lines=spark.createDataFrame(lines, line_schema).select("*", *flags),
        customers=OrderCustomers(
            spark.createDataFrame(
                customers,
                "order_key bigint, algonomy_id string, is_conflict boolean, is_erased boolean, is_ownapp_user boolean",
            ),
            lambda rows: rows,
        ),
        queries=spark.createDataFrame([(2,), (77,)], "order_key bigint"),
        stores=spark.createDataFrame(
            [(100, "Mall", "Y", "Pune", "N")],
            "store bigint, store_type string, store_generator_new string, store_geographical_city string, "
            "store_key_city string",
        ),
        items=spark.createDataFrame(
            [(501, False, 0b101, None, [0], [1.0], [0, 1]), (502, False, 0b010, 0, None, None, None)],
            "item bigint, is_excluded boolean, mask_0 bigint, choice_number int, choices array<int>, "
            "allowed array<double>, places array<int>",
        ),
        menu=MENU,
    )


ORDERS = [
    (1, "2025-01-10 18:29:59", 10.0, 100, None),
    (1, "2025-01-10 18:30:00", 20.0, 100, None),  # a later time wins, here midnight of Saturday in India
    (2, "2025-06-30 18:29:59", None, 999, None),  # a repeated order: the greater amount wins, null last
    (2, "2025-06-30 18:29:59", 30.0, None, None),
    (3, "2025-02-01 10:00:00", 1.0, 100, None),  # no customer
    (4, "2025-02-01 10:00:00", 1.0, 100, None),  # no own-app user
    (5, "2025-06-30 18:30:00", 1.0, 100, None),  # outside the window
    (5, None, 1.0, 100, "bad_timestamp"),
    (None, "2025-02-01 10:00:00", 1.0, 100, "bad_record"),
    (6, "2025-02-01 10:00:00", 1.0, 100, None),  # of an erased customer
    (7, "2025-02-01 10:00:00", 1.0, 100, None),  # of another, without the id
]
LINES = [
    (1, 501, 1.0, 99.99, False, None),
    (1, 502, 1.0, 5.0, None, None),  # the header allows it
    (2, 502, 0.0, 100.0, False, None),
    (3, 501, 1.0, 1.0, False, None),  # its order has no customer
    (88, 501, 1.0, 1.0, False, None),  # no order
    (None, 501, 1.0, 1.0, False, "bad_record"),
]


def computed(spark, orders, lines):
    """The collected order features by id, and the accounts by table."""
    metrics = RowMetrics()
    frame = order_features(tables(spark, orders, lines), OWNAPP, SETTINGS, metrics)
    rows = {row["order_id"]: row.asDict() for row in frame.collect()}
    return rows, {account.table: account for account in order_accounts(metrics, {"stores": 2})}


def test_order_features_and_their_accounts(spark):
    rows, accounts = computed(spark, ORDERS, LINES)
    names = [
        "total_price", "algonomy_id", "store_type", "has_query", "Low_items_count", "High_items_count",
        "dri_categ_burgers", "dri_categ_sides", "categ_base_product_mc_veggie", "unique_dri_categories_in_order",
        "unique_base_products_in_order", "item_count", "order_time_of_day", "is_weekend",
    ]  # fmt: skip
    assert {number: [row[name] for name in names] for number, row in rows.items()} == {
        1: [20.0, "0007", "Mall", False, 1, 0, 1, 0, 1, ["Burgers"], ["Mc Veggie"], 2.0, "Late Night", 1],
        2: [30.0, "0008", None, True, 0, 1, 0, 1, 0, ["Sides"], [], 0.0, "Dinner", 0],
    }
    orders, lines = accounts["orders"], accounts["lines"]
    assert (orders.read, orders.kept, orders.adds_up) == (11, 2, True)
    assert orders.dropped == {
        "bad_record": 1, "bad_timestamp": 1, "outside_window": 1, "excluded_store": 0, "duplicate": 2,
        "no_customer": 1, "erased": 2, "not_ownapp_user": 1,
    }  # fmt: skip
    assert orders.notes == {"customer_conflicts": 1, "stores_conflicts": 2}
    assert (lines.read, lines.kept, lines.adds_up) == (6, 2, True)
    assert lines.dropped == {"bad_record": 1, "no_order": 2, "promo": 0, "choice": 1, "unmapped": 0, "excluded": 0}


def test_an_order_without_lines_stays_with_zeros(spark):
    rows, accounts = computed(spark, ORDERS[1:2], [])
    row = rows[1]
    assert (row["item_count"], row["Low_items_count"], row["dri_categ_burgers"], row["veg_count"]) == (0.0, 0, 0, 0)
    assert (row["unique_dri_categories_in_order"], row["customization_flag"], row["veg_indicator"]) == ([], None, None)
    assert (accounts["lines"].read, accounts["lines"].kept) == (0, 0)


def test_equal_times_and_amounts_are_decided_by_the_other_columns_in_order(spark):
    orders = [(1, "2025-01-10 10:00:00", 10.0, store, None) for store in (300, None, 100, 200)]
    rows, accounts = computed(spark, orders, [])
    assert rows[1]["store_mds_id"] is None  # nulls come first
    assert accounts["orders"].dropped["duplicate"] == 3
    rows, _ = computed(spark, [each for each in orders if each[3]], [])
    assert rows[1]["store_mds_id"] == 100
