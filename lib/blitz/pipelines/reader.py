"""The typed raw tables of a channel as its order features take them, straight from the files."""

from collections.abc import Sequence
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession

from blitz.features.orders import CountedLines, customer_keys, keyed_customers
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel
from blitz.raw.inputs import RawInputs


class Reader(Protocol):
    """Where the order features get their rows: the files, or what was staged of them."""

    def orders(self, channel: Channel) -> DataFrame:
        """Typed orders with ``reject_reason``."""

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Typed lines with ``reject_reason``, or lines that were taken together before."""

    def customers(self, channel: Channel) -> DataFrame:
        """``customer_keys`` of the channel."""

    def queries(self, channel: Channel) -> DataFrame | None:
        """Distinct ``order_key`` of the orders with a query; None where the channel has no queries."""

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """The rejected rows of ``orders``, ``lines`` or both; see ``sources.read_rejected``."""


class FileReader:
    """Reads the raw files anew at every call."""

    def __init__(self, spark: SparkSession, inputs: RawInputs, timezone: str) -> None:
        self._spark, self._inputs, self._timezone = spark, inputs, timezone

    def orders(self, channel: Channel) -> DataFrame:
        return sources.read_table(self._spark, self._inputs.orders[channel.name], self._timezone)

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        return sources.read_table(self._spark, self._inputs.lines[channel.name], self._timezone)

    def customers(self, channel: Channel) -> DataFrame:
        mapping = sources.read_table(self._spark, self._inputs.customer_mapping, self._timezone)
        return customer_keys(keyed_customers(mapping, channel))

    def queries(self, channel: Channel) -> DataFrame | None:
        if channel.name not in self._inputs.queries:
            return None
        rows = sources.read_table(self._spark, self._inputs.queries[channel.name], self._timezone)
        return query_keys(rows)

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        raw = {"orders": self._inputs.orders[channel.name], "lines": self._inputs.lines[channel.name]}
        return [sources.read_rejected(self._spark, raw[name], self._timezone) for name in tables]


def query_keys(queries: DataFrame) -> DataFrame:
    """The distinct ``order_key`` of typed order queries."""
    return queries.selectExpr("order_id as order_key").where("order_key is not null").distinct()
