"""Random worlds: raw rows of every kind that the contract names, a few hundred, the same for the same seed."""

import csv
import datetime as dt
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from blitz.segmentation.rules import default_rules, segment_names
from rough import app_file, segmentation, write_model
from world import INSTORE_LINE, INSTORE_ORDER, World

Kind = Literal["clean", "rough", "wide"]
FIRST, LAST = dt.datetime(2023, 3, 28), dt.datetime(2025, 7, 3)  # a few days more than the window at both ends
EMPTY_MONTH = (2024, 11)
EVE = dt.datetime(2025, 6, 30, 12)  # of the run date: the only day on which the last category of the menu is ordered
PRICES = [None, -1.0, 0.0, 34.99, 35.0, 99.99, 100.0, 250.0, 599.99, 600.0, 99999.5, 100000.0]
MENU = [
    ("501", "P1", "McVeggie", "Burgers"), ("501.0", "P1", "McVeggie", "Burgers"), ("501", "P9", "Zeta", "Burgers"),
    ("502", "P2", " Fries ", "Sides"), ("503", "P3", "Coke", "Drinks"), ("504", "P4", None, "Sides"),
    ("505", "P5", "Exclude", "Other"), ("506", "P6", "Coffee", None), ("507", "P7", "Mc-Flurry & Co.", "Desserts"),
    ("508", "P8", "mc flurry co", "Desserts"), ("510", "P10", "Newest", "First Day"),
]  # fmt: skip
WIDE_MENU = [(str(500 + n), f"P{n}", f"Base {n:03}", f"Driver {n % 90:02}") for n in range(1, 301)]
NOBODY = "Seg15_plus_9"  # the plan "nobody" is for this segment, which no customer of a clean world reaches


class RandomWorld:
    """Fills a ``World`` from a seed, by kind.

    ``clean``: every value can be read, few orders a customer. ``rough``: nulls, conflicts, values and lines that
    cannot be read, Parquet and CSV files in several physical forms. ``wide``: rough, with a menu of 300 categories.
    """

    def __init__(self, root: Path, seed: int, kind: Kind) -> None:
        self.random, self.world, self.root = random.Random(seed), World(root), root
        self.is_clean, self.is_wide = kind == "clean", kind == "wide"
        people = [f"{number:04}" for number in range(1, 61 if self.is_clean else 31)]
        self.own, self.all = people[: len(people) * 2 // 3], [*people, None, None]
        self.world.menu = WIDE_MENU if self.is_wide else MENU
        *self.items, self.newest = [int(float(item)) for item, *_ in self.world.menu]

    def fill(self) -> None:
        """Plant orders, lines, bills, choices and the rows of the mappings."""
        pick = self.random.choice
        for channel, first, count in (("ownapp", 1, 250), ("swiggy", 5000, 80)):
            for number in range(first, first + count):
                self._order(channel, number)
        for _ in range(90):
            self._bill()
        self.world.order(id=4000, customer=pick(self.own), order_placed_datetime=str(EVE))
        self.world.line(sales_id=4000, item_id_id=self.newest)
        self.world.queries = self.random.sample(range(1, 251), 60)
        codes = [code for _, code, *_ in self.world.menu]
        for _ in range(12):
            header, choice = pick(self.world.menu), pick(self.world.menu)
            quantity = pick(["", "0", "1", "1.0", "2", "9"])
            self.world.choices.append((header[0], choice[0], header[1], choice[1], quantity))
        if not self.is_clean:
            self.world.customers += [(pick(self.own), str(pick(range(1, 250))), None, None) for _ in range(15)]
            self.world.customers += [("", "7", None, None), ("0001", "", None, None), ("0002", "9", "soon", codes[0])]
            self.world.store_codes += [("0100", "7041"), ("102", "7042"), ("x", "7040")]

    def _or(self, *values: Any, bad: tuple[Any, ...] = ()) -> Any:
        """One of the values; of a rough world one in twenty is bad."""
        return self.random.choice(bad if bad and not self.is_clean and self.random.random() < 0.05 else values)

    def _order(self, channel: str, number: int) -> None:
        pick, flag = self.random.choice, lambda: self._or(True, False, False, bad=(None,))
        for _ in range(self._or(1, 1, 1, 1, 1, 2)):  # a repeated order differs in anything
            placed = self._moment()
            later = placed + dt.timedelta(seconds=self.random.randrange(-60, 9000))
            self.world.order(
                channel, pick(self.own if channel == "ownapp" else self.all), id=self._or(number, bad=(None,)),
                order_placed_datetime=self._or(f"{placed.isoformat(' ', 'microseconds')}{pick(['', '789'])}", bad=(None,)),
                order_delivery_datetime=pick([str(later), None]), store_id_id=pick([100, 101, 102, 103, None]),
                store_name=pick([" Main ", "Side", "", None]), discounted_price=pick([None, 0.0, 10.0, -5.0, 33.25]),
                sub_total_price=pick([None, 0.0, 5.0, 100.1]), total_price=pick([None, 0.0, 99.5, 105.0]),
                gross_price=pick([None, 110.0]), tip=pick([None, 0.0, 7.5]), platform=pick(["android", " ios", None]),
                payment_method=pick(["upi", "cash", ""]), is_distance_fee_applicable=flag(), offer_applied=flag(),
            )  # fmt: skip
        for _ in range(pick([0, 1, 2, 3, 5])):
            self.world.line(
                channel, sales_id=self._or(number, bad=(None, 77_777)), item_id_id=self._or(*self.items, bad=(999, None)),
                quantity=self._or(0, 1, 1, 1, 2, 3, bad=(0.5, None)), original_price=pick(PRICES), is_veg=flag(),
                is_customized=flag(), promo_item=flag(),
            )  # fmt: skip

    def _bill(self) -> None:
        pick = self.random.choice
        invoice, store, at = str(pick(range(900, 940))), pick(["7040", "7041", "7042", "9993"]), self._moment()
        written = self._or(str(at), bad=(f"{at.isoformat()}Z", f"{at.isoformat()}+02:00", at.strftime("%d/%m/%Y"), ""))
        self.world.bill(
            pick(self.all), InvoiceNo=self._or(invoice, bad=(f"{invoice}.0",)),
            StoreCode=self._or(store, bad=(f"{store}.0", f" {store}")), BussTime=written,
            GrossAmount=self._or("210", "99.5", "0", bad=("", "1,210.50")), Discount=self._or("", "10", "0.5", "-3"),
            BaseAmount=self._or("190", "", "0", bad=("x",)), SaleType=pick(['Eat "In", large', " TakeAway ", ""]),
        )  # fmt: skip
        codes = [code for _, code, *_ in self.world.menu[:-1]]
        for _ in range(pick([0, 1, 2, 4])):
            self.world.bill_line(
                InvoiceNo=self._or(invoice, bad=(f"{invoice}.0", "1")), StoreCode=store, OrderDatetime=str(at.date()),
                ProductCode=self._or(*codes, bad=("P999", "")), Qty=self._or("0", "1", "2.0", "3", bad=("", "many")),
                PriceNet="" if (price := pick(PRICES)) is None else str(price),
            )  # fmt: skip

    def _moment(self) -> dt.datetime:
        while True:
            second = self.random.randrange(int((LAST - FIRST).total_seconds()))
            at = FIRST + dt.timedelta(seconds=second, microseconds=self.random.choice([0, 0, 123456]))
            if (at.year, at.month) != EMPTY_MONTH:
                return at

    def rewrite(self) -> None:
        """Write the rows of a rough world again: Parquet in several physical forms, CSV with damaged and empty lines."""
        raw = self.root / "raw"
        for channel, orders in self.world.orders.items():
            self._in_forms(raw / channel / "orders", orders)
            self._in_forms(raw / channel / "lines", self.world.lines[channel])
        for name, rows, columns in (
            ("orders", self.world.instore, list(INSTORE_ORDER)), ("lines", self.world.instore_lines, list(INSTORE_LINE)),
        ):  # fmt: skip
            parts = [[list(row.values()) for row in rows[at::3]] for at in range(3)]
            (raw / f"instore/{name}.csv").write_bytes(self._csv(parts[0], columns, ",", "\n"))
            (raw / f"instore/{name}_b.csv").write_bytes(self._csv(parts[1], columns, ";", "\r\n", "\ufeff"))
            zipped = gzip.compress(self._csv(parts[2], columns, ",", "\n"), mtime=0)
            (raw / f"instore/{name}_c.csv.gz").write_bytes(zipped)
        columns = ["customer_code_ty", "invoice_no", "invoice_date", "store_code"]
        rows = [[value or "" for value in row] for row in self.world.customers]
        (raw / "maps/customers.csv").write_bytes(self._csv(rows, columns, ",", "\n"))

    def _in_forms(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """Two forms a folder, of a wide world one: each doubles what an engine has to plan. The first has fractions."""
        (folder / "part.parquet").unlink()
        forms = [self.random.choice(["micros_utc", "nanos_ist", "text"]), self.random.choice(["nanos", "millis"])]
        by_form: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            is_whole = row.get("quantity") != 0.5 and not self.is_wide
            by_form.setdefault(self.random.choice(forms) if is_whole else forms[0], []).append(row)
        for form, some in by_form.items():
            pq.write_table(app_file(some, form), folder / f"{form}.parquet", version="2.6")

    def _csv(self, rows: list[list[str]], columns: list[str], separator: str, end: str, mark: str = "") -> bytes:
        """The rows as text with columns in an order of its own, a few of the lines damaged."""
        order = self.random.sample(range(len(columns)), len(columns))
        lines = [self._line([columns[at] for at in order], separator)]
        for row in rows:
            line = self._line([row[at] for at in order], separator)
            lines.append(self._damaged(line, separator) if self.random.random() < 0.08 else line)
        return (mark + end.join([*lines, ""])).encode()

    def _line(self, cells: list[str], separator: str) -> str:
        text = io.StringIO()
        csv.writer(text, delimiter=separator, lineterminator="").writerow(cells)
        return text.getvalue()

    def _damaged(self, line: str, separator: str) -> str:
        """A line with too few or too many values, blanks around them, or empty lines before it."""
        harms: list[Callable[[str], str]] = [
            lambda line: line.rpartition(separator)[0],
            lambda line: line.split(separator)[0],
            lambda line: f"{line}{separator}too{separator}long",
            lambda line: f"{line}{separator}",
            lambda line: f" \t{line} ",
            lambda line: f"\n{separator * 3}\n  \n{line}",
        ]
        return self.random.choice(harms)(line)


def write_random_world(root: Path, seed: int, kind: Kind) -> dict[str, Any]:
    """Write the raw files and a model below ``root``; gives the config of a whole run, whose outputs go to ``root/out``."""
    made = RandomWorld(root, seed, kind)
    made.fill()
    body = made.world.config() | {"segmentation": segmentation(root)}
    if kind != "clean":
        made.rewrite()
    (plan,) = body["segmentation"]["micro_plan"]
    names = segment_names(default_rules())
    body["segmentation"]["micro_plan"] = [
        plan | {"source_segments": names}, plan | {"name": "nobody", "source_segments": [NOBODY]},
    ]  # fmt: skip
    body["run"]["gates"] = dict.fromkeys(("freshness_days", "missing_days", "no_customer_rise", "empty_channel"))
    write_model(root / "model.pkl")
    (root / "conf.json").write_text(json.dumps(body))
    return body
