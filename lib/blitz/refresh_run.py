"""A refresh: the steps of a run, with order features that keep what cannot have changed (see refresh.py)."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
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
from blitz.refresh import CHANGED, Before, Changed, ChangedReader, MappedReader, differing_mapping
from blitz.refresh_copies import Readable, readable
from blitz.refresh_state import (
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
        mapping: the customer mapping of ``inputs``.
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
        mapping: "MappingCopy",
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
        mapping = read_output(self.spark, self._mapping.folder)
        users = self._users()
        tables = raw_tables(self._raw, self.channel.name)
        now = made_by(self.config, self.settings, self.channel.name, self._raw.mappings())
        before = read_state(self._state)
        found = changes(before, tables) if before else Changes(_NONE, _NONE)
        window = (self.settings.start.isoformat(), self.settings.end.isoformat())
        reason = why_full(before, now, window, output_files(self.output_path), found.lost, self._since is not None)
        added, counter = {**_NONE, **found.added}, Counter()
        readables = {name: self._readable(name, tables[name], added, before, counter) for name in ("orders", "lines")}
        if reason is None and before is not None:
            reason = self._refresh(before, mapping, users, added, readables, counter)
        if reason is not None:
            self._compute_all(reason, mapping)
        assert self.result is not None
        self.result.details["refresh"] = self._details
        self.result.seconds = time.monotonic() - self._started
        inputs = {name: described(table.files) for name, table in tables.items()}
        inputs["customer_mapping"] = described(self._raw.customer_mapping.files)
        users_path = None if users is None else self._users_path()
        copies = {name: each.copies for name, each in readables.items()}
        outputs = output_files(self.output_path)
        ChannelState(now, *window, inputs, outputs, self._mapping.folder, users_path, copies).write(self._state)
        folders = {copy.folder.rpartition("/")[2] for each in copies.values() for copy in each}
        remove_all_but(self._folder, {"state.json", f"users-{self.context.run_id}", *folders})
        return read_output(self.spark, self.output_path, self.context.format)

    def _readable(
        self,
        name: str,
        table: RawTable,
        added: dict[str, frozenset[str]],
        before: ChannelState | None,
        counter: Counter,
    ) -> Readable:
        folder, zone = f"{self._folder}/{name}-{self.context.run_id}", self.settings.timezone
        copies = before.copies.get(name, []) if before else []
        return readable(self.spark, table, zone, added[name], copies, folder, counter)

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
        added: dict[str, frozenset[str]],
        tables: dict[str, Readable],
        counter: Counter,
    ) -> str | None:
        """Compute and publish what changed; returns why that cannot be, or None."""
        old = read_output(self.spark, self.output_path)
        old_users = read_output(self.spark, before.users) if before.users else None
        changes_path = self._mapping.changes.get(before.mapping)
        mapping_changes = read_output(self.spark, changes_path) if changes_path else None
        self._before = Before(date.fromisoformat(before.end), mapping_changes, old_users, old, added)
        queries = self._raw.queries.get(self.channel.name)
        self._changed = Changed(self, tables, queries, self._before, counter)
        self._keys = self._changed.keys(mapping, users, self._since, f"{self._folder}/keys-{self.context.run_id}")
        number = self._keys.count()
        if number == 0 and not self._changed.has_new_rows and before.start == self.settings.start.isoformat():
            self._leave_as_it_is(old)
            return None
        self._details = {"computed": "changed", "changed_keys": number}
        read = {name: each.table for name, each in tables.items()}
        zone = self.settings.timezone
        self._reader = ChangedReader(self.spark, self._raw, zone, mapping, self._keys, read, added)
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


@dataclass(frozen=True)
class MappingCopy:
    """The typed customer mapping: its folder, and by the folder of an older one, where the rows stand that differ."""

    folder: str
    changes: dict[str, str]


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
    mapping = _mapping_copy(spark, inputs, features.common.timezone, _states(outputs), folder, context.run_id)

    def orders_of(channel: str) -> OrderFeaturePipeline:
        return RefreshPipeline(config, channel, spark, inputs=inputs, context=context, mapping=mapping, since=since)

    results = run_steps(config, spark, ready, context, orders_of)
    remove_all_but(folder, {state.mapping.rpartition("/")[2] for state in _states(outputs)})
    return results


def _states(outputs: Mapping[str, str]) -> list[ChannelState]:
    """The states that there are of the channels' outputs."""
    found = [read_state(f"{state_folder(path, name)}/state.json") for name, path in outputs.items()]
    return [state for state in found if state]


def _mapping_copy(
    spark: SparkSession, inputs: RawInputs, timezone: str, states: Sequence[ChannelState], folder: str, run_id: str
) -> MappingCopy:
    """A copy that a refresh before made of the same files, or a new one; compared with those that other states name."""
    files, copy = described(inputs.customer_mapping.files), f"{folder}/{run_id}"
    there = [state for state in states if storage.exists(state.mapping)]
    same = next((state.mapping for state in there if state.inputs.get("customer_mapping") == files), None)
    if same is None:
        names = [field.name for field in inputs.customer_mapping.spec.fields]
        rows = sources.read_table(spark, inputs.customer_mapping, timezone).select(*names)
        rows.write.mode("error").parquet(storage.spark_path(copy))
    changes: dict[str, str] = {}
    for old in {state.mapping for state in there} - {same}:
        changes[old] = f"{folder}/{run_id}-changes-{len(changes)}"
        rows = differing_mapping(read_output(spark, same or copy), read_output(spark, old))
        rows.write.mode("error").parquet(storage.spark_path(changes[old]))
    return MappingCopy(same or copy, changes)


def remove_all_but(folder: str, names: set[str]) -> None:
    """Remove what stands in a folder of ours but for some names."""
    mark = f"{folder[folder.rindex('/_refresh/') :]}/"  # listed paths may have lost their scheme
    found = {info.path.partition(mark)[2].split("/")[0] for info in storage.list_files(folder)}
    for name in found - names - {""}:
        storage.delete(f"{folder}/{name}")
