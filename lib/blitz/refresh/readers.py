"""Where refreshed order features get their rows: readers for all orders of a channel, and for the changed ones."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.accounts import Account
from blitz.features.order_customers import OrderCustomers
from blitz.features.orders import CountedLines
from blitz.pipelines.reader import FileReader
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel
from blitz.raw.customer_mapping import MAPPING
from blitz.raw.inputs import RawInputs
from blitz.raw.specs import REASON
from blitz.raw.suppression import Suppression
from blitz.raw.tables import RawTable
from blitz.refresh.keys import CHANGED_KEY, UnreadFiles
from blitz.refresh.mapping import MappingRows
from blitz.spark.staging import Staging


class AllOrdersReader:
    """Reads the raw files, and the customer mapping from its copy.

    Args:
        spark: the session.
        inputs: the raw tables.
        timezone: the zone of local times.
        mapping: the rows of the customer mapping.
        staging: gets the rows of CSV files.
    """

    def __init__(
        self, spark: SparkSession, inputs: RawInputs, timezone: str, mapping: MappingRows, staging: Staging
    ) -> None:
        self._files, self._inputs, self._mapping = FileReader(spark, inputs, timezone, staging), inputs, mapping

    def orders(self, channel: Channel) -> DataFrame:
        """Return the typed orders of all raw files, with ``reject_reason``."""
        return self._files.orders(channel)

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Return the typed lines of all raw files, with ``reject_reason``."""
        return self._files.lines(channel)

    def customers(self, channel: Channel) -> OrderCustomers:
        """Return the customers of the orders that the mapping names."""
        return OrderCustomers.of_mapping(self._mapping.keyed(channel))

    def queries(self, channel: Channel) -> DataFrame | None:
        """Return the distinct ``order_key`` of the orders with a query; None where the channel has no queries."""
        return self._files.queries(channel)

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of ``orders``, ``lines`` and ``customer mapping``, those that are named."""
        files = [name for name in tables if name != MAPPING]
        return self._files.rejected(channel, files) + self._mapping.rejected(tables)

    @property
    def suppression(self) -> Suppression:
        """The customers whose orders are left out."""
        return self._inputs.suppression

    def erased_customers(self) -> DataFrame | None:
        """Return the empty ``algonomy_id`` of all of them; None where nobody is erased."""
        return self._mapping.erased_customers()

    def erased(self, channel: Channel, stems: DataFrame) -> DataFrame:
        """Return ``order_key`` of all orders of those customers."""
        return self._mapping.erased_keys(channel)

    def accounts(self, channel: Channel) -> list[Account]:
        """Return the account of the customer mapping for the first channel of the run."""
        return [self._mapping.account()] if channel.name == self._inputs.first_channel else []


class ChangedOrdersReader:
    """Reads the good rows of the changed orders, and the rejected rows of unread files.

    Args:
        spark: the session.
        inputs: the raw tables.
        timezone: the zone of local times.
        mapping: the rows of the customer mapping.
        keys: the keys of the changed orders as ``changed_key``.
        tables: the channel's ``orders`` and ``lines`` as a refresh reads them.
        with_keys: their files that may have rows of the keys.
        unread: the files that no refresh has read.
        staging: as for ``AllOrdersReader``.
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
        staging: Staging,
    ) -> None:
        self._spark, self._inputs, self._timezone, self._mapping = spark, inputs, timezone, mapping
        self._files = FileReader(spark, inputs, timezone, staging)
        self._keys, self._tables, self._with_keys, self._unread = keys, tables, with_keys, unread

    def orders(self, channel: Channel) -> DataFrame:
        """Return the good rows of the changed orders."""
        return self._of_keys("orders", channel.order_key())

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Return the good lines of the changed orders."""
        return self._of_keys("lines", channel.line_key())

    def customers(self, channel: Channel) -> OrderCustomers:
        """Return the customers of the changed orders."""
        return OrderCustomers.of_mapping(self._changed(self._mapping.keyed(channel), F.col("order_key")))

    def queries(self, channel: Channel) -> DataFrame | None:
        """Return the distinct ``order_key`` of all orders with a query; None where the channel has no queries."""
        return self._files.queries(channel)

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of the unread files of these tables, and of the complete customer mapping."""
        return self._unread.rejected(tables) + self._mapping.rejected(tables)

    @property
    def suppression(self) -> Suppression:
        """The customers whose orders are left out."""
        return self._inputs.suppression

    def erased_customers(self) -> DataFrame | None:
        """Return the empty ``algonomy_id`` of all of them; None where nobody is erased."""
        return self._mapping.erased_customers()

    def erased(self, channel: Channel, stems: DataFrame) -> DataFrame:
        """Return ``order_key`` of all orders of those customers."""
        return self._mapping.erased_keys(channel)

    def accounts(self, channel: Channel) -> list[Account]:
        """Return the accounts of the rows of the unread files, and for the first channel that of the mapping."""
        of_mapping = [self._mapping.account()] if channel.name == self._inputs.first_channel else []
        return self._unread.accounts() + of_mapping

    def _of_keys(self, name: str, key: Column) -> DataFrame:
        table, paths = self._tables[name], self._with_keys[name]
        if not paths:
            return sources.read_table(self._spark, table, self._timezone).where(F.lit(False))
        rows = sources.read_table(self._spark, table.only(paths), self._timezone)
        return self._changed(rows.where(F.col(REASON).isNull()), key)

    def _changed(self, rows: DataFrame, key: Column) -> DataFrame:
        return rows.join(self._keys, key == F.col(CHANGED_KEY), "left_semi")
