"""Scores of the customers in pandas; see pandas_orders.py."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MEASURES = {"r": "omnichannel_recency", "f": "omnichannel_order_count", "m": "total_spend"}
CUT_KEYS = {"r": "recency", "f": "frequency", "m": "monetary"}


def scores(config: dict[str, Any], orders: dict[str, pd.DataFrame], customers: pd.DataFrame) -> pd.DataFrame:
    """One row per customer of the customer features."""
    common, settings = config["common"], config["customer"].get("scores", {})
    run_date = pd.Timestamp(common["current_run_date"])
    oldest = run_date - pd.DateOffset(months=common.get("months_offset", 27))
    start = max(pd.Timestamp(config["customer"]["cutoff_date"]), oldest)
    every = _orders(orders, common["timezone"], oldest, run_date)
    table = customers.set_index("algonomy_id")
    recent = every[every["local"] >= start].groupby("algonomy_id")["total_price"]
    found = pd.DataFrame(index=table.index)
    found["total_spend"] = recent.sum().reindex(table.index).fillna(0.0)
    found["spend_orders"] = recent.count().reindex(table.index).fillna(0).astype("int64")
    recency = table["omnichannel_recency"].astype("float64")
    found["missed_visits"] = recency / table["omnichannel_avg_days_between_orders"].astype("float64")
    found["lifecycle"] = _lifecycle(table, found["missed_visits"], run_date, settings.get("new_days", 30))
    for letter, column in MEASURES.items():
        values = (found if column in found else table)[column].to_numpy(dtype=float).round(9)
        given = settings.get("rfm_cuts", {}).get(CUT_KEYS[letter])
        cuts = np.quantile(values, [0.2, 0.4, 0.6, 0.8]) if given is None else np.asarray(given)
        below = (values[:, None] > cuts[None, :]).sum(axis=1)
        found[f"{letter}_score"] = 5 - below if letter == "r" else 1 + below
    found["rfm"] = found["r_score"].astype(str) + found["f_score"].astype(str) + found["m_score"].astype(str)
    found["rfm_segment"] = [
        _name(*each) for each in zip(found["r_score"], found["f_score"], found["m_score"], strict=True)
    ]
    return found.join(lifetime_inputs(every, run_date)).reset_index()


def _orders(orders: dict[str, pd.DataFrame], zone: str, oldest: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """The orders of all channels in the order window, with their local time."""
    parts = []
    for name, frame in orders.items():
        local = frame["order_placed_datetime"].dt.tz_convert(zone).dt.tz_localize(None)
        local = frame["BussTime"] if name == "instore" else local
        part = frame[["algonomy_id"]].assign(local=local, total_price=frame["total_price"].astype("float64"))
        parts.append(part[part["local"].between(oldest, end, inclusive="left")])
    return pd.concat(parts, ignore_index=True)


def _lifecycle(table: pd.DataFrame, missed: pd.Series, run_date: pd.Timestamp, new_days: int) -> NDArray[Any]:
    age = (run_date - table["omnichannel_first_order_at"].dt.normalize()).dt.days
    return np.select(
        [age <= new_days, table["omnichannel_order_count"] == 1, missed <= 1, missed <= 2, missed <= 3],
        ["new", "one_time", "active", "due", "late"],
        "lapsed",
    )


def _name(r: int, f: int, m: int) -> str:
    """The built-in name of three scores, written out."""
    when = "recent" if r >= 4 else "cooling" if r == 3 else "away"
    if f >= 4:
        return f"{when}_frequent_high_spend" if m >= 4 and when != "cooling" else f"{when}_frequent"
    if m >= 4:
        return f"{when}_high_spend"
    return "recent_rare" if when == "recent" and f == 1 else f"{when}_occasional"


def lifetime_inputs(every: pd.DataFrame, run_date: pd.Timestamp) -> pd.DataFrame:
    """The arithmetic that lifetimes publishes for ``summary_data_from_transaction_data`` (freq D, with a monetary
    value, observed until the day before the run date): periods are days, the first is no repeat."""
    daily = (
        every.assign(day=every["local"].dt.normalize())
        .groupby(["algonomy_id", "day"], as_index=False)["total_price"]
        .sum()
    )
    first = daily.groupby("algonomy_id")["day"].transform("min")
    days = daily.groupby("algonomy_id")["day"].agg(["min", "max", "count"])
    repeat = daily[daily["day"] != first].groupby("algonomy_id")["total_price"].mean()
    return pd.DataFrame(
        {
            "clv_frequency": days["count"] - 1,
            "clv_recency_days": (days["max"] - days["min"]).dt.days,
            "clv_t_days": (run_date - pd.Timedelta(days=1) - days["min"]).dt.days,
            "clv_monetary_value": repeat.reindex(days.index).fillna(0.0),
        }
    )
