"""Aggregate order lines into per-order features: choices, categories, price buckets (docs/contract.md, section 3).

One pass over the lines and one shuffle by order: lines, with the choices that header items allow → one row per order
and item → one row per order.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.accounts import Reason
from blitz.raw.channels import Channel
from blitz.raw.menu import mask_names

LINE_REASONS = (Reason.PROMO, Reason.CHOICE, Reason.UNMAPPED, Reason.EXCLUDED)


def price_bits(price: Column, bins: list[float]) -> Column:
    """The price bucket of a line as one bit of a long: bins closed on the left, open on the right; outside: 0."""
    chain = F.when(price < bins[0], F.lit(0).cast("bigint"))
    for at, upper in enumerate(bins[1:]):
        chain = chain.when(price < upper, F.lit(1 << at).cast("bigint"))
    return F.coalesce(chain, F.lit(0).cast("bigint"))


def narrow_lines(lines: DataFrame, channel: Channel, bins: list[float]) -> DataFrame:
    """The lines in the shape that all channels share: ``order_key``, ``item``, ``quantity``, ``is_promo``,
    ``customized``, ``veg`` (0/1, null where unknown; null in-store), ``price_bits``."""
    flag = {name: F.col(name).cast("int") if channel.has_flags else F.lit(None).cast("int") for name in _FLAGS}
    promo = F.coalesce(F.col("promo_item"), F.lit(False)) if channel.has_flags else F.lit(False)
    return lines.select(
        channel.line_key().alias("order_key"),
        F.col(channel.item).alias("item"),
        F.coalesce(F.col(channel.quantity), F.lit(0.0)).alias("quantity"),
        promo.alias("is_promo"),
        flag["is_customized"].alias("customized"),
        flag["is_veg"].alias("veg"),
        price_bits(F.col(channel.price), bins).alias("price_bits"),
    )


_FLAGS = ("is_customized", "is_veg")


def with_grants(lines: DataFrame, choices: DataFrame) -> DataFrame:
    """Each line, followed by one row per choice item that it allows where it is a non-promo header.

    Returns the columns of ``narrow_lines``, ``is_line``, and ``allowed``. A row with ``is_line`` false has the choice
    as ``item`` and the number of pieces that may be removed as ``allowed``; a line has 0 there. Flags are null and
    numbers 0 where they do not apply.
    """
    is_header = F.col("choices").isNotNull() & ~F.col("is_promo")
    number = F.when(is_header, F.size("choices")).otherwise(F.lit(0))
    place = F.explode(F.sequence(F.lit(0), number)).alias("place")
    rows = lines.join(F.broadcast(choices), "item", "left").select("*", place)
    is_line, choice = F.col("place") == 0, F.col("place") - 1
    return rows.select(
        "order_key",
        F.when(is_line, F.col("item")).otherwise(F.get("choices", choice)).alias("item"),
        F.when(~is_line, F.get("allowed", choice)).alias("allowed"),
        is_line.alias("is_line"),
        (is_line & F.col("is_promo")).alias("is_promo"),
        F.when(is_line, F.col("quantity")).otherwise(F.lit(0.0)).alias("quantity"),
        F.when(is_line, F.col("customized")).alias("customized"),
        F.when(is_line, F.col("veg")).alias("veg"),
        F.when(is_line, F.col("price_bits")).otherwise(F.lit(0).cast("bigint")).alias("price_bits"),
    )


def per_item(rows: DataFrame) -> DataFrame:
    """One row per order and item: line counts, quantities, flags, price bits of its non-promo lines, allowance."""
    plain = F.col("is_line") & ~F.col("is_promo")
    return rows.groupBy("order_key", "item").agg(
        F.sum(F.col("is_line").cast("int")).alias("lines"),
        F.sum(F.col("is_promo").cast("int")).alias("promo_lines"),
        F.sum(F.when(plain, F.col("quantity")).otherwise(F.lit(0.0))).alias("plain_quantity"),
        F.sum(F.when(F.col("is_promo"), F.col("quantity")).otherwise(F.lit(0.0))).alias("promo_quantity"),
        F.max("customized").alias("customized"),
        F.min("veg").alias("veg_min"),
        F.sum("veg").alias("veg_sum"),
        F.bit_or(F.when(plain, F.col("price_bits")).otherwise(F.lit(0).cast("bigint"))).alias("price_bits"),
        F.max("allowed").alias("allowed"),
    )


def per_order(items: DataFrame, categories: DataFrame, masks: int) -> DataFrame:
    """One row per order that has lines.

    Returns ``order_key``, ``lines``, a count of lines per reason of LINE_REASONS and ``kept_lines``, ``item_count``,
    ``promo_items`` (pieces), ``customization_flag``, ``veg_indicator``, ``veg_count``, ``price_bits`` and the category
    masks ``mask_0`` … over the kept lines.
    """
    is_choice = F.coalesce(F.col("allowed") >= F.col("plain_quantity"), F.lit(False))
    reason = (
        F.when(is_choice, Reason.CHOICE)
        .when(F.col("is_excluded").isNull(), Reason.UNMAPPED)
        .when(F.col("is_excluded"), Reason.EXCLUDED)
    )
    masks_of_item = mask_names(masks)
    known = items.join(F.broadcast(categories), "item", "left").select(
        *items.columns, *masks_of_item, (F.col("lines") - F.col("promo_lines")).alias("plain"), reason.alias("reason")
    )
    kept = F.col("reason").isNull()
    zero = F.lit(0).cast("bigint")
    return known.groupBy("order_key").agg(
        F.sum("lines").alias("lines"),
        F.sum("promo_lines").alias(Reason.PROMO),
        *[
            F.sum(F.when(F.col("reason") == name, F.col("plain")).otherwise(zero)).alias(name)
            for name in LINE_REASONS[1:]
        ],
        F.sum(F.when(kept, F.col("plain")).otherwise(zero)).alias("kept_lines"),
        (F.sum("plain_quantity") + F.sum("promo_quantity")).alias("item_count"),
        F.sum("promo_quantity").alias("promo_items"),
        F.max("customized").alias("customization_flag"),
        F.min("veg_min").alias("veg_indicator"),
        F.sum("veg_sum").alias("veg_count"),
        F.bit_or(F.when(kept, F.col("price_bits")).otherwise(zero)).alias("price_bits"),
        *[
            F.bit_or(F.when(kept & (F.col("plain") > 0), F.col(name)).otherwise(zero)).alias(name)
            for name in masks_of_item
        ],
    )


def line_features(
    lines: DataFrame, channel: Channel, bins: list[float], choices: DataFrame, categories: DataFrame, masks: int
) -> DataFrame:
    """Typed lines as one row per order (see ``per_order``), partitioned by ``order_key``."""
    rows = with_grants(narrow_lines(lines, channel, bins), choices)
    # One shuffle serves the grouping by order and item, the grouping by order and the join with the orders.
    return per_order(per_item(rows.repartition("order_key")), categories, masks)


def bit(mask: Column, at: int) -> Column:
    """1 where bit ``at`` of a mask is set, else 0; 0 for a null mask."""
    return F.coalesce(F.getbit(mask, F.lit(at)).cast("int"), F.lit(0))
