"""Order features in pandas: what one machine makes of the contract, independent of the Spark code.

Vectorised: merges, group-bys and numpy; the peer that the benchmark measures and the oracle of the whole-run test.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.dataset as ds

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
STORES = {
    "store_type": "Store Type", "store_generator_new": "Generator New",
    "store_geographical_city": "Geographical City", "store_key_city": "Key City",
}  # fmt: skip
INSTORE = ["InvoiceNo", "BussTime", "StoreCode", "GrossAmount", "Discount", "BaseAmount", "TransType", "SaleType"]
DEFAULT_BINS = [0, 35, 100, 175, 250, 325, 400, 600, 100000]
DEFAULT_LABELS = ["Add_ons", "Economy", "Value", "Mid_Tier", "Premium", "Indulgence", "Ultimate", "Group"]


def parquet(path: str, columns: list[str]) -> pd.DataFrame:
    files = [str(each) for each in sorted(Path(path).rglob("*.parquet"))]
    return ds.dataset(files, format="parquet").to_table(columns=columns).to_pandas()


def csv(pattern: str, columns: list[str]) -> pd.DataFrame:
    """CSV as text, whatever the order of each file's columns; empty is null."""
    path = Path(pattern)
    files = sorted(path.parent.glob(path.name)) if "*" in pattern else [path]
    options = pacsv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()), include_columns=columns, strings_can_be_null=True,
        null_values=[""], quoted_strings_can_be_null=True,
    )  # fmt: skip
    parts = [pacsv.read_csv(file, convert_options=options) for file in files]
    return pa.concat_tables(parts).to_pandas()


def trimmed(text: pd.Series) -> pd.Series:
    text = text.str.strip(" ")
    return text.mask(text == "")


def code(text: pd.Series) -> pd.Series:
    """Ids as canonical text: ``7040.0`` is ``7040``."""
    text = trimmed(text)
    dotted = text.str.contains(".", regex=False).eq(True)
    if dotted.any():
        text = text.copy()
        text[dotted] = text[dotted].str.replace(r"^([+-]?\d+)\.0*$", r"\1", regex=True)
    return text


def slug(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").lower()


class Menu:
    """Categories by item key, and the columns that they give."""

    def __init__(self, common: dict[str, Any], key: str) -> None:
        base, dri = "Clubbed base product category", "Final Dri Category"
        rows = csv(common["categories_path"], ["item_id_id", "ProductCode", base, dri])
        rows = pd.DataFrame({name: trimmed(rows[name]) for name in rows}).rename(columns={base: "base", dri: "dri"})
        survive = rows[rows["dri"].notna() & (rows["base"] != "Exclude")]
        self.names = {
            kind: sorted(survive[kind].dropna().unique(), key=lambda name: name.encode()) for kind in ("dri", "base")
        }
        rows["key"] = code(rows[key]) if key == "ProductCode" else pd.to_numeric(rows[key], errors="coerce")
        rows = rows[rows["key"].notna()].sort_values(["key", "dri", "base"], na_position="last")
        self.items = rows.drop_duplicates("key")[["key", "base", "dri"]]

    def columns(self, kind: str) -> dict[str, list[str]]:
        """Column name to category names."""
        prefix = "dri_categ_" if kind == "dri" else "categ_base_product_"
        found: dict[str, list[str]] = {}
        for name in self.names[kind]:
            found.setdefault(prefix + slug(name), []).append(name)
        return found


def stores(common: dict[str, Any]) -> pd.DataFrame:
    rows = csv(common["store_master_path"], ["Store Code", *STORES.values()])
    rows = pd.DataFrame({name: trimmed(rows[name]) for name in rows})
    rows["Store Code"] = code(rows["Store Code"])
    rows = rows.rename(columns={old: new for new, old in STORES.items()})
    return rows.sort_values(["Store Code", *STORES]).drop_duplicates("Store Code").dropna(subset=["Store Code"])


def mds_to_store(common: dict[str, Any]) -> pd.DataFrame:
    rows = csv(common["store_mds_dsr_path"], ["MDS ID", "DSR Code"])
    rows = pd.DataFrame({"mds": code(rows["MDS ID"]), "Store Code": code(rows["DSR Code"])}).dropna()
    return rows.sort_values(["mds", "Store Code"]).drop_duplicates("mds")


def customers(common: dict[str, Any], is_instore: bool) -> pd.DataFrame:
    rows = csv(common["mapping_file"], ["customer_code_ty", "invoice_no", "invoice_date", "store_code"])
    who = trimmed(rows["customer_code_ty"])
    if is_instore:
        day = pd.to_datetime(trimmed(rows["invoice_date"]).str[:10], format="%Y-%m-%d", errors="coerce")
        keys = {"invoice": code(rows["invoice_no"]), "store": code(rows["store_code"]), "day": day}
    else:
        keys = {"key": pd.to_numeric(code(rows["invoice_no"]), errors="coerce")}
    found = pd.DataFrame({**keys, "algonomy_id": who}).dropna()
    return found.groupby(list(keys), as_index=False, sort=False)["algonomy_id"].min()


def utc(values: pd.Series) -> pd.Series:
    values = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601" if values.dtype == object else None)
    return values.dt.tz_localize(None)


def first_of_repeated(orders: pd.DataFrame, key: list[str], time: str, amount: str) -> pd.DataFrame:
    repeated = orders.duplicated(key, keep=False)
    some = orders[repeated]
    rest = sorted(set(orders.columns) - {*key, time, amount})
    some = some.sort_values(rest, na_position="first", kind="stable")
    some = some.sort_values([time, amount], ascending=False, na_position="last", kind="stable").drop_duplicates(key)
    return pd.concat([orders[~repeated], some], ignore_index=True)


def app_channel(config: dict[str, Any], name: str, users: pd.Series | None) -> pd.DataFrame:
    """Order features of own app or Swiggy."""
    body, common = config[name], config["common"]
    source = list(dict.fromkeys(APP_CARRIED.values()))
    orders = parquet(body["orders_data_path"], source)
    for column in ("order_placed_datetime", "order_delivery_datetime", "schedule_datetime"):
        orders[column] = utc(orders[column])
    for column in ("store_name", "platform", "channel", "payment_method", "applied_coupon"):
        if orders[column].dtype == object:
            orders[column] = trimmed(orders[column])
    orders = orders[orders["id"].notna() & orders["order_placed_datetime"].notna()]
    orders["local"] = _local(orders["order_placed_datetime"], common["timezone"])
    orders = orders[_in_window(orders["local"], common)]
    orders = first_of_repeated(orders, ["id"], "order_placed_datetime", "total_price")
    orders = orders.merge(customers(common, False), left_on="id", right_on="key", how="inner").drop(columns="key")
    if users is not None:
        orders = orders[orders["algonomy_id"].isin(users)]
    places = mds_to_store(common).merge(stores(common), on="Store Code", how="left")
    places["mds"] = pd.to_numeric(places["mds"], errors="coerce")
    orders = orders.merge(places.dropna(subset=["mds"]), left_on="store_id_id", right_on="mds", how="left")
    orders["has_query"] = False
    if body["has_query"]:
        orders["has_query"] = orders["id"].isin(parquet(body["orderqueries_path"], ["order_id"])["order_id"])
    lines = parquet(
        body["order_items_data_path"],
        ["sales_id", "quantity", "item_id_id", "is_customized", "is_veg", "promo_item", "original_price"],
    )
    lines.columns = ["order", "quantity", "item", "customized", "veg", "promo", "price"]
    orders = orders.reset_index(drop=True)
    place = pd.Series(orders.index, index=orders["id"])
    lines["at"] = lines.pop("order").map(place)
    choices = _choices(common, "header_item_id_id", "choice_item_id_id", numeric=True)
    menu = Menu(common, "item_id_id")
    carried = {new: orders[old] for new, old in APP_CARRIED.items()}
    carried |= {name: orders[name] for name in ("algonomy_id", *STORES, "has_query")}
    features = line_features(len(orders), lines, choices, menu, common, has_flags=True)
    return _finished(carried, features, orders["local"])


def instore_channel(config: dict[str, Any], users: pd.Series) -> pd.DataFrame:
    """Order features of the stores."""
    body, common = config["instore"], config["common"]
    orders = csv(body["orders_file_pattern"], INSTORE)
    for column in ("InvoiceNo", "StoreCode"):
        orders[column] = code(orders[column])
    orders["BussTime"] = pd.to_datetime(trimmed(orders["BussTime"]), errors="coerce", format="ISO8601")
    bad = orders[["InvoiceNo", "StoreCode", "BussTime"]].isna().any(axis=1)
    for column in ("GrossAmount", "Discount", "BaseAmount"):
        number = pd.to_numeric(orders[column], errors="coerce")
        bad |= number.isna() & orders[column].notna()
        orders[column] = number
    for column in ("TransType", "SaleType"):
        orders[column] = trimmed(orders[column])
    orders = orders[~bad]
    excluded = [code(pd.Series([str(each)]))[0] for each in body.get("exclude_store_codes", [9993])]
    orders = orders[_in_window(orders["BussTime"], common) & ~orders["StoreCode"].isin(excluded)]
    orders["day"] = orders["BussTime"].dt.normalize()
    key = ["InvoiceNo", "StoreCode", "day"]
    orders = first_of_repeated(orders, key, "BussTime", "GrossAmount")
    who = customers(common, True).rename(columns={"invoice": "InvoiceNo", "store": "StoreCode"})
    orders = orders.merge(who, on=key, how="inner")
    orders = orders[orders["algonomy_id"].isin(users)].merge(
        stores(common), left_on="StoreCode", right_on="Store Code", how="left"
    )
    lines = csv(
        body["order_items_file_pattern"], ["InvoiceNo", "StoreCode", "OrderDatetime", "ProductCode", "Qty", "PriceNet"]
    )
    days = pd.to_datetime(trimmed(lines.pop("OrderDatetime")), errors="coerce", format="ISO8601").dt.normalize()
    lines = lines.assign(InvoiceNo=code(lines["InvoiceNo"]), StoreCode=code(lines["StoreCode"]), day=days)
    bad = lines[key].isna().any(axis=1)
    for column in ("Qty", "PriceNet"):
        number = pd.to_numeric(lines[column], errors="coerce")
        bad |= number.isna() & lines[column].notna()
        lines[column] = number
    lines = lines[~bad].assign(item=code(lines["ProductCode"]))
    orders = orders.reset_index(drop=True)
    places = orders[key].assign(at=orders.index.astype("float64"))
    lines = lines.merge(places, on=key, how="left").rename(columns={"Qty": "quantity", "PriceNet": "price"})
    lines = lines[["at", "item", "quantity", "price"]].assign(promo=False)
    choices = _choices(common, "HeaderItemId", "ChoiceItemId", numeric=False)
    zone = common["timezone"]
    carried = {
        "order_id": orders["InvoiceNo"],
        "order_placed_datetime": orders["BussTime"].dt.tz_localize(zone).dt.tz_convert("UTC").dt.tz_localize(None),
        "BussTime": orders["BussTime"], "StoreCode": orders["StoreCode"], "total_price": orders["GrossAmount"],
        "discounted_price": orders["Discount"], "BaseAmount": orders["BaseAmount"], "TransType": orders["TransType"],
        "algonomy_id": orders["algonomy_id"], "SaleType": orders["SaleType"],
        **{name: orders[name] for name in STORES},
    }  # fmt: skip
    features = line_features(len(orders), lines, choices, Menu(common, "ProductCode"), common, has_flags=False)
    return _finished(carried, features, orders["BussTime"])


def _local(times: pd.Series, zone: str) -> pd.Series:
    return times.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)


def _in_window(local: pd.Series, common: dict[str, Any]) -> pd.Series:
    end = pd.Timestamp(common["current_run_date"])
    return local.between(end - pd.DateOffset(months=common.get("months_offset", 27)), end)


def _choices(common: dict[str, Any], header: str, choice: str, numeric: bool) -> pd.DataFrame:
    rows = csv(common["clear_master_path"], [header, choice, "Qty"])
    keys = [pd.to_numeric(rows[name], errors="coerce") if numeric else code(rows[name]) for name in (header, choice)]
    found = pd.DataFrame({"header": keys[0], "choice": keys[1], "allowed": pd.to_numeric(rows["Qty"], errors="coerce")})
    return found.dropna().groupby(["header", "choice"], as_index=False)["allowed"].max()


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
    prices = common.get("price_config", {})
    bins, labels = prices.get("price_bins", DEFAULT_BINS), prices.get("bucket_labels", DEFAULT_LABELS)
    bucket = np.searchsorted(np.asarray(bins, dtype=float), kept["price"].to_numpy(dtype=float), side="right") - 1
    features: dict[str, Any] = {}
    for place, label in enumerate(labels):
        features[f"{label}_items_count"] = _present(order[bucket == place], count)
    marks = {kind: _marks(kept, kind, menu.names[kind], count) for kind in ("dri", "base")}
    for kind in ("dri", "base"):
        for column, names in menu.columns(kind).items():
            features[column] = marks[kind][:, [menu.names[kind].index(name) for name in names]].max(axis=1)
    for kind, column in (("dri", "unique_dri_categories_in_order"), ("base", "unique_base_products_in_order")):
        features[column] = _lists(marks[kind], menu.names[kind])
    features["item_count"] = np.bincount(at, quantity, count)
    if has_flags:
        number = {name: lines[name].astype("boolean").astype("Int64") for name in ("customized", "veg")}
        grouped = {name: values.groupby(at) for name, values in number.items()}
        features["customization_flag"] = grouped["customized"].max().reindex(range(count))
        features["veg_indicator"] = grouped["veg"].min().reindex(range(count))
        features["veg_count"] = grouped["veg"].sum().reindex(range(count)).fillna(0)
        features["promo_items"] = np.bincount(at[promo], quantity[promo], count)
    return features


def _is_choice(plain: pd.DataFrame, choices: pd.DataFrame) -> np.ndarray:
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
    return pd.MultiIndex.from_frame(plain[["at", "item"]]).isin(pd.MultiIndex.from_frame(gone[["at", "item"]]))


def _present(order: np.ndarray, count: int) -> np.ndarray:
    found = np.zeros(count, dtype=np.int64)
    found[order] = 1
    return found


def _marks(kept: pd.DataFrame, kind: str, names: list[str], count: int) -> np.ndarray:
    marks = np.zeros((count, max(len(names), 1)), dtype=np.int8)
    column = pd.Categorical(kept[kind], categories=names).codes
    chosen = column >= 0
    marks[kept["at"].to_numpy()[chosen], column[chosen]] = 1
    return marks


def _lists(marks: np.ndarray, names: list[str]) -> pd.Series:
    rows, columns = np.nonzero(marks)
    chosen = np.asarray([*names, ""], dtype=object)[columns]
    return pd.Series(np.split(chosen, np.cumsum(np.bincount(rows, minlength=len(marks)))[:-1]))


def _finished(carried: dict[str, Any], features: dict[str, Any], local: pd.Series) -> pd.DataFrame:
    hour = local.dt.hour.to_numpy()
    parts = np.asarray(["Late Night", "Breakfast", "Lunch", "Evening", "Dinner"], dtype=object)
    features["order_time_of_day"] = parts[np.searchsorted([6, 11, 15, 19], hour, side="right")]
    features["is_weekend"] = (local.dt.dayofweek >= 5).astype(np.int64)
    return pd.DataFrame({name: np.asarray(values) if isinstance(values, np.ndarray) else values.array
                         for name, values in {**carried, **features}.items()})  # fmt: skip
