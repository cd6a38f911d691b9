"""Find the orders that a refresh computes: the keys that can have changed, and the files that may contain them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.accounts import READ, REJECTED, Account, RowMetrics, by_reason, each_row
from blitz.features.order_customers import mapping_key_name
from blitz.features.orders import OrderSettings, in_window
from blitz.publish.tables import read_output
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel
from blitz.raw.csv_cells import FILE
from blitz.raw.parquet_schema import parquet_columns
from blitz.raw.readers import raw_cells
from blitz.raw.specs import REASON
from blitz.raw.tables import FileGroup, RawTable
from blitz.refresh.mapping import MappingRows
from blitz.refresh.plan import Changed, FileChanges
from blitz.refresh.users import OwnAppUsers
from blitz.spark.local_times import local_time
from blitz.storage.frames import write_parquet

CHANGED_KEY = "changed_key"


@dataclass(frozen=True)
class ChannelTables:
    """The raw tables of a channel by name: as their files are (``raw``), and ``orders`` and ``lines`` as a refresh
    reads them (``typed``: from copies where they are CSV)."""

    raw: Mapping[str, RawTable]
    typed: Mapping[str, RawTable]


class UnreadFiles:
    """The rows of raw files that no refresh has read: new and rewritten. They are counted while their keys are found.

    Args:
        spark: the session.
        channel: the channel of the files.
        timezone: the zone of local times.
        raw: the raw tables of the channel by name.
        files: how the raw files changed.
    """

    def __init__(
        self, spark: SparkSession, channel: Channel, timezone: str, raw: Mapping[str, RawTable], files: FileChanges
    ) -> None:
        self._spark, self._channel, self._timezone, self._raw, self._files = spark, channel, timezone, raw, files
        self._names = [name for name in ("orders", "lines") if files.unread(name)]
        self._metrics = RowMetrics()

    @property
    def is_empty(self) -> bool:
        """Whether no orders and lines are unread."""
        return not self._names

    def keys(self) -> list[DataFrame]:
        """Return the order keys in new files, a frame with one column for each table.

        Keys of rewritten files are not among them: which of their orders changed, ``since`` says.
        """
        key = {"orders": self._channel.order_key(), "lines": self._channel.line_key()}
        found = []
        for name in self._names:
            counted = {READ: each_row(), **by_reason(F.col(REASON), REJECTED)}
            is_new = F.col(REASON).isNull() & F.col("is_new")
            found.append(self._metrics.observe(self._rows(name), {name: counted}, keep=is_new).select(key[name]))
        if queries := self._files.new.get("queries"):
            found.append(self._read(self._raw["queries"].only(queries)).select("order_id"))
        return found

    def accounts(self) -> list[Account]:
        """Return how many rows the files have and how many cannot be read; call it after ``keys`` were written."""
        accounts = []
        for name in self._names:
            counts = self._metrics.counts(name)
            dropped: dict[str, int] = {reason: counts[reason] for reason in REJECTED}
            read = counts[READ]
            accounts.append(Account(f"{name} of new files", read, read - sum(dropped.values()), dropped))
        return accounts

    def rejected(self, accounts: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of the tables that accounts of these names count."""
        names = [name for name in self._names if any(account.startswith(name) for account in accounts)]
        tables = [self._raw[name].only(self._files.unread(name)) for name in names]
        return [sources.read_rejected(self._spark, table, self._timezone) for table in tables]

    def _rows(self, name: str) -> DataFrame:
        """The rows of new files, and those of rewritten files with ``is_new`` false."""
        files = ((self._files.new[name], True), (self._files.rewritten[name], False))
        parts = [
            self._read(self._raw[name].only(paths)).withColumn("is_new", F.lit(is_new))
            for paths, is_new in files
            if paths
        ]
        return reduce(DataFrame.unionByName, parts)

    def _read(self, table: RawTable) -> DataFrame:
        return sources.read_table(self._spark, table, self._timezone)


class KeyFinder:
    """Finds the keys of the orders that can have changed.

    Args:
        spark: the session.
        channel: the channel.
        settings: the settings of its order features.
        orders: its raw orders as a refresh reads them.
        output: its published order features.
    """

    def __init__(
        self, spark: SparkSession, channel: Channel, settings: OrderSettings, orders: RawTable, output: DataFrame
    ) -> None:
        self._spark, self._channel, self._settings = spark, channel, settings
        self._orders, self._output = orders, output

    def write(
        self, plan: Changed, unread: UnreadFiles, mapping: MappingRows, users: OwnAppUsers, folder: str
    ) -> DataFrame:
        """Write the distinct keys of the orders that can have changed to ``folder``; return them as ``changed_key``."""
        parts = [*unread.keys(), *self._of_customers(plan, mapping, users)]
        parts += [self._placed(plan.opened.start)] if plan.opened else []
        parts += [self._placed(plan.since), self._published(plan.since)] if plan.since else []
        parts = parts or [self._output.where(F.lit(False)).select(self._channel.published_key())]
        keys = reduce(DataFrame.unionByName, [part.toDF(CHANGED_KEY) for part in parts])
        distinct = keys.where(F.col(CHANGED_KEY).isNotNull()).distinct()
        write_parquet(distinct, folder)
        return read_output(self._spark, folder)

    def _of_customers(self, plan: Changed, mapping: MappingRows, users: OwnAppUsers) -> list[DataFrame]:
        """The keys of mapping rows that were added or removed, and of customers who are users now or no longer."""
        rows = [mapping.changes(plan.before.mapping)] if plan.mapping else []
        if plan.users and plan.before.users:
            rows.append(mapping.of_customers(plan.before.users.folder, users.changes(plan.before.users)))
        return [each.select(mapping_key_name(self._channel)) for each in rows]

    def _placed(self, first: date) -> DataFrame:
        """The keys of raw orders in the window from a local day on."""
        rows = sources.read_table(self._spark, self._orders, self._settings.timezone).where(F.col(REASON).isNull())
        time = F.col(self._channel.time)
        local = time if self._channel.times_are_local else local_time(time, self._settings.timezone)
        return rows.where(in_window(local, first, self._settings.end)).select(self._channel.order_key())

    def _published(self, first: date) -> DataFrame:
        """The keys of published orders in the window from a local day on."""
        local = local_time(F.col("order_placed_datetime"), self._settings.timezone)
        return self._output.where(in_window(local, first, self._settings.end)).select(self._channel.published_key())


def files_with_keys(
    spark: SparkSession,
    channel: Channel,
    tables: Mapping[str, RawTable],
    timezone: str,
    output: Sequence[str],
    keys: DataFrame,
) -> dict[str, set[str]]:
    """Return the files that may have rows of the keys, found in one pass over the key columns.

    ``output`` are the paths of the published files, at least one. Returns paths for ``orders`` and ``lines``, and file
    names for ``output``. All files of a table are returned where a
    search costs as much as reading them: CSV, and channels whose keys are texts of several columns (in-store).
    """
    is_one_column = len(channel.key_columns) == 1
    searched = {name: _parquet_paths(table) if is_one_column else set() for name, table in tables.items()}
    scans = {
        name: sources.read_with_file_name(spark, table.only(searched[name]), timezone)
        for name, table in tables.items()
        if searched[name]
    }
    key = {"orders": channel.order_key(), "lines": channel.line_key(), "output": channel.published_key()}
    scans["output"] = _with_file_name(spark, output, channel)
    rows = [scan.select(F.lit(name).alias("of"), key[name].alias("key"), "file_name") for name, scan in scans.items()]
    all_rows = reduce(DataFrame.unionByName, rows)
    matches = all_rows.join(keys, F.col("key") == F.col(CHANGED_KEY), "left_semi")
    found = {(row["of"], row["file_name"]) for row in matches.select("of", "file_name").distinct().collect()}
    with_keys = {"output": {name for of, name in found if of == "output"}}
    for name, table in tables.items():
        others = {info.path for info in table.files} - searched[name]
        with_keys[name] = others | {path for path in searched[name] if (name, path.rpartition("/")[2]) in found}
    return with_keys


def _with_file_name(spark: SparkSession, paths: Sequence[str], channel: Channel) -> DataFrame:
    """The key columns of published files, and ``file_name``."""
    columns = tuple(each for each in parquet_columns(paths[0])[0] if each.name in channel.published_key_columns)
    cells = raw_cells(spark, FileGroup("parquet", columns, 0, tuple(paths)), "name")
    return cells.frame.withColumnRenamed(FILE, "file_name")


def _parquet_paths(table: RawTable) -> set[str]:
    return {path for group in table.groups if group.format == "parquet" for path in group.paths}
