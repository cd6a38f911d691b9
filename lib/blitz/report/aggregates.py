"""What Spark counts for the report: a few aggregations over the published outputs. No ids and no rows leave Spark."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.features.orders import STORE_COLUMNS, local_time
from blitz.raw.channels import CHANNELS
from blitz.raw.menu import BITS
from blitz.segmentation.segments import BAND_COLUMN, ID_COLUMN
from blitz.spark.columns import balanced

NUMERIC = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
MEASURES = {  # customer features whose means are shown, beside the loaded columns
    "aov": "omnichannel_aov",
    "discount": "omnichannel_avg_discount_pct",
    "recency": "omnichannel_recency",
    "orders": BAND_COLUMN,
    "products": "unique_category_base_products_count",
    "channels": "channel_count",
}
MOST_STORES = 1_000
Rows = list[dict[str, Any]]


def _collect(df: DataFrame) -> Rows:
    return [row.asDict() for row in df.collect()]


def _number(name: str) -> Column:
    """A column as a double, NaN as null."""
    value = F.col(f"`{name}`").cast("double")
    return F.when(~F.isnan(value), value)


def segment_groups(features: DataFrame, segments: DataFrame, flags: Sequence[str]) -> Rows:
    """Per ``segment`` (null: none) and ``channels_ordered_from``: ``customers``; ``orders``, the sum of own-app orders;
    ``sum_x`` and ``n_x`` of every measure that the features have; ``flag_i``, the customers with ``flags[i]`` above 0.

    The flags cross the join as bits of a few longs. Customers without features count with nulls.
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
        *[mask.alias(f"mask_{at}") for at, mask in enumerate(masks)],
    )
    joined = narrow.join(segments.select(ID_COLUMN, F.col("Segment").alias("segment")), ID_COLUMN, "full_outer")
    return _collect(
        joined.groupBy("segment", "channels").agg(
            F.count(F.lit(1)).alias("customers"),
            F.count("has_features").alias("with_features"),
            F.sum("own_orders").alias("orders"),
            *[F.sum(f"m_{key}").alias(f"sum_{key}") for key in measures],
            *[F.count(f"m_{key}").alias(f"n_{key}") for key in measures],
            *[
                F.sum(F.getbit(F.col(f"mask_{at // BITS}"), F.lit(at % BITS)).cast("int")).alias(f"flag_{at}")
                for at in range(len(flags))
            ],
        )
    )


def numeric_columns(df: DataFrame) -> list[str]:
    """The columns of numbers, in their order."""
    return [name for name, kind in df.dtypes if kind.split("(")[0] in NUMERIC]


def cluster_groups(micro: DataFrame, names: Sequence[str]) -> Rows:
    """Per ``plan`` and ``cluster``: ``customers``, and arrays ``mean`` and ``variance`` of the columns, null as 0."""
    values = [F.coalesce(_number(name), F.lit(0.0)).alias(f"x_{at}") for at, name in enumerate(names)]
    narrow = micro.select(F.col("Segment").alias("plan"), F.col("microcluster").alias("cluster"), *values)
    places = range(len(names))
    grouped = narrow.groupBy("plan", "cluster").agg(
        F.count(F.lit(1)).alias("customers"),
        *[F.avg(f"x_{at}").alias(f"mean_{at}") for at in places],
        *[F.var_pop(f"x_{at}").alias(f"variance_{at}") for at in places],
    )
    return _collect(
        grouped.select(
            "plan",
            "cluster",
            "customers",
            F.array(*[F.col(f"mean_{at}") for at in places]).cast("array<double>").alias("mean"),
            F.array(*[F.col(f"variance_{at}") for at in places]).cast("array<double>").alias("variance"),
        )
    )


def order_groups(orders: Mapping[str, DataFrame], timezone: str, labels: Sequence[str]) -> Rows:
    """Per ``channel``, ``daypart`` and ``weekday`` (1 Sunday … 7 Saturday, local) the ``orders``.

    ``total`` is the sum of their prices, ``bucket_i`` counts those with a line in the price bucket ``labels[i]``.
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
                    (F.col(f"`{column}`").cast("bigint") if column in df.columns else F.lit(0)).alias(f"b_{at}")
                    for at, column in enumerate(buckets)
                ],
            )
        )
    grouped = reduce(DataFrame.unionByName, frames).groupBy("channel", "daypart", "weekday")
    return _collect(
        grouped.agg(
            F.count(F.lit(1)).alias("orders"),
            F.sum("price").alias("total"),
            *[F.sum(f"b_{at}").alias(f"bucket_{at}") for at in range(len(labels))],
        )
    )


def store_groups(orders: Mapping[str, DataFrame]) -> Rows:
    """The stores that the store files leave without some column, by orders (at most MOST_STORES).

    Returns ``channel``, ``store``, ``name``, ``orders``, ``total``, and how many orders lack each of STORE_COLUMNS.
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
    return _collect(counted.orderBy(F.col("orders").desc(), "channel", "store").limit(MOST_STORES))


def segment_moves(before: DataFrame, after: DataFrame) -> Rows:
    """Per (``from``, ``to``), null for not there: ``customers``."""
    sides = [
        df.select(ID_COLUMN, F.coalesce("Segment", F.lit("")).alias(name))
        for df, name in ((before, "from"), (after, "to"))
    ]
    joined = sides[0].join(sides[1], ID_COLUMN, "full_outer")
    return _collect(joined.groupBy("from", "to").agg(F.count(F.lit(1)).alias("customers")))
