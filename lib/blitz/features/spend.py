"""What each customer spent, by local day of their orders, over the channels (docs/contract.md, section 11)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from blitz.features.customers import published_time
from blitz.raw.channels import CHANNELS
from blitz.spark.partitions import partitioned_by

ALL_CHANNELS = "all"
EXACT_DIGITS = 9  # sums are rounded, so that equal amounts are equal in whatever order they were added


@dataclass(frozen=True)
class SpendSettings:
    """The windows in local days: orders from ``order_start``, spend from ``customer_start``, until before ``end``."""

    order_start: date
    customer_start: date
    end: date
    timezone: str


def customer_spend(orders: Mapping[str, DataFrame], settings: SpendSettings) -> DataFrame:
    """One row per customer of the orders, aggregated in one pass.

    Args:
        orders: the order features by channel name, as published.
        settings: the windows.

    Returns ``algonomy_id``; ``total_spend`` (rupees) and ``spend_orders`` of the customer window; ``first_day``,
    ``last_day``, ``order_days`` (distinct days) and ``repeat_spend`` (that of all days but the first) of the order
    window; and per channel ``read_x`` and ``inside_x``, the orders and those in the order window.
    """
    rows = reduce(DataFrame.unionByName, [_narrow(orders[name], name, settings) for name in CHANNELS])
    return _per_customer(_per_day(partitioned_by(rows, "algonomy_id")), settings)


def channel_spend(orders: Mapping[str, DataFrame], settings: SpendSettings) -> DataFrame:
    """One row per customer with an order with a price in the customer window.

    Returns ``algonomy_id``, and per channel x, ``all`` among them, ``spend_x`` (rupees) and ``orders_x``, the orders
    with a price; 0 where there is none.
    """
    rows = reduce(DataFrame.unionByName, [_narrow(orders[name], name, settings) for name in CHANNELS])
    inside = rows.where((F.col("day") >= F.lit(settings.customer_start)) & F.col("price").isNotNull())
    here = {name: F.col("channel") == at for at, name in enumerate(CHANNELS)} | {ALL_CHANNELS: F.lit(True)}
    amounts = [_amount(F.when(condition, F.col("price"))).alias(f"spend_{name}") for name, condition in here.items()]
    counts = [F.sum(F.when(condition, 1).otherwise(0)).alias(f"orders_{name}") for name, condition in here.items()]
    return inside.groupBy("algonomy_id").agg(*amounts, *counts)


def _narrow(orders: DataFrame, name: str, settings: SpendSettings) -> DataFrame:
    """The orders of a channel with their local day, null outside the order window, and their price."""
    day = F.to_date(published_time(CHANNELS[name], settings.timezone))
    inside = (day >= F.lit(settings.order_start)) & (day < F.lit(settings.end))
    return orders.select(
        "algonomy_id",
        F.when(inside, day).alias("day"),
        F.col("total_price").cast("double").alias("price"),
        F.lit(list(CHANNELS).index(name)).alias("channel"),
    )


def _per_day(rows: DataFrame) -> DataFrame:
    """One row per customer and day, with the first day of the customer; the orders outside the window have no day."""
    counts = [F.sum((F.col("channel") == at).cast("bigint")).alias(name) for at, name in enumerate(CHANNELS)]
    daily = rows.groupBy("algonomy_id", "day").agg(
        F.coalesce(F.sum("price"), F.lit(0.0)).alias("spend"), F.count("price").alias("priced"), *counts
    )
    return daily.withColumn("first_day", F.min("day").over(Window.partitionBy("algonomy_id")))


def _per_customer(days: DataFrame, settings: SpendSettings) -> DataFrame:
    inside, counted = F.col("day").isNotNull(), F.col("day") >= F.lit(settings.customer_start)
    return days.groupBy("algonomy_id").agg(
        _amount(F.when(counted, F.col("spend"))).alias("total_spend"),
        F.coalesce(F.sum(F.when(counted, F.col("priced"))), F.lit(0)).cast("bigint").alias("spend_orders"),
        F.min("day").alias("first_day"),
        F.max("day").alias("last_day"),
        F.count("day").alias("order_days"),
        _amount(F.when(F.col("day") > F.col("first_day"), F.col("spend"))).alias("repeat_spend"),
        *[F.sum(name).alias(f"read_{name}") for name in CHANNELS],
        *[F.sum(F.when(inside, F.col(name))).alias(f"inside_{name}") for name in CHANNELS],
    )


def _amount(values: Column) -> Column:
    """The sum of amounts, 0 where there is none."""
    return F.round(F.coalesce(F.sum(values), F.lit(0.0)), EXACT_DIGITS)
