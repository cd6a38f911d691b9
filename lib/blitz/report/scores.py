"""The report's numbers of scores, value and transitions. No Spark, no files."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from blitz.report.aggregates import Rows
from blitz.report.numbers import share
from blitz.segmentation.domains import HIGHEST_SCORE, LIFECYCLES
from blitz.segmentation.rules import RuleSet, about_segments
from blitz.text import JsonObject

MAX_MOVES = 12
STAYED, MOVED, LEFT, ENTERED = "stayed", "moved", "left", "entered"


def lifecycle_words(new_days: int) -> dict[str, str]:
    """What each lifecycle means, for readers."""
    return {
        "new": f"first order within the last {new_days} days",
        "one_time": "a single order, longer ago",
        "active": "last order within their usual gap between orders",
        "due": "one to two usual gaps since the last order",
        "late": "two to three usual gaps since the last order",
        "lapsed": "more than three usual gaps since the last order",
    }


def score_numbers(
    rows: Rows, rfm: Rows, rules: RuleSet, new_days: int, cuts: Mapping[str, Sequence[float]]
) -> JsonObject:
    """Return customers and spend per lifecycle and per RFM name, and customers by recency and order score."""
    customers, spend = _total(rows, "customers"), _total(rows, "spend")
    words = lifecycle_words(new_days)

    def part(name: str, mine: Rows, **more: Any) -> JsonObject:
        count, amount = _total(mine, "customers"), _total(mine, "spend")
        shares = {"share": share(count, customers), "spend_share": share(amount, spend)}
        return {"name": name, **more, "customers": count, "spend": amount, **shares, "each": _ratio(amount, count)}

    names = about_segments(rules)
    by_name = [
        part(name, [row for row in rfm if row["rfm_segment"] == name], words=about.name, action=about.action)
        for name, about in names.items()
    ]
    scale = range(HIGHEST_SCORE, 0, -1)
    grid = [
        [sum(row["customers"] for row in rfm if (row["r_score"], row["f_score"]) == (r, f)) for f in reversed(scale)]
        for r in scale
    ]
    lifecycles = [part(name, [r for r in rows if r["lifecycle"] == name], words=words[name]) for name in LIFECYCLES]
    return {
        "customers": customers,
        "lifecycles": lifecycles,
        "rfm": sorted(by_name, key=lambda each: -each["customers"]),
        "grid": grid,
        "most": max((max(line) for line in grid), default=0),
        "cuts": {name: list(points) for name, points in cuts.items()},
    }


def value_numbers(rows: Rows, rfm: Rows) -> JsonObject:
    """Return spend in all, per segment, and of the fifth that spent most."""
    customers, spend, orders = (_total(rows, key) for key in ("customers", "spend", "orders"))
    again = _total(rows, "again")
    top = [row for row in rfm if row["m_score"] == HIGHEST_SCORE]
    names = dict.fromkeys(row["segment"] for row in rows)
    segments = [_segment_value(name, [row for row in rows if row["segment"] == name], spend) for name in names]
    return {
        "spend": spend,
        "orders": orders,
        "customers": customers,
        "each": _ratio(spend, customers),
        "per_order": _ratio(spend, orders),
        "again": again,
        "again_share": share(again, customers),
        "again_value": _ratio(_total(rows, "again_value"), again),
        "top": {
            "customers": _total(top, "customers"),
            "share": share(_total(top, "customers"), customers),
            "spend_share": share(_total(top, "spend"), spend),
        },
        "segments": sorted(segments, key=lambda each: -each["spend"]),
    }


def _segment_value(name: str | None, rows: Rows, all_spend: float) -> JsonObject:
    customers, spend, orders = (_total(rows, key) for key in ("customers", "spend", "orders"))
    leaving = _total([row for row in rows if row["lifecycle"] in ("late", "lapsed")], "spend")
    return {
        "name": name,
        "customers": customers,
        "spend": spend,
        "share": share(spend, all_spend),
        "each": _ratio(spend, customers),
        "per_order": _ratio(spend, orders),
        "leaving_share": share(leaving, spend),
    }


def transition_numbers(counted: JsonObject) -> JsonObject | None:
    """Return how customers went from run date to run date; None with fewer than two dates.

    ``pairs``: per pair of consecutive dates who stayed in the segment, moved, left and entered; ``lifecycles``: over
    all pairs, from each lifecycle the shares of the next one; ``moves``: the most frequent moves between segments.
    """
    dates = [date.fromisoformat(text) for text in counted["dates"]]
    if len(dates) < 2:
        return None
    pairs = [_pair(dates[at], dates[at + 1], [row for row in counted["segments"] if row["at"] == at])
             for at in range(len(dates) - 1)]  # fmt: skip
    return {
        "dates": counted["dates"],
        "months": _months(dates[0], dates[-1]),
        "pairs": pairs,
        "lifecycles": _lifecycles(counted["lifecycles"]),
        "moves": _moves(counted["segments"]),
    }


def _months(first: date, last: date) -> int:
    return (last.year - first.year) * 12 + last.month - first.month


def _pair(first: date, last: date, rows: Rows) -> JsonObject:
    counts = dict.fromkeys((STAYED, MOVED, LEFT, ENTERED), 0)
    for row in rows:
        counts[_kind(row)] += row["customers"]
    before = counts[STAYED] + counts[MOVED] + counts[LEFT]
    shares = {f"{kind}_share": share(counts[kind], before) for kind in (STAYED, MOVED, LEFT)}
    days = {"from": first.isoformat(), "to": last.isoformat(), "months": _months(first, last)}
    return {**days, "before": before, **counts, **shares}


def _kind(row: Mapping[str, Any]) -> str:
    if not row["was_here"]:
        return ENTERED
    if not row["is_here"]:
        return LEFT
    return STAYED if row["from"] == row["to"] else MOVED


def _lifecycles(rows: Rows) -> list[JsonObject]:
    """From each lifecycle the customers and shares of each next one, ``left`` among them."""
    found = []
    for name in LIFECYCLES:
        mine = [row for row in rows if row["was_here"] and row["from"] == name]
        counts = {to: sum(row["customers"] for row in mine if row["is_here"] and row["to"] == to) for to in LIFECYCLES}
        counts[LEFT] = sum(row["customers"] for row in mine if not row["is_here"])
        total = sum(row["customers"] for row in mine)
        cells = [{"to": to, "customers": count, "share": share(count, total)} for to, count in counts.items()]
        found.append({"from": name, "customers": total, "cells": cells})
    return found


def _moves(rows: Rows) -> list[JsonObject]:
    """The most frequent moves between segments, with their share of the customers of the earlier segment."""
    totals: dict[str, int] = {}
    moves: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["was_here"] and row["from"] is not None:
            totals[row["from"]] = totals.get(row["from"], 0) + row["customers"]
        if _kind(row) == MOVED and row["from"] is not None and row["to"] is not None:
            key = (row["from"], row["to"])
            moves[key] = moves.get(key, 0) + row["customers"]
    largest = sorted(moves.items(), key=lambda each: (-each[1], each[0]))[:MAX_MOVES]
    return [
        {"from": old, "to": new, "customers": count, "share": share(count, totals[old])}
        for (old, new), count in largest
    ]


def _total(rows: Iterable[Mapping[str, Any]], key: str) -> float:
    return sum(row[key] or 0 for row in rows)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
