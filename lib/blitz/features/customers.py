"""Customer features: one row per own-app customer over all channels (docs/contract.md, section 4).

Each order becomes one narrow row (times, amounts, its 0/1 columns as bits), the rows meet in one shuffle by customer,
and one aggregation serves both scopes: a counter holds all orders in its low and own-app orders in its high 32 bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from itertools import combinations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.accounts import KEPT, READ, Account, Reason, RowMetrics, each_row
from blitz.features.orders import DAYPARTS, bucket_column, daypart, in_window, is_weekend
from blitz.raw.channels import CHANNELS, USER_CHANNEL, Channel
from blitz.raw.menu import BITS, Menu
from blitz.spark.columns import balanced, names_where, quoted_col
from blitz.spark.local_times import local_time
from blitz.spark.partitions import partitioned_by

SCOPES = ("omnichannel", USER_CHANNEL.name)
# Every combination of dayparts, the single ones first.
DAYPART_SETS = [chosen for size in range(1, len(DAYPARTS) + 1) for chosen in combinations(DAYPARTS, size)]
_MICROS_PER_DAY = 86_400_000_000
_LOW = 0xFFFFFFFF
_BOTH = (1 << 32) | 1  # what an order of own app adds to a counter; any other order adds 1

Mark = str | tuple[str, str]  # a 0/1 column, or (kind, category name)


@dataclass(frozen=True)
class CustomerSettings:
    """The settings of the customer features.

    ``start`` and ``end`` are local dates: the window goes from midnight of ``start`` (inclusive) to midnight of
    ``end``, the run date (exclusive). ``categories`` bounds the category columns that a channel contributes; None: all
    of the menu.
    """

    start: date
    end: date
    timezone: str
    bucket_labels: list[str]
    menu: Menu
    categories: dict[str, frozenset[str]] | None = None

    def counted(self, channel: str) -> list[str]:
        """The category columns that count for a channel, in the menu's order."""
        columns = self.menu.columns("base") + self.menu.columns("dri")
        return columns if self.categories is None else [name for name in columns if name in self.categories[channel]]


def customer_features(orders: dict[str, DataFrame], settings: CustomerSettings, metrics: RowMetrics) -> DataFrame:
    """One row per customer with an own-app order in the window.

    Args:
        orders: the order features by channel name, as published.
        settings: the window, the price buckets and the menu.
        metrics: gets the orders that were read and those in the window; see ``customer_accounts``.

    Returns the columns of the contract: counts bigint, amounts and averages double, first and last order as local
    TIMESTAMP_NTZ, days bigint, delivery time in minutes.
    """
    marks = _Marks(settings)
    rows = [_narrow(orders[name], name, settings, marks, metrics) for name in CHANNELS]
    return (
        partitioned_by(reduce(DataFrame.unionByName, rows), "algonomy_id")
        .groupBy("algonomy_id")
        .agg(*_aggregates(settings, marks))
        .where(F.col("ownapp_orders") > 0)
        .select(*_columns(settings, marks))
    )


def customer_accounts(metrics: RowMetrics) -> list[Account]:
    """The account of each channel's order features, from the counts of ``customer_features``."""
    accounts = []
    for name in CHANNELS:
        counts = metrics.counts(name)
        dropped: dict[str, int] = {Reason.OUTSIDE_WINDOW: counts[READ] - counts[KEPT]}
        accounts.append(Account(f"{name} order features", counts[READ], counts[KEPT], dropped))
    return accounts


class _Marks:
    """The 0/1 facts of an order that are carried as bits: price buckets, category columns, and category names where two
    names share a column."""

    def __init__(self, settings: CustomerSettings) -> None:
        self.menu = settings.menu
        self.prices = [bucket_column(label) for label in settings.bucket_labels]
        self.columns = self.menu.columns("base") + self.menu.columns("dri")
        shared = {c.column for c in self.menu.categories if self._names_of(c.column) > 1}
        self.shared_names: list[tuple[str, str]] = [
            (c.kind, c.name) for c in self.menu.categories if c.column in shared
        ]
        names: list[Mark] = [*self.prices, *self.columns, *self.shared_names]
        self.place = {name: at for at, name in enumerate(names)}
        self.masks = -(-len(names) // BITS)

    def _names_of(self, column: str) -> int:
        return sum(category.column == column for category in self.menu.categories)

    def of(self, mark: Mark) -> Column:
        """Bit of a mark, from the masks."""
        at = self.place[mark]
        return F.getbit(F.col(f"marks_{at // BITS}"), F.lit(at % BITS))

    def pack(self, columns: list[str]) -> list[Column]:
        """The masks of an order, from its published columns."""
        bits: list[list[Column]] = [[F.lit(0).cast("bigint")] for _ in range(self.masks)]
        for mark, at in self.place.items():
            if isinstance(mark, str):
                value = quoted_col(mark).cast("bigint") if mark in columns else F.lit(0).cast("bigint")
            else:
                kind, name = mark
                value = F.array_contains(_ARRAYS[kind], F.lit(name)).cast("bigint")
            bits[at // BITS].append(F.shiftleft(value, at % BITS))
        return [balanced(Column.bitwiseOR, group).alias(f"marks_{at}") for at, group in enumerate(bits)]

    def names(self, kind: str) -> list[tuple[str, Mark]]:
        """(category name, its mark) of one kind, sorted by name."""
        marks: list[tuple[str, Mark]] = []
        for category in self.menu.of_kind(kind):
            own = (kind, category.name)
            marks.append((category.name, own if own in self.place else category.column))
        return marks


_ARRAYS = {"dri": "unique_dri_categories_in_order", "base": "unique_base_products_in_order"}


def _place(value: Column, names: Sequence[str]) -> Column:
    """The place of a text among names, from 1."""
    return F.coalesce(*[F.when(value == name, F.lit(at)) for at, name in enumerate(names, start=1)])


def published_time(channel: Channel, timezone: str) -> Column:
    """The local time of a published order, as ``local_time`` gives it."""
    if channel.times_are_local:  # a wall-clock time may be in an hour that daylight saving skips
        return F.col(channel.time).cast("timestamp")
    return local_time(F.col("order_placed_datetime"), timezone)


def _narrow(orders: DataFrame, name: str, settings: CustomerSettings, marks: _Marks, metrics: RowMetrics) -> DataFrame:
    """The orders of one channel in the window, one narrow row each, the same columns for every channel."""
    channel = CHANNELS[name]
    local = published_time(channel, settings.timezone)
    discount, net = F.col("discounted_price"), F.col(channel.net_price)
    if channel.missing_prices_are_zero:
        discount, net = F.coalesce(discount, F.lit(0.0)), F.coalesce(net, F.lit(0.0))
    before_tax = net + discount
    delivery = F.lit(None).cast("double")
    if channel.has_delivery_time:
        placed, delivered = F.unix_micros("order_placed_datetime"), F.unix_micros("actual_delivery_time")
        delivery = (delivered - placed) / F.lit(60_000_000.0)
    rows = orders.select(
        "algonomy_id",
        F.lit(list(CHANNELS).index(name)).alias("channel"),
        F.lit(_BOTH if name == USER_CHANNEL.name else 1).cast("bigint").alias("unit"),
        F.unix_micros(local).alias("at"),
        _place(daypart(local), DAYPARTS).alias("daypart"),
        is_weekend(local).alias("weekend"),
        F.col("total_price").cast("double").alias("total"),
        discount.cast("double").alias("discount"),
        F.when(before_tax != 0, discount / before_tax).alias("discount_pct"),
        delivery.alias("delivery"),
        *marks.pack(orders.columns),
        in_window(local, settings.start, settings.end).alias("in_window"),
    )
    counted = {name: {READ: each_row(), KEPT: F.col("in_window")}}
    return metrics.observe(rows, counted, keep=F.col("in_window")).drop("in_window")


def _aggregates(settings: CustomerSettings, marks: _Marks) -> list[Column]:
    is_own = F.col("channel") == 0

    def both(fact: Column) -> Column:
        """The counter of a 0/1 fact. A product takes Sail half the time of a case, and there are many counters."""
        return F.sum(fact.cast("bigint") * F.col("unit"))

    columns = [F.sum((F.col("channel") == at).cast("int")).alias(f"{name}_orders") for at, name in enumerate(CHANNELS)]
    columns += [
        F.sum("weekend").alias("weekend_orders"),
        F.avg("total").alias("aov"),
        F.avg("discount").alias("avg_discount"),
        F.avg("discount_pct").alias("avg_discount_pct"),
        F.avg("delivery").alias("avg_delivery"),
        F.min("at").alias("omnichannel_first"),
        F.max("at").alias("omnichannel_last"),
        F.min(F.when(is_own, F.col("at"))).alias("ownapp_first"),
        F.max(F.when(is_own, F.col("at"))).alias("ownapp_last"),
        *[both(F.col("daypart") == at).alias(f"daypart_{at}") for at in range(1, len(DAYPARTS) + 1)],
        *[F.bit_or(f"marks_{at}").alias(f"marks_{at}") for at in range(marks.masks)],
        *[both(marks.of(name)).alias(f"count_{name}") for name in marks.prices],
    ]
    for name in marks.columns:
        counts = [F.col("channel") == at for at, channel in enumerate(CHANNELS) if name in settings.counted(channel)]
        if len(counts) == len(CHANNELS):
            columns.append(both(marks.of(name)).alias(f"count_{name}"))
        elif counts:
            is_counted = reduce(Column.__or__, counts).cast("int")
            columns.append(both(marks.of(name) * is_counted).alias(f"count_{name}"))
    return columns


def _scoped(scope: str, counter: str) -> Column:
    """One scope's half of a counter."""
    if scope == "omnichannel":
        return quoted_col(counter).bitwiseAND(F.lit(_LOW))
    return F.shiftright(quoted_col(counter), 32)


def _columns(settings: CustomerSettings, marks: _Marks) -> list[Column]:
    orders = {name: F.col(f"{name}_orders") for name in CHANNELS}
    total = reduce(Column.__add__, orders.values())
    per_scope: list[Callable[[str], list[Column]]] = [
        lambda scope: _times(scope, settings, total if scope == "omnichannel" else orders[USER_CHANNEL.name]),
        _dayparts,
        lambda scope: _counts(scope, settings, marks),
    ]
    return [
        F.col("algonomy_id"),
        F.when(F.col("avg_discount_pct") < 0, F.lit(0.0))
        .otherwise(F.col("avg_discount_pct"))
        .alias("omnichannel_avg_discount_pct"),
        *_names(marks, "base", "unique_base_products_in_order", "unique_category_base_products_count"),
        *_names(marks, "dri", "unique_dri_categories_in_order", "unique_dri_category_count"),
        total.alias("omnichannel_order_count"),
        *[count.alias(f"{name}_order_count") for name, count in orders.items()],
        F.col("weekend_orders").alias("omnichannel_weekend_order_count"),
        (total - F.col("weekend_orders")).alias("omnichannel_weekday_order_count"),
        F.col("aov").alias("omnichannel_aov"),
        F.col("avg_discount").alias("omnichannel_avg_discount"),
        _channels_ordered_from(orders),
        *[column for make in per_scope for scope in SCOPES for column in make(scope)],
        F.col("avg_delivery").alias("ownapp_avg_delivery_time_minutes"),
        reduce(Column.__add__, [(count > 0).cast("int") for count in orders.values()]).alias("channel_count"),
    ]


def _names(marks: _Marks, kind: str, names: str, count: str) -> list[Column]:
    """The sorted distinct category names of a customer, and how many."""
    pairs = marks.names(kind)
    if not pairs:
        return [F.array().cast("array<string>").alias(names), F.lit(0).alias(count)]
    listed = names_where([(name, marks.of(mark) == 1) for name, mark in pairs])
    number = balanced(Column.__add__, [marks.of(mark).cast("int") for _, mark in pairs])
    return [listed.alias(names), number.alias(count)]


def _channels_ordered_from(orders: dict[str, Column]) -> Column:
    in_order = sorted(CHANNELS.values(), key=lambda channel: channel.label_place)
    joined = F.concat_ws(" + ", *[F.when(orders[each.name] > 0, F.lit(each.label)) for each in in_order])
    alone = USER_CHANNEL.label
    return F.when(joined == alone, F.lit(f"{alone} only")).otherwise(joined).alias("channels_ordered_from")


def _times(scope: str, settings: CustomerSettings, orders: Column) -> list[Column]:
    """First and last order (local), recency, tenure and the average gap, in days."""
    first, last = f"{scope}_first", f"{scope}_last"
    run_date = F.unix_micros(F.lit(settings.end.isoformat()).cast("timestamp"))
    recency = F.floor((run_date - F.col(last)) / _MICROS_PER_DAY).cast("bigint")
    tenure = F.floor((F.col(last) - F.col(first)) / _MICROS_PER_DAY).cast("bigint") + 1
    return [
        *[F.timestamp_micros(F.col(name)).cast("timestamp_ntz").alias(f"{name}_order_at") for name in (first, last)],
        recency.alias(f"{scope}_recency"),
        tenure.alias(f"{scope}_tenure_days"),
        F.when(orders > 1, tenure / (orders - 1)).alias(f"{scope}_avg_days_between_orders"),
    ]


def _dayparts(scope: str) -> list[Column]:
    """Orders per daypart and per combination of two to five dayparts."""
    counts = {name: _scoped(scope, f"daypart_{at}") for at, name in enumerate(DAYPARTS, start=1)}
    return [
        reduce(Column.__add__, [counts[name] for name in chosen]).alias(daypart_column(scope, chosen))
        for chosen in DAYPART_SETS
    ]


def daypart_column(scope: str, chosen: Sequence[str]) -> str:
    """The column of the orders in any of some dayparts."""
    return f"{scope}_{'_'.join(chosen)}_order_count"


def bucket_count_column(scope: str, label: str) -> str:
    """The column of the orders with a line in a price bucket."""
    return f"{scope}_order_count_with_{label}_price_range_items"


def _counts(scope: str, settings: CustomerSettings, marks: _Marks) -> list[Column]:
    """Orders per price bucket and per category."""
    columns = [
        _scoped(scope, f"count_{mark}").alias(bucket_count_column(scope, label))
        for label, mark in zip(settings.bucket_labels, marks.prices, strict=True)
    ]
    channels = CHANNELS if scope == "omnichannel" else (USER_CHANNEL.name,)
    for name in marks.columns:
        if any(name in settings.counted(channel) for channel in channels):
            columns.append(_scoped(scope, f"count_{name}").alias(f"{scope}_{name}_count"))
    return columns
