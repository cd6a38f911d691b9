"""Every rule of docs/contract.md, section 9: what is in the file, and the value that comes of it, in CSV and in Parquet."""

import csv
import datetime as dt
import gzip
import os
import random
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from blitz.errors import InputError
from blitz.raw import values
from blitz.raw.channels import KEY_SEPARATOR, channel_of
from blitz.raw.cut_off import naming_cut_off_files
from blitz.raw.files import Source, resolve
from blitz.raw.headers import HEADER_BYTES
from blitz.raw.rejections import damaged_files, rejections
from blitz.raw.specs import CUSTOMER_MAPPING, INSTORE_ORDERS, Field, Kind, TableSpec
from blitz.raw.tables import ReadOptions
from blitz.raw.typed_rows import read_rejected, read_table
from blitz.spark.failures import reason

pytestmark = pytest.mark.engines
ZONE = "Asia/Kolkata"
BAD = "bad_record"
SPEC = TableSpec(
    "rows",
    (
        Field("key", Kind.CODE, required=True),
        Field("id", Kind.ID),
        Field("code", Kind.CODE),
        Field("number", Kind.NUMBER),
        Field("flag", Kind.FLAG),
        Field("name", Kind.TEXT),
        Field("word", Kind.AS_IS),
        Field("day", Kind.LOCAL),
    ),
)
NAMES = [field.name for field in SPEC.fields]
MARKERS = ["", "  ", "NULL", "null", "NaN", "nan", "None", "N/A", "n/a", "NA", "<NA>", "#N/A", "\\N", "\u00a0\u200b"]
CASES = [
    *[(name, marker, None) for name in NAMES[1:] for marker in MARKERS],
    ("name", "\u200b Caf\u00e9\u3000", "Caf\u00e9"), ("name", "none", "none"), ("name", "'n' Roll", "'n' Roll"),
    ("word", "\ufeffx\u2009", "x"), ("word", "0042", "0042"), ("word", "7040.0", "7040.0"),
    ("code", "none", None), ("code", "'0042", "0042"), ("code", '="0042"', "0042"), ("code", "'NULL", None),
    ("code", "7040.0", "7040"), ("code", "7040.", "7040"), ("code", "7040.5", "7040.5"), ("code", "0007", "0007"),
    ("code", "1.2345678E7", "12345678"), ("code", "1.2e+1", "12"), ("code", "1.230E2", "123"), ("code", "A-1.0", "A-1.0"),
    ("code", "caf\ufffd7", BAD), ("code", "1.0E0", "1"), ("code", "1.50E01", "15"), ("code", f"1.{'2' * 39}E39", f"1{'2' * 39}"),
    ("code", f"1.{'2' * 40}E40", BAD),
    ("code", "9.19812E+11", BAD), ("code", "9E+11", BAD), ("code", "1.25E1", BAD), ("code", "12E5", "12E5"),
    ("id", "7040.0", 7040), ("id", "'12", 12), ("id", "\u00a07\u00a0", 7), ("id", "1.2345678E7", 12345678),
    ("id", "1.7", BAD), ("id", "9.1E+11", BAD), ("id", "A7", BAD), ("id", "1,234", BAD),
    ("number", "1,234.50", 1234.5), ("number", "1,23,456.50", 123456.5), ("number", "12,34,567", 1234567.0),
    ("number", "\u20b9210", 210.0), ("number", "Rs. 1,234", 1234.0), ("number", "INR 5", 5.0), ("number", "(5.00)", -5.0),
    ("number", "\u20b9(1,234.5)", -1234.5), ("number", "(\u20b95)", -5.0), ("number", "-\u20b95", -5.0),
    ("number", "7040.0", 7040.0), ("number", "1e3", 1000.0), ("number", ".5", 0.5), ("number", "+5", 5.0),
    ("number", "1,4", BAD), ("number", "12,34", BAD), ("number", "Infinity", BAD), ("number", "-inf", BAD),
    ("number", "1e999", BAD), ("number", "12d", BAD), ("number", "0x1p3", BAD), ("number", "(5", BAD), ("number", "$5", BAD),
    ("flag", "TRUE", True), ("flag", "0.0", False), ("flag", "n", False), ("flag", "perhaps", BAD),
    ("day", "2025-06-01 9:05", dt.datetime(2025, 6, 1, 9, 5)), ("day", "2025-06-01T09:05", dt.datetime(2025, 6, 1, 9, 5)),
    ("day", "2025-06-01 09:05:03.5", dt.datetime(2025, 6, 1, 9, 5, 3, 500000)), ("day", "20250601", dt.datetime(2025, 6, 1)),
    ("day", "2025-06-01", dt.datetime(2025, 6, 1)), ("day", "2025-06-01T03:35:00Z", dt.datetime(2025, 6, 1, 9, 5)),
    ("day", "2025-06-01 9:05+05:30", dt.datetime(2025, 6, 1, 9, 5)), ("day", "2025-06-01 3:35 +0000", dt.datetime(2025, 6, 1, 9, 5)),
    ("day", "2025-06-01 09:05:00+0530", dt.datetime(2025, 6, 1, 9, 5)), ("day", "01/06/2025", BAD), ("day", "2025", BAD),
    ("day", "12:30", BAD), ("day", "2025-13-01", BAD), ("day", "2025-06-01 25:00", BAD), ("day", "2025-6-1", BAD),
]  # fmt: skip


def rows_of(spark, path, spec=SPEC, **options):
    [table] = resolve([Source(spec, str(path), ReadOptions(**options))])
    return [row.asDict() for row in read_table(spark, table, ZONE).collect()]


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_every_text_is_the_value_that_the_contract_says(spark, tmp_path, format):
    lines = [
        {**dict.fromkeys(NAMES, "1"), "day": "2025-01-01", "key": str(at), name: text}
        for at, (name, text, _) in enumerate(CASES)
    ]
    if format == "csv":
        with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, NAMES)
            writer.writeheader()
            writer.writerows(lines)
    else:
        pq.write_table(pa.table({name: [line[name] for line in lines] for name in NAMES}), tmp_path / "a.parquet")
    found = {row["key"]: row for row in rows_of(spark, tmp_path)}
    assert len(found) == len(CASES)
    wrong = []
    for at, (name, text, expected) in enumerate(CASES):
        row = found[str(at)]
        got = BAD if row["reject_reason"] == BAD else row[name]
        if got != expected:
            wrong.append((name, text, got, expected))
    assert wrong == []


def test_spark_and_python_agree_on_texts_of_any_kind(spark, tmp_path):
    """The small mapping files go through Python: each text must be the same value there."""
    random_ = random.Random(5)
    signs = "0123456789.,+-eE()₹ '=\"\u00a0\u200bNULnaRs\\#"
    texts = ["".join(random_.choice(signs) for _ in range(random_.randint(1, 8))) for _ in range(3000)]
    texts += [text for _, text, _ in CASES]
    columns = dict.fromkeys(("id", "code", "number", "name"), texts)
    rest = {name: [None] * len(texts) for name in ("flag", "word", "day")}
    keys = [str(at) for at in range(len(texts))]
    pq.write_table(
        pa.table({"key": keys, **columns, **{k: pa.array(v, pa.string()) for k, v in rest.items()}}),
        tmp_path / "a.parquet",
    )
    readers = {"id": values.whole_number, "code": values.code, "number": values.number, "name": values.clean_text}

    def of_python(name, text):
        try:
            return readers[name](text)
        except values.UnreadableError:
            return None

    for row in rows_of(spark, tmp_path):
        text = texts[int(row["key"])]
        assert {name: row[name] for name in readers} == {name: of_python(name, text) for name in readers}, repr(text)


def test_whole_floats_and_decimals_are_codes_and_ids_where_no_digit_is_lost(spark, tmp_path):
    floats = [7040.0, float("nan"), 2.0**53, 2.0**53 + 2, float("inf")]
    columns = {
        "key": ["1", "2", "3", "4", "5"], "id": floats, "code": pa.array(floats), "number": [1.0] * 5, "flag": [True] * 5,
        "name": ["n"] * 5, "word": ["w"] * 5, "day": pa.array([None] * 5, pa.timestamp("us")),
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    rows = {row["key"]: (row["id"], row["code"], row["reject_reason"]) for row in rows_of(spark, tmp_path)}
    assert rows["1"] == (7040, "7040", None)
    assert rows["2"] == (None, None, None)
    assert rows["3"] == (2**53, str(2**53), None)
    assert [rows[key][2] for key in "45"] == [BAD, BAD]


MAPPING = "customer_code_ty,invoice_no,invoice_date,store_code\n"


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("dd/MM/yyyy", ["07/01/2025", "7/1/2025", "2025-01-07", "20250107"]),
        ("dd/MM/yyyy HH:mm", ["07/01/2025 00:00", "7/1/2025 0:00"]),
        ("d-MMM-yyyy", ["7-Jan-2025", "07-Jan-2025"]),
        ("ddMMyyyy", ["07012025"]),
        ("yyyy/MM/dd", ["2025/01/07"]),
        ("MM/dd/yyyy hh:mm a", ["01/07/2025 12:00 AM"]),
    ],
)
def test_a_date_format_reads_what_it_says(spark, tmp_path, pattern, texts):
    path = tmp_path / "m.csv"
    path.write_text(MAPPING + "".join(f"C,{at},{text},7040\n" for at, text in enumerate(texts)))
    rows = rows_of(spark, path, CUSTOMER_MAPPING, time_format=pattern)
    assert {row["invoice_date"] for row in rows} == {dt.datetime(2025, 1, 7)}
    assert {row["reject_reason"] for row in rows} == {None}


def test_a_format_of_another_order_is_never_guessed(spark, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(MAPPING + "C,1,2025-01-13,7040\nC,2,2025-13-01,7040\n")
    rows = rows_of(spark, path, CUSTOMER_MAPPING, time_format="yyyy-dd-MM")
    assert {row["invoice_no"]: row["reject_reason"] for row in rows} == {"1": BAD, "2": None}


def test_a_time_of_the_mapping_moves_to_its_business_day_and_a_date_stays(spark, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(MAPPING + "C,1,2025-01-08 03:59,7040\nC,2,2025-01-08,7040\nC,3,9999-12-31,7040\n")
    rows = {row["invoice_no"]: row["invoice_date"] for row in rows_of(spark, path, CUSTOMER_MAPPING, day_starts=240)}
    assert rows == {"1": dt.datetime(2025, 1, 7, 23, 59), "2": dt.datetime(2025, 1, 8), "3": dt.datetime(9999, 12, 31)}


def test_the_key_of_a_bill_and_of_its_lines_has_the_business_day(spark):
    """To four in the morning it is the day before; the mapping has that day as a date."""
    channel = channel_of("instore", 240)
    texts = ["2025-01-07 04:00:00", "2025-01-08 03:59:59", "2025-01-08 04:00:00", "2025-03-01 00:10:00"]
    rows = spark.createDataFrame([("9", "0042", text) for text in texts], "invoice string, store string, time string")
    time = F.col("time").cast("timestamp")
    keys = [
        rows.select(
            *[each.alias(name) for name, each in zip(columns, (F.col("invoice"), F.col("store"), time), strict=True)]
        )
        .select(key.alias("key"))
        .collect()
        for columns, key in (
            (channel.key_columns, channel.order_key()),
            (channel.line_key_columns, channel.line_key()),
            (channel.published_key_columns, channel.published_key()),
        )
    ]
    days = [dt.date(2025, 1, 7), dt.date(2025, 1, 7), dt.date(2025, 1, 8), dt.date(2025, 2, 28)]
    since = [(day - dt.date(1970, 1, 1)).days for day in days]
    expected = [f"9{KEY_SEPARATOR}0042{KEY_SEPARATOR}{day}" for day in since]
    assert [[row["key"] for row in each] for each in keys] == [expected] * 3


def test_an_hour_of_one_digit_may_follow_two_blanks(spark, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(MAPPING + "C,1,2025-01-08  3:59,7040\nC,2,2025-01-08  3:59:07+05:30,7040\n")
    rows = {row["invoice_no"]: row["invoice_date"] for row in rows_of(spark, path, CUSTOMER_MAPPING)}
    assert rows == {"1": dt.datetime(2025, 1, 8, 3, 59), "2": dt.datetime(2025, 1, 8, 3, 59, 7)}


BILLS = "InvoiceNo,BussTime,StoreCode,GrossAmount,Discount,BaseAmount,TransType,SaleType"
BILL = "900,2025-06-01 13:30:00,7040,210,0,190,SALE,EatIn"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_case_blanks_empty_lines_and_repeated_headers(spark, tmp_path, separator):
    header = ",".join(f" {name.lower()}\u00a0" for name in BILLS.split(","))
    lines = [",,,,,,,", "", header, BILL, ",,,,,,,", "NULL,nan,,,,,,", BILLS.upper(), BILL.replace("900", "901"), ""]
    (tmp_path / "a.csv").write_text("\n".join(lines).replace(",", separator), encoding="utf-8")
    rows = rows_of(spark, tmp_path, INSTORE_ORDERS)
    assert [row["InvoiceNo"] for row in rows] == ["900", "901"]
    assert {(row["GrossAmount"], row["SaleType"], row["reject_reason"]) for row in rows} == {(210.0, "EatIn", None)}


def test_a_line_with_values_of_other_columns_alone_is_no_empty_line(spark, tmp_path):
    (tmp_path / "a.csv").write_text(f"{BILLS},note\n,,,,,,,,total\n{BILL},\n")
    assert [row["reject_reason"] for row in rows_of(spark, tmp_path, INSTORE_ORDERS)] == [BAD, None]


@pytest.mark.parametrize(("multi_line", "reasons"), [(True, [None]), (False, [None, BAD])])
def test_a_line_break_inside_quotes(spark, tmp_path, multi_line, reasons):
    (tmp_path / "a.csv").write_text(f"{BILLS}\n" + BILL.replace("EatIn", '"Eat\nIn"') + "\n")
    rows = rows_of(spark, tmp_path, INSTORE_ORDERS, multi_line=multi_line)
    assert [row["reject_reason"] for row in rows] == reasons
    assert not multi_line or rows[0]["SaleType"] == "Eat\nIn"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (f'{BILLS}\n900,2025-06-01,7040,1,1,1,"SA\nLE",EatIn\n', 1),
        (f'{BILLS}\n900,2025-06-01,7040,1,1,1,"SALE\n",EatIn\n', 1),
        (f'{BILLS}\n900,2025-06-01,7040,1,1,1,S,"\n"\n', 1),
        (f'{BILLS},note\n900,2025-06-01,7040,1,1,1,S,E,"a ""b""\n, 3 c\n"\n', 1),
        (f'note,{BILLS}\nx,900,2025-06-01,7040,1,1,1,"SA\nLE",EatIn\n', 1),
        (f'{BILLS}\n"9\n00",2025-06-01,7040,1,1,1,S,E\n', 1),
        (f'note,{BILLS}\n"two\nlines",900,2025-06-01,7040,1,1,1,S,E\n', 0),  # the rest is all that is read
        (f'note,{BILLS}\n12" Wrap,900,2025-06-01,7040,1,1,1,S,E\nWrap 12",901,2025-06-01,7040,one,1,1,S,E\n', 0),
        (f'{BILLS}\n900,2025-06-01,7040,"1,2","""x""",1,S,E\n,2025-06-01,7040\n', 0),
    ],
)
def test_the_rest_of_a_record_is_known_as_what_it_is(spark, tmp_path, text, rows):
    path = tmp_path / "a.csv"
    path.write_text(text)
    [table] = resolve([Source(INSTORE_ORDERS, str(path))])
    found = [line.rpartition("a.csv: ")[2] for line in damaged_files(read_rejected(spark, table, ZONE)).half_records]
    assert found == [f"{rows} row"][:rows]


def test_compressed_data_that_is_cut_off_names_its_file(spark, tmp_path):
    """A small file is found before a run; of a large one, the first row that is missing ends the run."""
    noise = "".join(f"{BILL}{os.urandom(40).hex()}\n" for _ in range(30_000))
    for name, text in (("small", BILL * 9), ("large", noise)):
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(f"{BILLS}\n{text}".encode())[:-30])
    with pytest.raises(InputError, match=r"small.csv.gz: cannot be read as CSV: the compressed data is cut off"):
        resolve([(INSTORE_ORDERS, str(tmp_path))])
    [table] = resolve([(INSTORE_ORDERS, f"{tmp_path}/large*")])
    with pytest.raises(Exception, match=r"large\.csv\.gz") as caught, naming_cut_off_files(table):
        read_table(spark, table, ZONE).agg({"InvoiceNo": "count"}).collect()
    assert "large.csv.gz" in reason(caught.value)


def not_utf8(spark, path: Path) -> str:
    """What is said of a file with text that is not UTF-8: Sail ends the reading, Spark marks what it cannot read."""
    [table] = resolve([Source(INSTORE_ORDERS, str(path))])
    try:
        [line] = damaged_files(read_rejected(spark, table, ZONE)).not_utf8
    except Exception as error:
        return reason(error)
    return line


def test_text_that_is_not_utf8_is_found_wherever_it_is(spark, tmp_path):
    """In each column that is read, in one that is not, and behind the part of a file that is looked at before a run."""
    many = f"{BILL},x\n" * (HEADER_BYTES // len(BILL) + 1)
    for at in range(9):
        cells = f"{BILL},x".split(",")
        cells[at] = f"caf\u00e9{cells[at]}"
        path = tmp_path / f"{at}.csv"
        path.write_bytes(f"{BILLS},note\n{many}".encode() + ",".join(cells).encode("latin-1") + b"\n")
        said = not_utf8(spark, path)
        assert f"{at}.csv" in said and ("1 row" in said or "is not UTF-8" in said), said


def test_columns_of_categories_are_text(spark, tmp_path):
    frame = pd.DataFrame(
        {"customer_code_ty": ["0007", None], "invoice_no": [1, 2], "invoice_date": None, "store_code": "2"}
    )
    frame.astype({"customer_code_ty": "category", "store_code": "category"}).to_parquet(tmp_path / "a.parquet")
    rows = rows_of(spark, tmp_path, CUSTOMER_MAPPING)
    assert sorted((row["invoice_no"], row["customer_code_ty"], row["store_code"]) for row in rows) == [
        ("1", "0007", "2"), ("2", None, "2")
    ]  # fmt: skip


def why(spark, path, spec, **options):
    [table] = resolve([Source(spec, str(path), ReadOptions(**options))])
    return rejections(read_rejected(spark, table, ZONE), table, ZONE)


def test_messages_name_file_column_count_shape_and_key(spark, tmp_path):
    bills = tmp_path / "a.csv"
    bills.write_text(
        f"{BILLS}\n901,01/06/2025 9:05 pm,7040,1,1,1,S,E\n902,1/6/2025 9:05 pm,7040,1,1,1,S,E\n903,2025-06-01,7040,two,1,1,S,E\n"
        "904,2025-06-01,7040,1,1,1,S,E,more\n905,2025-06-01,,1,1,1,S,E\n906,2025-06-01,7040,1,1,1,S,\"E\nf\"\n"
    )  # fmt: skip
    lines = why(spark, bills, INSTORE_ORDERS, time_key="instore.time_format")
    found = sorted(line.partition("a.csv: ")[2] for line in lines)
    assert found == [
        "1 row with more values than the header has columns; quote the values that have a separator",
        "column 'BussTime', 2 rows: not an ISO date or time; set instore.time_format to its Spark pattern, "
        "such as dd/MM/yyyy HH:mm (it looks like 9/9/9999 9:99 aa)",
        "column 'GrossAmount', 1 row: not a number (it looks like aaa)",
        "column 'StoreCode', 1 row: missing",
    ]


def test_a_mapping_with_other_dates_says_which_key_reads_them(spark, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(MAPPING + "0000000007,900,07/01/2025,7040\n0000000008,901,08/01/2025,7040\n9.19812E+11,3,,\n")
    lines = why(spark, path, CUSTOMER_MAPPING, time_key="common.mapping_date_format")
    assert any(
        "column 'invoice_date', 2 rows: not an ISO date or time; set common.mapping_date_format to its Spark pattern, "
        "such as dd/MM/yyyy (it looks like 99/99/9999)" in line
        for line in lines
    )
    assert any("'customer_code_ty', 1 row: a code that lost digits in a spreadsheet" in line for line in lines)
    assert not any("0000000007" in line or "9.19812" in line for line in lines)


def test_a_partition_column_of_the_path_is_a_column(spark, tmp_path):
    spec = TableSpec("rows", (Field("key", Kind.CODE, required=True), Field("platform", Kind.AS_IS)))
    for platform in ("android", "web%20app", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / f"platform={platform}").mkdir()
        pq.write_table(pa.table({"key": [platform[:3]]}), tmp_path / f"platform={platform}" / "a.parquet")
    rows = {row["key"]: row["platform"] for row in rows_of(spark, tmp_path, spec)}
    assert rows == {"and": "android", "web": "web app", "__H": None}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [(["4", "-10"], [-10, 4]), (["4", "0042"], ["0042", "4"]), (["4", "open"], ["4", "open"])],
)
def test_a_partition_column_of_whole_numbers_is_a_number(spark, tmp_path, paths, expected):
    spec = TableSpec("rows", (Field("key", Kind.CODE, required=True), Field("status", Kind.AS_IS)))
    for path in paths:
        (tmp_path / f"status={path}").mkdir()
        pq.write_table(pa.table({"key": [path]}), tmp_path / f"status={path}" / "a.parquet")
    assert sorted(row["status"] for row in rows_of(spark, tmp_path, spec)) == expected


def test_string_view_is_text(spark, tmp_path):
    table = pa.table(
        {
            "customer_code_ty": pa.array(["0007"], pa.string_view()),
            "invoice_no": ["1"],
            "invoice_date": ["2025-01-01"],
            "store_code": ["2"],
        }
    )
    try:
        pq.write_table(table, tmp_path / "a.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip("this pyarrow does not write string views")
    assert [row["customer_code_ty"] for row in rows_of(spark, tmp_path, CUSTOMER_MAPPING)] == ["0007"]


def test_headers_that_could_be_either_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("customer_code_ty,Invoice_No,INVOICE_NO,invoice_date,store_code\n1,2,3,,\n")
    with pytest.raises(InputError, match="columns 'Invoice_No' and 'INVOICE_NO' could all be 'invoice_no'"):
        resolve([(CUSTOMER_MAPPING, str(tmp_path))])


@pytest.mark.spark
def test_the_plan_of_a_filtered_read_is_small_whatever_the_headers(spark, tmp_path):
    """Optimizers repeat a column in each filter on it and below each union; a plan of megabytes takes minutes."""
    names = BILLS.split(",")
    for at in range(3):
        order = names[at:] + names[:at]
        (tmp_path / f"{at}.csv").write_text(",".join(order) + "\n")
    [table] = resolve([Source(INSTORE_ORDERS, str(tmp_path))])
    assert len(table.groups) == 3
    rows = read_table(spark, table, ZONE)
    good = rows.where(rows.reject_reason.isNull() & rows.InvoiceNo.isNotNull() & (rows.GrossAmount > 0))
    plan = good._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("rand(0)") == len(names)
    assert len(plan) < 40_000
