"""Where refreshed order features get their rows: readers for all orders of a channel, and for the changed ones."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.accounts import Account
from blitz.features.orders import CountedLines, customer_keys
from blitz.pipelines.reader import FileReader
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel
from blitz.raw.inputs import RawInputs
from blitz.raw.specs import REASON
from blitz.raw.tables import RawTable
from blitz.refresh.keys import CHANGED_KEY, UnreadFiles
from blitz.refresh.mapping import MappingRows


class AllOrdersReader:
    """Reads the raw files, and the customer mapping from its copy.

    Args:
        files: the reader of the raw files.
        mapping: the rows of the customer mapping.
    """

    def __init__(self, files: FileReader, mapping: MappingRows) -> None:
        self._files, self._mapping = files, mapping

    def orders(self, channel: Channel) -> DataFrame:
        """Return the typed orders of all raw files, with ``reject_reason``."""
        return self._files.orders(channel)

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Return the typed lines of all raw files, with ``reject_reason``."""
        return self._files.lines(channel)

    def customers(self, channel: Channel) -> DataFrame:
        """Return ``customer_keys`` of all rows of the mapping."""
        return customer_keys(self._mapping.keyed(channel))

    def queries(self, channel: Channel) -> DataFrame | None:
        """Return the distinct ``order_key`` of the orders with a query; None where the channel has no queries."""
        return self._files.queries(channel)

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of ``orders``, ``lines`` or both."""
        return self._files.rejected(channel, tables)

    def accounts(self) -> list[Account]:
        """Return no accounts: the order features count every row of the files."""
        return []


class ChangedOrdersReader:
    """Reads the good rows of the changed orders, and the rejected rows of unread files.

    Args:
        spark: the session.
        inputs: the raw tables, for the order queries.
        timezone: the zone of local times.
        mapping: the rows of the customer mapping.
        keys: the keys of the changed orders as ``changed_key``.
        tables: the channel's ``orders`` and ``lines`` as a refresh reads them.
        with_keys: their files that may have rows of the keys.
        unread: the files that no refresh has read.
    """

    def __init__(
        self,
        spark: SparkSession,
        inputs: RawInputs,
        timezone: str,
        *,
        mapping: MappingRows,
        keys: DataFrame,
        tables: Mapping[str, RawTable],
        with_keys: Mapping[str, set[str]],
        unread: UnreadFiles,
    ) -> None:
        self._spark, self._timezone, self._mapping = spark, timezone, mapping
        self._files = FileReader(spark, inputs, timezone)
        self._keys, self._tables, self._with_keys, self._unread = keys, tables, with_keys, unread

    def orders(self, channel: Channel) -> DataFrame:
        """Return the good rows of the changed orders."""
        return self._of_keys("orders", channel.order_key())

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Return the good lines of the changed orders."""
        return self._of_keys("lines", channel.line_key())

    def customers(self, channel: Channel) -> DataFrame:
        """Return ``customer_keys`` of the changed orders."""
        return customer_keys(self._changed(self._mapping.keyed(channel), F.col("order_key")))

    def queries(self, channel: Channel) -> DataFrame | None:
        """Return the distinct ``order_key`` of all orders with a query; None where the channel has no queries."""
        return self._files.queries(channel)

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of the unread files of these tables."""
        return self._unread.rejected(tables)

    def accounts(self) -> list[Account]:
        """Return the accounts of all rows of the unread files."""
        return self._unread.accounts()

    def _of_keys(self, name: str, key: Column) -> DataFrame:
        table, paths = self._tables[name], self._with_keys[name]
        if not paths:
            return sources.read_table(self._spark, table, self._timezone).where(F.lit(False))
        rows = sources.read_table(self._spark, table.only(paths), self._timezone)
        return self._changed(rows.where(F.col(REASON).isNull()), key)

    def _changed(self, rows: DataFrame, key: Column) -> DataFrame:
        return rows.join(self._keys, key == F.col(CHANGED_KEY), "left_semi")
