"""Which rows are an erased customer's: by the hash of the id, and by the values of a rejected row."""

import hashlib

import pytest
from pyspark.sql import functions as F

from blitz.raw.channels import CHANNELS
from blitz.raw.erased_rows import ErasedOrders
from blitz.raw.suppression import NOBODY, Suppression
from blitz.raw.tables import ReadOptions

pytestmark = pytest.mark.engines

SALT = "pepper"
LIST = Suppression(
    frozenset(hashlib.sha256((SALT + each).encode()).hexdigest() for each in ("0008", "é-1", "zz")), SALT
)


def test_ids_are_found_by_their_hashes(spark):
    rows = [(1, "0007"), (2, "0008"), (3, None), (4, "8"), (5, "é-1"), (6, "0008 ")]
    given = spark.createDataFrame(rows, "at int, customer string")
    flagged = LIST.flag(given)
    assert {row["at"]: row["is_erased"] for row in flagged.collect()} == {
        number: number in (2, 5) for number, _ in rows
    }
    assert sorted(row["at"] for row in flagged.where("is_erased").collect()) == [2, 5]
    assert sorted(row["at"] for row in LIST.matching(given, "customer").collect()) == [2, 5]
    assert sorted(row["algonomy_id"] for row in LIST.among(given.union(given), "customer").collect()) == ["0008", "é-1"]
    assert LIST.among(given.where("at = 1"), "customer").collect() == []
    assert NOBODY.flag(given).where("is_erased").count() == 0
    assert SALT not in repr(LIST)


def test_rejected_rows_are_connected_by_id_and_by_order(spark):
    mapping, orders, lines = "customer mapping", "orders", "lines"
    rows = [
        (mapping, '{"customer_code_ty":"0007","invoice_no":"1","invoice_date":"x"}'),
        (mapping, '{"customer_code_ty":"=\\\\"0008\\\\"","invoice_no":"2","invoice_date":"x"}'),
        (mapping, '{"customer_code_ty":"9","invoice_no":"0008"}'),  # shifted cells
        (mapping, '{"customer_code_ty":"\\u00e9-1","invoice_no":"3"}'),
        (orders, '{"InvoiceNo":"B1","StoreCode":"7040.0","BussTime":"2025-01-07 13:00:00","GrossAmount":"x"}'),
        (orders, '{"InvoiceNo":"B1","StoreCode":"7040","BussTime":"2025-01-08 13:00:00","GrossAmount":"x"}'),
        (orders, '{"InvoiceNo":"B1","StoreCode":"7040","BussTime":"noon"}'),
        (orders, '{"InvoiceNo":"B1","StoreCode":"7041","BussTime":"noon"}'),
        (lines, '{"InvoiceNo":"B1","StoreCode":"7040","OrderDatetime":"2025-01-07 09:00:00","Qty":"x"}'),
        (lines, '{"InvoiceNo":"B2","StoreCode":"7040","OrderDatetime":"2025-01-07 09:00:00","Qty":"x"}'),
    ]
    given = spark.createDataFrame(
        [(table, "f", "bad_record", raw) for table, raw in rows], "table string, file string, reason string, raw string"
    )
    keys = spark.createDataFrame([("B1\x1f7040\x1f20095",)], "order_key string")
    erased = ErasedOrders(CHANNELS["instore"], ReadOptions(), "Asia/Kolkata", LIST, lambda _: keys)
    left = {row["raw"] for row in erased.without(given).collect()}
    assert left == {raw for at, (_, raw) in enumerate(rows) if at in (0, 5, 7, 9)}


def test_delivery_orders_are_connected_by_their_number(spark):
    rows = [("orders", '{"id":2.0}'), ("orders", '{"id":3}'), ("lines", '{"sales_id":"2"}'), ("lines", "{}")]
    given = spark.createDataFrame(
        [(table, "f", "bad_record", raw) for table, raw in rows], "table string, file string, reason string, raw string"
    )
    keys = spark.createDataFrame([(2,)], "order_key bigint").where(F.lit(True))
    erased = ErasedOrders(CHANNELS["ownapp"], ReadOptions(), "Asia/Kolkata", LIST, lambda _: keys)
    assert {row["raw"] for row in erased.without(given).collect()} == {'{"id":3}', "{}"}
