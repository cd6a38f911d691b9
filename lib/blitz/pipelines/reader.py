"""Where the order features of a channel get their rows: a ``Reader``. ``FileReader`` reads the raw files."""

from collections.abc import Sequence
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession

from blitz.accounts import Account, RowMetrics
from blitz.features.order_customers import OrderCustomers, erased_keys, keyed_customers, mapping_rows
from blitz.features.orders import CountedLines
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel
from blitz.raw.customer_mapping import MAPPING, mapping_account, observe_mapping
from blitz.raw.cut_off import naming_cut_off_files
from blitz.raw.inputs import RawInputs
from blitz.raw.suppression import Suppression
from blitz.raw.tables import RawTable
from blitz.spark.staging import Staging


class Reader(Protocol):
    """The typed raw rows of a channel, from the raw files or from copies of them."""

    def orders(self, channel: Channel) -> DataFrame:
        """Return the typed orders with ``reject_reason``. Raises InputError for a column of the wrong type."""

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Return the typed lines with ``reject_reason``, or lines already aggregated per order."""

    def customers(self, channel: Channel) -> OrderCustomers:
        """Return the customers of the channel's orders: ``order_key``, ``algonomy_id``, ``is_conflict``."""

    def queries(self, channel: Channel) -> DataFrame | None:
        """Return the distinct ``order_key`` of the orders with a query; None where the channel has no queries."""

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of the tables with these account names, one frame per table.

        The columns are ``table``, ``file``, ``reason`` and ``raw``; see ``blitz.raw.typed_rows.read_rejected``.
        """

    def accounts(self, channel: Channel) -> list[Account]:
        """Return the accounts of the rows that the reader counted itself; call it after the features were written.

        The account of the customer mapping is with the first channel of a run.
        """

    @property
    def suppression(self) -> Suppression:
        """The customers whose orders are left out."""

    def erased_customers(self) -> DataFrame | None:
        """Return ``algonomy_id`` of those customers, as ``customers`` has it; None where nobody is erased."""

    def erased(self, channel: Channel, stems: DataFrame) -> DataFrame:
        """Return ``order_key`` of the orders of those customers, at least those whose keys have one of the ``stem``
        (``Channel.key_stem``). Not where nobody is erased."""


class FileReader:
    """Reads the raw files.

    Args:
        spark: the session.
        inputs: the raw tables.
        timezone: the zone of local times.
        staging: of the run: gets the customer mapping, which all channels read, and the rows of CSV files, whose cells
            are expensive to type.
    """

    def __init__(self, spark: SparkSession, inputs: RawInputs, timezone: str, staging: Staging) -> None:
        self._spark, self._inputs, self._timezone, self._staging = spark, inputs, timezone, staging
        self._metrics = RowMetrics()

    def orders(self, channel: Channel) -> DataFrame:
        """Return the typed orders of all raw files."""
        return self._typed(channel, "orders")

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Return the typed lines of all raw files."""
        return self._typed(channel, "lines")

    def customers(self, channel: Channel) -> OrderCustomers:
        """Return the customers of the orders that the mapping names."""
        mapping = self._shared_mapping()
        if channel.name == self._inputs.first_channel:
            mapping = observe_mapping(mapping, self._metrics)
        return OrderCustomers.of_mapping(keyed_customers(mapping, channel))

    @property
    def suppression(self) -> Suppression:
        """The customers whose orders are left out."""
        return self._inputs.suppression

    def erased_customers(self) -> DataFrame | None:
        """Return ``algonomy_id`` of those customers whom the mapping names; None where nobody is erased."""
        if self.suppression.is_empty:
            return None
        return self._staging.shared("erased customers", self._erased_customers)

    def erased(self, channel: Channel, stems: DataFrame) -> DataFrame:
        """Return ``order_key`` of the orders of those customers with these stems. Not where nobody is erased."""
        customers = self.erased_customers()
        assert customers is not None
        return erased_keys(keyed_customers(self._shared_mapping(), channel), customers, stems, channel)

    def _erased_customers(self) -> DataFrame:
        with naming_cut_off_files(self._inputs.customer_mapping):
            return self.suppression.among(self._shared_mapping(), "customer")

    def _shared_mapping(self) -> DataFrame:
        is_read_again = len(self._inputs.orders) > 1 or not self.suppression.is_empty
        return self._staging.shared(MAPPING, self._mapping, cached=is_read_again)

    def _typed(self, channel: Channel, name: str) -> DataFrame:
        table = raw_tables(self._inputs, channel.name)[name]
        if table.is_csv:
            return self._staged(channel, name, table).drop("file", "raw")
        return sources.read_table(self._spark, table, self._timezone)

    def _staged(self, channel: Channel, name: str, table: RawTable) -> DataFrame:
        """The typed rows of a CSV table with the raw values of rejected rows, so that these need no second reading."""
        return self._staging.shared(
            (channel.name, name), lambda: sources.read_with_raw(self._spark, table, self._timezone)
        )

    def _rejected(self, channel: Channel, name: str) -> DataFrame:
        table = raw_tables(self._inputs, channel.name)[name]
        if name == MAPPING or not table.is_csv:
            return sources.read_rejected(self._spark, table, self._timezone)
        return sources.rejected_rows(self._staged(channel, name, table), table.spec.name)

    def _mapping(self) -> DataFrame:
        return mapping_rows(sources.read_table(self._spark, self._inputs.customer_mapping, self._timezone))

    def queries(self, channel: Channel) -> DataFrame | None:
        """Return the keys of the orders with a query; None where the channel has no queries."""
        if channel.name not in self._inputs.queries:
            return None
        rows = sources.read_table(self._spark, self._inputs.queries[channel.name], self._timezone)
        return query_keys(rows)

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of ``orders``, ``lines`` and ``customer mapping``, those that are named."""
        return [self._rejected(channel, name) for name in tables]

    def accounts(self, channel: Channel) -> list[Account]:
        """Return the account of the customer mapping for the first channel of the run."""
        is_first = channel.name == self._inputs.first_channel
        return [mapping_account(self._metrics.counts(MAPPING))] if is_first else []


def raw_tables(inputs: RawInputs, channel: str) -> dict[str, RawTable]:
    """The raw tables that a channel reads, by the names of their accounts."""
    return {"orders": inputs.orders[channel], "lines": inputs.lines[channel], MAPPING: inputs.customer_mapping}


def query_keys(queries: DataFrame) -> DataFrame:
    """The distinct ``order_key`` of typed order queries."""
    return queries.selectExpr("order_id as order_key").where("order_key is not null").distinct()
