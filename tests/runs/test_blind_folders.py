"""Twenty hostile folders and what each must give: written from docs/contract.md, sections 2, 8 and 9, before any was run.

A folder is a small clean folder in which files are written as exporters and spreadsheets write them. It either gives
the clean folder's tables, or given values, or is refused in words that name the file and the way out.
"""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hostile import (
    APP_LINES,
    APP_ORDERS,
    BILL_LINES,
    BILLS,
    CHOICES,
    CODES,
    MAPPING,
    MENU,
    STORES,
    SWIGGY_LINES,
    SWIGGY_ORDERS,
    TABLES,
    Folder,
    frame_of,
    unlike,
)
from world import TIMES

pytestmark = pytest.mark.usefixtures("spark")
MONEY = (
    "coupon_price", "discounted_price", "gross_price", "total_price", "total_cgst", "total_sgst", "delivery_cgst",
    "delivery_sgst", "actual_subtotal", "sub_total_price", "original_price", "tpo_discount_price", "tpo_original_price",
    "tpo_saved_price",
)  # fmt: skip


def accounts(folder: Folder, step: str | None = None) -> list[dict[str, int]]:
    """The accounts of a step or of all: read, kept and what was dropped."""
    steps = folder.manifest()["steps"]
    return [
        {"read": each["read"], "kept": each["kept"]} | {why: count for why, count in each["dropped"].items() if count}
        for name, body in steps.items()
        if step in (None, name)
        for each in body.get("accounts", [])
    ]


def arrow(folder: Folder, name: str, frame: pd.DataFrame, types: dict[str, pa.DataType]) -> None:
    """Write a frame as Parquet with other physical types."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for index, field in enumerate(table.schema):
        if field.name in types:
            kind = types[field.name]
            values = table.column(index)
            values = values.dictionary_encode() if pa.types.is_dictionary(kind) else values.cast(kind)
            table = table.set_column(index, field.name, values)
    pq.write_table(table, folder.raw / name)


# --- Folders that give the clean folder's tables -----------------------------------------------------------------------


def bills_of_a_shouting_spreadsheet(folder: Folder) -> None:
    header = '" INVOICENO";"bussTIME ";"STORECODE\u00a0";"grossamount";"DISCOUNT";"BASEAMOUNT";"TRANSTYPE";"\u2003SALETYPE";"Till"'
    lines = [
        ";;;;;;;;",
        "NULL;;n/a;;;\\N;;;",
        header,
        '"=""900""";"2025-06-26T9:05";"7040.0";"₹ 1,234.50";"(5)";"Rs. 1,180";"SALE";"EatIn";"a;b"',
        "'901;2025-06-27 13:30;7.041E3;1,23,456.50;0;INR 190.00;\u200bSALE ;TakeOut\u3000;x",
        header,
        "",
        '902.0;2025-06-28T23:10:00+05:30;="0042";99.0;10;80;SALE;EatIn;',
        "9.03E2;2025-06-28 15:00;'7040;50;;45",
    ]
    folder.write("instore/orders.csv", "\ufeff" + "\r\n".join(lines) + "\r\n")


def small_files_in_four_dialects(folder: Folder) -> None:
    menu = MENU.replace("item_id_id", " ITEM_ID_ID\u00a0").replace(
        "501,P1,McVeggie", '501.0,="P1",\u200bMcVeggie\u2060\u00a0'
    )
    folder.write("maps/menu.csv", ("\ufeff\t\t\t\n" + menu.replace(",", "\t")).encode("utf-16-be"))
    stores = STORES.replace("Store Code", "store code ").replace("0042", "'0042").replace("7041", "7041.0")
    folder.write("maps/stores.csv", ("\ufeff" + stores.replace(",", "|")).encode("utf-16-le"))
    codes = CODES.replace("100,7040", '1.00E2,"7040.0"\n\nMDS ID,DSR Code').replace("0042", '"=""0042"""')
    folder.write("maps/codes.csv", "\ufeff" + codes.replace("\n", "\r\n"))
    choices = CHOICES.replace("501,503,P1,P3,1", '"501.0";"5.03E2";\'P1;="P3";"1.0"').replace(",", ";")
    folder.write("maps/choices.csv", choices)


def every_marker_of_missing_values(folder: Folder) -> None:
    mapping = MAPPING
    for old, new in (
        ("07,1,,", "07,1,NULL,\\N"), ("12,2,,", "12,2,#N/A,<NA>"), ("67,3,,", "67,3,nan,NaN"),
        ("12,4,,", "12,4, None ,n/a"), ("07,11,,", "07,11,NA,-nan"), ("67,12,,", "67,12,1.#QNAN,#N/A N/A"),
    ):  # fmt: skip
        assert old in mapping
        mapping = mapping.replace(old, new)
    folder.write("maps/customers.csv", mapping)
    folder.rewrite("instore/orders.csv", ("50,,45,,", "50,#NA,45,<NA>,-1.#IND"))
    folder.rewrite("instore/lines.csv", ("P1,1,\n", "P1,1, nan\u00a0\n"))
    folder.rewrite("maps/menu.csv", ("P5,,", "P5,-NaN,"), ("Coffee,", 'Coffee,"None"'))
    folder.rewrite("maps/stores.csv", ("Mall,,Y", "Mall,\u200bN/A,Y"))
    orders = frame_of(APP_ORDERS)
    orders["applied_coupon"] = orders["applied_coupon"].astype(object).where(orders["applied_coupon"].notna(), "NULL")
    orders["payment_method"] = orders["payment_method"].astype(object).where(orders["payment_method"].notna(), " \\N ")
    folder.parquet("ownapp/orders/part.parquet", orders)


def customers_that_went_through_a_spreadsheet(folder: Folder) -> None:
    rows = [
        "note\tSTORE_CODE\tInvoice_Date \tinvoice_no\tCustomer_Code_TY",
        "x\t\t\t1.0\t'0000000007",
        'x\t\t\t="2"\t="0000000012"',
        "\t\t\t3.0\t1.234567E6",
        '\t\t\t4\t"=""0000000012"""',
        "\t\t\t11.0\t0000000007",
        "\t\t\t1.2E1\t1234567.0",
        "y\t7040.0\t20250626\t9.00E+02\t'0000000007",
        "y\t7.041e3\t2025-06-27 00:00:00\t9.01e2\t0000000012\u00a0",
        "y\t0042.0\t2025-06-28T00:00\t902.0\t 1234567",
        'y\t="7040"\t20250628\t903\t\u200b0000000007',
    ]
    folder.write("maps/customers.csv", "\n".join(rows))


def day_first_times_and_notes_over_two_lines(folder: Folder) -> None:
    folder.features["instore"]["time_format"] = "dd/MM/yyyy H:mm"
    folder.features["instore"]["multi_line"] = True
    folder.features["common"]["mapping_date_format"] = "dd.MM.yyyy"
    moves = [
        ("2025-06-26 09:05:00", "26/06/2025 9:05"), ("2025-06-27 13:30:00", "27/06/2025 13:30"),
        ("2025-06-28 23:10:00", "28/06/2025 23:10"), ("2025-06-28 15:00:00", "28/06/2025 15:00"),
    ]  # fmt: skip
    folder.rewrite("instore/lines.csv", *moves)
    folder.rewrite(
        "instore/orders.csv",
        *moves,
        ("SaleType\n", "SaleType,Remark\n"),
        ("1180,SALE,EatIn", '1180,SALE,EatIn,"no onions,\r\n""extra"" sauce\n\n900,x"'),
    )
    folder.rewrite("maps/customers.csv", *((f"2025-06-{day}", f"{day}.06.2025") for day in ("26", "27", "28")))


def times_as_text_and_with_zones(folder: Folder) -> None:
    orders = pd.DataFrame(APP_ORDERS)
    orders["order_placed_datetime"] = [
        "2025-06-29T07:00:00Z", "2025-06-29 18:30+05:30", " 2025-06-29T00:10:00+0530", "2025-05-01T5:00:00.000",
        "2025-06-30 05:00",
    ]  # fmt: skip
    folder.parquet("ownapp/orders/part.parquet", orders)
    swiggy = frame_of(SWIGGY_ORDERS)
    for name in set(TIMES) & set(swiggy.columns):
        local = swiggy[name].dt.tz_localize("UTC").dt.tz_convert("Asia/Kolkata")
        swiggy[name] = local.astype("datetime64[ms, Asia/Kolkata]")
    folder.parquet("swiggy/orders/part.parquet", swiggy)


def other_physical_types(folder: Folder) -> None:
    whole, coded = pa.decimal128(20, 0), pa.dictionary(pa.int32(), pa.string())
    zoned = pa.timestamp("ns", "UTC")
    arrow(
        folder,
        "ownapp/orders/part.parquet",
        frame_of(APP_ORDERS),
        {
            "id": whole, "store_id_id": pa.float64(), "total_price": pa.decimal128(12, 2), "store_name": coded,
            "payment_method": pa.large_string(), "platform": coded, "applied_coupon": pa.string_view(),
            "order_placed_datetime": zoned,
        },
    )  # fmt: skip
    flags = {"is_veg": pa.float64(), "promo_item": pa.float32(), "is_customized": pa.int8()}
    arrow(
        folder,
        "ownapp/lines/part.parquet",
        frame_of(APP_LINES),
        {"sales_id": pa.float64(), "item_id_id": whole, "quantity": pa.float32(), "item_name": pa.string_view()}
        | flags,
    )
    arrow(
        folder,
        "swiggy/lines/part.parquet",
        frame_of(SWIGGY_LINES),
        {"sales_id": pa.int16(), "item_id_id": pa.float32(), "quantity": pa.decimal128(22, 3), "item_name": coded}
        | flags,
    )
    arrow(folder, "queries/part.parquet", pd.DataFrame({"order_id": [2]}), {"order_id": pa.decimal128(38, 10)})


def ids_and_money_as_text_in_parquet(folder: Folder) -> None:
    def priced(frame: pd.DataFrame) -> pd.DataFrame:
        for name in set(MONEY) & set(frame.columns):
            frame[name] = [None if pd.isna(each) else f"₹ {float(each):,}" for each in frame[name]]
        return frame

    orders = priced(frame_of(APP_ORDERS))
    orders["id"] = ["1.0", " 2\u00a0", "'3", "4.0", "5"]
    orders["store_id_id"] = [f"{each}.00" for each in orders["store_id_id"]]
    folder.parquet("ownapp/orders/part.parquet", orders)
    lines = priced(frame_of(APP_LINES))
    lines["sales_id"] = ["1", "1.0", '="2"', "\u200b3", "4", "4.00"]
    lines["item_id_id"] = [f"{each / 100:.2f}E2" for each in lines["item_id_id"]]
    lines["quantity"] = [f"{each}.0" for each in lines["quantity"]]
    folder.parquet("ownapp/lines/part.parquet", lines)
    folder.parquet("queries/part.parquet", pd.DataFrame({"order_id": ["'2", "NULL"]}))


def columns_in_the_path(folder: Folder) -> None:
    for table, rows, column in (("orders", APP_ORDERS, "platform"), ("lines", APP_LINES, "item_id_id")):
        frame = frame_of(rows)
        (folder.raw / f"ownapp/{table}/part.parquet").unlink()
        for value, part in frame.groupby(column, dropna=False):
            place = "__HIVE_DEFAULT_PARTITION__" if pd.isna(value) else value
            below = f"ownapp/{table}/{column}={place}"
            folder.parquet(f"{below}/part-0.parquet", part.drop(columns=column))
            folder.write(f"{below}/.part-0.parquet.crc", b"crc")
        folder.parquet(f"{below}/part-1.parquet", part.drop(columns=column).head(0))
        folder.write(f"ownapp/{table}/_SUCCESS", "")


def packed_files_and_empty_neighbours(folder: Folder) -> None:
    (folder.raw / "instore/orders.csv").unlink()
    (folder.raw / "instore/lines.csv").unlink()
    bills = BILLS.encode()
    folder.write("instore/orders-1.csv.gz", b"".join(map(gzip.compress, (bills[:30], bills[30:150], bills[150:]))))
    folder.write("instore/orders-2.csv", "\n")
    folder.write("instore/orders-3.csv", BILLS.splitlines()[0])
    rows = [line.split(",") for line in BILL_LINES.splitlines()]
    turned = "".join(",".join(f'"{each}"' for each in reversed(row)) + "\r\n" for row in [rows[0], *rows[3:]])
    folder.write("instore/lines-1.csv", "".join(",".join(row) + "\n" for row in rows[:3]).rstrip("\n"))
    folder.write("instore/lines-2.csv", turned)
    folder.write("instore/lines-3.csv.gz", gzip.compress(b"\r\n"))


# With the tables that the written files reach; the steps of these are run.
SAME: dict[Callable[[Folder], None], tuple[str, ...]] = {
    bills_of_a_shouting_spreadsheet: ("ownapp", "instore"),
    small_files_in_four_dialects: TABLES,
    every_marker_of_missing_values: TABLES,
    customers_that_went_through_a_spreadsheet: TABLES,
    day_first_times_and_notes_over_two_lines: TABLES,
    times_as_text_and_with_zones: ("ownapp", "swiggy"),
    other_physical_types: ("ownapp", "swiggy"),
    ids_and_money_as_text_in_parquet: ("ownapp",),
    columns_in_the_path: ("ownapp",),
    packed_files_and_empty_neighbours: ("ownapp", "instore"),
}


@pytest.mark.parametrize("hostile", SAME, ids=lambda each: each.__name__)
def test_gives_the_clean_tables(hostile: Callable[[Folder], None], clean: Folder, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    hostile(folder)
    tables = SAME[hostile]
    code, said = folder.start("run_all", "--steps", ",".join(tables))
    assert code == 0, said
    assert unlike(clean.tables(tables), folder.tables(tables)) == []


# --- Folders that give known counts ------------------------------------------------------------------------------------


def test_unreadable_rows_of_the_customer_mapping(clean: Folder, tmp_path: Path) -> None:
    """By default they stop the run, shapes instead of values; where they are allowed they give nobody a customer."""
    folder = Folder(tmp_path)
    rows = [
        "0000000007,5,,,9",  # a value too many
        "1234567,1.23E+11,2025-06-28,7040",  # digits are lost
        "1234567,904,31/06/2025,7040",
        ",5,,",
        "0000000012,,,",
    ]
    folder.write("maps/customers.csv", MAPPING + "\n".join(rows) + "\n")
    code, said = folder.start()
    assert code != 0, said
    for word in (
        "customers.csv",
        "invoice_no",
        "9.99",
        "99/99/9999",
        "common.mapping_date_format",
        "run.max_rejected_fraction",
    ):
        assert word in said, (word, said)
    assert "1234567" not in said and "1.23E+11" not in said and "0000000007" not in said
    assert folder.published() == {}
    folder.run = {"max_rejected_fraction": 0.9}
    code, said = folder.start()
    assert code == 0, said
    assert unlike(clean.tables(), folder.tables()) == []
    counts = {"read": 15, "kept": 10, "bad_record": 3, "no_customer_code": 1, "no_key": 1}
    assert counts in accounts(folder), accounts(folder)


def test_bills_after_midnight(tmp_path: Path) -> None:
    """A bill one second before the business day starts belongs to the day before, one at its start to the day itself."""
    folder = Folder(tmp_path)
    moves = [
        ("2025-06-26 09:05:00", "2025-06-27 03:59:59"), ("2025-06-27 13:30:00", "2025-06-27 04:00:00"),
        ("2025-06-28 23:10:00", "2025-06-29T1:10"),
    ]  # fmt: skip
    folder.rewrite("instore/orders.csv", *moves)
    folder.rewrite("instore/lines.csv", *moves)
    code, said = folder.start("run_all", "--steps", "ownapp,instore")
    assert code == 0, said
    assert {"read": 4, "kept": 2, "no_customer": 2} in accounts(folder, "instore"), accounts(folder, "instore")
    folder.features["common"]["business_day_starts"] = "04:00"
    code, said = folder.start("run_all", "--steps", "instore")
    assert code == 0, said
    assert {"read": 4, "kept": 4} in accounts(folder, "instore"), accounts(folder, "instore")


def test_times_and_amounts_that_are_nearly_right(clean: Folder, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.run = {"max_rejected_fraction": 0.9}
    times = [
        "2025-06-31 09:05:00", "2025-06-26 24:00:00", "2025-06-26 09:60:00", "2025-6-26 09:05:00", "06/26/2025 09:05",
        "2025-06-26 09:05:00 PM",
    ]  # fmt: skip
    rows = [f"{905 + index},{time},7040,10,0,9,SALE,EatIn" for index, time in enumerate(times)]
    rows.append("911,2025-06-26 09:05:00,7040,Infinity,0,9,SALE,EatIn")
    rows.append("912,2025-06-26 09:05:00,7.04E+5,10,0,9,SALE,EatIn")
    folder.write("instore/orders.csv", BILLS + "\n".join(rows) + "\n")
    code, said = folder.start("run_all", "--steps", "ownapp,instore")
    assert code == 0, said
    assert unlike(clean.tables(["instore"]), folder.tables(["instore"])) == []
    counts = {"read": 12, "kept": 4, "bad_record": 2, "bad_timestamp": 6}
    assert counts in accounts(folder, "instore"), accounts(folder, "instore")


# --- Folders that are refused ------------------------------------------------------------------------------------------


def a_delta_table_with_a_removed_file(folder: Folder) -> None:
    folder.parquet("queries/removed.parquet", pd.DataFrame({"order_id": [1]}))
    field = {"name": "order_id", "type": "long", "nullable": True, "metadata": {}}
    sizes = {name: (folder.raw / "queries" / name).stat().st_size for name in ("part.parquet", "removed.parquet")}
    added = [
        {"add": {"path": name, "partitionValues": {}, "size": size, "modificationTime": 1, "dataChange": True}}
        for name, size in sizes.items()
    ]
    first: list[dict[str, Any]] = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": "0f5d0f6e-5c0b-4f0e-9a3e-000000000001",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": [field]}),
                "partitionColumns": [],
                "configuration": {},
                "createdTime": 1,
            }
        },
        *added,
    ]
    removed = {"remove": {"path": "removed.parquet", "deletionTimestamp": 2, "dataChange": True}}
    for version, actions in enumerate((first, [removed])):
        text = "".join(json.dumps(action) + "\n" for action in actions)
        folder.write(f"queries/_delta_log/{version:020}.json", text)


def one_export_twice(folder: Folder) -> None:
    lines = folder.raw / "ownapp/lines"
    shutil.copy(lines / "part.parquet", lines / "export (1).parquet")


def tables_of_catalogs_and_cut_files(folder: Folder) -> None:
    data = (folder.raw / "swiggy/orders/part.parquet").read_bytes()
    (folder.raw / "swiggy/orders/part.parquet").unlink()
    folder.write("swiggy/orders/data/part.parquet", data)
    folder.write("swiggy/orders/metadata/v1.metadata.json", '{"format-version": 2}')
    folder.write("swiggy/orders/metadata/version-hint.text", "1")
    folder.write("queries/.hoodie/hoodie.properties", "hoodie.table.name=queries\n")
    lines = (folder.raw / "ownapp/lines/part.parquet").read_bytes()
    folder.write("ownapp/lines/part.parquet", lines[: len(lines) // 2])
    (folder.raw / "instore/orders.csv").unlink()
    folder.write("instore/orders.csv.gz", gzip.compress(BILLS.encode())[:-20])


def three_ways_to_spoil_a_text_file(folder: Folder) -> None:
    folder.write("maps/menu.csv", MENU.replace("Coffee", "Café").encode("cp1252"))
    folder.write("instore/orders.csv", BILLS.encode("utf-16"))
    folder.rewrite("instore/lines.csv", ("OrderDatetime,ProductCode", "PRODUCTCODE,productcode"))


def a_lost_quote_in_the_menu(folder: Folder) -> None:
    folder.rewrite("maps/menu.csv", ('"12"" Wrap",', '"12"" Wrap,'), ("Coffee,", '"Coffee, black",'))


def day_first_times_without_the_key(folder: Folder) -> None:
    folder.rewrite(
        "instore/orders.csv",
        ("2025-06-26 09:05:00", "26/06/2025 9:05"),
        ("2025-06-27 13:30:00", "05/06/2025 13:30"),
        ("2025-06-28 23:10:00", "28/06/2025 23:10"),
        ("2025-06-28 15:00:00", "28/06/2025 15:00"),
    )


REFUSED: list[tuple[Callable[[Folder], None], tuple[str, ...]]] = [
    (a_delta_table_with_a_removed_file, ("queries", "is a Delta table", "plain Parquet")),
    (one_export_twice, ("ownapp/lines", "part.parquet", "export (1).parquet", "run.allow_repeated_files")),
    (
        tables_of_catalogs_and_cut_files,
        ("Iceberg", "swiggy/orders", "Hudi", "queries", "ownapp/lines/part.parquet", "orders.csv.gz"),
    ),
    (three_ways_to_spoil_a_text_file, ("menu.csv", "UTF-8", "orders.csv", "UTF-16", "lines.csv", "ProductCode")),
    (a_lost_quote_in_the_menu, ("menu.csv", "line 5")),
    (day_first_times_without_the_key, ("orders.csv", "BussTime", "99/99/9999 9", "instore.time_format")),
]


@pytest.mark.parametrize(("hostile", "words"), REFUSED, ids=[each.__name__ for each, _ in REFUSED])
def test_is_refused(hostile: Callable[[Folder], None], words: tuple[str, ...], tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    hostile(folder)
    code, said = folder.start()
    assert code not in (0, 3), said
    missing = [word for word in words if word.casefold() not in said.casefold()]
    assert missing == [], said
    assert "Traceback" not in said
    assert folder.published() == {}


def test_gates_at_and_beyond_their_limits(tmp_path: Path) -> None:
    """One of three customers lost: a limit just below stops the run, one just above lets it through."""
    folder = Folder(tmp_path)
    code, said = folder.start()
    assert code == 0, said
    before = folder.published()
    folder.rewrite("maps/customers.csv", (",7040\n", ",9040\n"), (",7041\n", ",9041\n"), (",0042\n", ",9042\n"))
    code, said = folder.start()
    assert code == 3 and "instore" in said and "run.gates.empty_channel" in said, said
    assert folder.published() == before
    kept = [line for line in MAPPING.splitlines() if not line.startswith("1234567,")]
    folder.write("maps/customers.csv", "\n".join(kept) + "\n")
    # Swiggy goes from none of two orders without a customer to one of two: exactly the limit.
    folder.run = {"gates": {"no_customer_rise": 0.5, "fewer_customers": 0.33}}
    code, said = folder.start()
    assert code == 3 and "run.gates.fewer_customers" in said and "run.gates.no_customer_rise" not in said, said
    assert folder.published() == before
    folder.run = {"gates": {"no_customer_rise": 0.5, "fewer_customers": 0.34}}
    code, said = folder.start()
    assert code == 0, said
    assert set(folder.tables(TABLES)["customers"]["algonomy_id"]) == {"0000000007", "0000000012"}
