"""Changes since the previous report, and what the next report needs to compute them. No Spark."""

from collections.abc import Mapping

from blitz.report.aggregates import Rows
from blitz.report.numbers import CHANNEL_NAMES
from blitz.text import JsonObject

MAX_MOVES = 12


def digest(numbers: JsonObject) -> JsonObject:
    """Return the numbers of a run that the next report compares with."""
    run = numbers["run"]
    outputs = {each["step"]: each["output"] for each in run["steps"]}
    return {
        "run_id": run["run_id"],
        "run_date": run["run_date"],
        "finished_at": run["finished_at"],
        "rules": run["rules"],
        "models": run["models"],
        "segments_path": outputs.get("segments"),
        "customers": numbers["customers"]["all"],
        "segments": {each["name"]: each["customers"] for band in numbers["bands"] for each in band["segments"]},
        "orders": {each["name"]: each["orders"] for each in numbers["hours"]},
        "plans": {each["name"]: each["customers"] for each in numbers["plans"]},
    }


def changes(before: JsonObject, after: JsonObject, moves: Rows | None) -> JsonObject:
    """Compare two digests: totals, customers per segment and plan item, and the largest moves if known."""
    totals = [_pair("Customers", before["customers"], after["customers"])]
    names = CHANNEL_NAMES.values()
    totals += [_pair(f"{name} orders", before["orders"].get(name, 0), after["orders"].get(name, 0)) for name in names]
    return {
        "before": {key: before[key] for key in ("run_id", "run_date", "finished_at")},
        "rules_same": before["rules"] == after["rules"],
        "models_same": before["models"] == after["models"],
        "totals": totals,
        "segments": _pairs(before["segments"], after["segments"]),
        "plans": _pairs(before["plans"], after["plans"]),
        "moves": None if moves is None else _moves(moves),
    }


def _pairs(before: Mapping[str, int], after: Mapping[str, int]) -> list[JsonObject]:
    return [_pair(name, before.get(name, 0), after.get(name, 0)) for name in dict.fromkeys([*after, *before])]


def _pair(name: str, before: int, after: int) -> JsonObject:
    relative = (after - before) / before if before else None
    return {"name": name, "before": before, "after": after, "change": after - before, "relative": relative}


def _moves(rows: Rows) -> JsonObject:
    both = [row for row in rows if row["from"] is not None and row["to"] is not None]
    moved = sorted((row for row in both if row["from"] != row["to"]), key=lambda row: (-row["customers"], row["from"]))
    return {
        "stayed": sum(row["customers"] for row in both) - sum(row["customers"] for row in moved),
        "moved": sum(row["customers"] for row in moved),
        "entered": sum(row["customers"] for row in rows if row["from"] is None),
        "left": sum(row["customers"] for row in rows if row["to"] is None),
        "largest": moved[:MAX_MOVES],
    }
