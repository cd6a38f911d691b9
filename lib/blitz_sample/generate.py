"""The whole sample: orders of three channels, mapping files, models."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from blitz_sample import files
from blitz_sample.menu import build_menu, build_stores
from blitz_sample.models import write_models
from blitz_sample.orders import Lines, Orders, edge_times, make_lines, make_orders, skew
from blitz_sample.people import build_people

SHARES = {"ownapp": 0.55, "swiggy": 0.20, "instore": 0.25}
FIRST_ID = {"ownapp": 1_000_000, "swiggy": 5_000_000_000}
FEWEST_ORDERS = 2_000
SKEWED_ORDERS = 200_000  # of one customer, where there are twice as many
FOLDERS = {"ownapp": ("sales", "salesdetail"), "swiggy": ("swiggy_sales", "swiggy_salesdetail")}


def write_sample(orders: int, seed: int, out: str, with_models: bool = True, skewed: bool = False) -> None:
    """Write sample raw data of about ``orders`` orders, and models for every plan, under ``out``.

    The same arguments give the same data. Below FEWEST_ORDERS some segments would be empty. ``skewed``: one store has
    half of all orders, and one customer SKEWED_ORDERS of the own app.
    """
    rng = np.random.default_rng(seed)
    root = Path(out)
    menu, stores = build_menu(rng), build_stores(rng)
    people = build_people(rng, orders)
    made: dict[str, tuple[Orders, Lines]] = {}
    mapping = []
    for channel, share in SHARES.items():
        heads = make_orders(rng, people, stores, max(200, int(orders * share)), channel)
        if skewed:
            skew(heads, SKEWED_ORDERS if channel == "ownapp" else 0)
        _put_edges(heads)
        lines = make_lines(rng, people, menu, heads)
        made[channel] = heads, lines
        amounts = np.round(np.bincount(lines.order, menu.prices[lines.item] * lines.quantity, len(heads)), 2)
        store_codes = stores.codes[heads.store]
        if channel == "instore":
            order_rows, line_rows = files.instore_frames(rng, heads, lines, stores, menu, amounts)
            invoice = order_rows["InvoiceNo"].to_numpy()
            order_rows.loc[[5, 9], "BussTime"] = ["not a time", ""]
            order_rows = pd.concat([order_rows, order_rows.iloc[100:140].assign(GrossAmount=1.0)])
            line_rows.loc[7, "Qty"] = -1
            files.write_csv(order_rows, root / "instore_data/order_level_v2")
            files.write_csv(line_rows, root / "instore_data/item_level")
        else:
            ids = FIRST_ID[channel] + np.arange(len(heads))
            invoice = ids.astype(str)
            frame = files.app_orders(rng, heads, ids, stores, amounts)
            if channel == "swiggy":
                frame["external_order_id"] = "SW" + frame["id"].astype(str)
            later = frame.iloc[300:330].assign(total_price=1.0)
            later["order_placed_datetime"] += pd.Timedelta(minutes=3)
            frame = pd.concat([frame, frame.iloc[100:130].assign(tip=5.0), later], ignore_index=True)
            line_frame = files.app_lines(rng, lines, ids, menu, heads, as_flags=channel == "ownapp")
            line_frame.loc[len(line_frame) - 3 :, "sales_id"] = 1  # lines of no order
            files.write_parquet(frame, root / FOLDERS[channel][0], utc=channel == "ownapp")
            files.write_parquet(line_frame, root / FOLDERS[channel][1], utc=channel == "ownapp")
            if channel == "ownapp":
                asked = pd.DataFrame({"order_id": rng.choice(ids, len(ids) // 50)})
                files.write_parquet(asked, root / "orderqueries", utc=False)
        mapping.append(files.mapping_rows(people, heads, invoice, store_codes))
    _write_mappings(rng, root, pd.concat(mapping, ignore_index=True), menu, stores)
    if with_models:
        write_models(people, menu, made, root / "models", seed)


def _put_edges(orders: Orders) -> None:
    """Give the last orders of a channel the times on both sides of every edge."""
    edges = edge_times()[: len(orders) // 4]
    orders.local[len(orders) - len(edges) :] = edges


def _write_mappings(rng: np.random.Generator, root: Path, customers: pd.DataFrame, menu, stores) -> None:  # type: ignore[no-untyped-def]
    folder = root / "received_over_email"
    folder.mkdir(parents=True, exist_ok=True)
    other = customers.iloc[rng.choice(len(customers), 25, replace=False)]
    conflicting = other.assign(customer_code_ty=rng.permutation(other["customer_code_ty"].to_numpy()))
    everyone = pd.concat([customers, conflicting, customers.iloc[:50]], ignore_index=True)
    csv.write_csv(pa.Table.from_pandas(everyone, preserve_index=False), folder / "customer_invoice_mapping.csv")
    tables = {
        "store_mds_dsr": stores.store_codes,
        "store_master": stores.master,
        "category_classification": menu.categories,
        "clear_master_mapping": menu.choices,
    }
    for name, frame in tables.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
