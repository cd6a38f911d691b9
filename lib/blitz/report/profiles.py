"""Segments compared with their band, and clusters with their plan item. No Spark."""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Any

from blitz.config import Segmentation
from blitz.report.aggregates import MEASURES, Rows
from blitz.report.words import Label, label_of, range_words, rule_labels, rule_words
from blitz.segmentation.rules import READER_FIELDS, Band, Rule, RuleSet, about_segments
from blitz.segmentation.segments import flag_name, short_name
from blitz.text import JsonObject

MAX_TRAITS = 6
MIN_DIFFERENCE = 0.02  # of the customers; smaller differences from the band are noise
MAX_FEATURES = 12


class _Sums:
    """Totals over some groups of customers."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], flags: int) -> None:
        rows = list(rows)
        self.customers = sum(row["customers"] for row in rows)
        self.orders = sum(row["orders"] or 0 for row in rows)
        self.flags = [sum(row[f"flag_{at}"] or 0 for row in rows) for at in range(flags)]
        self._rows = rows

    def mean(self, key: str) -> float | None:
        """Return the mean of a measure over the customers that have it; None if no customer has it."""
        count = sum(row.get(f"n_{key}") or 0 for row in self._rows)
        return sum(row.get(f"sum_{key}") or 0.0 for row in self._rows) / count if count else None

    def share(self, flag: int) -> float:
        """Return the share of customers with a flag."""
        return self.flags[flag] / self.customers if self.customers else 0.0

    def counts(self, total: int) -> JsonObject:
        """Return customers, orders, orders per customer (two decimals), and the share of ``total``."""
        return {
            "customers": self.customers,
            "orders": self.orders,
            "average": round(self.orders / self.customers, 2) if self.customers else None,
            "share": self.customers / total if total else 0.0,
        }

    def figures(self) -> JsonObject:
        """Return the mean of each measure."""
        return {key: self.mean(key) for key in MEASURES}


def band_tables(
    body: Segmentation, rules: RuleSet, rows: Rows, flags: Sequence[str], categories: Mapping[str, str]
) -> list[JsonObject]:
    """Return per band its counts, means and segments, each with its rule in words and how it differs from the band."""
    total = sum(row["customers"] for row in rows if row["segment"] is not None)
    labels, about = rule_labels(body, categories), about_segments(rules)
    marks = [(label_of(name, categories), short_name(flag_name(name), body.rename_dict)) for name in flags]
    found = []
    for band in rules.bands:
        names = list(dict.fromkeys(rule.segment for rule in band.rules))
        all_sums = _Sums((row for row in rows if row["segment"] in names), len(flags))
        segments = []
        for name in names:
            sums = _Sums((row for row in rows if row["segment"] == name), len(flags))
            own = [rule for rule in band.rules if rule.segment == name]
            segments.append(
                {
                    "name": name,
                    "about": {field: getattr(about[name], field) for field in READER_FIELDS},
                    **sums.counts(total),
                    "share_of_band": sums.customers / all_sums.customers if all_sums.customers else 0.0,
                    "words": [rule_words(rule, labels) for rule in own],
                    "rule": " or ".join(rule.in_words() for rule in own),
                    "figures": sums.figures(),
                    "traits": _traits(sums, all_sums, marks, own),
                }
            )
        counts = all_sums.counts(total)
        words = band_words(band)
        found.append({"name": band.name, "words": words, **counts, "figures": all_sums.figures(), "segments": segments})
    return found


def band_words(band: Band) -> str:
    """Return the range of own-app orders of a band in words."""
    return range_words(band, "own-app orders")


def _traits(sums: _Sums, band: _Sums, marks: Sequence[tuple[Label, str]], rules: Sequence[Rule]) -> list[JsonObject]:
    """The flags whose share differs most from the band's, without those that the segment's own rule determines."""
    fixed = {condition.column for rule in rules for condition in rule.conditions}
    if not sums.customers:
        return []
    found: list[JsonObject] = [
        {"name": label.text, "kind": label.kind, "share": sums.share(at), "band": band.share(at)}
        for at, (label, name) in enumerate(marks)
        if name not in fixed and abs(sums.share(at) - band.share(at)) >= MIN_DIFFERENCE
    ]
    return sorted(found, key=lambda each: -abs(each["share"] - each["band"]))[:MAX_TRAITS]


def plan_tables(
    body: Segmentation, rows: Rows, names: Sequence[str], categories: Mapping[str, str]
) -> list[JsonObject]:
    """Return per enabled plan item its clusters with sizes, and the features that separate them best.

    A feature's score is the cluster's mean minus the mean of the plan item's customers, divided by their standard
    deviation.
    """
    found = []
    for item in body.micro_plan:
        if not item.enabled:
            continue
        mine = sorted((row for row in rows if row["plan"] == item.name), key=lambda row: _order(row["cluster"]))
        customers = sum(row["customers"] for row in mine)
        clusters = [
            {"name": row["cluster"], "customers": row["customers"], "share": row["customers"] / customers}
            for row in mine
        ]
        features = [_feature(mine, at, label_of(name, categories).text) for at, name in enumerate(names)]
        apart = sorted((each for each in features if each and each["apart"] > 0), key=lambda each: -each["apart"])
        found.append(
            {
                "name": item.name,
                "sources": list(item.source_segments),
                "customers": customers,
                "clusters": clusters,
                "features": apart[:MAX_FEATURES],
            }
        )
    return found


def _order(cluster: str) -> tuple[int, str]:
    return (int(cluster), "") if cluster.isdigit() else (1 << 30, cluster)


def _feature(rows: Rows, at: int, label: str) -> JsonObject | None:
    """One row of the heat map; None for a feature that does not vary in the plan item."""
    total = sum(row["customers"] for row in rows)
    if not total:
        return None
    mean = sum(row["customers"] * row["mean"][at] for row in rows) / total
    between = sum(row["customers"] * (row["mean"][at] - mean) ** 2 for row in rows) / total
    variance = between + sum(row["customers"] * row["variance"][at] for row in rows) / total
    if variance <= 1e-12:
        return None
    deviation = sqrt(variance)
    return {
        "name": label,
        "mean": mean,
        "apart": between / variance,
        "means": [row["mean"][at] for row in rows],
        "scores": [(row["mean"][at] - mean) / deviation for row in rows],
    }
