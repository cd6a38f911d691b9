"""The customer of each order, from the customer mapping (docs/contract.md, section 3)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.raw.channels import CHANNELS, Channel, instore_key
from blitz.raw.customer_mapping import with_mapping_reason
from blitz.raw.specs import REASON
from blitz.raw.suppression import IS_ERASED
from blitz.spark.columns import to_bigint
from blitz.spark.partitions import partitioned_by

IS_USER = "is_ownapp_user"
_ID = "_customer"


def mapping_rows(typed: DataFrame, *more: Column) -> DataFrame:
    """What the order features need of the typed rows of the customer mapping (``read_table``).

    Returns ``customer``, its order key for channels of each layout (``delivery_key`` bigint, ``store_key`` text; see
    ``mapping_key_name``), ``reject_reason`` (see ``with_mapping_reason``), then the columns of ``more``.
    """
    by_layout = {channel.layout: channel for channel in CHANNELS.values()}
    keys = [_mapping_key(channel).alias(mapping_key_name(channel)) for channel in by_layout.values()]
    customer = F.col("customer_code_ty").alias("customer")
    return with_mapping_reason(typed).select(customer, *keys, F.col(REASON), *more)


def mapping_key_name(channel: Channel) -> str:
    """The column of ``mapping_rows`` that has the channel's order keys."""
    return f"{channel.layout}_key"


def _mapping_key(channel: Channel) -> Column:
    columns = [F.col(name) for name in channel.mapping_key_columns]
    return instore_key(*columns) if len(columns) > 1 else to_bigint(columns[0])


def keyed_customers(mapping: DataFrame, channel: Channel) -> DataFrame:
    """``order_key`` and ``customer`` of the rows of ``mapping_rows`` that are not rejected. In-store orders are
    identified by invoice, store and date, the others by their id."""
    good = mapping.where(F.col(REASON).isNull())
    return good.select(F.col(mapping_key_name(channel)).alias("order_key"), "customer")


@dataclass(frozen=True)
class OrderCustomers:
    """The customers of a channel's orders: rows with ``order_key``, and what makes one row per order of such rows.

    Two parts, since an engine may leave out the rows of other channels' orders in between.
    """

    rows: DataFrame
    per_order: Callable[[DataFrame], DataFrame]

    @staticmethod
    def of_mapping(keyed: DataFrame) -> "OrderCustomers":
        """The customers that the mapping names, see ``customer_keys``."""
        return OrderCustomers(keyed, customer_keys)

    def flagged(self, ownapp_users: DataFrame | None, erased: DataFrame | None) -> "OrderCustomers":
        """The same with what is known of the customers, see ``with_customer_flags``."""
        return OrderCustomers(self.rows, lambda rows: with_customer_flags(self.per_order(rows), ownapp_users, erased))

    def all(self) -> DataFrame:
        """One row for every order that the rows name."""
        return self.per_order(self.rows)


def customer_keys(keyed: DataFrame) -> DataFrame:
    """The customer of every order key of ``keyed_customers``: the smallest id where the mapping names several (then
    ``is_conflict``).

    Returns ``order_key``, ``algonomy_id``, ``is_conflict``; the last two are null where no row of the key names a
    customer.
    """
    # The least of texts is found by sorting, and the join sorts by this key anyway: shuffled first, it is one sort.
    return (
        partitioned_by(keyed.where(F.col("order_key").isNotNull()), "order_key")
        .groupBy("order_key")
        .agg(F.min("customer").alias("algonomy_id"), F.max("customer").alias("largest"))
        .select("order_key", "algonomy_id", (F.col("algonomy_id") != F.col("largest")).alias("is_conflict"))
    )


def erased_keys(keyed: DataFrame, erased: DataFrame, stems: DataFrame, channel: Channel) -> DataFrame:
    """``order_key`` of the orders of erased customers: those whose smallest id is one of theirs (docs/contract.md,
    section 12).

    Args:
        keyed: ``keyed_customers`` of the channel.
        erased: ``algonomy_id`` of the erased customers.
        stems: ``stem`` of the keys of few orders (``Channel.key_stem``), each once; other orders are left out.
        channel: the channel.
    """
    few = stems.join(keyed, F.col("stem") == channel.key_stem(F.col("order_key"))).drop("stem")
    return erased.join(customer_keys(few), "algonomy_id").select("order_key")


def with_customer_flags(known: DataFrame, ownapp_users: DataFrame | None, erased: DataFrame | None) -> DataFrame:
    """``customer_keys`` with what is known of the customers.

    Args:
        known: the customer of every order key.
        ownapp_users: ``algonomy_id`` of the own-app users; None for own app itself, where every customer is one.
        erased: ``algonomy_id`` of the erased customers, few; None where nobody is erased.

    Returns the columns of ``known``, ``is_erased`` and ``is_ownapp_user``.
    """
    if ownapp_users is None and erased is None:
        return known.withColumns({IS_ERASED: F.lit(False), IS_USER: F.lit(True)})
    named = {IS_USER: ownapp_users, IS_ERASED: erased}
    ids = [_flagged(customers, flag) for flag, customers in named.items() if customers is not None]
    flags = reduce(DataFrame.unionByName, ids).groupBy(_ID).agg(*[F.max(flag).alias(flag) for flag in named])
    # The customers are on the left: Sail makes the hash table of a join from the left side.
    joined = flags.join(known, F.col(_ID) == F.col("algonomy_id"), "right")
    is_user, is_erased = (F.coalesce(F.col(flag), F.lit(False)) for flag in (IS_USER, IS_ERASED))
    is_user = F.lit(True) if ownapp_users is None else is_user
    return joined.select(*known.columns, is_erased.alias(IS_ERASED), is_user.alias(IS_USER))


def _flagged(customers: DataFrame, flag: str) -> DataFrame:
    """The ids of some customers with both flags, of which one is set."""
    both = [F.lit(name == flag).alias(name) for name in (IS_USER, IS_ERASED)]
    return customers.select(F.col("algonomy_id").alias(_ID), *both)
