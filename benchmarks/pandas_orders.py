"""Order features in pandas: what one machine makes of the contract, independent of the Spark code.

Vectorised: merges, group-bys and numpy; the peer that the benchmark measures and the oracle of the whole-run test.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

import pandas_sources as sources
from pandas_sources import STORES, Menu, code, trimmed

APP_CARRIED = {
    "order_id": "id", "user_id": "user_id", "device_type_platform": "platform",
    "order_placed_datetime": "order_placed_datetime", "order_channel": "channel", "store_name": "store_name",
    "store_mds_id": "store_id_id", "actual_delivery_time": "order_delivery_datetime",
    "payment_method": "payment_method", "pre_discount_order_value": "gross_price",
    "promo_code_applied": "applied_coupon", "discounted_price": "discounted_price", "total_price": "total_price",
    "gross_price": "gross_price", "actual_subtotal": "actual_subtotal", "sub_total_price": "sub_total_price",
    "schedule_datetime": "schedule_datetime", "status_id": "status_id", "applied_coupon": "applied_coupon",
    "platform": "platform", "tip": "tip", "order_delivery_datetime": "order_delivery_datetime",
    "before_payment_delivery_eta": "before_payment_delivery_eta",
    "before_payment_pickup_eta": "before_payment_pickup_eta",
    "is_distance_fee_applicable": "is_distance_fee_applicable", "offer_applied": "offer_applied",
    "business_model_id_id": "business_model_id_id",
}  # fmt: skip
INSTORE = ["InvoiceNo", "BussTime", "StoreCode", "GrossAmount", "Discount", "BaseAmount", "TransType", "SaleType"]
INSTORE_LINES = ["InvoiceNo", "StoreCode", "OrderDatetime", "ProductCode", "Qty", "PriceNet"]
INSTORE_KEY = ["InvoiceNo", "StoreCode", "day"]
APP_LINES = {
    "sales_id": "order", "quantity": "quantity", "item_id_id": "item", "is_customized": "customized",
    "is_veg": "veg", "promo_item": "promo", "original_price": "price",
}  # fmt: skip
DEFAULT_BINS = [0, 35, 100, 175, 250, 325, 400, 600, 100000]
DEFAULT_LABELS = ["Add_ons", "Economy", "Value", "Mid_Tier", "Premium", "Indulgence", "Ultimate", "Group"]


def first_of_repeated(orders: pd.DataFrame, key: list[str], time: str, amount: str) -> pd.DataFrame:
    """One row per key: the latest time, then the greatest amount, then a fixed order of the other columns."""
    repeated = orders.duplicated(key, keep=False)
    some = orders[repeated]
    rest = sorted(set(orders.columns) - {*key, time, amount})
    some = some.sort_values(rest, na_position="first", kind="stable")
    some = some.sort_values([time, amount], ascending=False, na_position="last", kind="stable").drop_duplicates(key)
    return pd.concat([orders[~repeated], some], ignore_index=True)


def app_channel(config: dict[str, Any], name: str, users: pd.Series | None) -> pd.DataFrame:
    """Order features of own app or Swiggy."""
    body, common = config[name], config["common"]
    orders = _app_orders(body, common)
    orders = orders.merge(sources.customers(common, False), left_on="id", right_on="key").drop(columns="key")
    if users is not None:
        orders = orders[orders["algonomy_id"].isin(users)]
    places = sources.mds_to_store(common).merge(sources.stores(common), on="Store Code", how="left")
    orders = orders.merge(places, left_on="store_id_id", right_on="mds", how="left").reset_index(drop=True)
    orders["has_query"] = False
    if body["has_query"]:
        orders["has_query"] = orders["id"].isin(sources.parquet(body["orderqueries_path"], ["order_id"])["order_id"])
    lines = sources.parquet(body["order_items_data_path"], list(APP_LINES)).rename(columns=APP_LINES)
    lines["at"] = lines.pop("order").map(pd.Series(orders.index, index=orders["id"]))
    choices = sources.choices(common, "header_item_id_id", "choice_item_id_id", numeric=True)
    features = line_features(len(orders), lines, choices, Menu(common, "item_id_id"), common, has_flags=True)
    carried = {new: orders[old] for new, old in APP_CARRIED.items()}
    carried |= {name: orders[name] for name in ("algonomy_id", *STORES, "has_query")}
    return _finished(carried, features, orders["local"])


def _app_orders(body: dict[str, Any], common: dict[str, Any]) -> pd.DataFrame:
    """Orders of the window, each once, with their ``local`` time."""
    orders = sources.parquet(body["orders_data_path"], list(dict.fromkeys(APP_CARRIED.values())))
    for column in ("order_placed_datetime", "order_delivery_datetime", "schedule_datetime"):
        orders[column] = sources.utc(orders[column])
    for column in orders.select_dtypes("object"):
        if pd.api.types.infer_dtype(orders[column], skipna=True) == "string":
            orders[column] = trimmed(orders[column])
    orders = orders[orders["id"].notna() & orders["order_placed_datetime"].notna()]
    orders["local"] = orders["order_placed_datetime"].dt.tz_convert(common["timezone"]).dt.tz_localize(None)
    orders = orders[_in_window(orders["local"], common)]
    return first_of_repeated(orders, ["id"], "order_placed_datetime", "total_price")


def instore_channel(config: dict[str, Any], users: pd.Series) -> pd.DataFrame:
    """Order features of the stores."""
    body, common = config["instore"], config["common"]
    orders = _instore_orders(body, common)
    who = sources.customers(common, True).rename(columns={"invoice": "InvoiceNo", "store": "StoreCode"})
    orders = orders.merge(who, on=INSTORE_KEY)
    orders = orders[orders["algonomy_id"].isin(users)].merge(
        sources.stores(common), left_on="StoreCode", right_on="Store Code", how="left"
    )
    lines = _instore_lines(body, orders)
    choices = sources.choices(common, "HeaderItemId", "ChoiceItemId", numeric=False)
    features = line_features(len(orders), lines, choices, Menu(common, "ProductCode"), common, has_flags=False)
    carried = {
        "order_id": orders["InvoiceNo"],
        "order_placed_datetime": orders["BussTime"].dt.tz_localize(common["timezone"]).dt.tz_convert("UTC"),
        "BussTime": orders["BussTime"], "StoreCode": orders["StoreCode"], "total_price": orders["GrossAmount"],
        "discounted_price": orders["Discount"], "BaseAmount": orders["BaseAmount"], "TransType": orders["TransType"],
        "algonomy_id": orders["algonomy_id"], "SaleType": orders["SaleType"],
        **{name: orders[name] for name in STORES},
    }  # fmt: skip
    return _finished(carried, features, orders["BussTime"])


def _instore_orders(body: dict[str, Any], common: dict[str, Any]) -> pd.DataFrame:
    """Orders of the window, each once, with their local ``day``."""
    orders = sources.csv(body["orders_file_pattern"], INSTORE)
    orders["InvoiceNo"], orders["StoreCode"] = code(orders["InvoiceNo"]), code(orders["StoreCode"])
    orders["BussTime"] = sources.local_time(orders["BussTime"])
    bad = orders[["InvoiceNo", "StoreCode", "BussTime"]].isna().any(axis=1)
    for column in ("GrossAmount", "Discount", "BaseAmount"):
        orders[column], unreadable = sources.number(orders[column])
        bad |= unreadable
    for column in ("TransType", "SaleType"):
        orders[column] = trimmed(orders[column])
    excluded = code(pd.Series(body.get("exclude_store_codes", [9993]), dtype=object).astype(str))
    orders = orders[~bad & _in_window(orders["BussTime"], common) & ~orders["StoreCode"].isin(excluded)]
    orders["day"] = orders["BussTime"].dt.normalize()
    return first_of_repeated(orders, INSTORE_KEY, "BussTime", "GrossAmount")


def _instore_lines(body: dict[str, Any], orders: pd.DataFrame) -> pd.DataFrame:
    """Readable lines with the place of their order, ``at``; null for lines of no order."""
    lines = sources.csv(body["order_items_file_pattern"], INSTORE_LINES)
    lines["day"] = sources.local_time(lines.pop("OrderDatetime")).dt.normalize()
    for column in ("InvoiceNo", "StoreCode", "ProductCode"):
        lines[column] = code(lines[column])
    bad = lines[INSTORE_KEY].isna().any(axis=1)
    for column in ("Qty", "PriceNet"):
        lines[column], unreadable = sources.number(lines[column])
        bad |= unreadable
    places = orders[INSTORE_KEY].assign(at=np.arange(len(orders), dtype=float))
    lines = lines[~bad].merge(places, on=INSTORE_KEY, how="left")
    lines = lines.rename(columns={"ProductCode": "item", "Qty": "quantity", "PriceNet": "price"})
    return lines[["at", "item", "quantity", "price"]].assign(promo=False)


def _in_window(local: pd.Series, common: dict[str, Any]) -> pd.Series:
    end = pd.Timestamp(common["current_run_date"])
    return local.between(end - pd.DateOffset(months=common.get("months_offset", 27)), end, inclusive="left")


def line_features(
    count: int, lines: pd.DataFrame, choices: pd.DataFrame, menu: Menu, common: dict[str, Any], has_flags: bool
) -> dict[str, Any]:
    """The line features of orders 0 … count - 1; ``at`` says which order a line belongs to."""
    lines = lines[lines["at"].notna()].reset_index(drop=True)
    at = lines["at"].to_numpy().astype(np.int64)
    quantity = lines["quantity"].fillna(0).to_numpy(dtype=np.float64)
    promo = lines["promo"].astype("boolean").fillna(False).to_numpy(dtype=bool)
    plain = lines[["item", "price"]].assign(at=at, quantity=quantity)[~promo]
    plain = plain[~_is_choice(plain, choices)].merge(menu.items, left_on="item", right_on="key", how="left")
    kept = plain[plain["dri"].notna() & (plain["base"] != "Exclude")]
    order = kept["at"].to_numpy()
    features = _price_features(kept, order, count, common)
    marks = {kind: _marks(kept, kind, menu.names[kind], count) for kind in ("dri", "base")}
    for kind in ("dri", "base"):
        for column, names in menu.columns(kind).items():
            features[column] = marks[kind][:, [menu.names[kind].index(name) for name in names]].max(axis=1)
    features["unique_dri_categories_in_order"] = lists_of(marks["dri"], menu.names["dri"])
    features["unique_base_products_in_order"] = lists_of(marks["base"], menu.names["base"])
    features["item_count"] = np.bincount(at, quantity, count)
    if has_flags:
        number = {name: lines[name].astype("boolean").astype("Int64") for name in ("customized", "veg")}
        grouped = {name: values.groupby(at) for name, values in number.items()}
        features["customization_flag"] = grouped["customized"].max().reindex(range(count))
        features["veg_indicator"] = grouped["veg"].min().reindex(range(count))
        features["veg_count"] = grouped["veg"].sum().reindex(range(count)).fillna(0)
        features["promo_items"] = np.bincount(at[promo], quantity[promo], count)
    return features


def _price_features(kept: pd.DataFrame, order: NDArray[Any], count: int, common: dict[str, Any]) -> dict[str, Any]:
    """Whether an order has a line in a price bucket: closed on the left, open on the right."""
    prices = common.get("price_config", {})
    bins, labels = prices.get("price_bins", DEFAULT_BINS), prices.get("bucket_labels", DEFAULT_LABELS)
    bucket = np.searchsorted(np.asarray(bins, dtype=float), kept["price"].to_numpy(dtype=float), side="right") - 1
    return {f"{label}_items_count": _present(order[bucket == place], count) for place, label in enumerate(labels)}


def _is_choice(plain: pd.DataFrame, choices: pd.DataFrame) -> NDArray[Any]:
    """Whether a non-promo line is of a choice item that some header of its order lets go."""
    headers = plain.loc[plain["item"].isin(choices["header"]), ["at", "item"]].drop_duplicates()
    granted = headers.merge(choices, left_on="item", right_on="header")[["at", "choice", "allowed"]]
    granted = granted.groupby(["at", "choice"], as_index=False)["allowed"].max()
    some = plain[plain["item"].isin(granted["choice"])]
    totals = some.groupby(["at", "item"], as_index=False)["quantity"].sum()
    gone = totals.merge(granted, left_on=["at", "item"], right_on=["at", "choice"])
    gone = gone[gone["allowed"] >= gone["quantity"]]
    if gone.empty:
        return np.zeros(len(plain), dtype=bool)
    pairs = pd.MultiIndex.from_frame(plain[["at", "item"]])
    return np.asarray(pairs.isin(pd.MultiIndex.from_frame(gone[["at", "item"]])))


def _present(order: NDArray[Any], count: int) -> NDArray[Any]:
    found = np.zeros(count, dtype=np.int64)
    found[order] = 1
    return found


def _marks(kept: pd.DataFrame, kind: str, names: list[str], count: int) -> NDArray[Any]:
    marks = np.zeros((count, max(len(names), 1)), dtype=np.int8)
    column = pd.Categorical(kept[kind], categories=names).codes
    chosen = column >= 0
    marks[kept["at"].to_numpy()[chosen], column[chosen]] = 1
    return marks


def lists_of(marks: NDArray[Any], names: list[str]) -> pd.Series:
    """Per row of marks the names that are marked, in their order."""
    rows, columns = np.nonzero(marks)
    ends = np.cumsum(np.bincount(rows, minlength=len(marks)))
    chosen = pa.DictionaryArray.from_arrays(pa.array(columns, pa.int32()), pa.array(names, pa.string()))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, chosen.cast(pa.string())).to_pandas()


def _finished(carried: dict[str, Any], features: dict[str, Any], local: pd.Series) -> pd.DataFrame:
    hour = local.dt.hour.to_numpy()
    parts = np.asarray(["Late Night", "Breakfast", "Lunch", "Evening", "Dinner"], dtype=object)
    features["order_time_of_day"] = parts[np.searchsorted([6, 11, 15, 19], hour, side="right")]
    features["is_weekend"] = (local.dt.dayofweek >= 5).astype(np.int64)
    return pd.DataFrame({name: np.asarray(values) if isinstance(values, np.ndarray) else values.array
                         for name, values in {**carried, **features}.items()})  # fmt: skip
