"""Refresh the order features: compute the orders that can have changed, keep the files of the others.

The row of an order depends on the raw rows that carry its key, on the customer that the mapping gives it, on whether
that customer is an own-app user, and on settings and small mappings; never on another order. So with D the keys for
which any of these can differ from the run before, the new table is the old one without D, and D computed anew from all
raw files. A key is in D when

- a new file of orders, lines or order queries names it;
- a row of the customer mapping that names it came or went;
- its customer became an own-app user, or is none any more (Swiggy and in-store);
- an order row of it lies in the part of the window that opened since;
- with ``since``: an order row of it, raw or in the old table, is of that day or later.

Orders behind which the window closed are dropped by their time. A changed setting, small mapping or version of blitz,
and files that were written again or removed (without ``since``), make D everything: all is computed, for that reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.accounts import Account, Counter, count_where
from blitz.features.orders import CountedLines, OrderSettings, customer_keys, in_window, local_time, published_key
from blitz.pipelines.reader import FileReader
from blitz.publish.tables import read_output
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel
from blitz.raw.files import RawTable
from blitz.raw.inputs import RawInputs
from blitz.raw.specs import BAD_RECORD, BAD_TIMESTAMP, REASON
from blitz.refresh.mapping import KeptMapping, key_column
from blitz.refresh.state import Changes
from blitz.storage.frames import write_parquet

CHANGED = "changed_key"


@dataclass(frozen=True)
class Before:
    """How the run before differs from now, as far as the keys that changed depend on it.

    ``mapping_changes``: the rows of the customer mapping that came or went since; None: none did. ``moved``: its rows
    of customers who became own-app users or are none any more; None for own app.
    """

    end: date
    mapping_changes: DataFrame | None
    moved: DataFrame | None
    output: DataFrame


class MappedReader(FileReader):
    """Reads the raw files, but the customer mapping from its copy."""

    def __init__(self, spark: SparkSession, inputs: RawInputs, timezone: str, mapping: KeptMapping) -> None:
        super().__init__(spark, inputs, timezone)
        self.mapping = mapping

    def customers(self, channel: Channel) -> DataFrame:
        return customer_keys(self.mapping.keyed(channel))


class ChangedReader(MappedReader):
    """Reads the good rows of some order keys alone, from the files that hold any; rejected rows of ``unseen`` alone.

    ``tables``: where ``orders`` and ``lines`` are read from; ``holding``: their files that may hold rows of the keys;
    ``changed``: what found the keys; it knows the raw tables of the files that are new or were written again.
    """

    def __init__(
        self,
        spark: SparkSession,
        inputs: RawInputs,
        timezone: str,
        mapping: KeptMapping,
        keys: DataFrame,
        tables: Mapping[str, RawTable],
        holding: Mapping[str, set[str]],
        changed: "Changed",
    ) -> None:
        super().__init__(spark, inputs, timezone, mapping)
        self.keys, self.tables, self.holding, self.changed = keys, tables, holding, changed
        self.unseen = changed.unseen

    def accounts(self) -> list[Account]:
        """Return the accounts of the files that are new or were written again."""
        return self.changed.accounts()

    def orders(self, channel: Channel) -> DataFrame:
        return self._of_keys("orders", channel.order_key())

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        return self._of_keys("lines", channel.line_key())

    def customers(self, channel: Channel) -> DataFrame:
        return customer_keys(self._changed(self.mapping.keyed(channel), F.col("order_key")))

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        names = [name for name in self.unseen if any(table.startswith(name) for table in tables)]
        return [sources.read_rejected(self._spark, self.unseen[name], self._timezone) for name in names]

    def _of_keys(self, name: str, key: Column) -> DataFrame:
        table, holding = self.tables[name], self.holding[name]
        if not holding:
            return sources.read_table(self._spark, table, self._timezone).where(F.lit(False))
        rows = sources.read_table(self._spark, table.only(holding), self._timezone)
        return self._changed(rows.where(F.col(REASON).isNull()), key)

    def _changed(self, rows: DataFrame, key: Column) -> DataFrame:
        return rows.join(self.keys, key == F.col(CHANGED), "left_semi")


def files_holding(
    spark: SparkSession,
    channel: Channel,
    tables: Mapping[str, RawTable],
    timezone: str,
    output: DataFrame,
    keys: DataFrame,
) -> dict[str, set[str]]:
    """The files that may hold rows of the keys, found in one pass over the key columns alone.

    Returns paths for ``orders`` and ``lines``, and file names for ``output``. All files may that cost as much to look
    into as to read: CSV, and those of in-store, whose keys are texts of three columns.
    """
    paths = {name: set() if channel.is_local else _parquet_paths(table) for name, table in tables.items()}
    scans = {
        name: sources.read_with_file_name(spark, table.only(paths[name]), timezone)
        for name, table in tables.items()
        if paths[name]
    }
    scans["output"] = output.select("*", "_metadata.file_name")
    key = {"orders": channel.order_key(), "lines": channel.line_key(), "output": published_key(channel)}
    rows = [scan.select(F.lit(name).alias("of"), key[name].alias("key"), "file_name") for name, scan in scans.items()]
    every = reduce(DataFrame.unionByName, rows)
    held = every.join(keys, F.col("key") == F.col(CHANGED), "left_semi").select("of", "file_name").distinct().collect()
    found = {(row["of"], row["file_name"]) for row in held}
    holding = {"output": {name for of, name in found if of == "output"}}
    for name, table in tables.items():
        others = {info.path for info in table.files} - paths[name]
        holding[name] = others | {path for path in paths[name] if (name, path.rpartition("/")[2]) in found}
    return holding


def _parquet_paths(table: RawTable) -> set[str]:
    return {path for group in table.groups if group.format == "parquet" for path in group.paths}


class Changed:
    """The keys that can have changed, of one channel.

    Args:
        spark, channel, settings: the session, the channel and the settings of its order features.
        orders: the channel's orders as they are read.
        raw: its raw tables by name; ``found``: how their files differ from the run before's.
        before: the run before.
    """

    def __init__(
        self,
        spark: SparkSession,
        channel: Channel,
        settings: OrderSettings,
        orders: RawTable,
        raw: Mapping[str, RawTable],
        found: Changes,
        before: Before,
    ) -> None:
        self.spark, self.channel, self.settings = spark, channel, settings
        self.orders, self.raw, self.found, self.before = orders, raw, found, before
        self.unseen = {
            name: raw[name].only(paths)
            for name in ("orders", "lines")
            if (paths := found.added[name] | found.rewritten[name])
        }
        self.counter = Counter()

    def keys(self, since: date | None, folder: str) -> DataFrame:
        """The distinct keys, as ``changed_key``, written to ``folder`` and read from there."""
        parts = [*self._in_new_files(), *self._of_customers(), *self._in_opened_window()]
        parts += self._since(since) if since else []
        if not parts:
            parts = [self._read(self.orders).where(F.lit(False)).select(self.channel.order_key())]
        every = reduce(DataFrame.unionByName, [part.toDF(CHANGED) for part in parts])
        write_parquet(every.where(F.col(CHANGED).isNotNull()).distinct(), folder)
        return read_output(self.spark, folder)

    def accounts(self) -> list[Account]:
        """How many rows the unseen files hold, and how many of them cannot be read; after ``keys``."""
        counts = self.counter.values()
        accounts = []
        for name in self.unseen:
            dropped = {reason: counts[f"{name}_{reason}"] for reason in (BAD_RECORD, BAD_TIMESTAMP)}
            read = counts[f"{name}_read"]
            accounts.append(Account(f"{name} of new files", read, read - sum(dropped.values()), dropped))
        return accounts

    def _read(self, table: RawTable) -> DataFrame:
        return sources.read_table(self.spark, table, self.settings.timezone)

    def _in_new_files(self) -> list[DataFrame]:
        key = {"orders": self.channel.order_key(), "lines": self.channel.line_key()}
        found = []
        for name in self.unseen:
            rejected = {f"{name}_{each}": count_where(F.col(REASON) == each) for each in (BAD_RECORD, BAD_TIMESTAMP)}
            rows = self.counter.watch(self._unseen_rows(name), **{f"{name}_read": F.count(F.lit(1))}, **rejected)
            found.append(rows.where(F.col(REASON).isNull() & F.col("is_new")).select(key[name]))
        if added := self.found.added.get("queries"):
            found.append(self._read(self.raw["queries"].only(added)).select("order_id"))
        return found

    def _unseen_rows(self, name: str) -> DataFrame:
        """The rows of new files and of those that were written again (``is_new`` is false): these are counted alone."""
        files = ((self.found.added[name], True), (self.found.rewritten[name], False))
        parts = [(self.raw[name].only(paths), is_new) for paths, is_new in files if paths]
        return reduce(
            DataFrame.unionByName, [self._read(part).withColumn("is_new", F.lit(is_new)) for part, is_new in parts]
        )

    def _of_customers(self) -> list[DataFrame]:
        rows = (self.before.mapping_changes, self.before.moved)
        return [each.select(key_column(self.channel)) for each in rows if each is not None]

    def _in_opened_window(self) -> list[DataFrame]:
        if self.settings.end == self.before.end:
            return []
        return self._placed(self.before.end)

    def _placed(self, first: date) -> list[DataFrame]:
        """The keys of raw orders from a local day on, inside the window."""
        rows = self._read(self.orders).where(F.col(REASON).isNull())
        time = F.col(self.channel.time)
        local = time if self.channel.is_local else local_time(time, self.settings.timezone)
        return [rows.where(in_window(local, first, self.settings.end)).select(self.channel.order_key())]

    def _since(self, day: date) -> list[DataFrame]:
        local = local_time(F.col("order_placed_datetime"), self.settings.timezone)
        old = self.before.output.where(in_window(local, day, self.settings.end))
        return [*self._placed(day), old.select(published_key(self.channel))]
