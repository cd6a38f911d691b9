"""The customer of each order, from the customer mapping (docs/contract.md, section 3)."""

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.raw.channels import CHANNELS, Channel, instore_key
from blitz.raw.specs import REASON
from blitz.raw.suppression import IS_ERASED
from blitz.spark.columns import to_bigint
from blitz.spark.partitions import partitioned_by


def mapping_columns() -> list[Column]:
    """What the order features need of a typed row of the customer mapping: ``customer``, its order key for channels of
    each layout (``delivery_key`` bigint, ``store_key`` text; see ``mapping_key_name``), ``reject_reason``."""
    by_layout = {channel.layout: channel for channel in CHANNELS.values()}
    keys = [_mapping_key(channel).alias(mapping_key_name(channel)) for channel in by_layout.values()]
    return [F.col("customer_code_ty").alias("customer"), *keys, F.col(REASON)]


def mapping_key_name(channel: Channel) -> str:
    """The column of ``mapping_columns`` that has the channel's order keys."""
    return f"{channel.layout}_key"


def _mapping_key(channel: Channel) -> Column:
    columns = [F.col(name) for name in channel.mapping_key_columns]
    return instore_key(*columns) if len(columns) > 1 else to_bigint(columns[0])


def keyed_customers(mapping: DataFrame, channel: Channel) -> DataFrame:
    """``order_key``, ``customer`` and ``is_erased`` of the rows of ``mapping_columns`` that are not rejected. In-store
    orders are identified by invoice, store and date, the others by their id.

    ``mapping`` also has ``is_erased`` (``Suppression.flag``).
    """
    good = mapping.where(F.col(REASON).isNull())
    return good.select(F.col(mapping_key_name(channel)).alias("order_key"), "customer", IS_ERASED)


@dataclass(frozen=True)
class OrderCustomers:
    """The customers of a channel's orders: rows with ``order_key``, and what makes one row per order of such rows.

    Two parts, since an engine may leave out the rows of other channels' orders in between.
    """

    rows: DataFrame
    per_order: Callable[[DataFrame], DataFrame]

    @staticmethod
    def of_mapping(keyed: DataFrame, erased: DataFrame | None) -> "OrderCustomers":
        """The customers that the mapping names, see ``customer_keys``."""
        return OrderCustomers(keyed, lambda rows: customer_keys(rows, erased))

    def among(self, ownapp_users: DataFrame | None) -> "OrderCustomers":
        """The same with ``is_ownapp_user``, see ``with_user_flag``."""
        return OrderCustomers(self.rows, lambda rows: with_user_flag(self.per_order(rows), ownapp_users))

    def all(self) -> DataFrame:
        """One row for every order that the rows name."""
        return self.per_order(self.rows)


def customer_keys(keyed: DataFrame, erased: DataFrame | None = None) -> DataFrame:
    """The customer of every order key of ``keyed_customers``: the smallest id where the mapping names several (then
    ``is_conflict``).

    An order whose smallest id is that of an erased customer is no other customer's (docs/contract.md, section 12). An
    erased customer whose id is empty (as refreshes keep them) is smaller than all others.

    Args:
        keyed: the rows of the mapping.
        erased: those of erased customers, few; None where nobody is erased.

    Returns ``order_key``, ``algonomy_id``, ``is_conflict``, ``is_erased``; ``algonomy_id`` and ``is_conflict`` are
    null where no row of the key names a customer.
    """
    # The least of texts is found by sorting, and the join sorts by this key anyway: shuffled first, it is one sort.
    known = (
        partitioned_by(keyed.where(F.col("order_key").isNotNull()), "order_key")
        .groupBy("order_key")
        .agg(F.min("customer").alias("algonomy_id"), F.max("customer").alias("largest"))
        .select("order_key", "algonomy_id", (F.col("algonomy_id") != F.col("largest")).alias("is_conflict"))
    )
    if erased is None:
        return known.withColumn(IS_ERASED, F.lit(False))
    smallest = erased.where("order_key is not null").groupBy(F.col("order_key").alias("erased_key"))
    few = F.broadcast(smallest.agg(F.min("customer").alias("smallest_erased")))
    is_erased = F.coalesce(F.col("smallest_erased") <= F.col("algonomy_id"), F.lit(False))
    # The few are on the left: Sail makes the hash table of a join from the left side.
    joined = few.join(known, F.col("erased_key") == F.col("order_key"), "right")
    return joined.select(*known.columns, is_erased.alias(IS_ERASED))


def erased_keys(customers: DataFrame) -> DataFrame:
    """``order_key`` of the orders of erased customers among ``customer_keys``."""
    return customers.where(IS_ERASED).select("order_key")


def with_user_flag(known: DataFrame, ownapp_users: DataFrame | None) -> DataFrame:
    """``customer_keys`` with ``is_ownapp_user``: whether the customer is in ``ownapp_users``; always for None, which is
    own app itself."""
    if ownapp_users is None:
        return known.withColumn("is_ownapp_user", F.lit(True))
    users = ownapp_users.select("algonomy_id").distinct().withColumn("is_user", F.lit(True))
    flagged = known.join(users, "algonomy_id", "left")
    is_user = F.coalesce(F.col("is_user"), F.lit(False)).alias("is_ownapp_user")
    return flagged.select("order_key", "algonomy_id", "is_conflict", IS_ERASED, is_user)
