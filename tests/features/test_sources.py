"""Files as the world writes them: every form of a value is read as the same value, or the row has a reason."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blitz.errors import InputError
from blitz.raw.files import resolve
from blitz.raw.specs import Field, Kind, TableSpec
from blitz.raw.typed_rows import read_rejected, read_table

pytestmark = pytest.mark.engines
ZONE = "Asia/Kolkata"
SPEC = TableSpec(
    "orders",
    (
        Field("id", Kind.ID, required=True),
        Field("at", Kind.INSTANT),
        Field("flag", Kind.FLAG),
        Field("amount", Kind.NUMBER),
        Field("note", Kind.TEXT),
        Field("other", Kind.AS_IS),
    ),
    time="at",
)
LINES = TableSpec(
    "lines",
    (
        Field("InvoiceNo", Kind.CODE, required=True),
        Field("At", Kind.LOCAL, required=True),
        Field("Qty", Kind.NUMBER),
        Field("Name", Kind.TEXT),
    ),
)
INSTANT = dt.datetime(2025, 1, 31, 18, 29, 59, 123456)  # one second before midnight in India


def read(spark, spec, path):
    table = resolve([(spec, str(path))])[0]
    return [row.asDict() for row in read_table(spark, table, ZONE).collect()]


def orders(at, **columns):
    base = {"id": [1], "at": at, "flag": [True], "amount": [1.5], "note": ["a"], "other": ["x"]}
    return pa.table({**base, **columns})


@pytest.mark.parametrize(
    "at",
    [
        pa.array(np.array([INSTANT], "datetime64[ns]") + 999),
        pa.array([INSTANT], pa.timestamp("us")),
        pa.array([INSTANT], pa.timestamp("us", "UTC")),
        pa.array(pd.to_datetime([INSTANT]).tz_localize("UTC").tz_convert(ZONE)),
        pa.array(["2025-01-31 18:29:59.123456"]),
        pa.array(["2025-01-31T18:29:59.123456Z"]),
        pa.array(["2025-01-31T23:59:59.123456+05:30"]),
    ],
    ids=["nanos", "micros", "micros-utc", "nanos-ist", "text", "text-z", "text-ist"],
)
def test_every_form_of_an_instant_is_the_same_instant(spark, tmp_path, at):
    pq.write_table(orders(at), tmp_path / "a.parquet", version="2.6")
    [row] = read(spark, SPEC, tmp_path)
    assert row["at"] == INSTANT
    assert row["reject_reason"] is None


def test_milliseconds_and_dates(spark, tmp_path):
    pq.write_table(orders(pa.array([INSTANT], pa.timestamp("ms"))), tmp_path / "a.parquet")
    pq.write_table(orders(pa.array([INSTANT.date()]), id=[2]), tmp_path / "b.parquet")
    rows = {row["id"]: row["at"] for row in read(spark, SPEC, tmp_path)}
    assert rows == {1: INSTANT.replace(microsecond=123000), 2: dt.datetime(2025, 1, 31)}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (pa.array([True, False, None]), [True, False, None]),
        (pa.array([1, 0, None], pa.int8()), [True, False, None]),
        (pa.array([1.0, 0.0, float("nan")]), [True, False, None]),
        (pa.array(["1", "false", ""]), [True, False, None]),
    ],
    ids=["boolean", "int", "double", "text"],
)
def test_every_form_of_a_flag_is_the_same_flag(spark, tmp_path, flags, expected):
    at = pa.array([INSTANT] * 3, pa.timestamp("us"))
    table = orders(
        at, id=[1.0, 2.0, 3.0], flag=flags, amount=["1", " 2.5 ", "nan"], note=[" a ", "", None], other=[1] * 3
    )
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read(spark, SPEC, tmp_path)
    assert [row["flag"] for row in rows] == expected
    assert [row["amount"] for row in rows] == [1.0, 2.5, None]
    assert [row["note"] for row in rows] == ["a", None, None]
    assert [row["reject_reason"] for row in rows] == [None] * 3


def test_rows_that_cannot_be_read_have_a_reason(spark, tmp_path):
    at = pa.array(["2025-01-01", "yesterday", None, "2025-01-01", "2025-13-01", "12:30", "2025-01-01"])
    table = orders(
        at, id=["1", "2", "3.0", "x", "5", "6", "1.7"], flag=["1"] * 7, amount=["1", "1", "1", "1", "abc", "1", "1"],
        note=["n"] * 7, other=[1] * 7,
    )  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read(spark, SPEC, tmp_path)
    assert [row["reject_reason"] for row in rows] == [
        None, "bad_timestamp", "bad_timestamp", "bad_record", "bad_record", "bad_timestamp",
        "bad_record",
    ]  # fmt: skip
    rejected = read_rejected(spark, resolve([(SPEC, str(tmp_path))])[0], ZONE).collect()
    assert len(rejected) == 6
    assert {Path(row["file"]).name for row in rejected} == {"a.parquet"}
    assert any('"id":"x"' in row["raw"] for row in rejected)


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_the_quarantine_has_all_digits_of_a_time(spark, tmp_path, zone):
    pq.write_table(orders(pa.array([INSTANT], pa.timestamp("us", zone)), id=["x"]), tmp_path / "a.parquet")
    [row] = read_rejected(spark, resolve([(SPEC, str(tmp_path))])[0], ZONE).collect()
    assert json.loads(row["raw"])["at"] == "2025-01-31 18:29:59.123456"


def test_files_of_one_folder_may_differ_in_types(spark, tmp_path):
    at = pa.array([INSTANT], pa.timestamp("us"))
    pq.write_table(orders(at, other=pa.array([7], pa.int64())), tmp_path / "a.parquet")
    pq.write_table(orders(at, id=[2.0], other=[float("nan")]), tmp_path / "b.parquet")
    pq.write_table(orders(at, id=[3], other=pa.nulls(1)), tmp_path / "c.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".a.parquet.crc").write_bytes(b"crc")
    (tmp_path / "empty.parquet").write_bytes(b"")
    rows = {row["id"]: row["other"] for row in read(spark, SPEC, tmp_path)}
    assert rows == {1: 7.0, 2: None, 3: None}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        (([True], [0]), [1, 0]),
        (([True], [0.0], [None]), [1.0, 0.0, None]),
        (([True], ["no"], [float("nan")]), ["true", "no", None]),
    ],
    ids=["integers", "doubles", "text"],
)
def test_a_flag_that_is_carried_through_has_one_type(spark, tmp_path, others, expected):
    for number, other in enumerate(others):
        table = orders(pa.array([INSTANT], pa.timestamp("us")), id=[number], other=other)
        pq.write_table(table, tmp_path / f"{number}.parquet")
    rows = {row["id"]: row["other"] for row in read(spark, SPEC, tmp_path)}
    assert [rows[number] for number in range(len(others))] == expected
    assert {type(value) for value in rows.values() if value is not None} == {type(expected[0])}


def test_csv_as_the_world_writes_it(spark, tmp_path):
    (tmp_path / "a.csv").write_bytes(
        "\ufeffInvoiceNo,At,Qty,Name\r\n"
        '7040.0,2025-01-31 23:59:59,2,"Fries, ""large"""\r\n'
        "\r\n"
        "0042,2025-02-01T00:00:00,1.0\r\n".encode()
    )
    (tmp_path / "b [1]*,{c}.csv").write_text(
        "Name, Qty ,extra,InvoiceNo,At\n b ,,x,A-1,2025-01-31T18:29:59Z\nc,1,x,5,2025-02-01,one,two\n"
        "\t d ,\t3,x,A-2\t,2025-01-31 18:29:59 UTC, \n,,x,A-3,2025-01-31 13:29:59 America/New_York\n"
    )
    (tmp_path / "c.csv").write_text("InvoiceNo,At,Qty,Name\n")
    rows = {row["InvoiceNo"]: row for row in read(spark, LINES, str(tmp_path / "*.csv"))}
    assert set(rows) == {"7040", "0042", "A-1", "A-2", "A-3", "5"}
    assert rows["7040"]["Name"] == 'Fries, "large"'
    assert rows["7040"]["At"] == dt.datetime(2025, 1, 31, 23, 59, 59)
    assert rows["0042"]["Qty"] == 1.0
    assert rows["0042"]["Name"] is None
    assert rows["A-1"]["At"] == dt.datetime(2025, 1, 31, 23, 59, 59)
    assert rows["A-1"]["Qty"] is None
    assert rows["A-1"]["Name"] == "b"
    assert {rows[name]["At"] for name in ("A-2", "A-3")} == {rows["A-1"]["At"]}
    assert (rows["A-2"]["Name"], rows["A-2"]["Qty"], rows["A-2"]["reject_reason"]) == ("d", 3.0, None)
    assert rows["5"]["reject_reason"] == "bad_record"  # more values than columns: which is which is anyone's guess


def test_columns_that_differ_in_case_alone(spark, tmp_path):
    table = orders(pa.array([INSTANT], pa.timestamp("us")))
    pq.write_table(table.append_column("OTHER", pa.array(["y"])), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="columns 'other' and 'OTHER' differ in case alone: Spark cannot"):
        resolve([(SPEC, str(tmp_path))])
    (tmp_path / "b.csv").write_text("AT,At,InvoiceNo,Qty,Name\nx,2025-02-01,A,1,n\n")
    [row] = read(spark, LINES, tmp_path / "b.csv")
    assert row["At"] == dt.datetime(2025, 2, 1)
