"""Order features: one row per order of one channel (docs/contract.md, section 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.accounts import KEPT, READ, REJECTED, Account, Reason, RowMetrics, by_reason, each_row
from blitz.features.days import age_in_days, day_metrics
from blitz.features.lines import LINE_REASONS, bit, line_features
from blitz.features.order_customers import IS_USER, OrderCustomers
from blitz.raw.channels import Channel
from blitz.raw.menu import BITS, Category, Menu, mask_name, mask_names
from blitz.raw.specs import REASON
from blitz.raw.suppression import IS_ERASED
from blitz.spark.columns import names_where
from blitz.spark.dependent_columns import with_columns_of
from blitz.spark.first_rows import first_rows
from blitz.spark.late_columns import LateColumns
from blitz.spark.local_times import local_time, utc_time

DAYPARTS = ("Breakfast", "Lunch", "Evening", "Dinner", "Late Night")
STORE_COLUMNS = ("store_type", "store_generator_new", "store_geographical_city", "store_key_city")

ROW_REASONS = (*REJECTED, Reason.OUTSIDE_WINDOW, Reason.EXCLUDED_STORE)  # decided on the raw row alone
_CUSTOMER_REASONS = (Reason.NO_CUSTOMER, Reason.ERASED, Reason.NOT_OWNAPP_USER)
_CANDIDATES, _DISTINCT = "candidates", "distinct"  # rows left by those reasons, and how many orders they describe
_CUSTOMER_CONFLICTS = "customer_conflicts"
_AGE = "order_age"


@dataclass(frozen=True)
class OrderSettings:
    """The settings of the order features: the zone, the price buckets, and the window (see ``in_window``)."""

    start: date
    end: date
    timezone: str
    price_bins: list[float]
    bucket_labels: list[str]
    excluded_stores: list[str]


@dataclass(frozen=True)
class CountedLines:
    """Lines already aggregated per order (``line_features``), with the number of lines read and of bad records."""

    per_order: DataFrame
    read: int
    bad_record: int


@dataclass(frozen=True)
class OrderTables:
    """The inputs of one channel's order features, as typed frames.

    ``lines``: typed, or already aggregated. ``customers``: per order ``order_key``, ``algonomy_id``, ``is_conflict``,
    ``is_erased``, ``is_ownapp_user``; ``queries``: distinct ``order_key`` with a query, or None; ``stores`` and
    ``items``: see mappings.py.
    """

    orders: DataFrame
    lines: DataFrame | CountedLines
    customers: OrderCustomers
    queries: DataFrame | None
    stores: DataFrame
    items: DataFrame
    menu: Menu


def daypart(local: Column) -> Column:
    """The part of the day of a local time."""
    hour = F.hour(local)
    return (
        F.when(hour < 6, "Late Night")
        .when(hour < 11, "Breakfast")
        .when(hour < 15, "Lunch")
        .when(hour < 19, "Evening")
        .when(hour <= 23, "Dinner")
    )


def is_weekend(local: Column) -> Column:
    """1 on Saturday and Sunday of a local time, else 0."""
    return F.dayofweek(local).isin(1, 7).cast("int")


def in_window(local: Column, start: date, end: date) -> Column:
    """Whether a local time is in the window: midnight of ``start`` (inclusive) to midnight of ``end`` (exclusive)."""
    first, end_of_window = (F.lit(day.isoformat()).cast("timestamp") for day in (start, end))
    return (local >= first) & (local < end_of_window)


def order_features(tables: OrderTables, channel: Channel, settings: OrderSettings, metrics: RowMetrics) -> DataFrame:
    """One row per kept order of the channel, with the columns of the contract in its order.

    Row counts of both raw tables go to ``metrics``; see ``order_accounts``.
    """
    orders = _first_of_repeated(_in_window(tables.orders, channel, settings, metrics), channel, metrics)
    late = LateColumns(orders, "order_key")
    known = late.joined_to(tables.customers.rows, tables.customers.per_order)
    kept = _with_lines(_with_queries(known, tables.queries), tables, channel, settings, metrics)
    joined = late.join_to(kept)
    with_stores = joined.join(F.broadcast(tables.stores), joined[channel.store] == tables.stores["store"], "left")
    masks, names = mask_names(tables.menu.masks), _category_names(tables.menu)
    with_names = with_columns_of(with_stores, masks, names, kept, metrics.staging)
    return with_names.select(*_columns(channel, settings, tables.menu))


def _with_queries(orders: DataFrame, queries: DataFrame | None) -> DataFrame:
    """The orders with ``has_query``: true, or null or false for an order without one."""
    if queries is None:
        return orders.withColumn("has_query", F.lit(False))
    return orders.join(queries.withColumn("has_query", F.lit(True)), "order_key", "left")


def _in_window(orders: DataFrame, channel: Channel, settings: OrderSettings, metrics: RowMetrics) -> DataFrame:
    """Good rows with ``order_key`` and ``order_local`` whose local time lies in the window."""
    time = F.col(channel.time)
    keyed = orders.select(
        "*",
        channel.order_key().alias("order_key"),
        (time if channel.times_are_local else local_time(time, settings.timezone)).alias("order_local"),
    )
    outside = ~in_window(F.col("order_local"), settings.start, settings.end)
    excluded = F.col(channel.store).isin(settings.excluded_stores) if channel.layout == "store" else F.lit(False)
    reason = F.coalesce(F.col(REASON), F.when(outside, Reason.OUTSIDE_WINDOW), F.when(excluded, Reason.EXCLUDED_STORE))
    reasoned = keyed.withColumn(REASON, reason).withColumn(_AGE, age_in_days(F.col("order_local"), settings.end))
    is_in, days = F.col(REASON).isNull(), day_metrics(F.col(_AGE))
    counted = {READ: each_row(), **by_reason(F.col(REASON), ROW_REASONS), _CANDIDATES: is_in}
    counted |= {name: F.when(is_in, share) for name, share in days.items()}
    return metrics.observe(reasoned, {"orders": counted}, keep=is_in, by=(REASON, _AGE)).drop(REASON, _AGE)


def _first_of_repeated(orders: DataFrame, channel: Channel, metrics: RowMetrics) -> DataFrame:
    """One row per order: the latest time, then the greatest amount, then the first by all other columns."""
    others = sorted(set(orders.columns) - {"order_key", "order_local", channel.time, channel.amount})
    latest_first = [F.col(channel.time).desc(), F.col(channel.amount).desc_nulls_last()]
    return first_rows(orders, "order_key", [*latest_first, *[F.col(name).asc() for name in others]], metrics.staging)


def _with_lines(
    orders: DataFrame, tables: OrderTables, channel: Channel, settings: OrderSettings, metrics: RowMetrics
) -> DataFrame:
    """The orders of own-app users with the features of their lines; other orders and lines are counted and dropped."""
    lines = _counted(tables, channel, settings, metrics).withColumnRenamed("order_key", "lines_key")
    both = orders.join(lines, F.col("order_key") == F.col("lines_key"), "full_outer")
    has_order, is_erased = F.col("order_key").isNotNull(), F.coalesce(F.col(IS_ERASED), F.lit(False))
    no_customer = F.col("algonomy_id").isNull() & ~is_erased
    is_kept = has_order & ~no_customer & ~is_erased & F.col(IS_USER)
    order_counts = {
        _DISTINCT: has_order,
        Reason.NO_CUSTOMER: has_order & no_customer,
        Reason.ERASED: has_order & is_erased,
        Reason.NOT_OWNAPP_USER: has_order & ~no_customer & ~is_erased & ~F.col(IS_USER),
        KEPT: is_kept,
        _CUSTOMER_CONFLICTS: F.col("is_conflict"),
    }
    line_counts: dict[str, Column] = {
        Reason.NO_ORDER: F.when(is_kept, F.lit(0)).otherwise(F.col("lines")),
        **{reason: F.when(is_kept, F.col(reason)) for reason in LINE_REASONS},
        KEPT: F.when(is_kept, F.col("kept_lines")),
    }
    kept = metrics.observe(both, {"orders": order_counts, "lines": line_counts}, keep=is_kept, is_costly=True)
    no_line = F.lit(0).cast("bigint")
    return kept.withColumns({name: F.coalesce(F.col(name), no_line) for name in mask_names(tables.menu.masks)})


def _counted(tables: OrderTables, channel: Channel, settings: OrderSettings, metrics: RowMetrics) -> DataFrame:
    """One row per order that has lines; see ``per_order`` in lines.py."""
    if isinstance(tables.lines, CountedLines):
        metrics.add("lines", {READ: tables.lines.read, Reason.BAD_RECORD: tables.lines.bad_record})
        return tables.lines.per_order
    good = good_lines(tables.lines, metrics)
    return line_features(good, channel, settings.price_bins, tables.items, tables.menu.masks)


def good_lines(lines: DataFrame, metrics: RowMetrics) -> DataFrame:
    """The lines that can be read; ``metrics`` gets the number of lines and of bad records."""
    is_bad = F.col(REASON).isNotNull()
    return metrics.observe(lines, {"lines": {READ: each_row(), Reason.BAD_RECORD: is_bad}}, keep=~is_bad)


def order_accounts(metrics: RowMetrics, conflicts: Mapping[str, int]) -> list[Account]:
    """The accounts of a channel's raw orders and lines, from the counts of ``order_features``.

    Args:
        metrics: the counts, after the action.
        conflicts: how many keys each small mapping maps in several ways.
    """
    orders, lines = metrics.counts("orders"), metrics.counts("lines")
    dropped: dict[str, int] = {reason: orders[reason] for reason in ROW_REASONS}
    dropped[Reason.DUPLICATE] = orders[_CANDIDATES] - orders[_DISTINCT]
    dropped |= {reason: orders[reason] for reason in _CUSTOMER_REASONS}
    notes = {f"{name}_conflicts": count for name, count in conflicts.items()}
    notes = {_CUSTOMER_CONFLICTS: orders[_CUSTOMER_CONFLICTS], **notes}
    return [
        Account("orders", orders[READ], orders[KEPT], dropped, notes),
        Account.of("lines", lines, (Reason.BAD_RECORD, Reason.NO_ORDER, *LINE_REASONS)),
    ]


_APP_COLUMNS = (
    ("order_id", "id"),
    ("user_id", "user_id"),
    ("device_type_platform", "platform"),
    ("order_placed_datetime", "order_placed_datetime"),
    ("order_channel", "channel"),
    ("store_name", "store_name"),
    ("store_mds_id", "store_id_id"),
    ("actual_delivery_time", "order_delivery_datetime"),
    ("payment_method", "payment_method"),
    ("pre_discount_order_value", "gross_price"),
    ("promo_code_applied", "applied_coupon"),
    *(
        (name, name)
        for name in (
            "discounted_price",
            "total_price",
            "gross_price",
            "actual_subtotal",
            "sub_total_price",
            "schedule_datetime",
            "status_id",
            "applied_coupon",
            "platform",
            "tip",
            "order_delivery_datetime",
            "before_payment_delivery_eta",
            "before_payment_pickup_eta",
            "is_distance_fee_applicable",
            "offer_applied",
            "business_model_id_id",
            "algonomy_id",
            *STORE_COLUMNS,
            "has_query",
        )
    ),
)
_INSTORE_COLUMNS = (
    ("order_id", "InvoiceNo"),
    ("order_placed_datetime", "order_placed_datetime"),
    ("BussTime", "BussTime"),
    ("StoreCode", "StoreCode"),
    ("total_price", "GrossAmount"),
    ("discounted_price", "Discount"),
    ("BaseAmount", "BaseAmount"),
    ("TransType", "TransType"),
    ("algonomy_id", "algonomy_id"),
    ("SaleType", "SaleType"),
    *((name, name) for name in STORE_COLUMNS),
)


def _columns(channel: Channel, settings: OrderSettings, menu: Menu) -> list[Column]:
    """The published columns of a channel."""
    own = {
        "BussTime": F.col(channel.time).cast("timestamp_ntz"),
        "order_placed_datetime": utc_time(F.col("order_local"), settings.timezone),
    }
    if channel.layout == "store":
        carried = [own.get(name, F.col(source)).alias(name) for name, source in _INSTORE_COLUMNS]
    else:
        carried = [
            F.coalesce(F.col(source), F.lit(False)).alias(name) if name == "has_query" else F.col(source).alias(name)
            for name, source in _APP_COLUMNS
        ]
    return carried + feature_columns(channel, settings.bucket_labels, menu)


def bucket_column(label: str) -> str:
    """The column that says whether an order has a line in a price bucket."""
    return f"{label}_items_count"


def feature_columns(channel: Channel, bucket_labels: list[str], menu: Menu) -> list[Column]:
    """The features of an order, from its masks, the names of its categories and its local time."""
    columns = [bit(F.col("price_bits"), at).alias(bucket_column(label)) for at, label in enumerate(bucket_labels)]
    for kind in ("dri", "base"):
        for name in menu.columns(kind):
            bits = [_has(category) for category in menu.of_kind(kind) if category.column == name]
            columns.append(F.greatest(*bits).alias(name) if len(bits) > 1 else bits[0].alias(name))
    columns += [
        *map(F.col, _category_names(menu)),
        F.coalesce(F.col("item_count"), F.lit(0.0)).alias("item_count"),
    ]
    if channel.has_flags:
        columns += [
            F.col("customization_flag"),
            F.col("veg_indicator"),
            F.coalesce(F.col("veg_count"), F.lit(0)).alias("veg_count"),
            F.coalesce(F.col("promo_items"), F.lit(0.0)).alias("promo_items"),
        ]
    local = F.col("order_local")
    return [*columns, daypart(local).alias("order_time_of_day"), is_weekend(local).alias("is_weekend")]


def _has(category: Category) -> Column:
    return bit(F.col(mask_name(category.bit // BITS)), category.bit % BITS)


def _category_names(menu: Menu) -> dict[str, Column]:
    """The columns with the category names of an order, from its masks."""
    return {
        "unique_dri_categories_in_order": _names(menu.of_kind("dri")),
        "unique_base_products_in_order": _names(menu.of_kind("base")),
    }


def _names(categories: list[Category]) -> Column:
    """The names of the categories that an order has, sorted (the menu is)."""
    if not categories:
        return F.array().cast("array<string>")
    return names_where([(category.name, _has(category) == 1) for category in categories])
