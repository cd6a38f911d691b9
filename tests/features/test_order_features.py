"""Order features through OrderFeaturePipeline on hand-written raw files; expected values are worked out by hand."""

import datetime as dt

import pytest

from blitz.config import load_config
from blitz.errors import BlitzError
from blitz.pipelines import OrderFeaturePipeline
from world import World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def run(spark, world, channel="ownapp"):
    """({order_id: row}, {table: account}) of one channel."""
    config = world.config()
    if channel != "ownapp":
        OrderFeaturePipeline(config, "ownapp", spark).run()
    pipeline = OrderFeaturePipeline(config, channel, spark)
    result = pipeline.publish(pipeline.compute())
    rows = {row["order_id"]: row.asDict() for row in spark.read.parquet(result.output.path).collect()}
    accounts = {account.table: account for account in result.accounts}
    assert all(account.adds_up for account in accounts.values())
    return rows, accounts


def test_the_window_holds_its_first_midnight_and_not_its_last_in_local_time(spark, world):
    edges = {
        1: "2023-03-31 18:29:59.999999",  # one microsecond before 2023-04-01 00:00 in India
        2: "2023-03-31 18:30:00",
        3: "2025-06-30 18:29:59.999999",
        4: "2025-06-30 18:30:00",  # 2025-07-01 00:00 in India, the run date's
    }
    for number, at in edges.items():
        world.order(id=number, order_placed_datetime=at)
    rows, accounts = run(spark, world)
    assert set(rows) == {2, 3}
    assert accounts["orders"].dropped["outside_window"] == 2


def test_daypart_and_weekend_in_local_time(spark, world):
    expected = {
        "00:00:00": "Late Night", "05:59:59": "Late Night", "06:00:00": "Breakfast", "10:59:59": "Breakfast",
        "11:00:00": "Lunch", "14:59:59": "Lunch", "15:00:00": "Evening", "18:59:59": "Evening",
        "19:00:00": "Dinner", "23:59:59": "Dinner",
    }  # fmt: skip
    days = {"2025-01-10": 0, "2025-01-11": 1, "2025-01-12": 1, "2025-01-13": 0}  # Friday to Monday
    cases = [(day, local) for day in days for local in expected]
    for number, (day, local) in enumerate(cases):
        at = dt.datetime.fromisoformat(f"{day} {local}") - dt.timedelta(hours=5, minutes=30)
        world.order(id=number, order_placed_datetime=at.isoformat())
    rows, _ = run(spark, world)
    found = {cases[number]: (row["order_time_of_day"], row["is_weekend"]) for number, row in rows.items()}
    assert found == {(day, local): (expected[local], days[day]) for day, local in cases}


def test_repeated_orders_count_once(spark, world):
    world.order(id=1, order_placed_datetime="2025-01-01 10:00:00", total_price=900.0)
    world.order(id=1, order_placed_datetime="2025-01-01 11:00:00", total_price=100.0, tip=1.0)
    world.order(id=1, order_placed_datetime="2025-01-01 11:00:00", total_price=None, tip=2.0)
    world.order(id=1, order_placed_datetime="2025-01-01 11:00:00", total_price=200.0, tip=3.0)
    world.order(id=1, order_placed_datetime="2025-07-02 11:00:00", total_price=999.0)  # latest, but outside the window
    world.line()
    rows, accounts = run(spark, world)
    assert rows[1]["total_price"] == 200.0
    assert rows[1]["tip"] == 3.0
    assert rows[1]["item_count"] == 1
    assert accounts["orders"].dropped["duplicate"] == 3
    assert accounts["orders"].dropped["outside_window"] == 1


def test_the_smallest_customer_of_several_wins_and_zeros_count(spark, world):
    world.order(id=1, customer="12")
    world.customers += [("0102", "1.0", None, None), (" 0100 ", "1", None, None), ("5", "", None, None)]
    world.order(id=2, customer=None)
    rows, accounts = run(spark, world)
    assert rows[1]["algonomy_id"] == "0100"
    assert 2 not in rows
    assert accounts["orders"].dropped["no_customer"] == 1
    assert accounts["orders"].notes["customer_conflicts"] == 1


def test_other_channels_keep_own_app_users_only(spark, world):
    world.order(id=1, customer="0007")
    world.order("swiggy", id=1, customer=None)  # own app's mapping row names the same number
    world.order("swiggy", id=2, customer="0007")
    world.order("swiggy", id=3, customer="7")
    world.order("swiggy", id=4, customer=None)
    rows, accounts = run(spark, world, "swiggy")
    assert set(rows) == {1, 2}
    assert {row["algonomy_id"] for row in rows.values()} == {"0007"}
    assert accounts["orders"].dropped["not_ownapp_user"] == 1
    assert accounts["orders"].dropped["no_customer"] == 1


def test_a_mapping_row_that_lacks_a_part_of_the_invoice_names_no_order(spark, world):
    world.order(id=1, customer="0007")
    world.bill(InvoiceNo="900", customer=None)
    world.customers += [
        ("0007", "900", None, "7040"),
        ("0007", "900", "soon", "7040"),
        ("0007", "900", "2025-01-07", None),
        ("0007", "", "2025-01-07", "7040"),
        ("0007", "900", None, None),
    ]
    world.bill(InvoiceNo="901")
    rows, accounts = run(spark, world, "instore")
    assert set(rows) == {"901"}
    assert accounts["orders"].dropped["no_customer"] == 1


def test_stores_are_joined_once_whatever_the_files_repeat(spark, world):
    world.store_codes += [("100", "7040"), ("100.0", "7041")]
    world.stores += [("7040", "Main", "Mall", "Mumbai", "Y", "G1"), ("7040", "Old", "Zoo", "Agra", "N", "G9")]
    world.order(id=1, store_id_id=100)
    world.order(id=2, store_id_id=101)
    world.order(id=3, store_id_id=999)
    world.order(id=4, store_id_id=None)
    rows, accounts = run(spark, world)
    assert [rows[n]["store_type"] for n in (1, 2, 3, 4)] == ["Mall", "Street", None, None]
    assert rows[2]["store_geographical_city"] == "Pune"
    assert rows[1]["store_name"] == "Main"
    assert accounts["orders"].notes["store_codes_conflicts"] == 1
    assert accounts["orders"].notes["stores_conflicts"] == 1


def test_has_query(spark, world):
    world.order(id=1)
    world.order(id=2)
    world.queries = [2, 2, 3]
    rows, _ = run(spark, world)
    assert (rows[1]["has_query"], rows[2]["has_query"]) == (False, True)


def test_choice_items_of_a_header(spark, world):
    cases = [  # what the header allows, lines of the choice item (item, quantity, promo), whether they go
        ("2", [(502, 1, False), (502, 1, False)], True),  # both lines of the choice item go together
        ("2", [(502, 1, False), (502, 2, False)], False),  # three pieces are more than two
        ("2", [(502, 2, False), (502, 5, True)], True),  # promo pieces do not count
        ("", [(502, 1, False)], False),
        ("1", [(502, None, False)], True),  # an unknown quantity is none
    ]
    for number, (allowed, lines, _) in enumerate(cases):
        header = str(601 + number)
        world.menu.append((header, f"H{number}", "McVeggie", "Burgers"))
        world.choices.append((header, "502", f"H{number}", "P2", allowed))
        world.order(id=number)
        world.line(sales_id=number, item_id_id=int(header), quantity=9)
        for item, quantity, promo in lines:
            values = {"item_id_id": item, "quantity": quantity, "promo_item": promo, "original_price": 120.0}
            world.line(sales_id=number, **values)
    rows, accounts = run(spark, world)
    for number, (_, lines, is_gone) in enumerate(cases):
        row = rows[number]
        assert row["categ_base_product_fries"] == (0 if is_gone else 1), number
        assert row["Value_items_count"] == (0 if is_gone else 1), number
        assert row["item_count"] == 9 + sum(quantity or 0 for _, quantity, _ in lines), number
    assert accounts["lines"].dropped["choice"] == 2 + 1 + 1
    assert accounts["lines"].dropped["promo"] == 1


def test_any_header_that_allows_enough_is_enough_and_a_promo_header_is_none(spark, world):
    world.choices = [("501", "503", "", "", "1"), ("502", "503", "", "", "3"), ("504", "503", "", "", "9")]
    for number, headers in enumerate([[501, 502], [501], []], start=1):
        world.order(id=number)
        for header in headers:
            world.line(sales_id=number, item_id_id=header)
        world.line(sales_id=number, item_id_id=503, quantity=3)
        world.line(sales_id=number, item_id_id=504, promo_item=True)
    rows, _ = run(spark, world)
    assert [rows[n]["categ_base_product_coke"] for n in (1, 2, 3)] == [0, 1, 1]


def test_first_reason_counts_and_an_order_without_lines_stays(spark, world):
    world.order(id=1)
    world.line(item_id_id=505)  # excluded
    world.line(item_id_id=506)  # no driver category
    world.line(item_id_id=599)  # no category row
    world.line(item_id_id=None)
    world.line(item_id_id=505, promo_item=True)  # promo before excluded
    world.order(id=2)
    world.line(sales_id=77)
    rows, accounts = run(spark, world)
    assert accounts["lines"].dropped == {
        "bad_record": 0, "no_order": 1, "promo": 1, "choice": 0, "unmapped": 3, "excluded": 1,
    }  # fmt: skip
    for number in (1, 2):
        assert rows[number]["unique_dri_categories_in_order"] == []
        assert sum(value for name, value in rows[number].items() if name.startswith(("dri_", "categ_"))) == 0
    assert rows[1]["item_count"] == 5
    assert rows[2]["item_count"] == 0
    assert rows[2]["customization_flag"] is None
    assert rows[2]["veg_indicator"] is None


def test_price_buckets_are_closed_on_the_left(spark, world):
    prices = {1: -0.01, 2: 0.0, 3: 34.99, 4: 35.0, 5: 599.99, 6: 600.0, 7: 100000.0, 8: None}
    for number, price in prices.items():
        world.order(id=number)
        world.line(sales_id=number, original_price=price)
    rows, _ = run(spark, world)
    buckets = {
        number: [name for name, value in row.items() if name.endswith("_items_count") and value]
        for number, row in rows.items()
    }
    assert buckets == {
        1: [], 2: ["Add_ons_items_count"], 3: ["Add_ons_items_count"], 4: ["Economy_items_count"],
        5: ["Ultimate_items_count"], 6: ["Group_items_count"], 7: [], 8: [],
    }  # fmt: skip


def test_flags_over_all_lines_with_nulls(spark, world):
    world.order(id=1)
    world.line(is_customized=None, is_veg=None, quantity=2, promo_item=None)
    world.line(is_customized=True, is_veg=True, quantity=3, promo_item=True)
    world.line(is_customized=False, is_veg=False)
    rows, _ = run(spark, world)
    row = rows[1]
    assert (row["customization_flag"], row["veg_indicator"], row["veg_count"]) == (1, 0, 1)
    assert (row["item_count"], row["promo_items"]) == (6, 3)


def test_categories_follow_the_file_not_the_data(spark, world):
    world.menu += [
        ("501", "P9", "Zeta", "Burgers"),  # same item, greater row: counted as a conflict, never multiplies lines
        ("507", "P7", "Mc-Flurry & Co.", "Desserts"),
        ("508", "P8", "mc flurry co", "Desserts"),  # another name with the same column
        ("508.0", "P8", "mc flurry co", "Desserts"),
    ]
    world.order(id=1)
    world.line(item_id_id=501)
    world.line(item_id_id=504)  # a null base category gives no base column
    world.line(item_id_id=507)
    world.line(item_id_id=508)
    rows, accounts = run(spark, world)
    row = rows[1]
    assert row["categ_base_product_mcveggie"] == 1
    assert row["categ_base_product_zeta"] == 0
    assert row["categ_base_product_mc_flurry_co"] == 1
    assert row["dri_categ_desserts"] == 1
    assert "categ_base_product_exclude" not in row
    assert row["unique_base_products_in_order"] == ["Mc-Flurry & Co.", "McVeggie", "mc flurry co"]
    assert row["unique_dri_categories_in_order"] == ["Burgers", "Desserts", "Sides"]
    assert row["item_count"] == 4
    assert accounts["orders"].notes["categories_conflicts"] == 1


def test_menus_of_hundreds_of_categories(spark, world):
    world.menu = [(str(n), f"P{n}", f"Base {n:03}", f"Driver {n % 90:03}") for n in range(1, 301)]
    world.order(id=1)
    for item in (1, 62, 63, 64, 125, 300):
        world.line(item_id_id=item)
    rows, _ = run(spark, world)
    assert rows[1]["unique_base_products_in_order"] == [f"Base {n:03}" for n in (1, 62, 63, 64, 125, 300)]
    assert [n for n in range(1, 301) if rows[1][f"categ_base_product_base_{n:03}"]] == [1, 62, 63, 64, 125, 300]
    assert rows[1]["unique_dri_categories_in_order"] == [f"Driver {n:03}" for n in (1, 30, 35, 62, 63, 64)]


def test_one_id_counts_once_however_the_files_write_it(spark, world):
    world.order(id=1, customer="b")
    world.customers += [("a", "1.7", None, None), ("c", "0001.0", None, None)]
    world.store_codes.append(("0100", "7041"))
    world.menu += [("0501", "P7", "Another", "Burgers"), ("501.9", "P8", "Coke", "Drinks")]
    world.choices += [("0501.0", "502", "P1", "P2", "1"), ("503", "501.9", "", "", "9"), ("503", "x", "", "", "9")]
    for item in (501, 502, 503):
        world.line(item_id_id=item)
    rows, accounts = run(spark, world)
    assert rows[1]["algonomy_id"] == "b"
    assert rows[1]["item_count"] == 3
    assert rows[1]["unique_base_products_in_order"] == ["Another", "Coke"]
    assert rows[1]["store_geographical_city"] == "Mumbai"
    assert (accounts["orders"].kept, accounts["lines"].kept, accounts["lines"].dropped["choice"]) == (1, 2, 1)


def test_instore_invoices_repeat_across_stores_and_days(spark, world):
    world.order(customer="0007")
    world.order(id=2, customer="0008")
    places = [("0007", "7040.0", "2025-01-07 23:59:59"), ("0008", "7041", "2025-01-07 23:59:59")]
    places += [("0007", "7040", "2025-01-08 00:00:00")]
    for at, (customer, store, time) in enumerate(places):
        world.bill(customer, InvoiceNo="900.0", StoreCode=store, BussTime=time)
        for _ in range(at + 1):
            world.bill_line(InvoiceNo="900", StoreCode=store.removesuffix(".0"), OrderDatetime=time[:10] + "T12:00:00")
    world.bill(StoreCode="9993")
    config = world.config()
    OrderFeaturePipeline(config, "ownapp", spark).run()
    pipeline = OrderFeaturePipeline(config, "instore", spark)
    table = pipeline.run()
    rows = sorted(table.collect(), key=lambda row: row["item_count"])
    assert [row["algonomy_id"] for row in rows] == ["0007", "0008", "0007"]
    assert [row["item_count"] for row in rows] == [1, 2, 3]
    assert [row["order_id"] for row in rows] == ["900"] * 3
    assert rows[0]["BussTime"] == dt.datetime(2025, 1, 7, 23, 59, 59)
    assert rows[0]["order_placed_datetime"] == dt.datetime(2025, 1, 7, 18, 29, 59)
    assert dict(table.dtypes)["BussTime"] == "timestamp_ntz"
    assert pipeline.publish(pipeline.compute()).accounts[0].dropped["excluded_store"] == 1


def test_rejected_rows_go_to_the_quarantine_and_too_many_stop_the_run(spark, world):
    world.order(customer="0007")
    for at in range(3):
        world.bill(InvoiceNo=str(at))
        world.bill_line(InvoiceNo=str(at))
    world.bill(InvoiceNo="9", BussTime="soon")
    world.bill_line(InvoiceNo="1", Qty="many")
    config = world.config()
    OrderFeaturePipeline(config, "ownapp", spark).run()
    pipeline = OrderFeaturePipeline(config, "instore", spark)
    result = pipeline.publish(pipeline.compute())
    assert spark.read.parquet(result.output.path).count() == 3
    assert result.accounts[0].dropped["bad_timestamp"] == 1
    quarantine = spark.read.parquet(result.quarantine).collect()
    assert sorted((row["table"], row["reason"]) for row in quarantine) == [
        ("customer mapping", "bad_record"), ("lines", "bad_record"), ("orders", "bad_timestamp"),
    ]  # fmt: skip
    assert any("soon" in row["raw"] for row in quarantine)
    assert all(row["file"].endswith(".csv") for row in quarantine)

    world.bill(InvoiceNo="77")
    world.run["max_rejected_fraction"] = 0.1
    config = load_config(world.config())
    with pytest.raises(
        BlitzError, match=r"instore orders: 20\.00% of 5 rows cannot be read \(bad_record 0, bad_timestamp 1\)"
    ):
        OrderFeaturePipeline(config, "instore", spark).run()
    before = spark.read.parquet(str(world.root / "out/instore.parquet"))
    assert before.count() == 3  # the last good result stays


def test_empty_tables_give_empty_results_with_all_columns(spark, world):
    rows, accounts = run(spark, world)
    assert rows == {}
    assert accounts["orders"].read == 0
    columns = spark.read.parquet(str(world.root / "out/ownapp.parquet")).columns
    assert {"order_id", "dri_categ_sides", "is_weekend"} <= set(columns)


def test_a_business_day_that_starts_at_four_joins_the_lines_after_midnight(spark, world):
    world.common["business_day_starts"] = "04:00"
    world.order(id=1)
    world.bill(InvoiceNo="900", BussTime="2025-01-07 23:50:00")
    world.bill(InvoiceNo="901", BussTime="2025-01-08 03:59:59", customer=None)
    world.bill(InvoiceNo="902", BussTime="2025-01-08 04:00:00")
    world.customers += [("0007", "901", "2025-01-07", "7040"), ("0007", "902", "2025-01-09 03:00", "7040")]
    world.bill_line(InvoiceNo="900", OrderDatetime="2025-01-08 00:10:00", Qty="1")
    world.bill_line(InvoiceNo="901", OrderDatetime="2025-01-07 22:00:00", Qty="2")
    world.bill_line(InvoiceNo="902", OrderDatetime="2025-01-08 03:00:00", Qty="4")
    config = world.config()
    OrderFeaturePipeline(config, "ownapp", spark).run()
    rows = {row["order_id"]: row for row in OrderFeaturePipeline(config, "instore", spark).run().collect()}
    assert {name: row["item_count"] for name, row in rows.items()} == {"900": 1, "901": 2, "902": 0}
    assert rows["901"]["BussTime"] == dt.datetime(2025, 1, 8, 3, 59, 59)
