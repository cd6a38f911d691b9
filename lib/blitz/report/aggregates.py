"""The report's aggregations over the published outputs. Neither ids nor rows leave Spark."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TypeAlias

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.features.orders import STORE_COLUMNS
from blitz.raw.channels import CHANNELS
from blitz.raw.menu import BITS, mask_name
from blitz.segmentation.segments import BAND_COLUMN, ID_COLUMN
from blitz.spark.columns import balanced, quoted_col
from blitz.spark.local_times import local_time
from blitz.text import JsonObject

MEASURES = {  # customer features whose means the report shows
    "aov": "omnichannel_aov",
    "discount": "omnichannel_avg_discount_pct",
    "recency": "omnichannel_recency",
    "orders": BAND_COLUMN,
    "products": "unique_category_base_products_count",
    "channels": "channel_count",
}
MAX_STORES = 1_000
Rows: TypeAlias = list[JsonObject]


def collect(df: DataFrame) -> Rows:
    """The rows of an aggregation."""
    return [row.asDict() for row in df.collect()]


def _number(name: str) -> Column:
    """A column as double, NaN as null."""
    value = quoted_col(name).cast("double")
    return F.when(~F.isnan(value), value)


def segment_groups(features: DataFrame, segments: DataFrame, flags: Sequence[str]) -> Rows:
    """Count customers per ``segment`` (None: in no segment) and combination of ``channels``.

    Returns ``customers``, ``with_features``, ``orders`` (the sum of own-app orders), ``sum_x`` and ``n_x`` for each
    measure x that the features have, and ``flag_i``, the customers with ``flags[i]`` above 0. The flags cross the join
    as bits of a few longs. Customers without features count with nulls.
    """
    measures = {key: name for key, name in MEASURES.items() if name in features.columns}
    marks = [F.coalesce((_number(name) > 0).cast("bigint"), F.lit(0)) for name in flags]
    groups = [range(at, min(at + BITS, len(flags))) for at in range(0, len(flags), BITS)]
    masks = [balanced(Column.bitwiseOR, [F.shiftleft(marks[at], at % BITS) for at in group]) for group in groups]
    where = "channels_ordered_from"
    combination = F.col(where) if where in features.columns else F.lit(None).cast("string")
    narrow = features.select(
        ID_COLUMN,
        combination.alias("channels"),
        F.lit(True).alias("has_features"),
        F.col(BAND_COLUMN).cast("bigint").alias("own_orders"),
        *[_number(name).alias(f"m_{key}") for key, name in measures.items()],
        *[mask.alias(mask_name(at)) for at, mask in enumerate(masks)],
    )
    joined = narrow.join(segments.select(ID_COLUMN, F.col("Segment").alias("segment")), ID_COLUMN, "full_outer")
    return collect(
        joined.groupBy("segment", "channels").agg(
            F.count(F.lit(1)).alias("customers"),
            F.count("has_features").alias("with_features"),
            F.sum("own_orders").alias("orders"),
            *[F.sum(f"m_{key}").alias(f"sum_{key}") for key in measures],
            *[F.count(f"m_{key}").alias(f"n_{key}") for key in measures],
            *[
                F.sum(F.getbit(F.col(mask_name(at // BITS)), F.lit(at % BITS)).cast("int")).alias(f"flag_{at}")
                for at in range(len(flags))
            ],
        )
    )


def cluster_groups(micro: DataFrame, names: Sequence[str]) -> Rows:
    """Return per ``plan`` and ``cluster`` the ``customers`` and the lists ``mean`` and ``variance`` (null as 0)."""
    values = [F.coalesce(_number(name), F.lit(0.0)).alias(f"x_{at}") for at, name in enumerate(names)]
    narrow = micro.select(F.col("Segment").alias("plan"), F.col("microcluster").alias("cluster"), *values)
    places = range(len(names))
    grouped = narrow.groupBy("plan", "cluster").agg(
        F.count(F.lit(1)).alias("customers"),
        *[F.avg(f"x_{at}").alias(f"mean_{at}") for at in places],
        *[F.var_pop(f"x_{at}").alias(f"variance_{at}") for at in places],
    )
    return collect(
        grouped.select(
            "plan",
            "cluster",
            "customers",
            F.array(*[F.col(f"mean_{at}") for at in places]).cast("array<double>").alias("mean"),
            F.array(*[F.col(f"variance_{at}") for at in places]).cast("array<double>").alias("variance"),
        )
    )


def order_groups(orders: Mapping[str, DataFrame], timezone: str, labels: Sequence[str]) -> Rows:
    """Count ``orders`` per ``channel``, ``daypart`` and local ``weekday`` (1 Sunday to 7 Saturday).

    ``total`` is the sum of their prices; ``bucket_i`` counts orders with a line in the price bucket ``labels[i]``.
    """
    frames = []
    for name, df in orders.items():
        local = local_time(F.col("order_placed_datetime"), timezone)
        buckets = [f"{label}_items_count" for label in labels]
        frames.append(
            df.select(
                F.lit(name).alias("channel"),
                F.col("order_time_of_day").alias("daypart"),
                F.dayofweek(local).alias("weekday"),
                _number("total_price").alias("price"),
                *[
                    (quoted_col(column).cast("bigint") if column in df.columns else F.lit(0)).alias(f"b_{at}")
                    for at, column in enumerate(buckets)
                ],
            )
        )
    grouped = reduce(DataFrame.unionByName, frames).groupBy("channel", "daypart", "weekday")
    return collect(
        grouped.agg(
            F.count(F.lit(1)).alias("orders"),
            F.sum("price").alias("total"),
            *[F.sum(f"b_{at}").alias(f"bucket_{at}") for at in range(len(labels))],
        )
    )


def store_groups(orders: Mapping[str, DataFrame]) -> Rows:
    """Return the stores with most orders (at most MAX_STORES) that lack a column in the store files.

    The keys are ``channel``, ``store``, ``name``, ``orders``, ``total`` and, for each of STORE_COLUMNS, how many orders
    lack it.
    """
    frames = []
    for name, df in orders.items():
        key = "StoreCode" if CHANNELS[name].layout == "store" else "store_mds_id"
        label = F.lit(None) if CHANNELS[name].layout == "store" else F.col("store_name")
        frames.append(
            df.where(reduce(Column.__or__, [F.col(column).isNull() for column in STORE_COLUMNS])).select(
                F.lit(name).alias("channel"),
                F.col(key).cast("string").alias("store"),
                label.cast("string").alias("name"),
                _number("total_price").alias("price"),
                *[F.col(column).isNull().cast("int").alias(column) for column in STORE_COLUMNS],
            )
        )
    grouped = reduce(DataFrame.unionByName, frames).groupBy("channel", "store")
    counted = grouped.agg(
        F.max("name").alias("name"),
        F.count(F.lit(1)).alias("orders"),
        F.sum("price").alias("total"),
        *[F.sum(column).alias(column) for column in STORE_COLUMNS],
    )
    return collect(counted.orderBy(F.col("orders").desc(), "channel", "store").limit(MAX_STORES))


def segment_moves(before: DataFrame, after: DataFrame) -> Rows:
    """Count ``customers`` per segment before (``from``) and after (``to``); None: the customer is not in that run."""
    sides = [
        df.select(ID_COLUMN, F.coalesce("Segment", F.lit("")).alias(name))
        for df, name in ((before, "from"), (after, "to"))
    ]
    joined = sides[0].join(sides[1], ID_COLUMN, "full_outer")
    return collect(joined.groupBy("from", "to").agg(F.count(F.lit(1)).alias("customers")))
