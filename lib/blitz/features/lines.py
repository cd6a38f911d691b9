"""Aggregate order lines into per-order features: choices, categories, price buckets (docs/contract.md, section 3).

One pass over the lines and one shuffle by order: lines, with the choices that header items allow → one row per order
and choice item, one for all its other items → one row per order.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.accounts import Reason
from blitz.raw.channels import Channel
from blitz.raw.menu import mask_names
from blitz.spark.partitions import partitioned_by

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


def with_grants(lines: DataFrame, items: DataFrame, masks: int) -> DataFrame:
    """Each line, followed by one row per choice item that it allows where it is a non-promo header.

    Args:
        lines: as ``narrow_lines`` returns them.
        items: see ``item_table`` in mappings.py.
        masks: how many category masks there are.

    Returns ``order_key``, ``choice_number`` (null for an item that no header allows), ``is_line`` and ``allowed``, the
    number of pieces of the choice that may be removed: null for a line. Then the columns of the line: ``is_promo``,
    ``quantity``, ``customized``, ``veg``, ``price_bits``, ``is_excluded`` and the masks of its item. In a row that is
    no line flags are null and numbers 0.
    """
    is_header_line = F.when(~F.col("is_promo"), F.col("places"))
    rows = lines.join(F.broadcast(items), "item", "left").select("*", F.explode_outer(is_header_line).alias("place"))
    is_line, at = F.coalesce(F.col("place") == 0, F.lit(True)), F.col("place") - 1
    no_bits = F.lit(0).cast("bigint")
    return rows.select(
        "order_key",
        F.when(is_line, F.col("choice_number")).otherwise(F.get("choices", at)).alias("choice_number"),
        F.when(~is_line, F.get("allowed", at)).alias("allowed"),
        is_line.alias("is_line"),
        (is_line & F.col("is_promo")).alias("is_promo"),
        F.when(is_line, F.col("quantity")).otherwise(F.lit(0.0)).alias("quantity"),
        F.when(is_line, F.col("customized")).alias("customized"),
        F.when(is_line, F.col("veg")).alias("veg"),
        F.when(is_line, F.col("is_excluded")).alias("is_excluded"),
        *[
            F.when(is_line, F.coalesce(F.col(name), no_bits)).otherwise(no_bits).alias(name)
            for name in ("price_bits", *mask_names(masks))
        ],
    )


def per_choice(rows: DataFrame, masks: int) -> DataFrame:
    """One row per order and choice item, and one for all other items of an order: line counts, quantities, flags,
    the allowance, and the price bits and masks of the lines that are kept unless the item is removed as a choice."""
    plain = F.col("is_line") & ~F.col("is_promo")
    is_known = plain & ~F.coalesce(F.col("is_excluded"), F.lit(True))
    no_bits = F.lit(0).cast("bigint")
    return rows.groupBy("order_key", "choice_number").agg(
        F.sum(F.col("is_line").cast("int")).alias("lines"),
        F.sum(F.col("is_promo").cast("int")).alias("promo_lines"),
        F.sum((plain & F.col("is_excluded").isNull()).cast("int")).alias("unmapped_lines"),
        F.sum((plain & F.coalesce(F.col("is_excluded"), F.lit(False))).cast("int")).alias("excluded_lines"),
        F.sum(F.when(plain, F.col("quantity")).otherwise(F.lit(0.0))).alias("plain_quantity"),
        F.sum(F.when(F.col("is_promo"), F.col("quantity")).otherwise(F.lit(0.0))).alias("promo_quantity"),
        F.max("customized").alias("customized"),
        F.min("veg").alias("veg_min"),
        F.sum("veg").alias("veg_sum"),
        F.max("allowed").alias("allowed"),
        *[
            F.bit_or(F.when(is_known, F.col(name)).otherwise(no_bits)).alias(name)
            for name in ("price_bits", *mask_names(masks))
        ],
    )


def per_order(choices: DataFrame, masks: int) -> DataFrame:
    """One row per order that has lines.

    Returns ``order_key``, ``lines``, a count of lines per reason of LINE_REASONS and ``kept_lines``, ``item_count``,
    ``promo_items`` (pieces), ``customization_flag``, ``veg_indicator``, ``veg_count``, ``price_bits`` and the category
    masks ``mask_0`` … over the kept lines.
    """
    is_choice = F.coalesce(F.col("allowed") >= F.col("plain_quantity"), F.lit(False)).alias("is_choice")
    plain = (F.col("lines") - F.col("promo_lines")).alias("plain_lines")
    zero = F.lit(0).cast("bigint")

    def of_others(name: str) -> Column:
        return F.when(F.col("is_choice"), zero).otherwise(F.col(name))

    bits = ("price_bits", *mask_names(masks))
    orders = (
        choices.select("*", is_choice, plain)
        .groupBy("order_key")
        .agg(
            F.sum("lines").alias("lines"),
            F.sum("promo_lines").alias(Reason.PROMO),
            F.sum(F.when(F.col("is_choice"), F.col("plain_lines")).otherwise(zero)).alias(Reason.CHOICE),
            F.sum(of_others("unmapped_lines")).alias(Reason.UNMAPPED),
            F.sum(of_others("excluded_lines")).alias(Reason.EXCLUDED),
            F.sum(of_others("plain_lines")).alias("others"),
            (F.sum("plain_quantity") + F.sum("promo_quantity")).alias("item_count"),
            F.sum("promo_quantity").alias("promo_items"),
            F.max("customized").alias("customization_flag"),
            F.min("veg_min").alias("veg_indicator"),
            F.sum("veg_sum").alias("veg_count"),
            *[F.bit_or(of_others(name)).alias(name) for name in bits],
        )
    )
    kept = (F.col("others") - F.col(Reason.UNMAPPED) - F.col(Reason.EXCLUDED)).alias("kept_lines")
    counts = ("order_key", "lines", *LINE_REASONS)
    features = ("item_count", "promo_items", "customization_flag", "veg_indicator", "veg_count")
    return orders.select(*counts, kept, *features, *bits)


def line_features(lines: DataFrame, channel: Channel, bins: list[float], items: DataFrame, masks: int) -> DataFrame:
    """Typed lines as one row per order (see ``per_order``), on Spark partitioned by ``order_key``."""
    rows = with_grants(narrow_lines(lines, channel, bins), items, masks)
    # One shuffle serves the grouping by order and choice, the grouping by order and the join with the orders.
    return per_order(per_choice(partitioned_by(rows, "order_key"), masks), masks)


def bit(mask: Column, at: int) -> Column:
    """1 where bit ``at`` of a mask is set, else 0; 0 for a null mask."""
    return F.coalesce(F.getbit(mask, F.lit(at)).cast("int"), F.lit(0))
