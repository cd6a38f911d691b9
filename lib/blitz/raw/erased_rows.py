"""Rejected rows of erased customers, which no quarantine keeps (docs/contract.md, section 12).

A rejected row is the customer's where it contains their id, or where it is an order or line with the key of one of
their orders. A row whose key cannot be read belongs to nobody, except in-store: there invoice and store are enough
where the time cannot be read.
"""

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from blitz.raw.channels import KEY_SEPARATOR, Channel
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
        keys: ``order_key`` of their orders.
    """

    channel: Channel
    options: ReadOptions
    timezone: str
    suppression: Suppression
    keys: DataFrame

    def without(self, rejected: DataFrame) -> DataFrame:
        """The rejected rows (``table``, ``file``, ``reason``, ``raw``) that are not the erased customers'."""
        if self.suppression.is_empty:
            return rejected
        specs = {self.channel.orders.name: self.channel.orders, self.channel.lines.name: self.channel.lines}
        rest = rejected.where(~F.col("table").isin(*specs))
        of_others = [self._of_other_orders(rejected, spec) for spec in specs.values()]
        return without_ids(reduce(DataFrame.unionByName, [rest, *of_others]), self.suppression)

    def _of_other_orders(self, rejected: DataFrame, spec: TableSpec) -> DataFrame:
        """The rejected orders or lines whose key is that of no erased customer's order."""
        key = self.channel.order_key() if spec is self.channel.orders else self.channel.line_key()
        typed = _typed_again(rejected.where(F.col("table") == spec.name), spec, self.options, self.timezone)
        keyed = typed.select(*rejected.columns, key.alias("_key"))
        return keyed.join(self._known_keys(), "_key", "left_anti").select(*rejected.columns)

    def _known_keys(self) -> DataFrame:
        """The keys, and of in-store keys also invoice and store alone: the key of a row without a time."""
        keys = self.keys.select(F.col("order_key").alias("_key"))
        if len(self.channel.key_columns) > 1:
            keys = keys.union(keys.select(F.substring_index("_key", KEY_SEPARATOR, 2)))
        return keys.where(F.col("_key").isNotNull()).distinct()


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
