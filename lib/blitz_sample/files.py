"""The sample's raw files: the users' layout, with the roughness of real ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from blitz_sample.menu import Menu, Stores
from blitz_sample.orders import NOBODY, Lines, Orders
from blitz_sample.people import People

IST = np.timedelta64(330, "m")


def app_orders(
    rng: np.random.Generator, orders: Orders, ids: NDArray[Any], stores: Stores, amounts: NDArray[Any]
) -> pd.DataFrame:
    """Raw own-app or Swiggy orders with all columns of the users' config."""
    count = len(orders)
    placed = (orders.local - IST).astype("datetime64[ns]")
    minutes = rng.integers(8, 75, count)
    delivered = placed + minutes.astype("timedelta64[m]")
    delivered[rng.random(count) < 0.08] = np.datetime64("NaT")
    discount = np.where(rng.random(count) < 0.3, np.round(amounts * rng.choice([0.1, 0.2, 0.5], count), 2), 0.0)
    discount[rng.random(count) < 0.01] = np.nan
    tax = np.round(amounts * 0.025, 2)
    frame = pd.DataFrame({"id": ids})
    frame["order_no"] = "ORD" + frame["id"].astype(str)
    frame["user_id"] = np.where(orders.customer == NOBODY, 1, orders.customer + 100)
    frame["business_model_id_id"] = rng.choice([1, 2, 3], count)
    frame["store_id_id"] = stores.mds[orders.store]
    frame["store_name"] = stores.names[orders.store] + np.where(rng.random(count) < 0.1, "  ", "")
    frame["order_placed_datetime"] = placed
    frame["order_delivery_datetime"] = delivered
    frame["schedule_datetime"] = np.where(rng.random(count) < 0.05, placed, np.datetime64("NaT", "ns"))
    frame["before_payment_delivery_eta"] = minutes + 5
    frame["before_payment_pickup_eta"] = np.where(rng.random(count) < 0.5, 10.0, np.nan)
    frame["coupon_price"] = discount
    frame["applied_coupon"] = pd.Series("SAVE", index=frame.index).where(discount > 0, None)
    frame["offer_applied"] = discount > 0
    frame["discounted_price"] = discount
    frame["tip"] = np.where(rng.random(count) < 0.1, 20.0, np.nan)
    frame["is_distance_fee_applicable"] = rng.random(count) < 0.2
    frame["cart_id"] = ids + 7
    frame["active"] = True
    frame["status_id"] = rng.choice([4, 5], count, p=[0.97, 0.03])
    frame["platform"] = rng.choice(["android", "ios", "web"], count, p=[0.6, 0.3, 0.1])
    frame["channel"] = rng.choice(["delivery", "pickup", "dine_in"], count, p=[0.8, 0.15, 0.05])
    frame["payment_method"] = rng.choice(["upi", "card", "cash"], count)
    frame["gross_price"] = np.round(amounts + 2 * tax, 2)
    frame["total_price"] = np.round(amounts + 2 * tax - np.nan_to_num(discount), 2)
    frame["total_cgst"], frame["total_sgst"] = tax, tax
    frame["delivery_cgst"], frame["delivery_sgst"] = 0.0, 0.0
    frame["actual_subtotal"] = amounts
    frame["sub_total_price"] = np.round(amounts - np.nan_to_num(discount), 2)
    return frame


def app_lines(
    rng: np.random.Generator, lines: Lines, ids: NDArray[Any], menu: Menu, orders: Orders, as_flags: bool
) -> pd.DataFrame:
    """Raw own-app or Swiggy lines; flags as booleans with nulls, or as 0/1."""
    count = len(lines.order)
    price = menu.prices[lines.item]
    frame = pd.DataFrame(
        {"sales_id": ids[lines.order], "quantity": lines.quantity, "item_id_id": menu.item_ids[lines.item]}
    )
    frame["item_name"] = menu.names[lines.item]
    flags = {"is_customized": lines.customized, "is_veg": menu.is_veg[lines.item], "promo_item": lines.promo}
    for name, values in flags.items():
        frame[name] = values if as_flags else values.astype("int64")
    if as_flags:
        unknown = rng.random(count) < 0.01
        frame["is_veg"] = frame["is_veg"].astype("boolean").mask(unknown)
    else:
        frame["quantity"] = frame["quantity"].astype(float)  # as pandas leaves them after a merge
    frame["tpo_discount_price"] = np.where(lines.promo, price, 0.0)
    frame["tpo_original_price"] = price
    frame["tpo_saved_price"] = np.where(lines.promo, price, 0.0)
    frame["created_at"] = (orders.local[lines.order] - IST).astype("datetime64[ns]")
    frame["original_price"] = price
    return frame


def write_parquet(frame: pd.DataFrame, folder: Path, utc: bool) -> None:
    """Nanosecond Parquet in several files, with the marker file that Spark leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    if utc:
        for name in frame.select_dtypes("datetime64[ns]"):
            frame[name] = frame[name].dt.tz_localize("UTC")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    files = max(2, -(-len(frame) // 1_000_000))
    size = -(-len(frame) // files)
    for at in range(files):
        part = table.slice(at * size, size)
        pq.write_table(part, folder / f"part-{at:03}.parquet", version="2.6", row_group_size=250_000)
    (folder / "_SUCCESS").write_text("")


def write_csv(frame: pd.DataFrame, folder: Path, rough: bool = True) -> None:
    """CSV in three files: as it is, with its columns turned round, with a BOM and CRLF."""
    folder.mkdir(parents=True, exist_ok=True)
    third = -(-len(frame) // 3)
    options = pa.csv.WriteOptions(quoting_style="needed")
    for at in range(3):
        part = frame.iloc[at * third : (at + 1) * third]
        if at == 1:
            part = part[part.columns[::-1]]
        path = folder / f"part-{at}.csv"
        if at == 2 and rough:
            text = part.to_csv(index=False, lineterminator="\r\n")
            path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        else:
            pa.csv.write_csv(pa.Table.from_pandas(part, preserve_index=False), path, options)


def instore_frames(
    rng: np.random.Generator, orders: Orders, lines: Lines, stores: Stores, menu: Menu, amounts: NDArray[Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Raw in-store orders and lines; invoice numbers start again in every store on every day."""
    day = orders.local.astype("datetime64[D]")
    place = pd.DataFrame({"store": orders.store, "day": day})
    invoice = (1001 + place.groupby(["store", "day"]).cumcount()).astype(str).to_numpy()
    discount = np.where(rng.random(len(orders)) < 0.2, np.round(amounts * 0.1, 2), 0.0)
    code = stores.codes[orders.store]
    heads = pd.DataFrame(
        {
            "InvoiceNo": invoice,
            "BussTime": np.char.replace(np.datetime_as_string(orders.local, unit="s"), "T", " "),
            "StoreCode": np.where(rng.random(len(orders)) < 0.2, code + ".0", code),
            "GrossAmount": np.round(amounts * 1.05, 2),
            "Discount": np.where(rng.random(len(orders)) < 0.02, np.nan, discount),
            "BaseAmount": np.round(amounts - discount, 2),
            "TransType": "SALE",
            "SaleType": rng.choice(["EatIn", "TakeOut"], len(orders)),
        }
    )
    items = pd.DataFrame(
        {
            "InvoiceNo": invoice[lines.order],
            "StoreCode": code[lines.order],
            "OrderDatetime": heads["BussTime"].to_numpy()[lines.order],
            "ProductCode": menu.codes[lines.item],
            "Qty": lines.quantity,
            "PriceNet": menu.prices[lines.item],
        }
    )
    return heads, items


def mapping_rows(people: People, orders: Orders, invoice: NDArray[Any], store: NDArray[Any]) -> pd.DataFrame:
    """The customer mapping of a channel's orders."""
    known = orders.customer != NOBODY
    return pd.DataFrame(
        {
            "customer_code_ty": people.codes[orders.customer[known]],
            "invoice_no": invoice[known],
            "invoice_date": np.datetime_as_string(orders.local[known], unit="D"),
            "store_code": store[known],
        }
    )
