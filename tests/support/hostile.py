"""A small clean folder of raw files as text, and copies of it in which single files are written as exporters write them.

A test rewrites files of a copy, runs it in this process, and compares the outputs with those of the clean folder.
"""

import contextlib
import io
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import compare
from blitz.cli.main import main
from world import INSTORE_LINE, INSTORE_ORDER, LINE, ORDER, TIMES, features_config

CHANNELS = ("ownapp", "swiggy", "instore")
TABLES = (*CHANNELS, "customers")

MAPPING = """\
customer_code_ty,invoice_no,invoice_date,store_code
0000000007,1,,
0000000012,2,,
1234567,3,,
0000000012,4,,
0000000007,11,,
1234567,12,,
0000000007,900,2025-06-26,7040
0000000012,901,2025-06-27,7041
1234567,902,2025-06-28,0042
0000000007,903,2025-06-28,7040
"""
BILLS = """\
InvoiceNo,BussTime,StoreCode,GrossAmount,Discount,BaseAmount,TransType,SaleType
900,2025-06-26 09:05:00,7040,1234.5,-5,1180,SALE,EatIn
901,2025-06-27 13:30:00,7041,123456.5,0,190,SALE,TakeOut
902,2025-06-28 23:10:00,0042,99,10,80,SALE,EatIn
903,2025-06-28 15:00:00,7040,50,,45,,
"""
BILL_LINES = """\
InvoiceNo,StoreCode,OrderDatetime,ProductCode,Qty,PriceNet
900,7040,2025-06-26 09:05:00,P1,2,50
900,7040,2025-06-26 09:05:00,P2,1,1120.5
901,7041,2025-06-27 13:30:00,P3,1,90
902,0042,2025-06-28 23:10:00,0042,1,400
903,7040,2025-06-28 15:00:00,P1,1,
"""
MENU = """\
item_id_id,ProductCode,Clubbed base product category,Final Dri Category
501,P1,McVeggie,Burgers
502,P2,Fries,Sides
503,P3,Coke,Drinks
504,0042,"12"" Wrap",Wraps
505,P5,,Sides
506,P6,Coffee,
"""
CODES = "MDS ID,DSR Code\n100,7040\n101,7041\n102,0042\n"
STORES = """\
Store Code,Store Name,Store Type,Geographical City,Key City,Generator New
7040,Main,Mall,Mumbai,Y,G1
7041,Side,Street,Pune,N,G2
0042,Third,Mall,,Y,G1
"""
CHOICES = "header_item_id_id,choice_item_id_id,HeaderItemId,ChoiceItemId,Qty\n501,503,P1,P3,1\n"
FILES = {
    "instore/orders.csv": BILLS, "instore/lines.csv": BILL_LINES, "maps/customers.csv": MAPPING,
    "maps/menu.csv": MENU, "maps/codes.csv": CODES, "maps/stores.csv": STORES, "maps/choices.csv": CHOICES,
}  # fmt: skip
QUIET_GATES = {"empty_channel": None, "freshness_days": None}


def _order(number: int, time: str, store: int = 100, **values: Any) -> dict[str, Any]:
    return ORDER | {"id": number, "order_placed_datetime": time, "store_id_id": store} | values


APP_ORDERS = [
    _order(1, "2025-06-29 07:00:00", applied_coupon=None, total_price=105.25),
    _order(2, "2025-06-29 13:00:00", store=101, applied_coupon="SAVE"),
    _order(3, "2025-06-28 18:40:00", store=102, payment_method=None),
    _order(4, "2025-05-01 05:00:00"),
    _order(5, "2025-06-30 05:00:00"),  # of nobody
]
APP_LINES = [
    LINE | {"sales_id": 1, "quantity": 2},
    LINE | {"sales_id": 1, "item_id_id": 503, "original_price": 30.0},
    LINE | {"sales_id": 2, "item_id_id": 504, "original_price": 400.0, "is_veg": False},
    LINE | {"sales_id": 3, "item_id_id": 505},
    LINE | {"sales_id": 4, "item_id_id": 506},
    LINE | {"sales_id": 4, "item_id_id": 502, "promo_item": True},
]
SWIGGY_ORDERS = [_order(11, "2025-06-27 07:00:00"), _order(12, "2025-06-26 07:00:00", store=101)]
SWIGGY_LINES = [LINE | {"sales_id": 11}, LINE | {"sales_id": 12, "item_id_id": 502}]


def frame_of(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Own-app or Swiggy rows as pandas reads them, times in nanoseconds."""
    frame = pd.DataFrame(rows)
    for name in set(TIMES) & set(frame.columns):
        frame[name] = pd.to_datetime(frame[name], format="ISO8601")
    return frame


class Folder:
    """Raw files and a config below a root; tests overwrite files and config before they run it."""

    def __init__(self, root: Path) -> None:
        self.root, self.raw, self.out = root, root / "raw", root / "out"
        for name, text in FILES.items():
            self.write(name, text)
        for name, orders, lines in (("ownapp", APP_ORDERS, APP_LINES), ("swiggy", SWIGGY_ORDERS, SWIGGY_LINES)):
            self.parquet(f"{name}/orders/part.parquet", frame_of(orders))
            self.parquet(f"{name}/lines/part.parquet", frame_of(lines))
        self.parquet("queries/part.parquet", pd.DataFrame({"order_id": [2]}))
        self.features = features_config(self.raw, self.out)
        self.run: dict[str, Any] = {}
        self.segmentation: dict[str, Any] | None = None

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a raw file and return its path."""
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def rewrite(self, name: str, *changes: tuple[str, str]) -> Path:
        """Replace texts of a raw file, each of which it must have."""
        path = self.raw / name
        text = path.read_bytes().decode()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        return self.write(name, text)

    def parquet(self, name: str, frame: pd.DataFrame) -> Path:
        """Write a frame as a Parquet file and return its path."""
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, version="2.6", index=False)
        return path

    def start(self, command: str = "run_all", *arguments: str) -> tuple[int, str]:
        """Run a command over the folder; returns its exit code and what it printed."""
        body: dict[str, Any] = {"feature_pipeline": self.features, "run": self.run}
        if self.segmentation is not None:
            body["segmentation"] = self.segmentation
        path = self.root / "conf.json"
        path.write_text(json.dumps(body))
        said = io.StringIO()
        if command in ("run_all", "refresh", "backfill") and "--steps" not in arguments:
            arguments = ("--steps", ",".join(TABLES), *arguments)
        if command in ("run_all", "refresh"):
            arguments = ("--no-report", *arguments)
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = main(command, ["--conf", str(path), *arguments])
        return code, said.getvalue()

    def tables(self, names: Collection[str] = TABLES) -> dict[str, pd.DataFrame]:
        """The published tables by name."""
        return {name: compare.read(str(self.out / f"{name}.parquet")) for name in names}

    def published(self) -> dict[str, tuple[int, bytes]]:
        """The files of published tables with their times and contents."""
        files = (path for path in self.out.glob("*.parquet/*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    def account(self, step: str, table: str) -> dict[str, int]:
        """The counts of an account in the manifest: ``read``, ``kept`` and the reasons that dropped rows."""
        found = next(each for each in self.manifest()["steps"][step]["accounts"] if each["table"] == table)
        dropped = {reason: count for reason, count in found["dropped"].items() if count}
        return {"read": found["read"], "kept": found["kept"], **dropped}

    def manifest(self, below: str = "") -> dict[str, Any]:
        """The manifest of the last run, of those in a folder of the outputs."""
        newest = max(self.out.glob(f"{below}manifest*.json"), key=lambda path: path.stat().st_mtime_ns)
        body: dict[str, Any] = json.loads(newest.read_text())
        return body


def unlike(expected: dict[str, pd.DataFrame], found: dict[str, pd.DataFrame]) -> list[str]:
    """What differs between tables, a line per table and column."""
    return [
        f"{name}: {problem}"
        for name, frame in expected.items()
        for problem in compare.differences(frame, found[name], compare.KEYS[name], ordered_columns=True)
    ]


def csv_of(columns: Sequence[str], *rows: Sequence[str], separator: str = ",") -> str:
    """Lines of CSV without quotes."""
    return "".join(separator.join(row) + "\n" for row in (columns, *rows))


BILL_COLUMNS, BILL_LINE_COLUMNS = list(INSTORE_ORDER), list(INSTORE_LINE)
