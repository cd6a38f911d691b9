"""Folders as exporters and spreadsheets write them: read as the clean folder is, or refused by name.

Written from docs/contract.md, section 9. A folder that is read gives the tables of the clean folder, value by value; a
folder that is refused leaves nothing behind and says which file, and what to do.
"""

import gzip
import io
import shutil
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import compare
from blitz.config import load_config
from blitz.errors import InputError
from blitz.pipelines import OrderFeaturePipeline
from blitz.report.items import unmapped_items
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
    Folder,
    frame_of,
    unlike,
)
from refused import is_explained

WORDS = ("NULL", "null", "NaN", "nan", "None", "N/A", "n/a", "NA", "<NA>", "#N/A", r"\N", "#N/A N/A", "-1.#IND", "-nan")
ANY_FRACTION = {"max_rejected_fraction": 1}
Write = Callable[[Folder], Any]


def test_the_clean_folder_is_read_as_it_says(clean):
    """The values that all other tests compare with, by hand."""
    tables = clean.tables()
    bills = tables["instore"].set_index("order_id")
    assert bills["total_price"].to_dict() == {"900": 1234.5, "901": 123456.5, "902": 99.0, "903": 50.0}
    assert bills["item_count"].to_dict() == {"900": 3.0, "901": 1.0, "902": 1.0, "903": 1.0}
    customers = {"900": "0000000007", "901": "0000000012", "902": "1234567", "903": "0000000007"}
    assert bills["algonomy_id"].to_dict() == customers
    assert list(bills.loc["900", "unique_dri_categories_in_order"]) == ["Burgers", "Sides"]
    assert sorted(tables["ownapp"]["order_id"]) == [1, 2, 3, 4] and sorted(tables["swiggy"]["order_id"]) == [11, 12]
    assert dict(zip(tables["customers"]["algonomy_id"], tables["customers"]["omnichannel_order_count"], strict=True)) == {
        "0000000007": 4, "0000000012": 3, "1234567": 3
    }  # fmt: skip


def in_every_cell(text: str, row: str, words: tuple[str, ...]) -> str:
    """Rows ``row`` with ``{}`` in them, one a word, below a text."""
    return text + "".join(f"{row.format(word)}\n" for word in words)


def missing_words(folder: Folder) -> None:
    bills = BILLS.replace("50,,45,,", "50,n/a,45,<NA>,#N/A")
    bills = in_every_cell(bills, "{},2025-06-26 10:00:00,7040,1,1,1,SALE,EatIn", WORDS)
    folder.write("instore/orders.csv", bills)
    folder.write("instore/lines.csv", BILL_LINES.replace("P1,1,\n", "P1,1,NaN\n"))
    mapping = in_every_cell(MAPPING, "{},900,2025-06-26,7040", WORDS)
    mapping = in_every_cell(mapping, "0000000001,{},2025-06-26,7040", WORDS)
    # 900 without a store can be the id of an order; it is none of a bill.
    folder.write("maps/customers.csv", in_every_cell(mapping, "0000000001,900,2025-06-26,{}", WORDS))
    menu = MENU.replace("P5,,Sides", "P5,nan,Sides").replace("Coffee,\n", "Coffee,NULL\n")
    folder.write("maps/menu.csv", in_every_cell(menu, "{0},{0},Junk,{0}", WORDS))
    folder.write("maps/stores.csv", in_every_cell(STORES.replace("Mall,,Y", r"Mall,\N,Y"), "{},x,y,z,z,z", WORDS))
    folder.write("maps/codes.csv", in_every_cell(CODES, "{0},{0}", WORDS))
    folder.write("maps/choices.csv", in_every_cell(CHOICES, "{0},503,P1,P3,{0}", WORDS))
    folder.run = ANY_FRACTION


def blanks_and_armour(folder: Folder) -> None:
    nbsp, zero, wide, mark, thin = "\u00a0", "\u200b", "\u3000", "\ufeff", "\u2009"
    folder.rewrite("instore/orders.csv", ("\n900,", f'\n{nbsp}="900"{zero},'), ("\n901,", "\n'901,"),
                   (",0042,", ',"=""0042""",'), (",7041,", f",{wide}7041{thin},"), (",SALE,", f",{nbsp}SALE{mark},"),
                   ("2025-06-28 15", f"{nbsp}2025-06-28 15"), (",123456.5,", f",{nbsp}123456.5{zero},"))  # fmt: skip
    folder.rewrite("instore/lines.csv", (",0042,1,400", f",'0042,{nbsp}1{thin},400{zero}"), ("\n901,", f"\n{mark}901,"))
    folder.rewrite("maps/customers.csv", ("0000000007,900,", f'="0000000007",900{zero},'), ("1234567,902", "'1234567,902"),
                   (",7041", f",{nbsp}7041{zero}"), ("0000000012,2", f"{zero}0000000012{nbsp},2"))  # fmt: skip
    folder.rewrite("maps/menu.csv", ("McVeggie,Burgers", f"{nbsp}McVeggie{zero},{wide}Burgers{thin}"),
                   (",0042,", ',="0042",'), ("503,", f"'503{nbsp},"))  # fmt: skip
    folder.rewrite(
        "maps/stores.csv", ("0042,", "'0042,"), ("Mumbai", f"{nbsp}Mumbai{mark}"), ("Mall,,Y", f"Mall,{nbsp},Y")
    )


def codes_of_floats(folder: Folder) -> None:
    folder.rewrite("instore/orders.csv", ("\n900,", "\n900.0,"), (",7040,", ",7040.0,"), ("\n902,", "\n9.02E2,"))
    folder.rewrite("instore/lines.csv", (",7041,", ",7041.0,"), ("\n902,", "\n902.00,"))
    folder.rewrite("maps/customers.csv", ("1234567,902", "1.234567E6,902"), ("1234567,3", "1234567.0,3"),
                   (",901,", ",901.0,"), ("0000000007,1,", "0000000007,1.0,"))  # fmt: skip
    folder.write("maps/customers.csv", (folder.raw / "maps/customers.csv").read_text() + "9.19812E+11,5,,\n")
    folder.rewrite("maps/menu.csv", ("501,", "501.0,"))
    folder.rewrite("maps/stores.csv", ("\n7040,", "\n7040.0,"))
    folder.rewrite("maps/codes.csv", ("100,7040", "100.0,7040.0"))
    folder.run = ANY_FRACTION


def numbers_of_people(folder: Folder) -> None:
    folder.rewrite("instore/orders.csv", (",1234.5,-5,1180,", ',"1,234.50",(5.00),"Rs. 1,180.00",'),
                   (",123456.5,", ',"₹1,23,456.50",'), (",99,10,80,", ",INR 99,Rs.10,₹ 80,"), (",50,,45,", ",+50,,4.5e1,"))  # fmt: skip
    text = (folder.raw / "instore/orders.csv").read_text()
    rows = (
        f"95{at},2025-06-26 10:00:00,7040,{word},0,1,SALE,x\n" for at, word in enumerate(("inf", "-Infinity", "1,2,3"))
    )
    folder.write("instore/orders.csv", text + "".join(rows).replace("1,2,3", '"1,2,3"'))
    folder.rewrite("instore/lines.csv", ("1120.5", '"₹1,120.50"'), ("P1,2,50", "P1,2.0,Rs 50"))
    folder.run = ANY_FRACTION


def iso_times(folder: Folder) -> None:
    folder.rewrite("instore/orders.csv", ("2025-06-26 09:05:00", "2025-06-26T9:05"), ("2025-06-27 13:30:00", "2025-06-27T08:00:00Z"),
                   ("2025-06-28 23:10:00", "2025-06-28 23:10:00+05:30"), ("2025-06-28 15:00:00", "2025-06-28T09:30:00.000+0000"))  # fmt: skip
    folder.rewrite("instore/lines.csv", ("2025-06-26 09:05:00", "20250626"), ("2025-06-27 13:30:00", "2025-06-26T18:30:00Z"),
                   ("2025-06-28 23:10:00", "2025-06-28 9:00"), ("2025-06-28 15:00:00", "2025-06-28"))  # fmt: skip
    folder.rewrite("maps/customers.csv", ("2025-06-26", "20250626"), ("2025-06-27", "2025-06-27T00:00:00"),
                   ("902,2025-06-28", "902,2025-06-27T20:00:00Z"), ("903,2025-06-28", "903,2025-06-28 23:59"))  # fmt: skip


def day_first_with_the_keys(folder: Folder) -> None:
    for name in ("orders", "lines"):
        text = (folder.raw / f"instore/{name}.csv").read_text()
        for day in (26, 27, 28):
            text = text.replace(f"2025-06-{day}", f"{day}/06/2025")
        folder.write(f"instore/{name}.csv", text)
    folder.rewrite("maps/customers.csv", *((f"2025-06-{day}", f"{day}/06/2025") for day in (26, 27, 28)))
    folder.features["instore"]["time_format"] = "dd/MM/yyyy HH:mm:ss"
    folder.features["common"]["mapping_date_format"] = "dd/MM/yyyy"


def lines_of_exporters(folder: Folder) -> None:
    header, *rows = BILLS.splitlines()
    text = "\n".join(["", ",,,,,,,", header, rows[0], ",,NULL,,nan,,,", header, *rows[1:3], "   ", rows[3], ",,,,,,,"])
    folder.write("instore/orders.csv", "\ufeff" + text.replace("\n", "\r\n"))
    header, *rows = MAPPING.splitlines()
    folder.write(
        "maps/customers.csv", "\n".join([",,,", header, *rows[:5], ",,,", header, *rows[5:], "N/A,,,", "", ""])
    )
    header, *rows = MENU.splitlines()
    folder.write("maps/menu.csv", "\n".join([",,,", "", header, *rows[:2], header, ",,,", *rows[2:], ""]))


def line_breaks_in_quotes(folder: Folder) -> None:
    header, *rows = BILLS.splitlines()
    notes = ("plain", '"two\nlines"', '"a ""quoted"" word,\nand more\n\nlines"', "")
    folder.write(
        "instore/orders.csv",
        f"{header},Notes\n" + "".join(f"{row},{note}\n" for row, note in zip(rows, notes, strict=True)),
    )
    folder.features["instore"]["multi_line"] = True


def separators_headers_and_compression(folder: Folder) -> None:
    header, *rows = BILLS.splitlines()

    def of(separator: str, head: str, at: int) -> str:
        return f"{head}\n{rows[at]}\n".replace(",", separator)

    folder.write("instore/orders.csv", of(";", header.lower(), 0))
    folder.write("instore/orders_2.csv", of("\t", header.upper(), 1))
    folder.write("instore/orders_3.csv.gz", gzip.compress(of("|", header.replace(",", " , "), 2).encode()))
    swapped = ",".join([*header.split(",")[::-1]]), ",".join([*rows[3].split(",")[::-1]])
    folder.write("instore/orders_4.csv", "\ufeff" + "\r\n".join(swapped))
    folder.write("instore/lines_none.csv", BILL_LINES.partition("\n")[0] + "\n")
    folder.write("instore/lines_newline.csv", "\n")
    folder.write("instore/lines_zero.csv", "")
    folder.write("maps/menu.csv", MENU.replace('"12"" Wrap"', '12" Wrap').replace(",", "\t").encode("utf-16"))
    folder.write("maps/stores.csv", "\ufeff".encode("utf-16-be") + STORES.lower().replace("main,mall,mumbai,y,g1", "Main,Mall,Mumbai,Y,G1")
                 .replace("side,street,pune,n,g2", "Side,Street,Pune,N,G2").replace("third,mall,,y,g1", "Third,Mall,,Y,G1").encode("utf-16-be"))  # fmt: skip
    folder.write("maps/codes.csv", CODES.replace(",", "|"))


def rows_with_values_too_many(folder: Folder) -> None:
    header = "customer_code_ty,address,invoice_no,invoice_date,store_code"
    rows = [row.replace(",", ",some street,", 1) for row in MAPPING.splitlines()[1:]]
    rows.insert(0, "0000000001,MG Road, 901,902,2025-06-28,0042")  # an unquoted comma moves 901 into invoice_no
    folder.write("maps/customers.csv", "\n".join([header, *rows, ""]))
    folder.write("instore/lines.csv", BILL_LINES + "901,7041,2025-06-27 13:30:00,P3,1,90,7\n")
    folder.run = ANY_FRACTION


def text_in_parquet(folder: Folder) -> None:
    """Each file as Parquet of text alone, with the words, blanks, armour and numbers of a spreadsheet."""
    bills = pd.read_csv(io.StringIO(BILLS), dtype=str, keep_default_na=False)
    bills["GrossAmount"] = ["1,234.50", "₹1,23,456.50", "INR 99", "50.0"]
    bills["Discount"] = ["(5)", "0.0", "\u00a010\u200b", "NaN"]
    bills["InvoiceNo"] = ["900.0", "'901", '="902"', "\ufeff903 "]
    bills["BussTime"] = ["2025-06-26T9:05", "2025-06-27 08:00:00Z", "2025-06-28T23:10:00.000+0530", "2025-06-28 15:00"]
    bills.loc[3, ["TransType", "SaleType"]] = ["None", r"\N"]
    folder.parquet("instore/orders.parquet", bills)
    lines = pd.read_csv(io.StringIO(BILL_LINES), dtype=str, keep_default_na=False)
    lines["Qty"], lines["PriceNet"] = lines["Qty"].astype(float), lines["PriceNet"].replace("", "#N/A")
    folder.parquet("instore/lines.parquet", lines)
    folder.features["instore"]["orders_file_pattern"] = f"{folder.raw}/instore/order*.parquet"
    folder.features["instore"]["order_items_file_pattern"] = f"{folder.raw}/instore/line*.parquet"
    mapping = pd.read_csv(io.StringIO(MAPPING), dtype=str, keep_default_na=False)
    mapping["customer_code_ty"] = [f"'{code}" for code in mapping["customer_code_ty"]]
    mapping["invoice_date"] = mapping["invoice_date"].str.replace("-", "").replace("", "<NA>")
    mapping["store_code"] = mapping["store_code"].replace("7040", "7040.0").replace("", "null")
    folder.parquet("maps/customers.parquet", mapping)
    folder.features["common"]["mapping_file"] = f"{folder.raw}/maps/customers.parquet"
    menu = pd.read_csv(io.StringIO(MENU), dtype=str, keep_default_na=False).replace("", "n/a")
    folder.parquet("maps/menu.parquet", menu)
    folder.features["common"]["categories_path"] = f"{folder.raw}/maps/menu.parquet"


READ: list[tuple[Write, dict[str, dict[str, int]]]] = [
    (missing_words, {"orders": {"read": 18, "kept": 4, "bad_record": 14},
                     "customer mapping": {"read": 52, "kept": 24, "no_customer_code": 14, "no_key": 14}}),
    (blanks_and_armour, {"customer mapping": {"read": 10, "kept": 10}}),
    (codes_of_floats, {"customer mapping": {"read": 11, "kept": 10, "bad_record": 1}}),
    (numbers_of_people, {"orders": {"read": 7, "kept": 4, "bad_record": 3}}),
    (iso_times, {"orders": {"read": 4, "kept": 4}}),
    (day_first_with_the_keys, {"orders": {"read": 4, "kept": 4}}),
    (lines_of_exporters, {"orders": {"read": 4, "kept": 4}, "customer mapping": {"read": 10, "kept": 10}}),
    (line_breaks_in_quotes, {"orders": {"read": 4, "kept": 4}}),
    (separators_headers_and_compression, {"orders": {"read": 4, "kept": 4}, "lines": {"read": 5, "kept": 5}}),
    (text_in_parquet, {"orders": {"read": 4, "kept": 4}, "customer mapping": {"read": 10, "kept": 10}}),
    (rows_with_values_too_many, {"lines": {"read": 6, "kept": 5, "bad_record": 1},
                                 "customer mapping": {"read": 11, "kept": 10, "bad_record": 1}}),
]  # fmt: skip


ON_BOTH = (lines_of_exporters, separators_headers_and_compression)  # the values themselves: features/test_values.py


@pytest.mark.parametrize(
    ("write", "accounts"),
    [
        pytest.param(write, accounts, id=write.__name__, marks=[pytest.mark.engines] if write in ON_BOTH else [])
        for write, accounts in READ
    ],
)
def test_in_store_files_and_mappings_are_read_as_the_clean_ones(clean, folder, write, accounts):
    write(folder)
    code, said = folder.start("order_features", "--channel", "instore")
    assert code == 0, said
    assert unlike(clean.tables(["instore"]), folder.tables(["instore"])) == []
    for table, counts in accounts.items():
        assert folder.account("instore", table) == counts


def test_a_business_day_that_starts_at_four(clean, folder):
    folder.features["common"]["business_day_starts"] = "04:00"
    folder.rewrite("instore/orders.csv", ("2025-06-28 23:10:00", "2025-06-29 03:59:00"))
    folder.rewrite("instore/lines.csv", ("2025-06-28 23:10:00", "2025-06-29 00:10:00"))
    code, said = folder.start("order_features", "--channel", "instore")
    assert code == 0, said
    expected = clean.tables(["instore"])["instore"]
    at = expected["order_id"] == "902"
    expected.loc[at, "BussTime"] = pd.Timestamp("2025-06-29 03:59:00")
    expected.loc[at, "order_placed_datetime"] = pd.Timestamp("2025-06-28 22:29:00Z")
    expected.loc[at, "order_time_of_day"] = "Late Night"
    assert unlike({"instore": expected}, folder.tables(["instore"])) == []


def arrow_table(frame: pd.DataFrame, **types: pa.DataType) -> pa.Table:
    """A frame as an Arrow table with some columns of other types."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name, kind in types.items():
        at = table.schema.get_field_index(name)
        column = table.column(name)
        text = pa.types.is_string(column.type) or pa.types.is_null(column.type)
        values = pa.chunked_array([pa.array(column.to_pylist(), kind)]) if text else column.cast(kind)
        table = table.set_column(at, name, values)
    return table


def test_parquet_of_many_writers(clean, folder):
    """Partition columns in paths, text of every Arrow type, ids as doubles and decimals, words for missing text."""
    shutil.rmtree(folder.raw / "ownapp")
    orders = frame_of(APP_ORDERS)
    words = orders.assign(
        applied_coupon=orders["applied_coupon"].fillna("NULL"), payment_method=orders["payment_method"].fillna("nan")
    )
    parts = [
        arrow_table(words.iloc[:2].drop(columns="platform"), store_name=pa.large_string(), id=pa.float64()),
        arrow_table(words.iloc[2:4].drop(columns="platform"), id=pa.decimal128(20, 0), store_id_id=pa.float64(),
                    store_name=pa.dictionary(pa.int32(), pa.string())),
        arrow_table(words.iloc[4:].drop(columns="platform"), store_name=pa.string_view(), id=pa.int32()),
    ]  # fmt: skip
    for number, table in enumerate(parts):
        path = folder.raw / f"ownapp/orders/platform=android/part-{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    lines = frame_of(APP_LINES)
    (folder.raw / "ownapp/lines").mkdir(parents=True)
    for number, kinds in enumerate(
        ({"sales_id": pa.float64(), "item_id_id": pa.float64()}, {"sales_id": pa.decimal128(20, 0)})
    ):
        table = arrow_table(lines.iloc[number * 3 : number * 3 + 3], **kinds)
        pq.write_table(table, folder.raw / f"ownapp/lines/part-{number}.parquet")
    flags = ["is_veg", "promo_item", "is_customized"]
    late = pq.read_table(folder.raw / "ownapp/lines/part-1.parquet").to_pandas()
    late[flags] = late[flags].astype(int)
    late.to_parquet(folder.raw / "ownapp/lines/part-1.parquet", index=False)
    mapping = pd.read_csv(io.StringIO(MAPPING), dtype={"customer_code_ty": str, "store_code": str})
    mapping["invoice_no"] = mapping["invoice_no"].astype(float)
    mapping.loc[len(mapping)] = [float("nan"), 5.0, None, None]  # order 5 of nobody
    folder.parquet("maps/customers.parquet", mapping)
    folder.features["common"]["mapping_file"] = f"{folder.raw}/maps/customers.parquet"
    code, said = folder.start("order_features", "--channel", "ownapp")
    assert code == 0, said
    assert unlike(clean.tables(["ownapp"]), folder.tables(["ownapp"])) == []
    assert folder.account("ownapp", "customer mapping") == {"read": 11, "kept": 10, "no_customer_code": 1}


def delta(folder: Folder) -> None:
    folder.write("ownapp/orders/_delta_log/00000000000000000000.json", "{}")


def iceberg(folder: Folder) -> None:
    source = folder.raw / "ownapp/orders/part.parquet"
    folder.write("ownapp/orders/data/part.parquet", source.read_bytes())
    source.unlink()
    folder.write("ownapp/orders/metadata/v1.metadata.json", "{}")


def hudi(folder: Folder) -> None:
    folder.write("swiggy/lines/.hoodie/hoodie.properties", "hoodie.table.name=x")


def with_key(section: str, key: str, value: object) -> Write:
    """Sets a key of the feature pipeline's config."""

    def write(folder: Folder) -> None:
        folder.features[section][key] = value

    return write


def damaged_and_more(folder: Folder) -> None:
    path = folder.raw / "ownapp/orders/part.parquet"
    path.write_bytes(path.read_bytes()[:-400])
    folder.write("maps/menu.csv", MENU.replace("Coffee", "Café").encode("latin-1"))
    folder.features["instore"]["order_items_file_pattern"] = f"{folder.raw}/instore/nothing*"
    folder.write("instore/orders.csv.gz", gzip.compress(BILLS.encode())[:14])


REFUSED: list[tuple[str, Write, int, list[str]]] = [
    ("lost quote in the categories", lambda f: f.rewrite("maps/menu.csv", ("P2,Fries", 'P2,"Fries')), 1,
     ["maps/menu.csv", "line 3"]),
    ("line break in a code", lambda f: f.rewrite("maps/stores.csv", ("\n7041,Side", '\n"70\n41",Side')), 1,
     ["maps/stores.csv", "line 3"]),
    ("UTF-16 bills", lambda f: f.write("instore/orders.csv", BILLS.encode("utf-16")), 1,
     ["instore/orders.csv", "UTF-16", "UTF-8"]),
    ("UTF-16 mapping", lambda f: f.write("maps/customers.csv", MAPPING.encode("utf-16")), 1,
     ["maps/customers.csv", "UTF-16"]),
    ("Latin-1 stores", lambda f: f.write("maps/stores.csv", STORES.replace("Pune", "Puné").encode("latin-1")), 1,
     ["maps/stores.csv", "UTF-8"]),
    ("Delta", delta, 1, ["ownapp/orders", "Delta"]),
    ("Iceberg", iceberg, 1, ["ownapp/orders", "Iceberg"]),
    ("Hudi", hudi, 1, ["swiggy/lines", "Hudi"]),
    ("a file twice", lambda f: f.write("instore/lines (1).csv", BILL_LINES), 1,
     ["lines (1).csv", "lines.csv", "run.allow_repeated_files"]),
    ("a Parquet file twice", lambda f: f.write("ownapp/lines/copy.parquet", (f.raw / "ownapp/lines/part.parquet").read_bytes()), 1,
     ["copy.parquet", "part.parquet", "run.allow_repeated_files"]),
    ("damaged, Latin-1, missing and cut off at once", damaged_and_more, 1,
     ["orders/part.parquet", "maps/menu.csv", "instore/nothing", "orders.csv.gz"]),
    ("no gzip by that name", lambda f: f.write("instore/orders_2.csv.gz", BILLS), 1, ["instore/orders_2.csv.gz"]),
    ("header in two cases", lambda f: f.rewrite("instore/orders.csv", ("StoreCode,", "storecode,STORECODE,")), 1,
     ["instore/orders.csv", "StoreCode"]),
    ("no header", lambda f: f.write("maps/codes.csv", CODES.partition("\n")[2]), 1, ["maps/codes.csv", "MDS ID", "DSR Code"]),
    ("a spreadsheet by another name", lambda f: f.write("maps/stores.csv", b"PK\x03\x04" + bytes(range(256))), 1, ["maps/stores.csv"]),
    ("a day that starts at 25", with_key("common", "business_day_starts", "25:00"), 2, ["common.business_day_starts"]),
    ("a pattern that is none", with_key("instore", "time_format", "dd/QQQQQQ"), 2, ["instore.time_format"]),
]  # fmt: skip


def test_repeated_files_that_the_config_allows(spark, folder):
    """The notebooks' classes and the report's items know the key as the command line does."""
    folder.write("instore/lines (1).csv", BILL_LINES + "901,7041,2025-06-27 13:30:00,P9,1,90\n")
    folder.write("instore/lines (2).csv", BILL_LINES + "901,7041,2025-06-27 13:30:00,P9,1,90\n")
    body = {"feature_pipeline": folder.features, "run": {}}
    with pytest.raises(InputError, match="lines \\(2\\).csv .*run.allow_repeated_files"):
        OrderFeaturePipeline(body, "instore", spark).run()
    body["run"] = {"allow_repeated_files": True}
    OrderFeaturePipeline(body, "ownapp", spark).run_instore()
    bills = folder.tables(["instore"])["instore"].set_index("order_id")
    assert bills["item_count"].to_dict() == {"900": 9.0, "901": 5.0, "902": 3.0, "903": 3.0}
    items = unmapped_items(spark, load_config(conf=body).feature_pipeline)["rows"]
    assert ("instore", "P9", 2) in [(row["channel"], row["item"], row["lines"]) for row in items]


def undocumented(said: str) -> list[str]:
    """The lines about a file that no entry of docs/refused.md explains."""
    lines = [line for line in said.splitlines() if line.startswith("  - /") or line.startswith("  - file:")]
    assert lines
    return [line for line in lines if not is_explained(line)]


@pytest.mark.parametrize(("write", "code", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_folders_that_are_refused_before_anything_runs(spark, tmp_path, write, code, words):
    folder = Folder(tmp_path)
    write(folder)
    found, said = folder.start()
    assert (found, [word for word in words if word not in said]) == (code, []), said
    assert not folder.out.exists() and (code == 2 or undocumented(said) == [])


UNREADABLE: list[tuple[str, Write, list[str]]] = [
    ("days of the mapping", lambda f: f.rewrite("maps/customers.csv", ("2025-06-2", "26/06/202")),
     ["customers.csv", "'invoice_date'", "99/99/9999", "common.mapping_date_format"]),
    ("times of the bills", lambda f: f.rewrite("instore/orders.csv", *((f"2025-06-{d} ", f"{d}/6/2025 ") for d in (26, 27, 28))),
     ["orders.csv", "'BussTime'", "99/9/9999 99:99:99", "instore.time_format"]),
    ("a line break in quotes", lambda f: f.rewrite("instore/orders.csv", ("SALE,EatIn\n901", 'SALE,"Eat\nIn"\n901')),
     ["orders.csv", "instore.multi_line"]),
    ("a line break in quotes of the lines", lambda f: f.rewrite("instore/lines.csv", (",P2,1,1120.5", ',"P2\n",1,1120.5')),
     ["lines.csv", "instore.multi_line"]),
    ("a comma without quotes", lambda f: f.rewrite("instore/orders.csv", ("50,,45,,", "50,,45,,,more")),
     ["orders.csv", "1 row with more values than the header has columns"]),
    ("a comma without quotes that shifts a date", lambda f: f.rewrite("instore/orders.csv", ("901,", "901,a,")),
     ["orders.csv", "1 row with more values than the header has columns"]),
]  # fmt: skip


@pytest.mark.parametrize("channel_file", ["instore/orders.csv", "instore/lines.csv", "maps/customers.csv"])
def test_text_that_is_not_utf8_behind_the_first_mebibyte(folder, channel_file):
    text = (folder.raw / channel_file).read_text()
    header, *rows = text.splitlines()
    empty = "," * header.count(",") + "\n"
    rest = "\n".join([*rows[:-1], rows[-1].replace("7040", "70\u00e940")])
    folder.write(
        channel_file, f"{header}\n{empty * ((1 << 20) // len(empty) + 1)}".encode() + f"{rest}\n".encode("latin-1")
    )
    code, said = folder.start("order_features", "--channel", "instore")
    assert code == 1 and channel_file in said and "text that is not UTF-8" in said and "save" in said.lower(), said
    assert is_explained(said)
    assert not (folder.out / "instore.parquet").exists()


@pytest.mark.parametrize(("write", "words"), [case[1:] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE])
def test_columns_that_cannot_be_read_are_refused_with_the_key_that_reads_them(folder, write, words):
    write(folder)
    code, said = folder.start("order_features", "--channel", "instore")
    assert (code, [word for word in words if word not in said]) == (1, []), said
    assert is_explained(said)
    assert "nothing was published" in said and not (folder.out / "instore.parquet").exists()
    assert "0000000007" not in said and "12345" not in said


FAULTS = {  # file, content, steps, what each order's customer must be
    "mapping_unquoted_comma": (
        "customer_code_ty,address,invoice_no,invoice_date,store_code\n0000000007,MG Road, 1271,900,2025-06-01,7040\n0000000012,Hill Road,1271,,\n",
        {1271: "0000000012"}, {"read": 2, "kept": 1, "bad_record": 1}),
    "mapping_missing_words": (
        "customer_code_ty,invoice_no,invoice_date,store_code\nNULL,1,,\n#N/A,3,,\n0000000007,3,,\nnan,900,2025-01-07,7040\n\\N,4,,\n",
        {3: "0000000007"}, {"read": 5, "kept": 1, "no_customer_code": 4}),
    "mapping_float_codes": (
        "customer_code_ty,invoice_no,invoice_date,store_code\n1234567,1,,\n1234567.0,900,2025-01-07,7040\n1.2345678E7,2,,\n9.19812E+11,3,,\n",
        {1: "1234567", 2: "12345678"}, {"read": 4, "kept": 3, "bad_record": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "customers", "account"), FAULTS.values(), ids=FAULTS)
def test_faults_of_the_mapping_from_public_reports(spark, tmp_path, text, customers, account):
    folder = Folder(tmp_path)
    folder.write("maps/customers.csv", text)
    orders = [APP_ORDERS[0] | {"id": number} for number in (1, 2, 3, 4, 1271)]
    folder.parquet("ownapp/orders/part.parquet", frame_of(orders))
    folder.run = ANY_FRACTION
    code, said = folder.start("order_features", "--channel", "ownapp")
    assert code == 0, said
    found = folder.tables(["ownapp"])["ownapp"]
    assert dict(zip(found["order_id"], found["algonomy_id"], strict=True)) == customers
    assert folder.account("ownapp", "customer mapping") == account
    assert (
        len(compare.read(f"{folder.out}/quarantine/ownapp")) == account["bad_record"]
        if "bad_record" in account
        else True
    )


BILL_FAULTS = {
    "bills_numbers_and_times": (
        "InvoiceNo,BussTime,StoreCode,GrossAmount,Discount,BaseAmount,TransType,SaleType\n"
        '900,2025-06-01 9:05,7040,"1,234.50",0,"1,180.00",SALE,EatIn\n,,,,,,,\n901,2025-06-01 13:30:00,7040,₹210,(5.00),190,SALE,EatIn\n',
        [("900", 1234.5, 0.0, 1180.0, "2025-06-01 09:05:00"), ("901", 210.0, -5.0, 190.0, "2025-06-01 13:30:00")]),
    "bills_semicolons_and_case": (
        ";;;\ninvoiceno;busstime;storecode;grossamount;discount;baseamount;transtype;saletype\n900;2025-06-01 13:30:00;7040;210;0;190;SALE;EatIn\n",
        [("900", 210.0, 0.0, 190.0, "2025-06-01 13:30:00")]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), BILL_FAULTS.values(), ids=BILL_FAULTS)
def test_faults_of_bills_from_public_reports(folder, text, rows):
    folder.write("instore/orders.csv", text)
    folder.write("maps/customers.csv", MAPPING + "".join(f"0000000007,{row[0]},2025-06-01,7040\n" for row in rows))
    folder.run = {"gates": {"freshness_days": None}}
    code, said = folder.start("order_features", "--channel", "instore")
    assert code == 0, said
    found = folder.tables(["instore"])["instore"].sort_values("order_id")
    columns = ["order_id", "total_price", "discounted_price", "BaseAmount", "BussTime"]
    assert [(*row[:4], str(row[4])) for row in found[columns].itertuples(index=False)] == rows


def test_faults_that_are_refused(folder):
    folder.write("maps/menu.csv", 'item_id_id,ProductCode,Clubbed base product category,Final Dri Category\n501,P1,McVeggie,Burgers\n'
                 '502,P2,"Fries,Sides\n503,P3,Coke,Drinks\n504,P4,"12"" Wrap",Wraps\n505,P5,Coffee,Cafe\n')  # fmt: skip
    code, said = folder.start("order_features", "--channel", "instore")
    assert code == 1 and "maps/menu.csv" in said and "line 3" in said
    folder.write("maps/menu.csv", MENU)
    folder.write(
        "maps/customers.csv",
        "customer_code_ty,invoice_no,invoice_date,store_code\n0000000007,900,07/01/2025,7040\n0000000008,901,8/1/2025,7040\n",
    )
    code, said = folder.start("order_features", "--channel", "instore")
    assert code == 1 and all(
        word in said for word in ("customers.csv", "'invoice_date'", "9/9/9999", "common.mapping_date_format")
    )
    assert not (folder.out / "instore.parquet").exists()
