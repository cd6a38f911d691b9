"""Rule segments and micro-segments in pandas; see pandas_orders.py."""

import pickle
from typing import Any

import numpy as np
import pandas as pd

ID = "algonomy_id"
DEFAULT_CAPS = ["Seg1_5_6", "Seg_6_15_10", "Seg15_plus_9"]


def load(seg: dict[str, Any], features: pd.DataFrame) -> pd.DataFrame:
    """The customers that segments are for, with the columns that the config lists."""
    kept = features[(features["ownapp_order_count"] <= 100) & (features["unique_dri_category_count"] != 0)]
    wanted = dict.fromkeys([ID, *seg["cols_to_keep"], *seg["convert_to_flag"]])
    return kept[[name for name in wanted if name in kept]].reset_index(drop=True)


def renamed(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """The frame without leading ``omnichannel_``, then under the names of the config."""
    return frame.rename(columns=lambda name: name.removeprefix("omnichannel_")).rename(columns=names)


def segments(seg: dict[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """``algonomy_id``, ``Segment`` by the rules of the contract, written out."""
    flags = [name for name in seg["convert_to_flag"] if name in table and name != ID]
    frame = table.assign(**{name: (table[name] > 0).astype(int) for name in flags})
    frame = renamed(frame.rename(columns={n: n.replace("_count", "_flag") for n in flags}), seg["rename_dict"])
    n, u, c = frame["ownapp_order_count"], frame["unique_cat_base_count"], frame["channel_count"]
    we, wd, pr, lu, ln, bf, ev = (
        frame[f"{name}_flag"] == 1
        for name in ("Weekend", "Weekday", "Premium_price", "Lunch", "Late_Night", "Breakfast", "Evening")
    )
    low, mid, top = n < 6, (n >= 6) & (n <= 15), n > 15
    a, b, d = u <= 2.5, u <= 6.5, u <= 11.5
    one = c <= 1.5
    rules = {
        "Seg1_5_1": low & a & ~we,
        "Seg1_5_2": low & a & we & ~wd,
        "Seg1_5_3": low & a & we & wd,
        "Seg1_5_4": low & ~a & one & ~wd,
        "Seg1_5_5": low & ~a & one & wd,
        "Seg1_5_6": low & ~a & ~one & pr,
        "Seg1_5_7": low & ~a & ~one & ~pr & ~we,
        "Seg1_5_8": low & ~a & ~one & ~pr & we,
        "Seg_6_15_01": mid & b & ~we,
        "Seg_6_15_02": mid & b & we & ~lu,
        "Seg_6_15_03": mid & b & we & lu,
        "Seg_6_15_04": mid & ~b & ~pr & ~lu,
        "Seg_6_15_05": mid & ~b & ~pr & lu & ~ln,
        "Seg_6_15_06": mid & ~b & ~pr & lu & ln,
        "Seg_6_15_07": mid & ~b & pr & one & ~lu,
        "Seg_6_15_08": mid & ~b & pr & one & lu,
        "Seg_6_15_09": mid & ~b & pr & ~one & ~ln,
        "Seg_6_15_10": mid & ~b & pr & ~one & ln,
        "Seg15_plus_1": top & d & ~bf & ~ln,
        "Seg15_plus_2": top & d & ~bf & ln & ~ev,
        "Seg15_plus_3": top & d & (u > 8.5) & ~bf & ln & ev,
        "Seg15_plus_4": top & (u <= 8.5) & ~bf & ln & ev,
        "Seg15_plus_5": top & d & bf,
        "Seg15_plus_6": top & ~d & (u <= 16.5) & ~bf & ~ln,
        "Seg15_plus_7": top & (u > 16.5) & ~bf & ~ln,
        "Seg15_plus_8": top & ~d & ~bf & ln,
        "Seg15_plus_9": top & ~d & bf,
    }
    found = np.select(list(rules.values()), list(rules), default="")
    return pd.DataFrame({ID: table[ID], "Segment": found.astype(object)})


def microsegments(seg: dict[str, Any], table: pd.DataFrame, assigned: pd.DataFrame) -> pd.DataFrame:
    """One row per customer and plan."""
    empty = table.iloc[:0].drop(columns=ID)
    parts = [pd.concat([table.iloc[:0][[ID]].assign(microcluster="", Segment=""), empty], axis=1)]
    for item in seg["micro_plan"]:
        if not item.get("enabled", True):
            continue
        rows = table[assigned["Segment"].isin(item["source_segments"]).to_numpy()]
        if rows.empty:
            continue
        numbers = rows.drop(columns=ID).select_dtypes("number").astype(float)
        if set(item["source_segments"]) & set(seg.get("cap_segments", DEFAULT_CAPS)):
            chosen = [name for name in numbers if name != "ownapp_order_count"]
            ends = np.nanpercentile(numbers[chosen], [seg.get("lower_q", 0.01) * 100, seg.get("upper_q", 0.99) * 100],
                                    axis=0)  # fmt: skip
            numbers[chosen] = numbers[chosen].clip(ends[0], ends[1], axis=1)
        with open(seg[item["model_key"]], "rb") as file:
            model = pickle.load(file)
        x = renamed(numbers, seg["rename_dict_microsegments"])[list(model["features"])].fillna(0).to_numpy()
        clusters = model["kmeans"].predict(model["scaler"].transform(x))
        scored = rows.drop(columns=ID)
        scored.insert(0, "Segment", item["name"])
        scored.insert(0, "microcluster", clusters.astype(str))
        scored.insert(0, ID, rows[ID])
        parts.append(scored)
    return pd.concat(parts, ignore_index=True)
