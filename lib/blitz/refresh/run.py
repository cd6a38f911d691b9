"""A refresh: the steps of a run, with order features that keep what cannot have changed (see refresh.py)."""

import logging
import time
from collections import Counter as Occurrences
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from threading import Lock

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.config import Config
from blitz.features.orders import local_time, published_key
from blitz.pipelines.context import RunContext, StepResult
from blitz.pipelines.orders import OrderFeaturePipeline, order_settings
from blitz.pipelines.reader import Reader
from blitz.publish.months import month_of, publishing_months
from blitz.publish.tables import Format, Output, inspect, read_output
from blitz.raw.channels import CHANNELS
from blitz.raw.files import RawTable
from blitz.raw.inputs import RawInputs
from blitz.refresh.copies import copied
from blitz.refresh.differences import WrittenOnce, differing
from blitz.refresh.mapping import KeptMapping, mapping_copy
from blitz.refresh.readers import CHANGED, Before, Changed, ChangedReader, MappedReader, files_holding
from blitz.refresh.state import (
    Changes,
    ChannelState,
    changes,
    described,
    made_by,
    output_files,
    raw_tables,
    read_state,
    why_full,
)
from blitz.run.execute import run_steps
from blitz.run.steps import Preflight
from blitz.spark.session import configure

log = logging.getLogger(__name__)

SMALL_FILE = 16 * 1024 * 1024
MOST_SMALL_FILES = 8  # of one month; then they are written together
# Keys that fit into the memory of every executor (as text some 100 bytes each): joined so, no other row is shuffled.
MOST_BROADCAST = 2_000_000
_NONE: dict[str, frozenset[str]] = {"orders": frozenset(), "lines": frozenset(), "queries": frozenset()}


def state_folder(output_path: str, name: str) -> str:
    """Where a refresh keeps what belongs to an output: hidden from readers of the folder above."""
    return f"{output_path.rstrip('/').rpartition('/')[0]}/_refresh/{name}"


@dataclass(frozen=True)
class MonthPublisher:
    """Publishes the order features as files that each hold one month (``publishing_months``).

    ``keep`` names the files of the output that stay; ``unchanged`` are the rows of replaced files that stay.
    """

    path: str
    timezone: str
    run_id: str
    keep: frozenset[str] = frozenset()
    unchanged: DataFrame | None = None

    def publishing(self) -> AbstractContextManager[Output]:
        """Start a publication of the new rows, the unchanged rows and the files to keep."""
        month = F.date_format(local_time(F.col("order_placed_datetime"), self.timezone), "yyyy-MM")
        return publishing_months(self.path, month, run_id=self.run_id, keep=self.keep, unchanged=self.unchanged)


class ChannelRefresh:
    """Order features of one channel, refreshed: ``details["refresh"]`` of the result tells what was computed.

    Args:
        config, channel, spark, inputs, context: as for OrderFeaturePipeline.
        mapping, users: the customer mapping of ``inputs`` and the own-app users, as the channels share them.
        since: only orders of this local day and later can have changed, apart from those that new files name.
    """

    def __init__(
        self,
        config: Config,
        channel: str,
        spark: SparkSession,
        *,
        inputs: RawInputs,
        context: RunContext,
        mapping: KeptMapping,
        users: "KeptUsers",
        since: date | None = None,
    ) -> None:
        self.config, self.channel, self.spark, self.context = config, CHANNELS[channel], spark, context
        self.settings = order_settings(config.feature_pipeline)
        self.output_path = str(getattr(config.feature_pipeline, channel).output_path)
        self._raw, self._mapping, self._kept_users, self._since = inputs, mapping, users, since
        self._folder = state_folder(self.output_path, channel)
        self._state = f"{self._folder}/state.json"

    def run(self) -> StepResult:
        """Refresh and publish. Raises as OrderFeaturePipeline does."""
        configure(self.spark)
        try:
            result, kept = self._run()
        except BaseException:
            remove(self._folder, lambda name: self.context.run_id in name)
            raise
        keep_only(self._folder, kept)
        return result

    def _run(self) -> tuple[StepResult, set[str]]:
        """Refresh, publish and write the state; returns also the names in the state's folder that it needs."""
        started = time.monotonic()
        if self.channel.name != "ownapp":
            self._kept_users.write()
        raw = raw_tables(self._raw, self.channel.name)
        now = made_by(self.config.feature_pipeline, self.settings, self.channel.name, self._raw.mappings())
        before = read_state(self._state)
        found = changes(before, raw) if before else Changes(_NONE, _NONE, _NONE)
        window = (self.settings.start.isoformat(), self.settings.end.isoformat())
        reason = why_full(before, now, window, output_files(self.output_path), found.lost, self._since is not None)
        tables, copies = {}, {}
        for name in ("orders", "lines"):
            kept = before.copies.get(name, []) if before else []
            folder = f"{self._folder}/{name}-{self.context.run_id}"
            tables[name], copies[name] = copied(self.spark, raw[name], self.settings.timezone, kept, folder)
        result = self._refresh(before, tables, raw, found) if reason is None and before is not None else None
        if result is None:
            result = self._compute_all(reason or "the columns of the output or their types changed")
        result.seconds = time.monotonic() - started
        state = ChannelState(
            now,
            *window,
            {name: described(table.files) for name, table in raw.items()},
            output_files(self.output_path),
            self._mapping.copy,
            None if self.channel.name == "ownapp" else self._kept_users.folder,
            copies,
        )
        state.write(self._state)
        folders = {copy.folder.rpartition("/")[2] for each in copies.values() for copy in each}
        return result, {"state.json", *folders}

    def _pipeline(self, reader: Reader, publisher: MonthPublisher, quarantine_name: str) -> OrderFeaturePipeline:
        return OrderFeaturePipeline(
            self.config,
            self.channel.name,
            self.spark,
            inputs=self._raw,
            context=self.context,
            reader=reader,
            publisher=publisher,
            users=self._kept_users.read,
            quarantine_name=quarantine_name,
        )

    def _compute_all(self, reason: str) -> StepResult:
        log.info("%s: computed from all files: %s", self.channel.name, reason)
        zone = self.settings.timezone
        reader = MappedReader(self.spark, self._raw, zone, self._mapping)
        publisher = MonthPublisher(self.output_path, zone, self.context.run_id)
        pipeline = self._pipeline(reader, publisher, self.channel.name)
        result = pipeline.publish(pipeline.compute())
        result.details["refresh"] = {"computed": "all", "reason": reason}
        return result

    def _refresh(
        self,
        before: ChannelState,
        tables: Mapping[str, RawTable],
        raw: Mapping[str, RawTable],
        found: Changes,
    ) -> StepResult | None:
        """Compute and publish what changed; None where the output has other columns than the new rows."""
        old, zone = read_output(self.spark, self.output_path), self.settings.timezone
        moved = self._mapping.of_customers(before.users, self._kept_users.moved(before.users)) if before.users else None
        then = Before(date.fromisoformat(before.end), self._mapping.changes(before.mapping), moved, old)
        changed = Changed(self.spark, self.channel, self.settings, tables["orders"], raw, found, then)
        keys = changed.keys(self._since, f"{self._folder}/keys-{self.context.run_id}")
        number = keys.count()
        if number == 0 and not changed.unseen and before.start == self.settings.start.isoformat():
            return self._unchanged(old)
        keys = F.broadcast(keys) if number <= MOST_BROADCAST else keys
        held = files_holding(self.spark, self.channel, tables, zone, old, keys)
        reader = ChangedReader(self.spark, self._raw, zone, self._mapping, keys, tables, held, changed)
        names = dict(output_files(self.output_path))
        keep, rewritten = self._files(names, held["output"])
        unchanged = self._unchanged_rows(rewritten, old, keys) if rewritten else None
        publisher = MonthPublisher(self.output_path, zone, self.context.run_id, frozenset(keep), unchanged)
        # The rejected rows of new files are kept apart from those of a full computation.
        pipeline = self._pipeline(reader, publisher, f"{self.channel.name}_new_files")
        computed = pipeline.compute()
        if computed.frame.dtypes != old.dtypes:
            return None
        result = pipeline.publish(computed)
        result.details["refresh"] = {
            "computed": "changed",
            "changed_keys": number,
            "files_kept": len(keep),
            "months_rewritten": sorted({month_of(name) for name in names if name not in keep}),
        }
        log.info("%s: refreshed: %s", self.channel.name, result.details["refresh"])
        return result

    def _unchanged(self, old: DataFrame) -> StepResult:
        log.info("%s: nothing changed", self.channel.name)
        output = inspect(old, self.output_path, self.output_path, by_name=True)
        return StepResult(self.channel.name, output, [], 0.0, details={"refresh": {"computed": "nothing"}})

    def _files(self, names: Mapping[str, int], held: set[str]) -> tuple[set[str], list[str]]:
        """Of the output's files (name and size) those that stay, and those that are written again: they hold changed
        keys (``held``) or the first days of the window's month, or are too small. Files of months before go."""
        start = self.settings.start
        sizes = {name: size for name, size in names.items() if month_of(name) >= f"{start:%Y-%m}"}
        is_cut = {name for name in sizes if start.day > 1 and month_of(name) == f"{start:%Y-%m}"}
        small = [name for name, size in sizes.items() if size < SMALL_FILE]
        per_month = Occurrences(month_of(name) for name in small)
        merged = {name for name in small if per_month[month_of(name)] > MOST_SMALL_FILES}
        again = sizes.keys() & (held | is_cut | merged)
        return sizes.keys() - again, sorted(again)

    def _is_out(self) -> Column:
        """Whether a row of the output lies before the window."""
        first = F.lit(self.settings.start.isoformat()).cast("timestamp")
        return local_time(F.col("order_placed_datetime"), self.settings.timezone) < first

    def _unchanged_rows(self, names: list[str], old: DataFrame, keys: DataFrame) -> DataFrame:
        folder = self.output_path.rstrip("/")
        paths = [storage.spark_path(f"{folder}/{name}", literal=True) for name in names]
        rows = self.spark.read.schema(old.schema).parquet(*paths).where(~self._is_out())
        return rows.join(keys, published_key(self.channel) == F.col(CHANGED), "left_anti")


class KeptUsers:
    """The own-app users of this run, copied for the next refresh, and how they differ from those of refreshes before.

    Args:
        orders: path of the own-app order features; they are read when the users are first asked for.
        folder: where the copy goes, and beside it the differences.
    """

    def __init__(self, spark: SparkSession, orders: str, fmt: Format, folder: str) -> None:
        self.folder = folder
        self._spark, self._orders, self._format = spark, orders, fmt
        self._is_written = False
        self._one_at_a_time = Lock()  # Swiggy and in-store run side by side
        self._moved = WrittenOnce(f"{folder}-moved")

    def write(self) -> None:
        """Write the copy, once for all channels."""
        with self._one_at_a_time:
            if not self._is_written:
                orders = read_output(self._spark, self._orders, self._format)
                users = orders.select("algonomy_id").distinct()
                users.write.mode("overwrite").parquet(storage.spark_path(self.folder))
                self._is_written = True

    def read(self) -> DataFrame:
        """``algonomy_id`` of the users; after ``write``."""
        return read_output(self._spark, self.folder)

    def moved(self, before: str) -> DataFrame:
        """``algonomy_id`` of those who are in this copy or in an older one alone; after ``write``."""
        return self._moved.get(
            before, lambda: differing(*[read_output(self._spark, each) for each in (self.folder, before)])
        )


def refresh(
    config: Config, spark: SparkSession, ready: Preflight, context: RunContext, since: date | None = None
) -> list[StepResult]:
    """Run the steps of ``ready``, the order features refreshed. Raises as run_steps does."""
    if ready.inputs is None or not ready.inputs.orders:
        return run_steps(config, spark, ready, context)
    inputs, features = ready.inputs, config.feature_pipeline
    configure(spark)
    outputs = {name: getattr(features, name).output_path for name in CHANNELS}
    mapping_folder, users_folder = (state_folder(outputs["ownapp"], name) for name in ("customer_mapping", "users"))
    kept, now = [state.mapping for state in _states(outputs)], f"{mapping_folder}/{context.run_id}"
    try:
        copy = mapping_copy(spark, inputs.customer_mapping, features.common.timezone, kept, now)
        mapping = KeptMapping(spark, copy, now)
        users = KeptUsers(spark, outputs["ownapp"], context.format, f"{users_folder}/{context.run_id}")

        def run_channel(channel: str) -> StepResult:
            return ChannelRefresh(
                config, channel, spark, inputs=inputs, context=context, mapping=mapping, users=users, since=since
            ).run()

        return run_steps(config, spark, ready, context, run_channel)
    finally:
        states = _states(outputs)
        keep_only(users_folder, {state.users.rpartition("/")[2] for state in states if state.users})
        parts = {part.folder.rpartition("/")[2] for state in states for part in state.mapping.parts}
        keep_only(mapping_folder, parts)


def _states(outputs: Mapping[str, str]) -> list[ChannelState]:
    """The states that there are of the channels' outputs."""
    found = [read_state(f"{state_folder(path, name)}/state.json") for name, path in outputs.items()]
    return [state for state in found if state]


def keep_only(folder: str, kept: Collection[str]) -> None:
    """Remove from a folder of ours what has none of these names."""
    remove(folder, lambda name: name not in kept)


def remove(folder: str, unwanted: Callable[[str], bool]) -> None:
    """Remove from a folder of ours what has an unwanted name."""
    mark = f"{folder[folder.rindex('/_refresh/') :]}/"  # listed paths may have lost their scheme
    found = {info.path.partition(mark)[2].split("/")[0] for info in storage.list_files(folder)}
    for name in found - {""}:
        if unwanted(name):
            storage.delete(f"{folder}/{name}")
