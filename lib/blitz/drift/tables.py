"""A comparison as Parquet tables, JSON and text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import SparkSession

from blitz import storage
from blitz.drift.money_text import format_money, money_rows
from blitz.pipelines.context import new_run_id
from blitz.publish.tables import publish
from blitz.text import JsonObject, table

MAX_ROWS = 10  # of a table in the text
SCHEMAS = {
    "segment_migration": "`from` string, `to` string, customers bigint",
    "lifecycle_migration": "`from` string, `to` string, customers bigint",
    "microsegment_migration": "plan string, `from` string, `to` string, customers bigint",
    "moved": "`from` string, `to` string, variable string, is_flag boolean, in_rules boolean, up bigint, down bigint, "
    "customers bigint",
    "psi": "kind string, name string, psi double, level string",
    "money": "segment string, channel string, customers_before bigint, customers_after bigint, orders_before bigint, "
    "orders_after bigint, spend_before double, spend_after double, change double, by_customers double, "
    "by_orders_per_customer double, by_value_per_order double",
    "money_moves": "`from` string, `to` string, customers bigint, before double, after double, change double",
    "centroids": "plan string, cluster string, matched string, customers_before bigint, customers_after bigint, "
    "distance double",
}


def tables(body: JsonObject) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of each table of ``SCHEMAS``."""
    psi = body["psi"]
    index = [("feature", each["feature"], each["psi"], each["level"]) for each in psi["features"]]
    index.append(("segments", "all", psi["segments"]["psi"], psi["segments"]["level"]))
    index += [("plan", plan, each["psi"], each["level"]) for plan, each in psi["plans"].items()]
    index += [("term of segment", name, term, None) for name, term in psi["segments"]["terms"].items()]
    return {
        "segment_migration": [(r["from"], r["to"], r["customers"]) for r in body["segments"]["migration"]],
        **_lifecycle_rows(body["lifecycles"]),
        "microsegment_migration": [
            (plan, row["from"], row["to"], row["customers"])
            for plan, each in body["microsegments"].items()
            for row in each["migration"]
        ],
        "moved": [
            (
                pair["from"],
                pair["to"],
                c["variable"],
                c["is_flag"],
                c["in_rules"],
                c["up"],
                c["down"],
                pair["customers"],
            )
            for pair in body["segments"]["moved_pairs"]
            for c in pair["changed"]
        ],
        "psi": index,
        **money_rows(body["money"]),
        "centroids": [
            (r["plan"], r["cluster"], r["matched"], r["customers_before"], r["customers_after"], r["distance"])
            for r in body["centroids"]
        ],
    }


def _lifecycle_rows(lifecycles: JsonObject | None) -> dict[str, list[tuple[Any, ...]]]:
    if lifecycles is None:
        return {}
    return {"lifecycle_migration": [(r["from"], r["to"], r["customers"]) for r in lifecycles["migration"]]}


def write(spark: SparkSession, body: JsonObject, folder: str) -> list[str]:
    """Publish the tables in ``folder``, then write compare.json; returns the paths. Raises PublishError."""
    run_id, root = new_run_id(), folder.rstrip("/")
    written = []
    for name, rows in tables(body).items():
        frame = spark.createDataFrame(rows, SCHEMAS[name]).coalesce(1)
        written.append(publish(frame, f"{root}/{name}.parquet", run_id=run_id).path)
    target = f"{root}/compare.json"
    storage.write_bytes(target, (json.dumps(body, indent=2) + "\n").encode())
    return [*written, target]


def alarms(body: JsonObject, most: float) -> list[tuple[str, float]]:
    """Return what has an index above ``most``, greatest first: a feature's name, ``segments`` or ``plan NAME``."""
    psi = body["psi"]
    found = [(each["feature"], each["psi"]) for each in psi["features"]]
    found.append(("segments", psi["segments"]["psi"]))
    found += [(f"plan {plan}", each["psi"]) for plan, each in psi["plans"].items()]
    return sorted(((name, value) for name, value in found if value > most), key=lambda each: -each[1])


def format_comparison(body: JsonObject) -> str:
    """Return the comparison as text; long lists are cut, the files have all rows."""
    same = {True: "the same", False: "different"}
    parts = [
        f"Before {body['before']['source']}\nAfter  {body['after']['source']}\n"
        f"Rules: {same[body['rules_same']]}. Models: {same[body['models_same']]}.",
        totals_table("Segment", body["segments"]["totals"], names_of(body)),
        _moves(body["segments"]["moved_pairs"]),
    ]
    if body["lifecycles"]:
        parts.append(totals_table("Lifecycle", body["lifecycles"]["totals"]))
    parts += format_money(body["money"])
    for plan, each in body["microsegments"].items():
        parts.append(totals_table(f"Micro-segments of {plan}", each["totals"]))
    parts += [_psi(body["psi"]), _centroids(body["centroids"])]
    for key, word in (("only_before", "before"), ("only_after", "after")):
        if body[key]:
            parts.append(f"Features of the run {word} alone: {', '.join(body[key])}")
    return "\n\n".join(part for part in parts if part)


def names_of(body: JsonObject) -> dict[str, str]:
    """The names of the segments that have one."""
    return {segment: about["name"] for segment, about in body["about_segments"].items() if "name" in about}


def totals_table(title: str, totals: Mapping[str, Mapping[str, int]], names: Mapping[str, str] | None = None) -> str:
    """The customers per segment or cluster of both sides, and how they moved, as text."""
    header = [title, "Before", "After", "Stayed", "Moved out", "Moved in", "Left", "Entered"]
    keys = ("before", "after", "stayed", "moved_out", "moved_in", "left", "entered")
    rows: list[list[object]] = [[name, *[each[key] for key in keys]] for name, each in totals.items()]
    if names:
        header.append("Name")
        rows = [[*row, names.get(str(row[0]), "-")] for row in rows]
    return table(header, rows) if totals else ""


def _moves(pairs: Sequence[JsonObject]) -> str:
    largest = sorted(pairs, key=lambda pair: -pair["customers"])[:MAX_ROWS]
    rows = [
        (
            f"{pair['from']} to {pair['to']}",
            pair["customers"],
            ", ".join(_change(each) for each in pair["changed"][:3]) or "no loaded variable",
        )
        for pair in largest
    ]
    return table(("Largest moves", "Customers", "Changed most often"), rows) if rows else "No customer changed segment."


def _change(each: JsonObject) -> str:
    ends = [f"{sign}{each[end]:,}" for end, sign in (("up", "+"), ("down", "-")) if each[end]]
    return f"{each['variable']} {'/'.join(ends)}"


def _psi(psi: JsonObject) -> str:
    levels = [each["level"] for each in psi["features"]]
    count = ", ".join(f"{levels.count(name)} {name}" for name in ("stable", "moderate", "large"))
    rows = [("segments", psi["segments"]["psi"], psi["segments"]["level"])]
    rows += [(f"plan {plan}", each["psi"], each["level"]) for plan, each in psi["plans"].items()]
    rows += [(each["feature"], each["psi"], each["level"]) for each in psi["features"][:MAX_ROWS]]
    shown = [(name, f"{value:.4f}", level) for name, value, level in rows]
    return table(("Population stability", "Index", "Level"), shown) + f"\n  features: {count}"


def _centroids(rows: Sequence[JsonObject]) -> str:
    shown = sorted((row for row in rows if row["distance"] is not None), key=lambda row: -row["distance"])[:MAX_ROWS]
    body = [
        (
            f"{row['plan']} {row['cluster']}",
            row["matched"],
            row["customers_before"],
            row["customers_after"],
            row["distance"],
            ", ".join(f"{each['feature']} {each['shift']:+.2f}" for each in row["features"][:2]) or "-",
        )
        for row in shown
    ]
    header = (
        "Centroids that moved farthest",
        "After",
        "Customers",
        "After",
        "Distance",
        "Largest shifts",
    )
    return table(header, body) if body else ""
