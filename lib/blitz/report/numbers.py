"""The report's numbers, a JSON object that the page shows and ``report.json`` keeps. No Spark, no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from blitz.config import Config
from blitz.config.values import add_months, parse_date
from blitz.features.orders import DAYPARTS
from blitz.raw.channels import CHANNELS
from blitz.report.aggregates import Rows
from blitz.report.profiles import band_tables
from blitz.report.words import category_names
from blitz.run.steps import STEPS
from blitz.segmentation.rules import RuleSet
from blitz.text import JsonObject

CHANNEL_NAMES = {name: channel.title for name, channel in CHANNELS.items()}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MAX_STORES = 20
STORE_WORDS = {
    "store_type": "type",
    "store_generator_new": "generator",
    "store_geographical_city": "city",
    "store_key_city": "key city",
}
VERSION = 1


@dataclass(frozen=True)
class Counted:
    """The results of the aggregations; see ``aggregates`` and ``items``."""

    segments: Rows
    flags: Sequence[str]
    clusters: Rows
    features: Sequence[str]
    orders: Rows
    stores: Rows
    items: JsonObject | None = None
    moves: Rows | None = field(default=None)
    scores: Rows | None = None
    rfm: Rows | None = None
    history: JsonObject | None = None


def share(part: float, total: float) -> float:
    """Return the part's share of the total, 0 if the total is 0."""
    return part / total if total else 0.0


def report_numbers(config: Config, facts: Mapping[str, Any], rules: RuleSet, counted: Counted) -> JsonObject:
    """Return the numbers of the page, except for plans, warnings and changes."""
    categories = category_names(facts["menu"])
    bands = band_tables(config.segmentation, rules, counted.segments, counted.flags, categories)
    segmented = sum(band["customers"] for band in bands)
    customers = sum(row["with_features"] for row in counted.segments)
    body = {
        "version": VERSION,
        "run": run_facts(config, facts),
        "funnel": funnel(facts),
        "gates": gates(facts),
        "customers": {
            "all": customers,
            "segmented": segmented,
            "without_features": sum(row["customers"] - row["with_features"] for row in counted.segments),
            "own_orders": sum(band["orders"] for band in bands),
        },
        "bands": bands,
        "channels": channel_overlap(counted.segments),
        "hours": hours(counted.orders),
        "prices": prices(counted.orders, config.feature_pipeline.common.price_config),
        "items": counted.items,
        "stores": stores(counted.stores, counted.orders),
    }
    return body


def run_facts(config: Config, facts: Mapping[str, Any]) -> JsonObject:
    """Return dates, window, versions, hashes, and rows, seconds and output of each step."""
    common = config.feature_pipeline.common
    run_date = parse_date(facts["run_date"]) if "run_date" in facts else common.current_run_date
    cutoff = facts.get("cutoff_date") or config.feature_pipeline.customer.cutoff_date.isoformat()
    steps = [{"step": step, **facts["steps"][step]} for step in STEPS if step in facts["steps"]]
    return {
        "run_id": facts.get("run_id"),
        "run_date": run_date.isoformat(),
        "window_start": add_months(run_date, -common.months_offset).isoformat(),
        "months": common.months_offset,
        "cutoff_date": cutoff,
        "timezone": common.timezone,
        "finished_at": facts.get("finished_at"),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "config_hash": facts.get("config_hash"),
        "rules": facts.get("rules"),
        "models": facts.get("models", {}),
        "versions": facts.get("versions", {}),
        "seconds": round(sum(each["seconds"] for each in steps), 1),
        "steps": [
            {key: each.get(key) for key in ("step", "rows", "files", "bytes", "seconds", "output", "quarantine")}
            for each in steps
        ],
    }


def funnel(facts: Mapping[str, Any]) -> list[JsonObject]:
    """Return per account the step, its table, rows read and kept, and the drop reasons, largest first."""
    found = []
    for step in STEPS:
        for account in facts["steps"].get(step, {}).get("accounts", []):
            lost = [
                {"reason": reason, "rows": rows, "share": share(rows, account["read"])}
                for reason, rows in account["dropped"].items()
                if rows
            ]
            found.append(
                {
                    "step": step,
                    "channel": CHANNEL_NAMES.get(step),
                    "table": account["table"],
                    "read": account["read"],
                    "kept": account["kept"],
                    "share": share(account["kept"], account["read"]),
                    "dropped": sorted(lost, key=lambda each: -each["rows"]),
                    "adds_up": account["read"] == account["kept"] + sum(account["dropped"].values()),
                    "notes": {name: count for name, count in account.get("notes", {}).items() if count},
                }
            )
    return found


def gates(facts: Mapping[str, Any]) -> list[JsonObject]:
    """Return what each gate found, in the order of the steps: ``step``, ``gate``, ``state``, ``message``."""
    return [
        {"step": step, **{key: verdict[key] for key in ("gate", "state", "message")}}
        for step in STEPS
        for verdict in facts["steps"].get(step, {}).get("gates", [])
    ]


def channel_overlap(rows: Rows) -> JsonObject:
    """Return customers per combination of channels, largest first, and per channel alone or with others."""
    labels = {name: channel.label for name, channel in CHANNELS.items()}
    counts: dict[str, int] = {}
    for row in rows:
        if row["with_features"]:
            counts[row["channels"] or ""] = counts.get(row["channels"] or "", 0) + row["with_features"]
    total = sum(counts.values())
    combinations: list[JsonObject] = []
    for text, customers in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
        parts = text.removesuffix(" only").split(" + ")
        inside = {name: label in parts for name, label in labels.items()}
        named = " + ".join(CHANNEL_NAMES[name] for name, is_in in inside.items() if is_in) or "unknown"
        combinations.append({"name": named, "inside": inside, "customers": customers, "share": share(customers, total)})
    reach = {name: sum(each["customers"] for each in combinations if each["inside"][name]) for name in CHANNEL_NAMES}
    return {
        "customers": total,
        "combinations": combinations,
        "reach": [
            {"name": CHANNEL_NAMES[name], "customers": customers, "share": share(customers, total)}
            for name, customers in reach.items()
        ],
    }


def hours(rows: Rows) -> list[JsonObject]:
    """Per channel the orders by daypart (rows) and weekday (columns, Monday first), and their share of the channel."""
    found = []
    for name, label in CHANNEL_NAMES.items():
        cells = {(row["daypart"], (row["weekday"] + 5) % 7): row["orders"] for row in rows if row["channel"] == name}
        total = sum(cells.values())
        found.append(
            {
                "name": label,
                "orders": total,
                "value": sum(row["total"] or 0.0 for row in rows if row["channel"] == name),
                "dayparts": [
                    {
                        "name": part,
                        "orders": [cells.get((part, day), 0) for day in range(7)],
                        "shares": [share(cells.get((part, day), 0), total) for day in range(7)],
                    }
                    for part in DAYPARTS
                ],
            }
        )
    return found


def prices(rows: Rows, config: Any) -> list[JsonObject]:
    """Return per price bucket its bounds and, by channel, the orders with a line in it and their share."""
    totals = {name: sum(row["orders"] for row in rows if row["channel"] == name) for name in CHANNEL_NAMES}
    ends = list(zip(config.price_bins, config.price_bins[1:], strict=False))
    found = []
    for at, (label, (low, high)) in enumerate(zip(config.bucket_labels, ends, strict=True)):
        counts = {
            name: sum(row[f"bucket_{at}"] or 0 for row in rows if row["channel"] == name) for name in CHANNEL_NAMES
        }
        found.append(
            {
                "name": label.replace("_", " "),
                "low": low,
                "high": high,
                "channels": [
                    {"name": CHANNEL_NAMES[name], "orders": count, "share": share(count, totals[name])}
                    for name, count in counts.items()
                ],
            }
        )
    return found


def stores(rows: Rows, orders: Rows) -> JsonObject:
    """Return the stores with most orders that lack store columns, what they lack, and how many orders are affected."""
    all_orders = sum(row["orders"] for row in orders)
    lacking = sum(row["orders"] for row in rows)
    return {
        "stores": len(rows),
        "orders": lacking,
        "share": share(lacking, all_orders),
        "rows": [
            {
                "channel": CHANNEL_NAMES[row["channel"]],
                "store": row["store"],
                "name": row["name"],
                "orders": row["orders"],
                "value": row["total"],
                "lacks": "not in the store files"
                if all(row[column] == row["orders"] for column in STORE_WORDS)
                else ", ".join(word for column, word in STORE_WORDS.items() if row[column]),
            }
            for row in rows[:MAX_STORES]
        ],
    }
