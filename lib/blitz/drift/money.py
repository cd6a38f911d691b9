"""Two runs in money: the change of spend of each segment and channel, split into what it came from.

Spend is customers x orders per customer x value per order. The change of a product of three factors is split by
Shapley's method: the effect of each factor, averaged over all orders in which the factors can change. The three parts
add up to the change, and no factor is first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.drift.runs import Run
from blitz.features.spend import ALL_CHANNELS, channel_spend
from blitz.publish.tables import output_exists
from blitz.raw.channels import CHANNELS
from blitz.segmentation.segments import ID_COLUMN
from blitz.text import JsonObject

PARTS = (ALL_CHANNELS, *CHANNELS)
ALL_SEGMENTS = "all"
METHOD = "Shapley: the mean effect of each factor over all orders of change"


def unknown_spend(spark: SparkSession, before: Run, after: Run) -> list[str]:
    """Why the spend of two runs cannot be compared; empty where the order outputs of both are there."""
    shared = [path for name, path in before.orders.items() if after.orders.get(name) == path]
    if shared and before.windows != after.windows:
        return [f"{path}: the order features of the later run are in the place of the earlier's" for path in shared]
    return [text for run in (before, after) if (text := _unknown(spark, run))]


def _unknown(spark: SparkSession, run: Run) -> str | None:
    if run.windows is None:
        return f"{run.source}: says nothing of the windows of its orders; give the run's config"
    for name in CHANNELS:
        if name not in run.orders:
            return f"{run.source}: the run did not include {name}; give the run's config"
        if not output_exists(spark, run.orders[name]):
            return f"{run.orders[name]}: the {name} order features of the run are not there any more"
    return None


def spend_of(spark: SparkSession, run: Run) -> DataFrame:
    """What each customer of a run spent per channel; see ``channel_spend``. The spend must not be unknown."""
    assert run.windows is not None
    return channel_spend({name: run.read(spark, name) for name in CHANNELS}, run.windows)


def prefixed(spend: DataFrame, prefix: str) -> DataFrame:
    """The frame with a prefix before all columns but the id."""
    return spend.select(ID_COLUMN, *[F.col(name).alias(prefix + name) for name in spend.columns if name != ID_COLUMN])


def spend_sums(prefix: str) -> list[Column]:
    """Sums over the customers of a side: per channel ``spend_x``, ``orders_x``, and ``buyers_x`` with such an order."""
    columns = []
    for name in PARTS:
        orders = F.col(f"{prefix}orders_{name}")
        columns += [
            F.sum(f"{prefix}spend_{name}").alias(f"{prefix}spend_{name}"),
            F.sum(orders).alias(f"{prefix}orders_{name}"),
            F.sum(F.when(orders > 0, 1).otherwise(0)).alias(f"{prefix}buyers_{name}"),
        ]
    return columns


@dataclass(frozen=True)
class Amount:
    """Customers with an order that has a price, these orders, and their spend in rupees."""

    customers: int = 0
    orders: int = 0
    spend: float = 0.0

    @classmethod
    def of(cls, rows: Iterable[JsonObject], prefix: str, channel: str) -> "Amount":
        """The sum of rows of ``segment_pairs`` on one side (``b_`` or ``a_``) in one channel."""
        kept = list(rows)
        buyers, orders, spend = (
            sum(row[f"{prefix}{kind}_{channel}"] or 0 for row in kept) for kind in ("buyers", "orders", "spend")
        )
        return cls(int(buyers), int(orders), float(spend))

    def factors(self, other: "Amount") -> tuple[float, float, float]:
        """Customers, orders per customer and value per order; without customers the latter two are the other's."""
        one = self if self.customers else other
        if not one.customers:
            return 0.0, 0.0, 0.0
        return float(self.customers), one.orders / one.customers, one.spend / one.orders


def split(before: Amount, after: Amount) -> dict[str, float]:
    """The change of spend that is due to ``customers``, ``orders_per_customer`` and ``value_per_order``."""
    old, new = before.factors(after), after.factors(before)

    def effect(at: int) -> float:
        (b, c) = (place for place in range(3) if place != at)
        ends = old[b] * old[c] + new[b] * new[c]
        mixed = old[b] * new[c] + new[b] * old[c]
        return (new[at] - old[at]) * (ends / 3 + mixed / 6)

    return {name: effect(at) for at, name in enumerate(("customers", "orders_per_customer", "value_per_order"))}


def money(pairs: Sequence[JsonObject]) -> JsonObject:
    """The change of spend, from ``segment_pairs`` with the spend of both sides.

    Returns ``method``; ``segments``: per segment, ``all`` among them, and channel both amounts, the change and its
    three parts; ``groups``: what those who entered, left, stayed and moved spent before and after; ``moves``: the same
    per pair of segments.
    """
    names = sorted({row[end] for row in pairs for end in ("from", "to") if row[end]})
    rows = []
    for segment in (ALL_SEGMENTS, *names):
        was = [row for row in pairs if row["from"] and segment in (ALL_SEGMENTS, row["from"])]
        will = [row for row in pairs if row["to"] and segment in (ALL_SEGMENTS, row["to"])]
        rows += [_change(segment, channel, was, will) for channel in PARTS]
    return {"method": METHOD, "unknown": [], "segments": rows, "groups": _groups(pairs), "moves": _moves(pairs)}


def _change(segment: str, channel: str, was: Sequence[JsonObject], will: Sequence[JsonObject]) -> JsonObject:
    before, after = Amount.of(was, "b_", channel), Amount.of(will, "a_", channel)
    return {
        "segment": segment,
        "channel": channel,
        "before": vars(before),
        "after": vars(after),
        "change": after.spend - before.spend,
        **{f"by_{name}": part for name, part in split(before, after).items()},
    }


def _moves(pairs: Sequence[JsonObject]) -> list[JsonObject]:
    found = [
        {
            "from": row["from"],
            "to": row["to"],
            "customers": row["customers"],
            "before": Amount.of([row], "b_", ALL_CHANNELS).spend,
            "after": Amount.of([row], "a_", ALL_CHANNELS).spend,
        }
        for row in pairs
    ]
    return [{**each, "change": each["after"] - each["before"]} for each in found]


def _groups(pairs: Sequence[JsonObject]) -> dict[str, JsonObject]:
    """Who entered, left, stayed in their segment or moved to another: customers, spend before and after."""
    groups: dict[str, list[JsonObject]] = {"entered": [], "left": [], "stayed": [], "moved": []}
    for row in pairs:
        kind = (
            "entered" if row["from"] is None else "left" if row["to"] is None
            else "stayed" if row["from"] == row["to"] else "moved"
        )  # fmt: skip
        groups[kind].append(row)
    return {
        kind: {
            "customers": sum(row["customers"] for row in rows),
            "before": (before := Amount.of(rows, "b_", ALL_CHANNELS).spend),
            "after": (after := Amount.of(rows, "a_", ALL_CHANNELS).spend),
            "change": after - before,
        }
        for kind, rows in groups.items()
    }
