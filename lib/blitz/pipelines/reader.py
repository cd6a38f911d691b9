"""Where the order features of a channel get their rows: a ``Reader``. ``FileReader`` reads the raw files."""

from collections.abc import Sequence
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession

from blitz.accounts import Account
from blitz.features.orders import CountedLines, customer_keys, keyed_customers
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel
from blitz.raw.inputs import RawInputs


class Reader(Protocol):
    """The typed raw rows of a channel, from the raw files or from copies of them."""

    def orders(self, channel: Channel) -> DataFrame:
        """Return the typed orders with ``reject_reason``. Raises InputError for a column of the wrong type."""

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Return the typed lines with ``reject_reason``, or lines already aggregated per order."""

    def customers(self, channel: Channel) -> DataFrame:
        """Return ``customer_keys`` of the channel: ``order_key``, ``algonomy_id``, ``is_conflict``."""

    def queries(self, channel: Channel) -> DataFrame | None:
        """Return the distinct ``order_key`` of the orders with a query; None where the channel has no queries."""

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of the tables with these account names, one frame per table.

        The columns are ``table``, ``file``, ``reason`` and ``raw``; see ``blitz.raw.typed_rows.read_rejected``.
        """

    def accounts(self) -> list[Account]:
        """Return the accounts of rows that the reader counted itself; read after the features were written."""


class FileReader:
    """Reads the raw files.

    Args:
        spark: the session.
        inputs: the raw tables.
        timezone: the zone of local times.
    """

    def __init__(self, spark: SparkSession, inputs: RawInputs, timezone: str) -> None:
        self._spark, self._inputs, self._timezone = spark, inputs, timezone

    def orders(self, channel: Channel) -> DataFrame:
        """Return the typed orders of all raw files."""
        return sources.read_table(self._spark, self._inputs.orders[channel.name], self._timezone)

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Return the typed lines of all raw files."""
        return sources.read_table(self._spark, self._inputs.lines[channel.name], self._timezone)

    def customers(self, channel: Channel) -> DataFrame:
        """Return the customer of every order key that the mapping names."""
        mapping = sources.read_table(self._spark, self._inputs.customer_mapping, self._timezone)
        return customer_keys(keyed_customers(mapping, channel))

    def queries(self, channel: Channel) -> DataFrame | None:
        """Return the keys of the orders with a query; None where the channel has no queries."""
        if channel.name not in self._inputs.queries:
            return None
        rows = sources.read_table(self._spark, self._inputs.queries[channel.name], self._timezone)
        return query_keys(rows)

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of ``orders``, ``lines`` or both."""
        raw = {"orders": self._inputs.orders[channel.name], "lines": self._inputs.lines[channel.name]}
        return [sources.read_rejected(self._spark, raw[name], self._timezone) for name in tables]

    def accounts(self) -> list[Account]:
        """Return no accounts: ``order_features`` counts every row of the files."""
        return []


def query_keys(queries: DataFrame) -> DataFrame:
    """The distinct ``order_key`` of typed order queries."""
    return queries.selectExpr("order_id as order_key").where("order_key is not null").distinct()
