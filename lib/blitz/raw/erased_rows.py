"""Rejected rows of erased customers, which no quarantine keeps (docs/contract.md, section 12).

A rejected row is the customer's where it contains their id, or where it is an order or line with the key of one of
their orders. A row whose key cannot be read belongs to nobody, except in-store: there invoice and store are enough
where the time cannot be read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from blitz.raw.channels import Channel
from blitz.raw.customer_mapping import MAPPING
from blitz.raw.specs import CUSTOMER_MAPPING, TableSpec
from blitz.raw.suppression import Suppression
from blitz.raw.tables import FileGroup, RawColumn, RawTable, ReadOptions
from blitz.raw.typed_columns import TypedColumns
from blitz.raw.typed_rows import raw_values

_NO_WORD = r"[^\p{L}\p{N}]+"


@dataclass(frozen=True)
class ErasedOrders:
    """What connects a rejected row of a channel with an erased customer.

    Args:
        channel: the channel.
        options: how its orders and lines are written.
        timezone: the zone of local times.
        suppression: the hashes of the customers' ids.
        keys: returns ``order_key`` of their orders, at least of those whose keys have one of the stems of a frame.
    """

    channel: Channel
    options: ReadOptions
    timezone: str
    suppression: Suppression
    keys: Callable[[DataFrame], DataFrame]

    def without(self, rejected: DataFrame) -> DataFrame:
        """The rejected rows (``table``, ``file``, ``reason``, ``raw``) that are not the erased customers'.

        They are read several times.
        """
        if self.suppression.is_empty:
            return rejected
        specs = {self.channel.orders.name: self.channel.orders, self.channel.lines.name: self.channel.lines}
        rest = rejected.where(~F.col("table").isin(*specs))
        keyed = reduce(DataFrame.unionByName, [self._keyed(rejected, spec) for spec in specs.values()])
        of_others = keyed.join(self._known_keys(keyed), "_key", "left_anti").select(*rejected.columns)
        return without_ids(rest.unionByName(of_others), self.suppression)

    def _keyed(self, rejected: DataFrame, spec: TableSpec) -> DataFrame:
        """The rejected orders or lines with their ``_key``."""
        key = self.channel.order_key() if spec is self.channel.orders else self.channel.line_key()
        typed = _typed_again(rejected.where(F.col("table") == spec.name), spec, self.options, self.timezone)
        return typed.select(*rejected.columns, key.alias("_key"))

    def _known_keys(self, keyed: DataFrame) -> DataFrame:
        """The keys of the customers' orders, and their stems, which are the keys of rows without a time."""
        stem = self.channel.key_stem(F.col("_key")).alias("stem")
        keys = self.keys(keyed.where(F.col("_key").isNotNull()).select(stem).distinct()).toDF("_key")
        return keys.union(keys.select(self.channel.key_stem(F.col("_key")))).distinct()


def without_ids(rejected: DataFrame, suppression: Suppression) -> DataFrame:
    """The rejected rows whose raw values contain no id of an erased customer."""
    return rejected.join(raw_with_ids(rejected, suppression), "raw", "left_anti").select(*rejected.columns)


def raw_with_ids(rejected: DataFrame, suppression: Suppression) -> DataFrame:
    """The distinct ``raw`` values that contain an id: as the customer code of a mapping row, or as a word anywhere."""
    of_mapping = _typed_again(rejected.where(F.col("table") == MAPPING), CUSTOMER_MAPPING)
    codes = of_mapping.select("raw", F.col("customer_code_ty").alias("_id"))
    words = rejected.select("raw", F.explode(F.split("raw", _NO_WORD)).alias("_id"))
    return suppression.matching(codes.union(words).distinct(), "_id").select("raw").distinct()


def _typed_again(
    rejected: DataFrame, spec: TableSpec, options: ReadOptions | None = None, timezone: str = "UTC"
) -> DataFrame:
    """The rejected rows of a table, with its typed columns from their raw values."""
    columns = tuple(RawColumn(field.name, "text") for field in spec.fields)
    group = FileGroup("json", columns, 0)
    typed = TypedColumns(RawTable(spec, "", (group,), options=options or ReadOptions()), timezone)
    names = rejected.columns
    return typed.with_values(raw_values(rejected, columns, names), group).select(*names, *typed.columns(group))
