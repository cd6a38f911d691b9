"""A small world of raw files in the users' layout, written by hand: tests change one thing and look at the results."""

from pathlib import Path
from typing import Any

import pandas as pd

from blitz.raw.channels import CHANNELS

ORDER = {
    "id": 1, "order_no": "O1", "user_id": 10, "business_model_id_id": 1, "store_id_id": 100, "store_name": " Main ",
    "order_placed_datetime": "2025-01-06 07:00:00", "order_delivery_datetime": None, "schedule_datetime": None,
    "before_payment_delivery_eta": 30, "before_payment_pickup_eta": 10, "coupon_price": 0.0, "applied_coupon": None,
    "offer_applied": False, "discounted_price": 0.0, "tip": 0.0, "is_distance_fee_applicable": False, "cart_id": 5,
    "active": True, "status_id": 4, "platform": "android", "channel": "delivery", "payment_method": "upi",
    "gross_price": 110.0, "total_price": 105.0, "total_cgst": 2.5, "total_sgst": 2.5, "delivery_cgst": 0.0,
    "delivery_sgst": 0.0, "actual_subtotal": 100.0, "sub_total_price": 100.0,
}  # fmt: skip
LINE = {
    "sales_id": 1, "quantity": 1, "item_id_id": 501, "item_name": "x", "is_customized": False, "is_veg": True,
    "promo_item": False, "tpo_discount_price": 0.0, "tpo_original_price": 0.0, "tpo_saved_price": 0.0,
    "created_at": "2025-01-06 07:00:00", "original_price": 50.0,
}  # fmt: skip
INSTORE_ORDER = {
    "InvoiceNo": "900", "BussTime": "2025-01-07 13:00:00", "StoreCode": "7040", "GrossAmount": "210", "Discount": "10",
    "BaseAmount": "190", "TransType": "SALE", "SaleType": "EatIn",
}  # fmt: skip
INSTORE_LINE = {
    "InvoiceNo": "900", "StoreCode": "7040", "OrderDatetime": "2025-01-07 13:00:00", "ProductCode": "P1", "Qty": "1",
    "PriceNet": "50",
}  # fmt: skip
MENU = [  # item id, product code, base category, driver category
    ("501", "P1", "McVeggie", "Burgers"),
    ("502", "P2", "Fries", "Sides"),
    ("503", "P3", "Coke", "Drinks"),
    ("504", "P4", None, "Sides"),
    ("505", "P5", "Exclude", "Other"),
    ("506", "P6", "Coffee", None),
]
DELIVERY = [name for name, channel in CHANNELS.items() if channel.layout == "delivery"]
TIMES = ("order_placed_datetime", "order_delivery_datetime", "schedule_datetime", "created_at")


def features_config(raw: Path, out: Path) -> dict[str, Any]:
    """The feature pipeline's config over raw files in the layout of ``World``, with outputs below ``out``."""
    maps = raw / "maps"

    def app(name: str) -> dict[str, Any]:
        return {
            "orders_data_path": f"{raw}/{name}/orders", "orders_columns": list(ORDER),
            "order_items_data_path": f"{raw}/{name}/lines", "order_items_columns": list(LINE),
            "output_path": f"{out}/{name}.parquet",
            "orderqueries_path": f"{raw}/queries" if name == "ownapp" else "", "has_query": name == "ownapp",
        }  # fmt: skip

    return {
        **{name: app(name) for name in DELIVERY},
        "instore": {
            "orders_file_pattern": f"{raw}/instore/order*", "order_items_file_pattern": f"{raw}/instore/line*",
            "output_path": f"{out}/instore.parquet",
        },
        "common": {
            "current_run_date": "2025-07-01", "months_offset": 27, "timezone": "Asia/Kolkata",
            "mapping_file": f"{maps}/customers.csv", "store_mds_dsr_path": f"{maps}/codes.csv",
            "store_master_path": f"{maps}/stores.csv", "categories_path": f"{maps}/menu.csv",
            "clear_master_path": f"{maps}/choices.csv",
        },
        "customer": {"cutoff_date": "2024-07-01", "output_path": f"{out}/customers.parquet"},
    }  # fmt: skip


class World:
    """Raw rows by table; ``config()`` writes them and gives the whole config."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.orders: dict[str, list[dict[str, Any]]] = {name: [] for name in DELIVERY}
        self.lines: dict[str, list[dict[str, Any]]] = {name: [] for name in DELIVERY}
        self.instore: list[dict[str, Any]] = []
        self.instore_lines: list[dict[str, Any]] = []
        self.queries: list[int] = []
        self.customers: list[tuple[str, str, str | None, str | None]] = []
        self.store_codes = [("100", "7040"), ("101.0", "7041")]
        self.stores = [("7040", "Main", "Mall", "Mumbai", "Y", "G1"), ("7041", "Side", " Street ", "Pune", "N", "G2")]
        self.menu = list(MENU)
        self.choices: list[tuple[str, str, str, str, str]] = []
        self.run: dict[str, Any] = {
            "max_rejected_fraction": 1,
            "allow_repeated_files": True,
            "gates": {"empty_channel": None, "freshness_days": None, "fewer_customers": None, "no_customer_rise": None},
        }
        self.common: dict[str, Any] = {}
        self.customer: dict[str, Any] = {}

    def order(self, channel: str = "ownapp", customer: str | None = "0007", **values: Any) -> dict[str, Any]:
        """One order of a delivery channel; its customer goes to the mapping under the order's id."""
        row = {**ORDER, **values}
        self.orders[channel].append(row)
        if customer is not None:
            self.customers.append((customer, str(row["id"]), None, None))
        return row

    def line(self, channel: str = "ownapp", **values: Any) -> None:
        """One line of such an order."""
        self.lines[channel].append({**LINE, **values})

    def bill(self, customer: str | None = "0007", **values: Any) -> None:
        """One in-store order; its customer goes to the mapping under invoice, date and store."""
        row = {**INSTORE_ORDER, **values}
        self.instore.append(row)
        if customer is not None:
            self.customers.append((customer, row["InvoiceNo"], str(row["BussTime"])[:10], row["StoreCode"]))

    def bill_line(self, **values: Any) -> None:
        """One line of an in-store order."""
        self.instore_lines.append({**INSTORE_LINE, **values})

    def config(self) -> dict[str, Any]:
        """Write the raw files and return the config that reads them."""
        raw, out = self.root / "raw", self.root / "out"
        for name in DELIVERY:
            self.write_parquet(raw / name / "orders", self.orders[name], ORDER)
            self.write_parquet(raw / name / "lines", self.lines[name], LINE)
        self.write_parquet(raw / "queries", [{"order_id": each} for each in self.queries], {"order_id": 1})
        self.write_csv(raw / "instore/orders.csv", [r.values() for r in self.instore], list(INSTORE_ORDER))
        self.write_csv(raw / "instore/lines.csv", [r.values() for r in self.instore_lines], list(INSTORE_LINE))
        maps = raw / "maps"
        self.write_csv(
            maps / "customers.csv", self.customers, ["customer_code_ty", "invoice_no", "invoice_date", "store_code"]
        )
        self.write_csv(maps / "codes.csv", self.store_codes, ["MDS ID", "DSR Code"])
        self.write_csv(
            maps / "stores.csv", self.stores,
            ["Store Code", "Store Name", "Store Type", "Geographical City", "Key City", "Generator New"],
        )  # fmt: skip
        self.write_csv(
            maps / "menu.csv", self.menu,
            ["item_id_id", "ProductCode", "Clubbed base product category", "Final Dri Category"],
        )  # fmt: skip
        self.write_csv(
            maps / "choices.csv", self.choices,
            ["header_item_id_id", "choice_item_id_id", "HeaderItemId", "ChoiceItemId", "Qty"],
        )  # fmt: skip

        features = features_config(raw, out)
        features["common"].update(self.common)
        features["customer"].update(self.customer)
        return {"feature_pipeline": features, "run": self.run}

    @staticmethod
    def write_parquet(folder: Path, rows: list[dict[str, Any]], shape: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        frame = pd.DataFrame(rows or [shape], columns=list(shape))
        for name in set(TIMES) & set(shape):
            frame[name] = pd.to_datetime(frame[name], format="ISO8601")  # nanoseconds, as pandas writes them
        frame.iloc[: len(rows)].to_parquet(folder / "part.parquet", version="2.6", index=False)

    @staticmethod
    def write_csv(path: Path, rows: list[Any], columns: list[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame([list(row) for row in rows], columns=columns).to_csv(path, index=False)
