"""Raw data as rough as the world's, planted row by row: every row is written with what must become of it.

Parquet files of one folder hold the same columns in five physical forms (``FORMS``); CSV files are written as text.
``Rough.fates`` says how many rows of each table meet which fate, ``Rough.rejected`` which rows the quarantine holds.
"""

import json
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from world import LINE, ORDER, TIMES

CHECKOUT = Path(__file__).resolve().parents[2]
KEPT = "kept"
FLAGS = ("offer_applied", "is_distance_fee_applicable", "active", "is_customized", "is_veg", "promo_item")
IDS = ("id", "sales_id", "item_id_id", "store_id_id")
MENU = """\ufeffProductCode,note,item_id_id,Final Dri Category,Clubbed base product category\r
P1,"a, ""quoted"" note",501.0,Burgers ,McVeggie\r
P1,,501,Burgers,McVeggie\r
P1,,511,Burgers,McVeggie\r
P1,,512,Sides,Fries\r
\r
P2,,502, Sides,Fries\r
P2,,502,Snacks,Fries\r
P3,,503,Drinks,Coke\r
P5,,505,Other,Exclude\r
P6,,506,,Coffee\r
"""
STORES = '''Store Code,Store Name,Store Type,Geographical City,Key City,Generator New
7040.0,"Main, first","Mall ""A""",Mumbai,Y,G1
7040,Main,Street,Mumbai,Y,G1
7041, Side , Street ,Pune,N
'''


def customer(number: int) -> str:
    """A customer's id that cannot be mistaken for anything else in a log."""
    return f"CUST-LEAK-{number:04}"


def _instant(text: Any, unit: str, zone: str | None) -> Any:
    times = pd.to_datetime(pd.Series(text, dtype=object), format="ISO8601", utc=True)
    times = times.dt.tz_convert(zone) if zone else times.dt.tz_localize(None)
    return pa.Array.from_pandas(times.astype(f"datetime64[{unit}{', ' + zone if zone else ''}]"))


def _text(values: list[Any]) -> Any:
    return pa.array([None if value is None else str(value) for value in values], pa.string())


# How a file holds times, flags and ids; quantities are doubles where ids are.
FORMS: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    "nanos": (lambda v: _instant(v, "ns", None), pa.bool_(), pa.int64()),
    "micros_utc": (lambda v: _instant(v, "us", "UTC"), pa.int8(), pa.float64()),
    "millis": (lambda v: _instant(v, "ms", None), pa.float64(), pa.int32()),
    "nanos_ist": (lambda v: _instant(v, "ns", "Asia/Kolkata"), pa.bool_(), pa.float64()),
    "text": (_text, None, None),
}


def app_file(rows: list[dict[str, Any]], form: str) -> pa.Table:
    """Rows of an app table in one of the FORMS; columns in another order, and one more, in the later forms."""
    times, flags, ids = FORMS[form]
    columns: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name in TIMES:
            columns[name] = times(values)
        elif form == "text":
            columns[name] = _text(values)
        elif name in FLAGS:
            columns[name] = pa.array([None if v is None else flags_value(v, flags) for v in values], flags)
        elif name in IDS or name == "quantity":
            columns[name] = pa.array(values, ids)
        else:
            columns[name] = pa.array(values)
    if form in ("millis", "text"):
        columns = {"_extra column": pa.array(["x"] * len(rows)), **dict(reversed(columns.items()))}
    return pa.table(columns)


def flags_value(value: bool, kind: Any) -> Any:
    """True or False as the flag type has it."""
    return bool(value) if kind == pa.bool_() else int(value)


class Rough:
    """Rough raw data below ``root``; fill it with ``order``, ``line``, ``bills``, then ``write`` gives the config."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.raw = root / "raw"
        self.files: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        self.mapping: list[str] = []
        self.fates: dict[tuple[str, str], Counter[str]] = {}
        self.rejected: dict[str, Counter[tuple[str, str, str, str | None]]] = {}

    def _plant(self, channel: str, table: str, file: str, fate: str, mark: Any) -> None:
        self.fates.setdefault((channel, table), Counter())[fate] += 1
        if fate in ("bad_record", "bad_timestamp"):
            held = self.rejected.setdefault(channel, Counter())
            held[table, file, fate, None if mark is None else str(mark)] += 1

    def order(
        self,
        channel: str,
        form: str,
        fate: str,
        who: int | None = None,
        at: str | None = "2025-01-06 07:00:00",
        **v: Any,
    ) -> None:
        """An app order placed ``at`` (UTC); ``total_price`` marks it in the quarantine."""
        row = {**ORDER, "order_placed_datetime": at, **v}
        if channel == "swiggy":
            row["external_order_id"] = "E"
        self.files.setdefault((channel, "orders", form), []).append(row)
        self._plant(channel, "orders", f"{form}.parquet", fate, row["total_price"])
        if who is not None:
            self.mapping.append(f'"{customer(who)}",{row["id"]},,')

    def line(self, channel: str, form: str, fate: str, **values: Any) -> None:
        """A line of an app order; ``original_price`` marks it in the quarantine."""
        row = {**LINE, **values}
        self.files.setdefault((channel, "lines", form), []).append(row)
        self._plant(channel, "lines", f"{form}.parquet", fate, row["original_price"])

    def bills(self, table: str, file: str, text: str, *fates: tuple[str, str | None]) -> None:
        """An in-store CSV file as it stands, and of each of its data rows (fate, mark in the quarantine)."""
        path = self.raw / "instore" / table / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        for fate, mark in fates:
            self._plant("instore", table, file, fate, mark)

    def of_bill(self, who: int, invoice: str, day: str, store: str) -> None:
        """The customer of an in-store order."""
        self.mapping.append(f"{customer(who)},{invoice},{day},{store}")

    def write(self, **run: Any) -> str:
        """Write the files and the config; gives the config's path."""
        for (channel, table, form), rows in self.files.items():
            path = self.raw / channel / table / f"{form}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(app_file(rows, form), path, version="2.6")
        for folder in {path.parent for path in self.raw.rglob("*.*")}:
            _litter(folder)
        maps = self.raw / "maps"
        maps.mkdir()
        header = "customer_code_ty,invoice_no,invoice_date,store_code"
        (maps / "customers.csv").write_bytes(("\ufeff" + "\r\n".join([header, *self.mapping, "", ""])).encode())
        (maps / "codes.csv").write_text('MDS ID,DSR Code\n100,7040\n"100.0",7040.0\n100,7041\n101,7041\n')
        (maps / "stores.csv").write_text(STORES)
        (maps / "menu.csv").write_bytes(MENU.encode())
        choices = "header_item_id_id,choice_item_id_id,HeaderItemId,ChoiceItemId,Qty\n"
        (maps / "choices.csv").write_text(choices + "501,503.0,P1,P3,1\n501,503,P1,P3,1.0\n502,,P2,,1\n")
        write_model(self.root / "model.pkl")
        self.root.joinpath("conf.json").write_text(json.dumps(self.config(**run)))
        return f"{self.root}/conf.json"

    def config(self, **run: Any) -> dict[str, Any]:
        """The config that reads the files."""
        raw, out, maps = self.raw, self.root / "out", self.raw / "maps"

        def app(name: str) -> dict[str, Any]:
            return {
                "orders_data_path": f"{raw}/{name}/orders/", "orders_columns": list(ORDER),
                "order_items_data_path": f"{raw}/{name}/lines", "order_items_columns": list(LINE),
                "output_path": f"{out}/{name}.parquet", "orderqueries_path": "", "has_query": False,
            }  # fmt: skip

        return {
            "feature_pipeline": {
                "ownapp": app("ownapp"),
                "swiggy": app("swiggy"),
                "instore": {
                    "orders_file_pattern": f"{raw}/instore/orders/*",
                    "order_items_file_pattern": f"{raw}/instore/lines/*.csv",
                    "output_path": f"{out}/instore.parquet",
                },
                "common": {
                    "current_run_date": "2025-07-01", "mapping_file": f"{maps}/customers.csv",
                    "store_mds_dsr_path": f"{maps}/codes.csv", "store_master_path": f"{maps}/stores.csv",
                    "categories_path": f"{maps}/menu.csv", "clear_master_path": f"{maps}/choices.csv",
                },
                "customer": {"cutoff_date": "2024-07-01", "output_path": f"{out}/customers.parquet"},
            },
            "segmentation": segmentation(self.root, "mcveggie_count"),
            "run": {"debug_log": f"{self.root}/debug.log", "gates": {"freshness_days": None}, **run},
        }  # fmt: skip


def segmentation(root: Path, *more: str) -> dict[str, Any]:
    """The segmentation of conf/local.json with the flags that any menu has and ``more``, and one plan; from and to ``out``."""
    whole = json.loads((CHECKOUT / "conf/local.json").read_text())["segmentation"]
    flags = [name for name in whole["convert_to_flag"] if name.endswith(("order_count", "price_range_items", *more))]
    plan = {"name": "first", "source_segments": ["Seg1_5_1", "Seg1_5_2"], "model_key": "segment_1_model"}
    return {
        **{key: whole[key] for key in ("cols_to_keep", "rename_dict", "rename_dict_microsegments")},
        "convert_to_flag": flags, "input_path": f"{root}/out/customers.parquet",
        "output_segments_path": f"{root}/out/segments.par", "output_microsegments_path": f"{root}/out/microsegments.par",
        "segment_1_model": f"{root}/model.pkl", "micro_plan": [plan],
    }  # fmt: skip


def write_model(path: Path) -> None:
    """A model of two features, good enough to score with."""
    values = np.array([[1.0, 0.0], [2.0, 1.0], [9.0, 3.0], [8.0, 4.0]])
    scaler = StandardScaler().fit(values)
    kmeans = KMeans(2, n_init=1, random_state=0).fit(scaler.transform(values))
    body = {"kmeans": kmeans, "scaler": scaler, "features": ["ownapp_order_count", "Lunch_order_count"]}
    path.write_bytes(pickle.dumps(body, protocol=4))


def _litter(folder: Path) -> None:
    """What other tools leave in folders: markers, checksums, empty files, half-written ones under hidden names."""
    for name in ("_SUCCESS", "_committed_17", ".part.parquet.crc", ".a.csv.crc"):
        (folder / name).write_bytes(b"" if name == "_SUCCESS" else b"litter")
    for name in ("empty.parquet",) if folder.parts[-2] != "instore" else ("empty.csv",):
        (folder / name).write_bytes(b"")
    (folder / "_temporary/0").mkdir(parents=True)
    (folder / "_temporary/0/half.parquet").write_bytes(b"PAR1 half")


def plant(root: Path) -> Rough:
    """The one rough world of the tests: what the rows are is told beside each."""
    rough = Rough(root)
    _ownapp(rough)
    _swiggy(rough)
    _bills(rough)
    _bill_lines(rough)
    rough.mapping += [f"{customer(9)},1,,", f"{customer(1)},1.0,,", f"{customer(1)},1,2025-01-06,", ",2,,", "x"]
    return rough


def _ownapp(rough: Rough) -> None:
    put, line = rough.order, rough.line
    put("ownapp", "nanos", KEPT, 1, id=1, at="2025-01-06 07:00:00", total_price=100.0)
    put("ownapp", "micros_utc", "duplicate", id=1.0, at="2025-01-06 06:59:59", total_price=900.0)
    put("ownapp", "text", "duplicate", id="1.0", at="2025-01-06T12:30:00+05:30", total_price="99")
    put("ownapp", "nanos", KEPT, 2, id=2, at="2023-03-31 18:30:00.000001")  # the first day's midnight in India
    put("ownapp", "nanos", "outside_window", 2, id=3, at="2023-03-31 18:29:59.999999")
    put("ownapp", "millis", "outside_window", 2, id=4, at="2025-06-30 18:30:01")
    put("ownapp", "millis", "outside_window", 2, id=15, at="2025-06-30 18:30:00")  # the run date's midnight in India
    put("ownapp", "millis", KEPT, 2, id=5, at="2025-06-30 18:29:59")
    put("ownapp", "nanos_ist", KEPT, 3, id=6.0, at="2025-02-01 02:00:00")
    put("ownapp", "text", KEPT, 4, id="7040.0", at="2025-02-01T02:00:00Z", store_id_id="100.0", store_name="  Main ")
    put("ownapp", "text", "no_customer", id="8", at="2025-02-01")
    put("ownapp", "micros_utc", "no_customer", id=9.0)
    put("ownapp", "nanos", "bad_timestamp", 5, id=10, at=None, total_price=10.25)
    put("ownapp", "micros_utc", "bad_record", id=None, total_price=11.25)
    put("ownapp", "micros_utc", "bad_record", id=12.5, total_price=12.25)
    put("ownapp", "text", "bad_record", id="x13", total_price="13.25")
    put("ownapp", "text", "bad_record", 5, id="14", total_price="1,4")
    put("ownapp", "text", "bad_record", id=None, at="never", total_price="15.25")  # the first reason counts
    for number, at in ((16, "yesterday"), (17, ""), (18, "2025-13-01 10:00:00"), (19, "12:30")):
        put("ownapp", "text", "bad_timestamp", 5, id=str(number), at=at, total_price=f"{number}.25")
    for number in range(101):  # one customer with more orders than the segments take
        put("ownapp", "millis", KEPT, 6, id=1000 + number)
        line("ownapp", "nanos", KEPT, sales_id=1000 + number)
    line("ownapp", "nanos", KEPT, sales_id=1, item_id_id=501, quantity=2)
    line("ownapp", "micros_utc", "choice", sales_id=1.0, item_id_id=503.0, quantity=1.0, is_veg=False)
    line("ownapp", "nanos_ist", "promo", sales_id=1.0, item_id_id=502.0, quantity=3.0, promo_item=True)
    line("ownapp", "text", "promo", sales_id="1.0", item_id_id="502", quantity="1", promo_item="1", is_veg="true")
    line("ownapp", "millis", "unmapped", sales_id=1, item_id_id=599, is_customized=True)
    line("ownapp", "text", "excluded", sales_id="1", item_id_id="505.0", quantity="4.0", is_veg=None)
    line("ownapp", "text", KEPT, sales_id="2", item_id_id=" 502 ", quantity="", original_price="nan")
    line("ownapp", "millis", KEPT, sales_id=5, item_id_id=502)
    line("ownapp", "nanos_ist", "unmapped", sales_id=6.0, item_id_id=506.0)  # all that this customer has
    line("ownapp", "text", KEPT, sales_id="7040", item_id_id="503")
    line("ownapp", "nanos", "no_order", sales_id=8, item_id_id=501)
    line("ownapp", "nanos", "no_order", sales_id=3, item_id_id=501)
    line("ownapp", "micros_utc", "no_order", sales_id=77.0, item_id_id=None)
    line("ownapp", "micros_utc", "bad_record", sales_id=None, original_price=50.25)
    line("ownapp", "text", "bad_record", sales_id="1", quantity="two", original_price="51.25")
    line("ownapp", "text", "bad_record", sales_id="1", is_veg="perhaps", original_price="52.25")
    line("ownapp", "text", "bad_record", sales_id="1", item_id_id="A7", original_price="53.25")


def _swiggy(rough: Rough) -> None:
    """Swiggy holds its times as text in one file and with a zone in the other."""
    put, line = rough.order, rough.line
    put("swiggy", "text", KEPT, 1, id="20000", at="2025-03-01 20:00:00+00:00", external_order_id="E1")
    put("swiggy", "micros_utc", KEPT, 4, id=20001.0, at="2025-03-01 20:00:00")
    put("swiggy", "micros_utc", "not_ownapp_user", 7, id=20002.0)
    put("swiggy", "text", "not_ownapp_user", 8, id="20003.0")
    put("swiggy", "text", "no_customer", id="20004")
    put("swiggy", "text", "bad_timestamp", 1, id="20005", at="soon", total_price="20.25")
    line("swiggy", "nanos", KEPT, sales_id=20000, item_id_id=501)
    line("swiggy", "nanos", "no_order", sales_id=20002, item_id_id=501)


def _bills(rough: Rough) -> None:
    """In-store orders: the same invoice number in two stores and on two days, for three customers."""
    for who, day, store in ((1, "2025-01-07", "7040.0"), (2, "2025-01-07", "7041"), (8, "2025-01-08", "7040")):
        rough.of_bill(who, "900", day, store)
    rough.of_bill(4, "900", "2025-01-08", "7040")  # two customers for one bill: the smaller id
    rough.of_bill(7, "901", "2025-01-07", "7040")  # never used the own app
    rough.bills(
        "orders", "a.csv",
        "\ufeffInvoiceNo,BussTime,StoreCode,GrossAmount,Discount,BaseAmount,TransType,SaleType\r\n"
        '900,2025-01-07 13:00:00,7040,210,10,190,SALE,"Eat ""In"", large"\r\n'
        "\r\n"
        '900,2025-01-07 13:00:00,"7041.0",310,,290,SALE,EatIn\r\n'
        "900.0,2025-01-07 12:59:59,7040,999,0,1,SALE,EatIn\r\n"
        "901,2025-01-07T13:00:00,7040,41.25\r\n"  # a short line may lack what is not required
        "902,2025-01-07 13:00:00,9993,1,0,1,SALE,EatIn\r\n"
        "903,2023-03-31 23:59:59,7040,1,0,1,SALE,EatIn\r\n"
        "904,2025-01-07 13:00:00,7040,1,0,1,SALE,EatIn\r\n"
        "905,2025-01-07 13:00:00,7040,42.25,0,1,SALE,EatIn,too,long\r\n"
        "906\r\n"
        "907,,7040,43.25,0,1,SALE,EatIn\r\n"
        "908,2025-01-07 13:00:00,7040,much,0,1,SALE,EatIn\r\n"
        "\r\n",
        (KEPT, None), (KEPT, None), ("duplicate", None), ("not_ownapp_user", None), ("excluded_store", None),
        ("outside_window", None), ("no_customer", None), ("bad_record", "42.25"), ("bad_record", None),
        ("bad_timestamp", "43.25"), ("bad_record", "much"),
    )  # fmt: skip
    rough.bills(
        "orders", "b.csv",
        'SaleType,extra,"TransType",BaseAmount,Discount,GrossAmount,StoreCode,BussTime,InvoiceNo\n'
        'EatIn,"x, y",SALE,390,0,410,7040,2025-01-08T07:30:00Z,900\n'  # 13:00 in India
        ",,,,,,,,\n"
        "EatIn,,SALE,1,0,44.25,7040,08/01/2025 13:00,909\n",
        (KEPT, None), ("bad_timestamp", "44.25"),
    )  # fmt: skip
    rough.bills("orders", "c.csv", "InvoiceNo,BussTime,StoreCode,GrossAmount,Discount,BaseAmount,TransType,SaleType\n")


def _bill_lines(rough: Rough) -> None:
    rough.bills(
        "lines", "a.csv",
        "InvoiceNo,StoreCode,OrderDatetime,ProductCode,Qty,PriceNet\n"
        "900,7040,2025-01-07 13:00:00,P1,2,50\n"  # three item ids for P1: still one line
        "900.0,7040.0,2025-01-07 13:00:01,P3,1.0,60\n"  # a choice of the header P1
        "900,7041,2025-01-07,P2,3,70\n"
        "900,7040,2025-01-08 23:59:59,P2,4,80\n"
        "900,7040,2025-01-09 00:00:00,P2,5,80\n"
        "900,7040,2025-01-07 13:00:00,P99,6,80\n"
        "900,7040,2025-01-07 13:00:00,P5,7,80\n"
        "901,7040,2025-01-07 13:00:00,P1,1,80\n"
        "900,7040,not a time,P1,1,61.25\n"
        "900,,2025-01-07 13:00:00,P1,1,62.25\n"
        "900,7040,2025-01-07 13:00:00,P1,one,63.25\n"
        "900,7040,2025-01-07 13:00:00,P1,1,64.25,65\n"
        "900,7040\n",
        (KEPT, None), ("choice", None), (KEPT, None), (KEPT, None), ("no_order", None), ("unmapped", None),
        ("excluded", None), ("no_order", None), ("bad_record", "61.25"), ("bad_record", "62.25"),
        ("bad_record", "63.25"), ("bad_record", "64.25"), ("bad_record", None),
    )  # fmt: skip
    rough.bills(
        "lines", "b.csv",
        "\ufeffPriceNet,Qty,ProductCode,OrderDatetime,StoreCode,InvoiceNo,Name\r\n"
        '90,1,"P2",2025-01-07T07:30:00+00:00,7041,900,"Fries, ""large"""\r\n',
        (KEPT, None),
    )  # fmt: skip
