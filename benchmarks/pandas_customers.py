"""Customer features in pandas; see pandas_orders.py."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pandas_orders import DEFAULT_LABELS, lists_of

DAYPARTS = ["Breakfast", "Lunch", "Evening", "Dinner", "Late Night"]
CHANNELS = {"ownapp": "OC", "instore": "Dine in", "swiggy": "Swiggy"}


def customer_features(config: dict[str, Any], orders: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per customer with an own-app order in the window."""
    common = config["common"]
    labels = common.get("price_config", {}).get("bucket_labels", DEFAULT_LABELS)
    run_date = pd.Timestamp(common["current_run_date"])
    oldest = run_date - pd.DateOffset(months=common.get("months_offset", 27))
    start = max(pd.Timestamp(config["customer"]["cutoff_date"]), oldest)
    frames = {}
    for name, frame in orders.items():
        local = frame["order_placed_datetime"].dt.tz_convert(common["timezone"]).dt.tz_localize(None)
        local = frame["BussTime"] if name == "instore" else local  # it may lie in an hour that the clock leaves out
        frames[name] = frame.assign(local=local, channel=name)[local.between(start, run_date, inclusive="left")]
    ids = np.sort(frames["ownapp"]["algonomy_id"].unique())
    marks = [c for c in orders["ownapp"] if c.startswith(("dri_categ_", "categ_base_product_"))]
    marks += [c for c in orders["instore"] if c.startswith(("dri_categ_", "categ_base_product_")) and c not in marks]
    every = pd.concat([_narrow(name, frame, labels, marks) for name, frame in frames.items()], ignore_index=True)
    every = every[every["algonomy_id"].isin(ids)]
    parts = {"algonomy_id": pd.Series(ids)}
    found = {"omnichannel": every, "ownapp": every[every["channel"] == "ownapp"]}
    columns: dict[str, Any] = {}
    for scope, rows in found.items():
        columns |= _scope(scope, rows, ids, run_date, labels, marks)
    columns |= _omnichannel(every, frames, ids)
    own = frames["ownapp"]
    minutes = (own["order_delivery_datetime"] - own["order_placed_datetime"]).dt.total_seconds() / 60
    columns["ownapp_avg_delivery_time_minutes"] = minutes.groupby(own["algonomy_id"]).mean().reindex(ids)
    return pd.DataFrame({**parts, **{name: np.asarray(v) if not hasattr(v, "array") else v.array
                                     for name, v in columns.items()}})  # fmt: skip


def _narrow(name: str, frame: pd.DataFrame, labels: list[str], marks: list[str]) -> pd.DataFrame:
    discount = frame["discounted_price"].astype(float)
    if name == "instore":
        discount = discount.fillna(0)
        without_taxes = frame["BaseAmount"].astype(float).fillna(0) + discount
    else:
        without_taxes = discount + frame["sub_total_price"].astype(float)
    kept = ["algonomy_id", "local", "channel", "total_price", "is_weekend", "order_time_of_day"]
    kept += ["unique_base_products_in_order", "unique_dri_categories_in_order"]
    kept += [f"{label}_items_count" for label in labels]
    share = (discount / without_taxes.where(without_taxes != 0)).rename("share")
    flags = frame.reindex(columns=marks, fill_value=0)
    return pd.concat([frame[kept], discount.rename("discount"), share, flags], axis=1)


def _scope(
    scope: str, rows: pd.DataFrame, ids: NDArray[Any], run_date: pd.Timestamp, labels: list[str], marks: list[str]
) -> dict[str, Any]:
    who = rows["algonomy_id"]
    times = rows.groupby("algonomy_id")["local"].agg(["min", "max", "size"]).reindex(ids)
    first, last, count = times["min"], times["max"], times["size"]
    day = pd.Timedelta(days=1)
    tenure = (last - first) // day + 1
    columns: dict[str, Any] = {
        f"{scope}_first_order_at": first,
        f"{scope}_last_order_at": last,
        f"{scope}_recency": (run_date - last) // day,
        f"{scope}_tenure_days": tenure,
        f"{scope}_avg_days_between_orders": (tenure / (count - 1)).where(count > 1),
    }
    per_part = pd.crosstab(who, rows["order_time_of_day"]).reindex(index=ids, columns=DAYPARTS, fill_value=0)
    for size in range(1, 6):
        for parts in combinations(DAYPARTS, size):
            columns[f"{scope}_{'_'.join(parts)}_order_count"] = per_part[list(parts)].sum(axis=1)
    names = {f"{label}_items_count": f"{scope}_order_count_with_{label}_price_range_items" for label in labels}
    names |= {mark: f"{scope}_{mark}_count" for mark in marks}
    sums = rows[list(names)].groupby(who).sum().reindex(ids, fill_value=0).astype("int64")
    return columns | {new: sums[old] for old, new in names.items()}


def _omnichannel(every: pd.DataFrame, frames: dict[str, pd.DataFrame], ids: NDArray[Any]) -> dict[str, Any]:
    who = every.groupby("algonomy_id")
    means = who[["share", "total_price", "discount"]].mean().reindex(ids)
    per_channel = pd.crosstab(every["algonomy_id"], every["channel"]).reindex(
        index=ids, columns=list(CHANNELS), fill_value=0
    )
    weekend = who["is_weekend"].sum().reindex(ids)
    total = per_channel.sum(axis=1)
    labels = np.asarray(list(CHANNELS.values()), dtype=object)
    joined = pd.Series("", index=ids)
    for label, name in zip(labels, CHANNELS, strict=True):
        there = per_channel[name] > 0
        joined = joined.where(~there, joined.where(joined == "", joined + " + ") + label)
    columns: dict[str, Any] = {
        "omnichannel_avg_discount_pct": means["share"].clip(lower=0),
        "omnichannel_order_count": total,
        **{f"{name}_order_count": per_channel[name] for name in CHANNELS},
        "omnichannel_weekend_order_count": weekend,
        "omnichannel_weekday_order_count": total - weekend,
        "omnichannel_aov": means["total_price"],
        "omnichannel_avg_discount": means["discount"],
        "channels_ordered_from": joined.replace("OC", "OC only"),
        "channel_count": (per_channel > 0).sum(axis=1),
    }
    lists = {
        "unique_base_products_in_order": "unique_category_base_products_count",
        "unique_dri_categories_in_order": "unique_dri_category_count",
    }
    for column, counted in lists.items():
        long = every[["algonomy_id", column]].explode(column).dropna()
        names = sorted(long[column].unique(), key=str.encode)
        marks = np.zeros((len(ids), len(names)), dtype=np.int8)
        marks[pd.Index(ids).get_indexer(long["algonomy_id"]), pd.Categorical(long[column], names).codes] = 1
        columns[column], columns[counted] = lists_of(marks, names), marks.sum(axis=1, dtype=np.int64)
    return columns
