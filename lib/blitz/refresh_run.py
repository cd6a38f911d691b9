"""A refresh: the steps of a run, with order features that keep what cannot have changed (see refresh.py)."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from threading import Lock
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import sources, storage
from blitz.accounts import Account, Counter
from blitz.channels import CHANNELS
from blitz.config import Config
from blitz.files import RawTable
from blitz.inputs import RawInputs
from blitz.mappings import Mappings
from blitz.orders import local_time, published_key
from blitz.pipelines import OrderFeaturePipeline, RunContext, StepResult
from blitz.publish import Published, inspect, read_output
from blitz.publish_months import month_of, publish_months
from blitz.refresh import CHANGED, Before, Changed, ChangedReader, MappedReader, differing_mapping, hashed_mapping
from blitz.refresh_copies import copied
from blitz.refresh_state import (
    Changes,
    ChannelState,
    Copy,
    changes,
    copy_of,
    described,
    made_by,
    output_files,
    raw_tables,
    read_state,
    typed_by,
    why_full,
)
from blitz.run import Preflight, run_steps
from blitz.session import configure

log = logging.getLogger(__name__)

SMALL_FILE = 16 * 1024 * 1024
MOST_SMALL_FILES = 8  # of one month; then they are written together
_NONE: dict[str, frozenset[str]] = {"orders": frozenset(), "lines": frozenset(), "queries": frozenset()}


def state_folder(output_path: str, name: str) -> str:
    """Where a refresh keeps what belongs to an output: hidden from readers of the folder above."""
    return f"{output_path.rstrip('/').rpartition('/')[0]}/_refresh/{name}"


class _OtherColumns(Exception):
    """The new rows have other columns than the output: its files cannot be kept."""


class RefreshPipeline(OrderFeaturePipeline):
    """Order features of one channel, refreshed: ``details["refresh"]`` of the result tells what was computed.

    Args:
        config, channel, spark, inputs, context: as for OrderFeaturePipeline.
        mapping: the typed customer mapping of ``inputs``.
        since: only orders of this local day and later can have changed, beside those that new files name.
    """

    def __init__(
        self,
        config: Config,
        channel: str,
        spark: SparkSession,
        *,
        inputs: RawInputs,
        context: RunContext,
        mapping: "TypedMapping",
        since: date | None = None,
    ) -> None:
        super().__init__(config, channel, spark, inputs=inputs, context=context)
        self._raw, self._mapping, self._since = inputs, mapping, since
        self._folder = state_folder(self.output_path, channel)
        self._state = f"{self._folder}/state.json"
        self._details: dict[str, Any] = {}
        self._started = time.monotonic()
        self._before: Before | None = None
        self._changed: Changed | None = None
        self._keys: DataFrame | None = None

    @property
    def quarantine_name(self) -> str:
        """The folder of the rejected rows; those of new files stand apart from a full computation's."""
        return self.channel.name if self._changed is None else f"{self.channel.name}_new_files"

    def run(self) -> DataFrame:
        """Refresh and publish; returns the order features as published. Raises as OrderFeaturePipeline does."""
        self._started = time.monotonic()
        configure(self.spark)
        try:
            kept = self._run()
        except BaseException:
            remove(self._folder, lambda name: self.context.run_id in name)
            raise
        remove(self._folder, lambda name: name not in kept)
        return read_output(self.spark, self.output_path, self.context.format)

    def _run(self) -> set[str]:
        """Refresh, publish and write the state; returns the names in the state's folder that it needs."""
        mapping = read_output(self.spark, self._mapping.copy.folder)
        users = self._users()
        raw = raw_tables(self._raw, self.channel.name)
        now = made_by(self.config, self.settings, self.channel.name, self._raw.mappings())
        before = read_state(self._state)
        found = changes(before, raw) if before else Changes(_NONE, _NONE, _NONE)
        window = (self.settings.start.isoformat(), self.settings.end.isoformat())
        reason = why_full(before, now, window, output_files(self.output_path), found.lost, self._since is not None)
        tables, copies = {}, {}
        for name in ("orders", "lines"):
            kept = before.copies.get(name, []) if before else []
            folder = f"{self._folder}/{name}-{self.context.run_id}"
            tables[name], copies[name] = copied(self.spark, raw[name], self.settings.timezone, kept, folder)
        if reason is None and before is not None:
            reason = self._refresh(before, mapping, users, tables, raw, found)
        if reason is not None:
            self._compute_all(reason, mapping)
        assert self.result is not None
        self.result.details["refresh"] = self._details
        self.result.seconds = time.monotonic() - self._started
        state = ChannelState(
            now,
            *window,
            {name: described(table.files) for name, table in raw.items()},
            output_files(self.output_path),
            self._mapping.copy,
            None if users is None else self._users_path(),
            copies,
        )
        state.write(self._state)
        folders = {copy.folder.rpartition("/")[2] for each in copies.values() for copy in each}
        return {"state.json", f"users-{self.context.run_id}", *folders}

    def _users(self) -> DataFrame | None:
        """The own-app users of now, as a copy that the next refresh compares with."""
        if self.channel.name == "ownapp":
            return None
        orders = read_output(self.spark, self.config.ownapp.output_path, self.context.format)
        users = orders.select("algonomy_id").distinct()
        users.write.mode("overwrite").parquet(storage.spark_path(self._users_path()))
        return read_output(self.spark, self._users_path())

    def _users_path(self) -> str:
        return f"{self._folder}/users-{self.context.run_id}"

    def _compute_all(self, reason: str, mapping: DataFrame) -> None:
        log.info("%s: computed from all files: %s", self.channel.name, reason)
        self._details = {"computed": "all", "reason": reason}
        self._before = self._changed = self._keys = None
        self._reader = MappedReader(self.spark, self._raw, self.settings.timezone, mapping)
        super().run()

    def _refresh(
        self,
        before: ChannelState,
        mapping: DataFrame,
        users: DataFrame | None,
        tables: Mapping[str, RawTable],
        raw: Mapping[str, RawTable],
        found: Changes,
    ) -> str | None:
        """Compute and publish what changed; returns why that cannot be, or None."""
        old = read_output(self.spark, self.output_path)
        old_users = read_output(self.spark, before.users) if before.users else None
        mapping_changes = self._mapping.changes(before.mapping)
        self._before = Before(date.fromisoformat(before.end), mapping_changes, old_users, old)
        self._changed = Changed(self, tables["orders"], raw, found, self._before)
        self._keys = self._changed.keys(mapping, users, self._since, f"{self._folder}/keys-{self.context.run_id}")
        number = self._keys.count()
        if number == 0 and not self._changed.unseen and before.start == self.settings.start.isoformat():
            self._leave_as_it_is(old)
            return None
        self._details = {"computed": "changed", "changed_keys": number}
        self._reader = ChangedReader(
            self.spark, self._raw, self.settings.timezone, mapping, self._keys, tables, self._changed.unseen
        )
        try:
            super().run()
        except _OtherColumns:
            return "the columns of the output or their types changed"
        log.info("%s: refreshed: %s", self.channel.name, self._details)
        return None

    def _leave_as_it_is(self, old: DataFrame) -> None:
        self._details = {"computed": "nothing"}
        output = inspect(old, self.output_path, self.output_path, by_name=True)
        self.result = StepResult(self.channel.name, output, [], time.monotonic() - self._started)
        log.info("%s: nothing changed", self.channel.name)

    def _accounts(self, counter: Counter, mappings: Mappings) -> list[Account]:
        return super()._accounts(counter, mappings) + (self._changed.accounts() if self._changed else [])

    def _publish(self, features: DataFrame, check: Callable[[int], None]) -> Published:
        zone = self.settings.timezone
        month = F.date_format(local_time(F.col("order_placed_datetime"), zone), "yyyy-MM")
        keep: list[str] = []
        if self._before is not None and self._keys is not None:
            old = self._before.output
            if old.dtypes != features.dtypes:
                raise _OtherColumns
            keep, rewritten = self._files(old, self._keys)
            if rewritten:
                features = features.unionByName(self._unchanged_rows(old, rewritten, self._keys))
            self._details |= {
                "files_kept": len(keep),
                "months_rewritten": sorted({month_of(name) for name in rewritten}),
            }
        return publish_months(features, month, self.output_path, run_id=self.context.run_id, keep=keep, check=check)

    def _files(self, old: DataFrame, keys: DataFrame) -> tuple[list[str], list[str]]:
        """The files of the output that stay, and those that are written again without what changed or fell out."""
        rows = old.select(
            published_key(self.channel).alias("key"), self._is_out().alias("is_out"), "_metadata.file_name"
        )
        marked = rows.join(keys, F.col("key") == F.col(CHANGED), "left")
        touched = marked.where(F.col("is_out") | F.col(CHANGED).isNotNull()).select("file_name").distinct()
        files = output_files(self.output_path)
        again = {row["file_name"] for row in touched.collect()}
        small: dict[str, list[str]] = {}
        for name, size in files:
            if size < SMALL_FILE:
                small.setdefault(month_of(name), []).append(name)
        again |= {name for names in small.values() if len(names) > MOST_SMALL_FILES for name in names}
        return [name for name, _ in files if name not in again], sorted(again)

    def _is_out(self) -> Any:
        """Whether the window closed behind a row of the output."""
        first = F.lit(self.settings.start.isoformat()).cast("timestamp")
        return local_time(F.col("order_placed_datetime"), self.settings.timezone) < first

    def _unchanged_rows(self, old: DataFrame, names: list[str], keys: DataFrame) -> DataFrame:
        folder = self.output_path.rstrip("/")
        paths = [storage.spark_path(f"{folder}/{name}", literal=True) for name in names]
        rows = self.spark.read.schema(old.schema).parquet(*paths).where(~self._is_out())
        return rows.join(keys, published_key(self.channel) == F.col(CHANGED), "left_anti")


class TypedMapping:
    """The typed copy of the customer mapping, and how it differs from those of refreshes before."""

    def __init__(self, spark: SparkSession, copy: Copy, folder: str) -> None:
        self.copy = copy
        self._spark, self._folder = spark, folder
        self._compared: dict[str, str] = {}
        self._one_at_a_time = Lock()  # Swiggy and in-store run side by side

    def changes(self, before: Copy) -> DataFrame | None:
        """The rows that came or went since an older copy, None where it is the same; compared once for all channels."""
        if before.folder == self.copy.folder:
            return None
        with self._one_at_a_time:
            if before.folder not in self._compared:
                path = f"{self._folder}-changes-{len(self._compared)}"
                rows = differing_mapping(*[read_output(self._spark, each.folder) for each in (self.copy, before)])
                rows.write.mode("error").parquet(storage.spark_path(path))
                self._compared[before.folder] = path
        return read_output(self._spark, self._compared[before.folder])


def refresh(
    config: Config, spark: SparkSession, ready: Preflight, context: RunContext, since: date | None = None
) -> list[StepResult]:
    """Run the steps of ``ready``, the order features refreshed. Raises as run_steps does."""
    if ready.inputs is None or not ready.inputs.orders:
        return run_steps(config, spark, ready, context)
    inputs, features = ready.inputs, config.feature_pipeline
    configure(spark)
    outputs = {name: getattr(features, name).output_path for name in CHANNELS}
    folder = state_folder(outputs["ownapp"], "customer_mapping")
    try:
        copy = _mapping_copy(spark, inputs, features.common.timezone, _states(outputs), f"{folder}/{context.run_id}")
        mapping = TypedMapping(spark, copy, f"{folder}/{context.run_id}")

        def orders_of(channel: str) -> OrderFeaturePipeline:
            return RefreshPipeline(config, channel, spark, inputs=inputs, context=context, mapping=mapping, since=since)

        return run_steps(config, spark, ready, context, orders_of)
    finally:
        needed = {state.mapping.folder.rpartition("/")[2] for state in _states(outputs)}
        remove(folder, lambda name: name not in needed)


def _states(outputs: Mapping[str, str]) -> list[ChannelState]:
    """The states that there are of the channels' outputs."""
    found = [read_state(f"{state_folder(path, name)}/state.json") for name, path in outputs.items()]
    return [state for state in found if state]


def _mapping_copy(
    spark: SparkSession, inputs: RawInputs, timezone: str, states: Sequence[ChannelState], folder: str
) -> Copy:
    """The copy that a refresh before made of the same files, or a new one."""
    table = inputs.customer_mapping
    files, typed = described(table.files), typed_by(table.spec, timezone)
    for copy in (state.mapping for state in states):
        if copy.files == files and copy.typed_by == typed and copy.is_whole():
            return copy
    rows = sources.read_table(spark, table, timezone).select(*[field.name for field in table.spec.fields])
    hashed_mapping(rows).write.mode("error").parquet(storage.spark_path(folder))
    return copy_of(table, folder, timezone)


def remove(folder: str, unwanted: Callable[[str], bool]) -> None:
    """Remove from a folder of ours what has an unwanted name."""
    mark = f"{folder[folder.rindex('/_refresh/') :]}/"  # listed paths may have lost their scheme
    found = {info.path.partition(mark)[2].split("/")[0] for info in storage.list_files(folder)}
    for name in found - {""}:
        if unwanted(name):
            storage.delete(f"{folder}/{name}")
