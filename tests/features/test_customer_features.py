"""Customer features through the pipelines on hand-written raw files; expected values are worked out by hand."""

import datetime as dt
from itertools import combinations

import pytest

from blitz.pipelines import CustomerFeaturePipeline, OrderFeaturePipeline
from blitz.raw.channels import CHANNELS
from world import World

DAYPARTS = ["Breakfast", "Lunch", "Evening", "Dinner", "Late Night"]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def run(spark, world):
    """{algonomy_id: row} and the result of the step."""
    config = world.config()
    for channel in CHANNELS:
        OrderFeaturePipeline(config, channel, spark).run()
    result = CustomerFeaturePipeline(config, spark).publish()
    table = spark.read.parquet(result.output.path)
    return {row["algonomy_id"]: row.asDict() for row in table.collect()}, result


def utc(local):
    return (dt.datetime.fromisoformat(local) - dt.timedelta(hours=5, minutes=30)).isoformat()


def test_cutoff_is_in_and_own_app_orders_decide_who_is_a_customer(spark, world):
    world.order(id=1, customer="a", order_placed_datetime=utc("2024-07-01 00:00:00"))
    world.order(id=2, customer="b", order_placed_datetime=utc("2024-06-30 23:59:59"))
    world.order("swiggy", id=11, customer="b", order_placed_datetime=utc("2025-01-01 12:00:00"))
    world.order("swiggy", id=12, customer="a", order_placed_datetime=utc("2024-06-30 23:59:59"))
    rows, result = run(spark, world)
    assert set(rows) == {"a"}
    assert rows["a"]["omnichannel_order_count"] == 1
    assert rows["a"]["channels_ordered_from"] == "OC only"
    assert {a.table: a.dropped for a in result.accounts}["swiggy order features"] == {"outside_window": 1}


def test_labels_may_hold_dots_and_bills_an_hour_that_the_clock_leaves_out(spark, world):
    world.common |= {
        "timezone": "America/New_York",
        "price_config": {"price_bins": [0, 50.5, 200], "bucket_labels": ["Rs. 0-50.5", "a`b"]},
    }
    world.order(id=1, customer="a", order_placed_datetime="2025-03-01 12:00:00")
    world.line(sales_id=1, original_price=50.5)
    world.bill("a", InvoiceNo="5", BussTime="2025-03-09 02:30:00")
    world.bill_line(InvoiceNo="5", OrderDatetime="2025-03-09", PriceNet="50.49")
    rows, _ = run(spark, world)
    assert rows["a"]["omnichannel_last_order_at"] == dt.datetime(2025, 3, 9, 2, 30)
    assert [rows["a"][f"omnichannel_order_count_with_{label}_price_range_items"] for label in ("Rs. 0-50.5", "a`b")] == [
        1, 1,
    ]  # fmt: skip


def test_orders_of_the_run_date_and_later_do_not_count(spark, world):
    """Order outputs of a later run date than the customers', as after a rerun for an older date."""
    world.order(id=1, customer="a", order_placed_datetime=utc("2025-06-30 23:59:59.999999"))
    world.order(id=2, customer="a", order_placed_datetime=utc("2025-07-01 00:00:00"))
    world.order(id=3, customer="b", order_placed_datetime=utc("2025-07-01 00:00:00"))
    world.common["current_run_date"] = "2025-08-01"
    config = world.config()
    for channel in CHANNELS:
        OrderFeaturePipeline(config, channel, spark).run()
    config["feature_pipeline"]["common"]["current_run_date"] = "2025-07-01"
    rows = {row["algonomy_id"]: row for row in CustomerFeaturePipeline(config, spark).run().collect()}
    assert {name: row["omnichannel_order_count"] for name, row in rows.items()} == {"a": 1}
    assert rows["a"]["omnichannel_recency"] == 0


def test_counts_amounts_and_channels(spark, world):
    world.order(id=1, discounted_price=20.0, sub_total_price=80.0, total_price=100.0)
    world.order(id=2, discounted_price=None, sub_total_price=50.0, total_price=None)
    world.order("swiggy", id=3, discounted_price=0.0, sub_total_price=0.0, total_price=50.0)  # a zero divisor
    world.bill(InvoiceNo="1", Discount="", BaseAmount="100", GrossAmount="70")
    world.bill(InvoiceNo="2", Discount="30", BaseAmount="", GrossAmount="80")
    world.order(id=9, customer="b", discounted_price=-10.0, sub_total_price=110.0)
    world.bill("b", InvoiceNo="3")
    rows, _ = run(spark, world)
    a, b = rows["0007"], rows["b"]
    assert a["omnichannel_avg_discount_pct"] == pytest.approx((0.2 + 0.0 + 1.0) / 3)
    assert a["omnichannel_avg_discount"] == pytest.approx((20 + 0 + 0 + 30) / 4)
    assert a["omnichannel_aov"] == pytest.approx((100 + 50 + 70 + 80) / 4)
    assert [a[f"{c}_order_count"] for c in ("omnichannel", "ownapp", "swiggy", "instore")] == [5, 2, 1, 2]
    assert (a["channels_ordered_from"], a["channel_count"]) == ("OC + Dine in + Swiggy", 3)
    assert (b["channels_ordered_from"], b["channel_count"]) == ("OC + Dine in", 2)
    assert b["omnichannel_avg_discount_pct"] == 0  # the mean of -0.1 and 0.05 is negative


def test_times_count_whole_days(spark, world):
    world.order(id=1, order_placed_datetime=utc("2025-06-10 12:00:00"))
    world.order(id=2, order_placed_datetime=utc("2025-06-30 11:59:59"))
    world.bill(InvoiceNo="1", BussTime="2025-06-30 21:00:00")
    world.order(id=3, customer="b", order_placed_datetime=utc("2025-06-30 23:59:59.999999"))
    rows, _ = run(spark, world)
    a, b = rows["0007"], rows["b"]
    assert (a["ownapp_recency"], a["ownapp_tenure_days"], a["ownapp_avg_days_between_orders"]) == (0, 20, 20.0)
    assert (a["omnichannel_recency"], a["omnichannel_tenure_days"]) == (0, 21)
    assert a["omnichannel_avg_days_between_orders"] == 10.5
    assert a["omnichannel_last_order_at"] == dt.datetime(2025, 6, 30, 21)
    assert a["ownapp_first_order_at"] == dt.datetime(2025, 6, 10, 12)
    assert (b["ownapp_recency"], b["ownapp_tenure_days"], b["ownapp_avg_days_between_orders"]) == (0, 1, None)


def test_dayparts_and_their_combinations(spark, world):
    hours = {"Breakfast": [7, 8], "Lunch": [12], "Evening": [], "Dinner": [20], "Late Night": [1, 2, 3]}
    at = 0
    for values in hours.values():
        for hour in values:
            at += 1
            world.order(id=at, order_placed_datetime=utc(f"2025-01-{10 + at} {hour:02}:00:00"))  # from Saturday 11th
    world.order("swiggy", id=50, order_placed_datetime=utc("2025-01-15 15:00:00"))
    rows, _ = run(spark, world)
    row = rows["0007"]
    own = {name: len(values) for name, values in hours.items()}
    omni = {**own, "Evening": 1}
    for scope, counts in (("ownapp", own), ("omnichannel", omni)):
        for size in range(1, 6):
            for chosen in combinations(DAYPARTS, size):
                assert row[f"{scope}_{'_'.join(chosen)}_order_count"] == sum(counts[name] for name in chosen)
    assert row["omnichannel_weekend_order_count"] == 2
    assert row["omnichannel_weekday_order_count"] == 6


def test_delivery_time_is_between_instants_and_of_own_app_alone(spark, world):
    world.order(id=1, order_placed_datetime="2025-01-01 10:00:00", order_delivery_datetime="2025-01-01 10:30:30")
    world.order(id=2, order_placed_datetime="2025-01-01 18:00:00", order_delivery_datetime="2025-01-01 19:00:00")
    world.order(id=3)
    world.order("swiggy", id=4, order_delivery_datetime="2025-01-09 10:00:00")
    rows, _ = run(spark, world)
    assert rows["0007"]["ownapp_avg_delivery_time_minutes"] == pytest.approx((30.5 + 60) / 2)


def test_prices_and_categories_per_scope(spark, world):
    world.menu += [("507", "P7", "mcveggie", "Burgers")]  # shares its column with McVeggie
    world.order(id=1)
    world.line(original_price=10.0)
    world.line(item_id_id=502, original_price=20.0)
    world.order(id=2)
    world.line(sales_id=2, item_id_id=507, original_price=300.0)
    world.bill()
    world.bill_line(ProductCode="P3", PriceNet="15")
    world.bill_line(ProductCode="P1", PriceNet="15")
    rows, _ = run(spark, world)
    row = rows["0007"]
    assert row["unique_base_products_in_order"] == ["Coke", "Fries", "McVeggie", "mcveggie"]
    assert row["unique_category_base_products_count"] == 4
    assert row["unique_dri_categories_in_order"] == ["Burgers", "Drinks", "Sides"]
    assert row["unique_dri_category_count"] == 3
    assert (row["omnichannel_categ_base_product_mcveggie_count"], row["ownapp_categ_base_product_mcveggie_count"]) == (
        3,
        2,
    )
    assert (row["omnichannel_dri_categ_drinks_count"], row["ownapp_dri_categ_drinks_count"]) == (1, 0)
    assert row["omnichannel_order_count_with_Add_ons_price_range_items"] == 2
    assert row["ownapp_order_count_with_Add_ons_price_range_items"] == 1
    assert row["ownapp_order_count_with_Premium_price_range_items"] == 1


def test_category_lists_of_older_configs_bound_the_columns(spark, world):
    world.customer = {"dri_categ_names": ["Burgers"], "ownapp_base_categs": ["categ_base_product_fries", "McVeggie"],
                      "swiggy_base_categs": ["Fries"], "instore_base_categs": ["Coke"]}  # fmt: skip
    world.order(id=1)
    world.line()
    world.line(item_id_id=503)
    world.bill()
    world.bill_line(ProductCode="P3")
    world.bill_line(ProductCode="P1")
    rows, _ = run(spark, world)
    row = rows["0007"]
    counted = {name for name in row if "categ" in name and name.endswith("_count") and not name.startswith("unique")}
    assert counted == {
        "omnichannel_dri_categ_burgers_count", "ownapp_dri_categ_burgers_count",
        "omnichannel_categ_base_product_fries_count", "ownapp_categ_base_product_fries_count",
        "omnichannel_categ_base_product_mcveggie_count", "ownapp_categ_base_product_mcveggie_count",
        "omnichannel_categ_base_product_coke_count",
    }  # fmt: skip
    assert row["omnichannel_categ_base_product_coke_count"] == 1  # own app does not contribute it
    assert row["omnichannel_categ_base_product_mcveggie_count"] == 1  # nor in-store this one
    assert row["unique_base_products_in_order"] == ["Coke", "McVeggie"]


def test_no_customers_give_an_empty_table_with_all_columns(spark, world):
    world.bill()
    rows, _ = run(spark, world)
    assert rows == {}
    columns = spark.read.parquet(str(world.root / "out/customers.parquet")).columns
    world.order()
    rows, _ = run(spark, world)
    assert columns == list(rows["0007"])
