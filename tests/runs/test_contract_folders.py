"""Folders that were written from docs/contract.md, section 9, alone: each is read as the contract says or refused by name."""

import gzip
import json
from collections.abc import Callable
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hostile import (
    APP_LINES,
    APP_ORDERS,
    BILL_LINES,
    BILLS,
    CODES,
    MAPPING,
    MENU,
    STORES,
    SWIGGY_LINES,
    SWIGGY_ORDERS,
    Folder,
    frame_of,
    unlike,
)

Write = Callable[[Folder], object]


def _missing_in_bills(folder: Folder) -> None:
    folder.rewrite("instore/orders.csv", ("50,,45,,", "50,-1.#IND,45,#N/A N/A,\\N"))
    folder.rewrite("instore/lines.csv", ("P1,1,\n", "P1,1,1.#QNAN\n"))


def _missing_in_mappings(folder: Folder) -> None:
    folder.run["max_rejected_fraction"] = 1
    mapping = MAPPING.replace("1,,\n", "1,None,-nan\n").replace("3,,\n", "3,<NA>,null\n")
    folder.write("maps/customers.csv", mapping + "NULL,5,,\n\\N,5,,\nN/A,5,,\n")
    folder.rewrite("maps/menu.csv", ("P5,,Sides", "P5,#NA,Sides"), ("P6,Coffee,", "P6,Coffee,-NaN"))
    folder.rewrite("maps/stores.csv", ("Mall,,Y", "Mall,-1.#QNAN,Y"))


def _missing_in_parquet_text(folder: Folder) -> None:
    orders = frame_of(APP_ORDERS)
    orders["applied_coupon"] = ["None", "SAVE", "n/a", "<NA>", "#N/A"]
    orders["payment_method"] = ["upi", "upi", "\\N", "upi", "upi"]
    folder.parquet("ownapp/orders/part.parquet", orders)
    swiggy = frame_of(SWIGGY_ORDERS)
    swiggy["applied_coupon"] = ["-nan", "NULL"]
    folder.parquet("swiggy/orders/part.parquet", swiggy)


def _unicode_blanks(folder: Folder) -> None:
    folder.rewrite(
        "instore/orders.csv",
        ("900,", "\u200b900\u00a0,"),
        (",0042,", ",\u30000042\ufeff,"),
        (",SALE,", ",\u2007SALE\u200b,"),
    )
    folder.rewrite("instore/lines.csv", (",P1,", ",\u2060P1\u200d,"), ("901,7041", "901\u2003,\u202f7041"))
    folder.rewrite(
        "maps/customers.csv", ("0000000007,900", "\u00a00000000007\u200b,900\u3000"), (",0042", ",\u20090042")
    )
    folder.rewrite("maps/menu.csv", ("McVeggie,Burgers", "\u200bMcVeggie\u00a0,\u2028Burgers\u2029"))
    folder.rewrite("maps/stores.csv", ("Mumbai", "\u1680Mumbai\u205f"))


def _armour_of_spreadsheets(folder: Folder) -> None:
    folder.rewrite("instore/orders.csv", (",0042,", ',"=""0042""",'), ("901,", "'901,"))
    folder.rewrite("instore/lines.csv", (",0042,", ",'0042,"), ("902,'0042", '902,"=""0042"""'))
    folder.rewrite(
        "maps/customers.csv",
        ("0000000007,", "'0000000007,"),
        ("0000000012,", '"=""0000000012""",'),
        (",0042", ",'0042"),
    )
    folder.rewrite("maps/menu.csv", ("P1", "'P1"), (",0042,", ',"=""0042""",'))
    folder.rewrite("maps/stores.csv", ("0042,", "'0042,"))
    folder.rewrite("maps/codes.csv", ("0042", '"=""0042"""'))


def _codes_with_a_point(folder: Folder) -> None:
    folder.rewrite("instore/orders.csv", ("900,", "900.0,"), (",7040,", ",7040.00,"))
    folder.rewrite("instore/lines.csv", ("901,7041", "901.0,7041.0"))
    folder.rewrite(
        "maps/customers.csv", ("1234567,", "1234567.0,"), (",1,,", ",1.0,,"), (",7041", ",7041.0"), (",903,", ",903.,")
    )
    folder.rewrite("maps/codes.csv", ("100,7040", "100.0,7040.0"))
    folder.rewrite("maps/stores.csv", ("7041,", "7041.0,"))
    folder.rewrite("maps/menu.csv", ("501,", "501.0,"))
    folder.rewrite("maps/choices.csv", ("501,503", "501.0,503.0"))


def _exponents_that_lose_nothing(folder: Folder) -> None:
    folder.rewrite("maps/customers.csv", ("1234567,", "1.234567E6,"), (",901,", ",9.01E+2,"), (",7041", ",7.041E+03"))
    folder.rewrite("instore/orders.csv", ("901,", "9.01e2,"))


def _numbers_of_india(folder: Folder) -> None:
    folder.rewrite(
        "instore/orders.csv", (",1234.5,-5,1180,", ',"Rs. 1,234.50",(5),"1,180.00",'), (",123456.5,", ',"₹1,23,456.50",'),
        (",99,", ",INR 99,"),
    )  # fmt: skip
    folder.rewrite("instore/lines.csv", (",1120.5", ',"1,120.50"'), (",1,90", ",1.0,₹ 90"), (",400", ",Rs 400"))


def _forms_of_iso_times(folder: Folder) -> None:
    times = {
        "2025-06-26 09:05:00": "2025-06-26T9:05", "2025-06-27 13:30:00": "2025-06-27 13:30",
        "2025-06-28 23:10:00": "2025-06-28T17:40:00Z", "2025-06-28 15:00:00": "2025-06-28 15:00:00+0530",
    }  # fmt: skip
    folder.rewrite("instore/orders.csv", *times.items())
    folder.rewrite("instore/lines.csv", *{**times, "2025-06-28 23:10:00": "2025-06-28 23:10+05:30"}.items())
    folder.rewrite("maps/customers.csv", ("2025-06-26", "20250626"), ("2025-06-27", "2025-06-27T00:00:00"))


def _days_before_months(folder: Folder) -> None:
    folder.features["instore"]["time_format"] = "dd/MM/yyyy HH:mm"
    folder.features["common"]["mapping_date_format"] = "dd-MM-yyyy"
    for name in ("instore/orders.csv", "instore/lines.csv"):
        times = (("26", "09:05"), ("27", "13:30"), ("28", "23:10"), ("28", "15:00"))
        folder.rewrite(name, *((f"2025-06-{day} {hour}:00", f"{day}/06/2025 {hour}") for day, hour in times))
    folder.rewrite("maps/customers.csv", *((f"2025-06-{day}", f"{day}-06-2025") for day in (26, 27, 28)))


def _monthly_files_in_one(folder: Folder) -> None:
    header, *bills = BILLS.splitlines()
    folder.write(
        "instore/orders.csv",
        "\r\n".join(["", ",,,,,,,", header, *bills[:2], "NULL,,nan,,,N/A,,", header, *bills[2:], ""]),
    )
    header, *lines = BILL_LINES.splitlines()
    folder.write(
        "instore/lines.csv",
        "\ufeff" + "\n".join([header, *lines[:3], " , ,,,,", "", header.upper(), *lines[3:], ",,,,,"]),
    )
    header, *rows = MAPPING.splitlines()
    folder.write("maps/customers.csv", "\n".join([",,,", header, *rows[:5], ",,,", header, *rows[5:], "", ""]))
    header, *rows = MENU.splitlines()
    folder.write("maps/menu.csv", "\n".join([header, ",,,", *rows, header, ""]))


def _separators_and_headers(folder: Folder) -> None:
    def separated(text: str, separator: str) -> str:
        header, rows = text.split("\n", 1)
        return f"{header.upper()}\n{rows}".replace(",", separator)

    folder.write("instore/orders.csv", separated(BILLS, ";").replace("INVOICENO", " invoiceno "))
    folder.write("instore/lines.csv", separated(BILL_LINES, "|"))
    folder.write("maps/customers.csv", separated(MAPPING, "\t"))
    folder.write("maps/menu.csv", separated(MENU, ";"))
    folder.write("maps/stores.csv", separated(STORES, "\t").encode("utf-16"))
    folder.write("maps/codes.csv", "\ufeff".encode("utf-16-be") + separated(CODES, "|").encode("utf-16-be"))


def _partitions_and_markers(folder: Folder) -> None:
    (folder.raw / "swiggy/orders/part.parquet").unlink()
    orders = frame_of(SWIGGY_ORDERS).drop(columns=["platform", "status_id"])
    folder.parquet("swiggy/orders/platform=android/status_id=4/part-0.parquet", orders[:1])
    folder.parquet("swiggy/orders/platform=android/status_id=4/part-1.parquet", orders[1:])
    folder.write("swiggy/orders/_SUCCESS", "")
    folder.write("swiggy/orders/.part-0.parquet.crc", b"crc\x00")


def _files_without_rows(folder: Folder) -> None:
    folder.write("instore/orders_may.csv", BILLS.split("\n")[0])
    folder.write("instore/orders_june.csv", "\n")
    folder.write("instore/lines_may.csv", BILL_LINES.split("\n")[0] + "\r\n")
    folder.parquet("ownapp/orders/part-1.parquet", frame_of(APP_ORDERS)[:0])


def _kinds_of_parquet_text(folder: Folder) -> None:
    table = pa.Table.from_pandas(frame_of(SWIGGY_ORDERS), preserve_index=False)
    kinds = {"platform": pa.string_view(), "channel": pa.string_view(), "payment_method": pa.large_string()}
    for name, kind in kinds.items():
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    pq.write_table(table, folder.raw / "swiggy/orders/part.parquet")


def _ids_as_fractions(folder: Folder) -> None:
    orders = frame_of(APP_ORDERS)
    orders["id"] = [Decimal(order["id"]) for order in APP_ORDERS]
    orders["store_id_id"] = orders["store_id_id"].astype("float64")
    folder.parquet("ownapp/orders/part.parquet", orders)
    lines = frame_of(APP_LINES)
    lines["sales_id"] = lines["sales_id"].astype("float64")
    lines["item_id_id"] = [f"{item}.0" for item in lines["item_id_id"]]
    folder.parquet("ownapp/lines/part.parquet", lines)


def _times_as_text(folder: Folder) -> None:
    orders = pd.DataFrame(APP_ORDERS)
    orders["order_placed_datetime"] = [
        "2025-06-29T7:00Z", "2025-06-29 18:30:00+05:30", "2025-06-28T18:40", "2025-05-01 10:30:00+0530",
        "2025-06-30 05:00:00.000000",
    ]  # fmt: skip
    folder.parquet("ownapp/orders/part.parquet", orders)


READ: dict[Write, str] = {
    _missing_in_bills: "instore", _missing_in_mappings: "ownapp", _missing_in_parquet_text: "ownapp", _unicode_blanks: "instore",
    _armour_of_spreadsheets: "instore", _codes_with_a_point: "instore", _exponents_that_lose_nothing: "instore",
    _numbers_of_india: "instore", _forms_of_iso_times: "instore", _days_before_months: "instore", _monthly_files_in_one: "instore",
    _separators_and_headers: "instore", _partitions_and_markers: "swiggy",
    _files_without_rows: "instore", _kinds_of_parquet_text: "swiggy", _ids_as_fractions: "ownapp", _times_as_text: "ownapp",
}  # fmt: skip
"""Folders that are read as the clean one is, and the channel that reads what is odd about them."""


@pytest.mark.parametrize("write", READ, ids=lambda write: write.__name__.strip("_"))
def test_a_folder_is_read_as_the_clean_one(clean, folder, write):
    write(folder)
    code, said = folder.start("order_features", "--channel", READ[write])
    assert code == 0, said
    assert unlike(clean.tables([READ[write]]), folder.tables([READ[write]])) == []


def test_a_row_with_a_value_too_many_gives_no_order_a_customer(clean, folder):
    folder.rewrite("maps/customers.csv", ("0000000012,901,", "0000000012,Pune,901,"))
    folder.run["max_rejected_fraction"] = 1
    code, said = folder.start("order_features", "--channel", "instore")
    assert code == 0, said
    bills = clean.tables(["instore"])["instore"]
    assert unlike({"instore": bills[bills["order_id"] != "901"]}, folder.tables(["instore"])) == []
    assert folder.account("instore", "customer mapping") == {"read": 10, "kept": 9, "bad_record": 1}


def test_a_bill_after_midnight_belongs_to_the_business_day_before(clean, folder):
    folder.features["common"]["business_day_starts"] = "04:00"
    folder.rewrite("instore/orders.csv", ("2025-06-28 23:10:00", "2025-06-29 01:10:00"))
    folder.rewrite("instore/lines.csv", ("2025-06-28 23:10:00", "2025-06-29 02:30:00"))
    code, said = folder.start("order_features", "--channel", "instore")
    assert code == 0, said
    expected = clean.tables(["instore"])["instore"]
    late = expected["order_id"] == "902"
    for name in ("order_placed_datetime", "BussTime"):
        expected.loc[late, name] += pd.Timedelta(hours=2)
    expected.loc[late, "order_time_of_day"] = "Late Night"  # 29 June 2025 is a Sunday: on a weekend, as 28 June is
    assert unlike({"instore": expected}, folder.tables(["instore"])) == []


def test_a_record_on_two_lines(clean, folder):
    folder.features["instore"]["multi_line"] = True
    folder.rewrite("instore/orders.csv", ("1180,SALE,EatIn", '1180,SALE,"Eat\nIn, ""late"""'))
    code, said = folder.start("order_features", "--channel", "instore")
    assert code == 0, said
    expected = clean.tables(["instore"])["instore"]
    expected.loc[expected["order_id"] == "900", "SaleType"] = 'Eat\nIn, "late"'
    assert unlike({"instore": expected}, folder.tables(["instore"])) == []


def _dates_of_the_usa(folder: Folder) -> None:
    folder.rewrite("maps/customers.csv", *((f"2025-06-{day}", f"06/{day}/2025") for day in (26, 27, 28)))


def _codes_that_lost_digits(folder: Folder) -> None:
    folder.rewrite("maps/customers.csv", ("1234567,3", "1.23457E+6,3"))


def _infinite_amounts(folder: Folder) -> None:
    folder.rewrite("instore/orders.csv", ("50,,45,,", "Infinity,,45,,"))


def _lost_quote_in_the_menu(folder: Folder) -> None:
    folder.rewrite("maps/menu.csv", ("McVeggie,Burgers", '"McVeggie,Burgers'))


def _latin_1_beside_half_a_file(folder: Folder) -> None:
    folder.write("maps/menu.csv", MENU.replace("Coffee", "Café").encode("latin-1"))
    whole = (folder.raw / "ownapp/lines/part.parquet").read_bytes()
    folder.write("ownapp/lines/part-1.parquet", whole[: len(whole) // 2])


def _utf_16_in_the_bills(folder: Folder) -> None:
    folder.write("instore/orders.csv", BILLS.encode("utf-16"))


def _lines_downloaded_twice(folder: Folder) -> None:
    folder.write("instore/lines (1).csv", BILL_LINES)


def _parquet_downloaded_twice(folder: Folder) -> None:
    folder.write("swiggy/lines/part (1).parquet", (folder.raw / "swiggy/lines/part.parquet").read_bytes())


def _tables_of_other_formats(folder: Folder) -> None:
    folder.write("swiggy/orders/metadata/v1.metadata.json", "{}")
    folder.write("swiggy/orders/metadata/version-hint.text", "1")
    (folder.raw / "swiggy/orders/part.parquet").rename(folder.raw / "swiggy/orders/metadata/../part-0.parquet")
    folder.write("swiggy/lines/.hoodie/hoodie.properties", "hoodie.table.name=lines\n")


def _delta_with_removed_files(folder: Folder) -> None:
    path = folder.raw / "swiggy/lines"
    (path / "part.parquet").rename(path / "part-1.parquet")
    folder.parquet("swiggy/lines/part-0.parquet", frame_of([*SWIGGY_LINES, *SWIGGY_LINES]))
    fields = [{"name": name, "type": "string", "nullable": True, "metadata": {}} for name in SWIGGY_LINES[0]]
    table = {"id": "1", "format": {"provider": "parquet", "options": {}}, "partitionColumns": [], "configuration": {}}
    schema = {"schemaString": json.dumps({"type": "struct", "fields": fields})}
    added = {"partitionValues": {}, "size": 1, "modificationTime": 1, "dataChange": True}
    log = [
        [
            {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
            {"metaData": table | schema},
            {"add": {"path": "part-0.parquet"} | added},
        ],
        [
            {"remove": {"path": "part-0.parquet", "deletionTimestamp": 1, "dataChange": True}},
            {"add": {"path": "part-1.parquet"} | added},
        ],
    ]
    for version, actions in enumerate(log):
        folder.write(f"swiggy/lines/_delta_log/{version:020}.json", "\n".join(map(json.dumps, actions)))


def _half_a_compressed_file(folder: Folder) -> None:
    (folder.raw / "instore/orders.csv").unlink()
    whole = gzip.compress(BILLS.encode())
    folder.write("instore/orders.csv.gz", whole[: len(whole) - 12])


def _line_break_in_the_mapping(folder: Folder) -> None:
    folder.rewrite("maps/customers.csv", ("0000000012,901", '"00000000\n12",901'))


def _ambiguous_headers(folder: Folder) -> None:
    folder.rewrite(
        "instore/lines.csv", ("ProductCode", "PRODUCTCODE,productcode"), (",P1,", ",P1,P2,"), (",P2,1", ",P2,P1,1")
    )


REFUSED: dict[Write, list[str]] = {
    _dates_of_the_usa: ["customers.csv", "invoice_date", "99/99/9999", "common.mapping_date_format"],
    _codes_that_lost_digits: ["customers.csv", "customer_code_ty", "9.99999", "run.max_rejected_fraction"],
    _infinite_amounts: ["orders.csv", "GrossAmount", "run.max_rejected_fraction"],
    _lost_quote_in_the_menu: ["menu.csv", "line 2"],
    _latin_1_beside_half_a_file: ["menu.csv", "UTF-8", "part-1.parquet"],
    _utf_16_in_the_bills: ["orders.csv", "UTF-16"],
    _lines_downloaded_twice: ["lines.csv", "lines (1).csv", "run.allow_repeated_files"],
    _parquet_downloaded_twice: ["part.parquet", "part (1).parquet", "run.allow_repeated_files"],
    _tables_of_other_formats: ["swiggy/orders", "Iceberg", "swiggy/lines", "Hudi"],
    _delta_with_removed_files: ["swiggy/lines", "Delta"],
    _half_a_compressed_file: ["orders.csv.gz"],
    _line_break_in_the_mapping: ["customers.csv", "instore.multi_line"],
    _ambiguous_headers: ["lines.csv", "ProductCode"],
}
"""Folders that are refused, and what the message names."""


@pytest.mark.parametrize("write", REFUSED, ids=lambda write: write.__name__.strip("_"))
def test_a_folder_is_refused_by_name(tmp_path, spark, write):
    folder = Folder(tmp_path)
    write(folder)
    code, said = folder.start("run_all")
    assert code != 0, said
    assert [word for word in REFUSED[write] if word.lower() not in said.lower()] == [], said
    assert "0000000012" not in said and "1.23457" not in said
    assert not list(folder.out.glob("*.parquet"))
