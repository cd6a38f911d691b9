"""Customer features, rule segments and micro-segments in DuckDB SQL; see duckdb_orders.py."""

import pickle
import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duckdb_orders import Job, make_names
from duckdb_sources import literal, quoted

DAYPARTS = ["Breakfast", "Lunch", "Evening", "Dinner", "Late Night"]
HOURS = ["BETWEEN 6 AND 10", "BETWEEN 11 AND 14", "BETWEEN 15 AND 18", ">= 19", "< 6"]
CHANNELS = {"ownapp": "OC", "instore": "Dine in", "swiggy": "Swiggy"}
DEFAULT_CAPS = ["Seg1_5_6", "Seg_6_15_10", "Seg15_plus_9"]
ID = "algonomy_id"

warnings.filterwarnings("ignore", message="X does not have valid feature names")


def customers(job: Job) -> None:
    """``customers.parquet`` and table ``customers``: orders are summed per customer and channel, those per customer."""
    job.con.execute(f"CREATE TEMP TABLE per_channel AS {_per_channel(job)}")
    for name in CHANNELS:
        job.con.execute(f"DROP VIEW {name}_orders; DROP TABLE {name}_read; DROP TABLE {name}_features")
    job.con.execute(f"CREATE TEMP TABLE per_customer AS {_per_customer(job)}")
    joins = " ".join(make_names(job, kind, f"{kind}_lists", "per_customer") for kind in ("dri", "base"))
    job.con.execute(
        f"CREATE TEMP TABLE customers AS SELECT {', '.join(_columns(job))} FROM per_customer {joins};"
        f"COPY customers TO {literal(str(job.out / 'customers.parquet'))} (FORMAT parquet)"
    )


def _marks(job: Job) -> dict[str, str]:
    """The 0/1 facts of an order that are counted: name of the counter, SQL boolean."""
    marks = {f"price_{at}": f"price_bits & {1 << at} <> 0" for at in range(len(job.labels))}
    for kind in ("base", "dri"):
        marks |= {name: job.menu.has(kind, places) for name, places in job.menu.columns(kind).items()}
    return marks


def _narrow(job: Job, name: str) -> str:
    """One channel's orders in the customers' window, as the aggregation needs them."""
    discount, before_tax, delivery = "discounted_price", "discounted_price + sub_total_price", "NULL::DOUBLE"
    total = "total_price"
    if name == "instore":
        total, discount = "GrossAmount", "coalesce(Discount, 0)"
        before_tax = "coalesce(BaseAmount, 0) + coalesce(Discount, 0)"
    if name == "ownapp":
        delivery = "(epoch_us(order_delivery_datetime) - epoch_us(order_placed_datetime)) / 60e6"
    start = max(job.config["customer"]["cutoff_date"], job.start.isoformat())
    masks = ", ".join(["price_bits", *job.menu.all_masks])
    return f"""SELECT algonomy_id, {literal(name)} AS channel, local, {total} AS total, {discount} AS discount,
            {discount} / nullif({before_tax}, 0) AS share, {delivery} AS delivery, {masks}
        FROM {name}_orders o LEFT JOIN {name}_features f ON f.row_no = o.row_no
        WHERE local >= TIMESTAMP '{start}' AND local < TIMESTAMP '{job.end}'"""


def _per_channel(job: Job) -> str:
    """Sums per customer and channel: one conditional count per fact serves both scopes."""
    counters = {f"part_{at}": f"hour(local) {hours}" for at, hours in enumerate(HOURS)}
    counters |= {"weekend": "isodow(local) > 5"} | _marks(job)
    counts = ", ".join(f"count_if({sql}) AS {quoted(name)}" for name, sql in counters.items())
    sums = ", ".join(f"sum({name}) AS {name}_sum, count({name}) AS {name}_n" for name in _MEANS)
    bits = ", ".join(f"bit_or({mask}) AS {mask}" for mask in job.menu.all_masks)
    rows = " UNION ALL ".join(_narrow(job, name) for name in CHANNELS)
    return f"""SELECT algonomy_id, channel, count(*) AS orders, min(local) AS first_at, max(local) AS last_at,
        {sums}, {counts}, {bits} FROM ({rows}) GROUP BY algonomy_id, channel"""


_MEANS = ("total", "discount", "share", "delivery")


def _per_customer(job: Job) -> str:
    own = "CASE WHEN channel = 'ownapp' THEN {0} END"
    names = [*(f"part_{at}" for at in range(len(DAYPARTS))), *_marks(job)]
    columns = [f"sum(CASE WHEN channel = '{name}' THEN orders ELSE 0 END)::BIGINT AS {name}_n" for name in CHANNELS]
    columns += [f"sum({name}_sum) / nullif(sum({name}_n), 0) AS {name}_mean" for name in _MEANS]
    for scope, cell in (("omnichannel", "{0}"), ("ownapp", own)):
        columns += [f"min({cell.format('first_at')}) AS {scope}_first, max({cell.format('last_at')}) AS {scope}_last"]
        columns += [f"sum({cell.format(quoted(n))})::BIGINT AS {quoted(f'{scope}_{n}')}" for n in names]
    columns += [f"coalesce(bit_or({mask}), 0) AS {mask}" for mask in job.menu.all_masks]
    return f"""SELECT algonomy_id, sum(weekend)::BIGINT AS weekend, {", ".join(columns)}
        FROM per_channel GROUP BY algonomy_id HAVING bool_or(channel = 'ownapp')"""


def _columns(job: Job) -> list[str]:
    """The contract's columns from ``per_customer``."""
    total = " + ".join(f"{name}_n" for name in CHANNELS)
    labels = ", ".join(f"CASE WHEN {name}_n > 0 THEN {literal(label)} END" for name, label in CHANNELS.items())
    joined = f"concat_ws(' + ', {labels})"
    lists = (("base", "base_products", "category_base_products"), ("dri", "dri_categories", "dri_category"))
    columns = [ID, "CASE WHEN share_mean < 0 THEN 0 ELSE share_mean END AS omnichannel_avg_discount_pct"]
    for kind, listed, counted in lists:
        size = " + ".join(f"bit_count({mask})" for mask in job.menu.masks[kind])
        columns += [f"{kind}_names AS unique_{listed}_in_order", f"({size})::INTEGER AS unique_{counted}_count"]
    columns += [f"{total} AS omnichannel_order_count", *(f"{name}_n AS {name}_order_count" for name in CHANNELS)]
    columns += [
        "weekend AS omnichannel_weekend_order_count",
        f"{total} - weekend AS omnichannel_weekday_order_count",
        "total_mean AS omnichannel_aov",
        "discount_mean AS omnichannel_avg_discount",
        f"CASE WHEN ownapp_n = {total} THEN 'OC only' ELSE {joined} END AS channels_ordered_from",
        "delivery_mean AS ownapp_avg_delivery_time_minutes",
        " + ".join(f"({name}_n > 0)::INTEGER" for name in CHANNELS) + " AS channel_count",
    ]
    for scope, orders in (("omnichannel", total), ("ownapp", "ownapp_n")):
        columns += _scope(job, scope, orders)
    return columns


def _scope(job: Job, scope: str, orders: str) -> list[str]:
    first, last, day = f"{scope}_first", f"{scope}_last", 86_400_000_000
    recency = f"(epoch_us(TIMESTAMP '{job.end}') - epoch_us({last})) // {day}"
    tenure = f"((epoch_us({last}) - epoch_us({first})) // {day} + 1)"
    columns = [
        f"{first} AS {first}_order_at", f"{last} AS {last}_order_at", f"{recency} AS {scope}_recency",
        f"{tenure} AS {scope}_tenure_days",
        f"CASE WHEN {orders} > 1 THEN {tenure} / ({orders} - 1) END AS {scope}_avg_days_between_orders",
    ]  # fmt: skip
    for size in range(1, len(DAYPARTS) + 1):
        for chosen in combinations(range(len(DAYPARTS)), size):
            name = "_".join(DAYPARTS[at] for at in chosen)
            counted = " + ".join(f"{scope}_part_{at}" for at in chosen)
            columns.append(f"{counted} AS {quoted(f'{scope}_{name}_order_count')}")
    for at, label in enumerate(job.labels):
        columns.append(f"{scope}_price_{at} AS {quoted(f'{scope}_order_count_with_{label}_price_range_items')}")
    for kind in ("base", "dri"):
        for name in job.menu.columns(kind):
            columns.append(f"{quoted(f'{scope}_{name}')} AS {quoted(f'{scope}_{name}_count')}")
    return columns


_RULES = {
    "n < 6": {
        "Seg1_5_1": "u <= 2.5 AND NOT we", "Seg1_5_2": "u <= 2.5 AND we AND NOT wd",
        "Seg1_5_3": "u <= 2.5 AND we AND wd",
        "Seg1_5_4": "u > 2.5 AND c <= 1.5 AND NOT wd", "Seg1_5_5": "u > 2.5 AND c <= 1.5 AND wd",
        "Seg1_5_6": "u > 2.5 AND c > 1.5 AND pr", "Seg1_5_7": "u > 2.5 AND c > 1.5 AND NOT pr AND NOT we",
        "Seg1_5_8": "u > 2.5 AND c > 1.5 AND NOT pr AND we",
    },
    "n BETWEEN 6 AND 15": {
        "Seg_6_15_01": "u <= 6.5 AND NOT we", "Seg_6_15_02": "u <= 6.5 AND we AND NOT lu",
        "Seg_6_15_03": "u <= 6.5 AND we AND lu", "Seg_6_15_04": "u > 6.5 AND NOT pr AND NOT lu",
        "Seg_6_15_05": "u > 6.5 AND NOT pr AND lu AND NOT ln", "Seg_6_15_06": "u > 6.5 AND NOT pr AND lu AND ln",
        "Seg_6_15_07": "u > 6.5 AND pr AND c <= 1.5 AND NOT lu", "Seg_6_15_08": "u > 6.5 AND pr AND c <= 1.5 AND lu",
        "Seg_6_15_09": "u > 6.5 AND pr AND c > 1.5 AND NOT ln", "Seg_6_15_10": "u > 6.5 AND pr AND c > 1.5 AND ln",
    },
    "n > 15": {
        "Seg15_plus_1": "u <= 11.5 AND NOT bf AND NOT ln", "Seg15_plus_2": "u <= 11.5 AND NOT bf AND ln AND NOT ev",
        "Seg15_plus_3": "u > 8.5 AND u <= 11.5 AND NOT bf AND ln AND ev",
        "Seg15_plus_4": "u <= 8.5 AND NOT bf AND ln AND ev", "Seg15_plus_5": "u <= 11.5 AND bf",
        "Seg15_plus_6": "u > 11.5 AND u <= 16.5 AND NOT bf AND NOT ln",
        "Seg15_plus_7": "u > 16.5 AND NOT bf AND NOT ln",
        "Seg15_plus_8": "u > 11.5 AND NOT bf AND ln", "Seg15_plus_9": "u > 11.5 AND bf",
    },
}  # fmt: skip
_FLAGS = {"we": "Weekend", "wd": "Weekday", "pr": "Premium_price", "lu": "Lunch", "ln": "Late_Night",
          "bf": "Breakfast", "ev": "Evening"}  # fmt: skip


def segments(job: Job, seg: dict[str, Any]) -> None:
    """``segments.parquet``, and table ``loaded``: what can be segmented, its columns as they are and its segment."""
    con = job.con
    there = [row[0] for row in con.execute("DESCRIBE customers").fetchall()]
    wanted = [name for name in dict.fromkeys([ID, *seg["cols_to_keep"], *seg["convert_to_flag"]]) if name in there]
    flags = set(seg["convert_to_flag"]) - {ID}
    source: dict[str, str] = {}
    for name in wanted:
        short = (name.replace("_count", "_flag") if name in flags else name).removeprefix("omnichannel_")
        source[seg["rename_dict"].get(short, short)] = f"({quoted(name)} > 0)" if name in flags else quoted(name)
    cells = {letter: source[f"{name}_flag"] for letter, name in _FLAGS.items()}
    cells |= {"n": "ownapp_order_count", "u": source["unique_cat_base_count"], "c": source["channel_count"]}
    whens = [
        f"WHEN {band} AND {rule} THEN {literal(name)}" for band, rules in _RULES.items() for name, rule in rules.items()
    ]
    con.execute(f"""CREATE TEMP TABLE loaded AS
        SELECT {", ".join(map(quoted, wanted))}, CASE {" ".join(whens)} END AS segment__
        FROM (SELECT *, {", ".join(f"{sql} AS {letter}" for letter, sql in cells.items())} FROM customers
              WHERE ownapp_order_count <= 100 AND unique_dri_category_count <> 0);
        COPY (SELECT {ID}, segment__ AS Segment FROM loaded)
        TO {literal(str(job.out / "segments.parquet"))} (FORMAT parquet)""")


def microsegments(job: Job, seg: dict[str, Any]) -> None:
    """``microsegments.parquet``: every plan's rows as numpy through its model, joined back by row number."""
    con = job.con
    loaded = [row[0] for row in con.execute("DESCRIBE loaded").fetchall() if row[0] not in (ID, "segment__")]
    source = {}
    for name in loaded:
        short = name.removeprefix("omnichannel_")
        source[seg["rename_dict_microsegments"].get(short, short)] = name
    parts = []
    for item in seg["micro_plan"]:
        if not item.get("enabled", True):
            continue
        with open(seg[item["model_key"]], "rb") as file:
            model = pickle.load(file)
        rows, clusters = _scored(job, seg, item, model, source)
        parts.append(pa.table({
            "row_no": pa.array(rows, pa.int64()), "microcluster": pa.array(clusters, pa.string()),
            "plan_name": pa.array([item["name"]] * len(rows), pa.string()),
        }))  # fmt: skip
    con.register("scored", pa.concat_tables(parts))
    con.execute(f"""COPY (SELECT l.{ID}, s.microcluster, s.plan_name AS Segment, {", ".join(map(quoted, loaded))}
        FROM scored s JOIN loaded l ON l.rowid = s.row_no)
        TO {literal(str(job.out / "microsegments.parquet"))} (FORMAT parquet)""")


def _scored(
    job: Job, seg: dict[str, Any], item: dict[str, Any], model: dict[str, Any], source: dict[str, str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Row numbers and clusters of one plan's customers; capping takes exact percentiles of the plan's own rows."""
    names = [source[feature] for feature in model["features"]]
    columns = ", ".join(f"{quoted(name)}::DOUBLE AS x_{at}" for at, name in enumerate(names))
    chosen = ", ".join(map(literal, item["source_segments"]))
    got = job.con.execute(f"SELECT rowid AS row_no, {columns} FROM loaded WHERE segment__ IN ({chosen})").fetchnumpy()
    rows = np.asarray(got["row_no"])
    if not len(rows):
        return rows, np.empty(0, dtype=str)
    cells = [np.ma.filled(got[f"x_{at}"], np.nan) for at in range(len(names))]  # type: ignore[no-untyped-call]
    x = np.column_stack(cells)
    if set(item["source_segments"]) & set(seg.get("cap_segments", DEFAULT_CAPS)):
        cap = [at for at, name in enumerate(names) if name != "ownapp_order_count"]
        low, high = np.nanquantile(x[:, cap], [seg.get("lower_q", 0.01), seg.get("upper_q", 0.99)], axis=0)
        x[:, cap] = np.clip(x[:, cap], low, high)
    return rows, model["kmeans"].predict(model["scaler"].transform(np.nan_to_num(x))).astype(str)
