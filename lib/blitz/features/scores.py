"""Scores of the customers: spend, lifecycle, RFM, and the inputs of lifetime value models (docs/contract.md,
section 11)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.accounts import Account, Reason
from blitz.features.quantiles import exact_quantiles
from blitz.raw.channels import CHANNELS
from blitz.segmentation.domains import HIGHEST_SCORE, SCORES

RECENCY, FREQUENCY, MONETARY = "omnichannel_recency", "omnichannel_order_count", "total_spend"
MEASURES = {"recency": RECENCY, "frequency": FREQUENCY, "monetary": MONETARY}  # what r, f and m score, in this order
SHARES = (0.2, 0.4, 0.6, 0.8)
DAYS_SINCE_FIRST = "days_since_first_order"
FEATURES = (RECENCY, FREQUENCY, "omnichannel_avg_days_between_orders", "omnichannel_first_order_at")
COLUMN_TYPES = {  # of the scores, in their order
    "total_spend": "double", "spend_orders": "bigint", "missed_visits": "double", "lifecycle": "string",
    **dict.fromkeys(SCORES, "int"), "rfm": "string", "rfm_segment": "string",
    "clv_frequency": "bigint", "clv_recency_days": "bigint", "clv_t_days": "bigint", "clv_monetary_value": "double",
}  # fmt: skip
COLUMNS = tuple(COLUMN_TYPES)
Cuts = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class ScoreSettings:
    """``end``: the run date. ``lifecycle`` and ``rfm_segment``: the names as columns over the scores of a customer,
    ``days_since_first_order`` and the customer features. ``cuts``: given cut points by measure."""

    end: date
    lifecycle: Column
    rfm_segment: Column
    cuts: Cuts


def known_customers(features: DataFrame, spend: DataFrame, end: date) -> DataFrame:
    """Customers and customers' spend side by side: every row of both, ``is_customer`` where there are features.

    Args:
        features: the customer features.
        spend: what ``customer_spend`` returns.
        end: the run date.

    Returns ``algonomy_id``, FEATURES, ``days_since_first_order`` (local days), and the columns of ``spend``.
    """
    first_day = F.to_date("omnichannel_first_order_at")
    customers = features.select(
        "algonomy_id",
        *FEATURES,
        F.datediff(F.lit(end), first_day).alias(DAYS_SINCE_FIRST),
        F.lit(True).alias("is_customer"),
    )
    joined = customers.join(spend, "algonomy_id", "full_outer")
    amounts = {"total_spend": 0.0, "repeat_spend": 0.0}
    counts = dict.fromkeys(["spend_orders", *[f"{kind}_{name}" for kind in ("read", "inside") for name in CHANNELS]], 0)
    filled = {name: F.coalesce(F.col(name), F.lit(zero)) for name, zero in {**amounts, **counts}.items()}
    return joined.select(
        *[
            filled[name].alias(name) if name in filled else F.col(name)
            for name in joined.columns
            if name != "is_customer"
        ],
        F.coalesce("is_customer", F.lit(False)).alias("is_customer"),
    )


def count_rows(rows: DataFrame) -> dict[str, int]:
    """Count a ``known_customers`` frame in one query: ``customers``, ``without_orders``, and per channel the orders
    ``read_x``, ``inside_x`` (in the order window) and ``kept_x`` (of a customer)."""
    is_customer = F.col("is_customer")
    sums = {
        "customers": is_customer.cast("bigint"),
        "without_orders": (is_customer & F.col("order_days").isNull()).cast("bigint"),
    }
    for name in CHANNELS:
        sums |= {f"read_{name}": F.col(f"read_{name}"), f"inside_{name}": F.col(f"inside_{name}")}
        sums[f"kept_{name}"] = F.when(is_customer, F.col(f"inside_{name}"))
    row = rows.agg(*[F.sum(value).alias(name) for name, value in sums.items()]).collect()[0]
    return {name: int(row[name] or 0) for name in sums}


def score_accounts(counts: Mapping[str, int]) -> list[Account]:
    """The account of each channel's order features, from ``count_rows``."""
    accounts = []
    for name in CHANNELS:
        read, inside, kept = (counts[f"{kind}_{name}"] for kind in ("read", "inside", "kept"))
        dropped: dict[str, int] = {Reason.OUTSIDE_WINDOW: read - inside, Reason.NO_CUSTOMER_FEATURES: inside - kept}
        accounts.append(Account(f"{name} order features", read, kept, dropped))
    return accounts


def cut_points(customers: DataFrame, number: int, given: Cuts) -> dict[str, list[float]]:
    """The four cut points of each measure: those given, else the exact 20, 40, 60 and 80 % quantiles of the customers.

    ``number``: of the customers. Without customers a measure without given cut points has none.
    """
    missing = {name: column for name, column in MEASURES.items() if name not in given}
    found: dict[str, tuple[float, ...]] = {}
    if missing and number:
        found = exact_quantiles(customers, list(missing.values()), SHARES, number)
    return {name: list(given[name]) if name in given else list(found.get(MEASURES[name], ())) for name in MEASURES}


def scores(customers: DataFrame, settings: ScoreSettings) -> DataFrame:
    """One row per customer with the columns of the contract.

    ``customers``: those of a ``known_customers`` frame; ``settings.cuts`` has the cut points of all measures.
    """
    below = {name: _number_below(F.col(column), settings.cuts[name]) for name, column in MEASURES.items()}
    points = (HIGHEST_SCORE - below["recency"], below["frequency"] + 1, below["monetary"] + 1)
    scored = customers.select(
        "*",
        (F.col(RECENCY) / F.col("omnichannel_avg_days_between_orders")).alias("missed_visits"),
        *[value.cast("int").alias(name) for name, value in zip(SCORES, points, strict=True)],
    )
    return scored.select(
        "algonomy_id",
        "total_spend",
        "spend_orders",
        "missed_visits",
        settings.lifecycle.alias("lifecycle"),
        *SCORES,
        F.concat(*[F.col(name).cast("string") for name in SCORES]).alias("rfm"),
        settings.rfm_segment.alias("rfm_segment"),
        *lifetime_inputs(settings.end),
    )


def _number_below(value: Column, cuts: Sequence[float]) -> Column:
    """How many cut points are below a value."""
    total = F.lit(0)
    for cut in cuts:
        total = total + (value > F.lit(float(cut))).cast("int")
    return total


def lifetime_inputs(end: date) -> list[Column]:
    """What BG/NBD and gamma-gamma models take, over the order window: repeat days, recency and age in days, and the
    mean spend of a repeat day."""
    frequency = F.col("order_days") - 1
    mean = F.when(frequency > 0, F.col("repeat_spend") / frequency).when(frequency == 0, F.lit(0.0))
    return [
        frequency.alias("clv_frequency"),
        F.datediff("last_day", "first_day").cast("bigint").alias("clv_recency_days"),
        (F.datediff(F.lit(end), F.col("first_day")) - 1).cast("bigint").alias("clv_t_days"),
        mean.alias("clv_monetary_value"),
    ]
