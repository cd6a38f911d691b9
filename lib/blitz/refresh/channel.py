"""Refresh the order features of one channel: follow its plan, publish, and write the state.

Each plan is ``OrderFeaturePipeline`` with a reader and a publisher that fit it.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.config import Config
from blitz.pipelines.context import RunContext, StepResult
from blitz.pipelines.gates import channel_gate
from blitz.pipelines.orders import ComputedOrders, Gate, OrderFeaturePipeline, order_settings
from blitz.pipelines.outputs import RunOutputs, StagedStep
from blitz.pipelines.reader import Reader, raw_tables
from blitz.publish.months import month_of
from blitz.publish.tables import inspect, read_output
from blitz.raw.channels import Channel
from blitz.raw.inputs import RawInputs
from blitz.raw.tables import RawTable
from blitz.refresh.copies import ErasedRows, materialize_csv
from blitz.refresh.keys import KeyFinder, UnreadFiles, files_with_keys
from blitz.refresh.mapping import MappingRows
from blitz.refresh.plan import (
    OTHER_COLUMNS,
    Changed,
    ChannelInputs,
    Full,
    OutputSplit,
    Plan,
    Unchanged,
    plan_channel,
    split_output,
)
from blitz.refresh.publisher import MonthPublisher, unchanged_per_day, unchanged_rows
from blitz.refresh.readers import AllOrdersReader, ChangedOrdersReader
from blitz.refresh.state import (
    ChannelState,
    TableCopy,
    folder_name,
    keep_only,
    output_files,
    read_state,
    remove,
    state_folder,
)
from blitz.refresh.users import OwnAppUsers
from blitz.spark.staging import Staging

log = logging.getLogger(__name__)

# Keys that fit into the memory of every executor (as text some 100 bytes each): broadcast, no other row is shuffled.
MAX_BROADCAST_KEYS = 2_000_000


@dataclass(frozen=True)
class IncrementalPlan:
    """What a refresh of the changed orders reads and writes.

    Args:
        keys: the keys of the changed orders as ``changed_key``.
        number: how many keys there are.
        with_keys: the files that may have rows of the keys (``files_with_keys``).
        unread: the raw files that no refresh has read.
        output: the published order features, and which of their files stay.
        split: which files of the output are kept, rewritten and dropped.
    """

    keys: DataFrame
    number: int
    with_keys: Mapping[str, set[str]]
    unread: UnreadFiles
    output: DataFrame
    split: OutputSplit


@dataclass(frozen=True)
class ChannelRefresh:
    """Refreshes the order features of one channel.

    Args:
        config: the config.
        spark: the session.
        context: the run that this step belongs to.
        channel: the channel.
        raw: the raw tables of the run.
        now: what the order features depend on now.
        mapping: the rows of the customer mapping.
        users: the own-app users.
        staging: gets the frames that several queries of the run read.
        outputs: the outputs of the run.
        before: the channel's step in the previous manifest; None where there is none.
    """

    config: Config
    spark: SparkSession
    context: RunContext
    channel: Channel
    raw: RawInputs
    now: ChannelInputs
    mapping: MappingRows
    users: OwnAppUsers
    staging: Staging
    outputs: RunOutputs
    before: Mapping[str, Any] | None = None

    @property
    def path(self) -> str:
        """The path of the output."""
        return self.config.feature_pipeline.channel(self.channel.name).output_path

    @property
    def folder(self) -> str:
        """The folder of the state and of the copies of CSV tables."""
        return state_folder(self.path, self.channel.name)

    @property
    def state_path(self) -> str:
        """The path of the state."""
        return f"{self.folder}/state.json"

    def stage(self, since: date | None = None) -> StagedStep:
        """Compute, stage and check what changed; once it is published, the step writes the state.

        ``details["refresh"]`` of the result says what was computed. Raises as ``OrderFeaturePipeline`` does; then
        ``remove_unnamed`` removes what was written next to the state.
        """
        started = time.monotonic()
        before = read_state(self.state_path)
        plan = plan_channel(before, self.now, since)
        typed, copies = self._copied(before)
        staged = self._follow(plan, typed)
        if not self.channel.defines_users:
            self.users.write()  # also where no order was computed: the state names the copy
        result = replace(staged.result, seconds=time.monotonic() - started)
        log.info("%s: refresh: %s", self.channel.name, result.details["refresh"])
        return replace(staged, result=result, finish=partial(self._write_state, copies))

    def _write_state(self, copies: dict[str, tuple[TableCopy, ...]]) -> None:
        """Write the state of the published output and remove what only earlier states needed."""
        state = ChannelState(
            fingerprints=dict(self.now.fingerprints),
            window=self.now.window,
            inputs={name: table.files for name, table in self.now.tables.items()},
            output=output_files(self.path),
            mapping=self.mapping.copy,
            users=None if self.channel.defines_users else self.users.published(),
            copies=copies,
        )
        state.write(self.state_path)
        keep_only(self.folder, {folder_name(self.state_path), *_folders(copies)})

    def _copied(self, before: ChannelState | None) -> tuple[dict[str, RawTable], dict[str, tuple[TableCopy, ...]]]:
        """The orders and lines as a refresh reads them, and the copies of those that are CSV."""
        typed, copies = {}, {}
        digest, keys = self.raw.suppression.digest, self.mapping.erased_keys(self.channel)
        for name, key in (("orders", self.channel.order_key()), ("lines", self.channel.line_key())):
            earlier = before.copies.get(name, ()) if before else ()
            folder = f"{self.folder}/{name}-{self.context.run_id}"
            typed[name], copies[name] = materialize_csv(
                self.spark, self.now.tables[name], self._timezone, earlier, folder, ErasedRows(digest, key, keys)
            )
        return typed, copies

    def _follow(self, plan: Plan, typed: Mapping[str, RawTable]) -> StagedStep:
        match plan:
            case Full(reason):
                return self._compute_all(reason)
            case Unchanged():
                return StagedStep(self._unchanged(read_output(self.spark, self.path)))
            case Changed():
                return self._compute_changed(plan, typed)

    def _compute_all(self, reason: str) -> StagedStep:
        log.info("%s: all orders are computed: %s", self.channel.name, reason)
        reader = AllOrdersReader(self.spark, self.raw, self._timezone, self.mapping, self.staging)
        gate = channel_gate(self.config, self.channel.name, self.before)
        pipeline = self._pipeline(reader, MonthPublisher(self.path, self._timezone, self.context.run_id), gate)
        staged = self._stage(pipeline, pipeline.compute())
        staged.result.details["refresh"] = {"computed": "all", "reason": reason}
        return staged

    def _stage(self, pipeline: OrderFeaturePipeline, computed: ComputedOrders) -> StagedStep:
        return pipeline.stage(computed, self.outputs.open(self.path, pipeline.publishing()))

    def _unchanged(self, output: DataFrame) -> StepResult:
        published = inspect(output, self.path, self.path, by_name=True)
        return StepResult(self.channel.name, published, [], 0.0, details={"refresh": {"computed": "nothing"}})

    def _leave_checked(self, output: DataFrame, pipeline: OrderFeaturePipeline, reader: Reader) -> StagedStep:
        """Leave the output, although rows of the mapping are new: the account shows them, and too many bad ones stop
        the refresh."""
        result = self._unchanged(output)
        result.accounts = reader.accounts(self.channel)
        result.quarantine = pipeline.check_rejected(reader, result.accounts, raw_tables(self.raw, self.channel.name))
        return StagedStep(result)

    def _compute_changed(self, plan: Changed, typed: Mapping[str, RawTable]) -> StagedStep:
        """Compute and stage the changed orders; all orders where the columns changed."""
        found = self._incremental_plan(plan, typed)
        reader = self._changed_reader(found, typed)
        pipeline = self._changed_pipeline(found, reader)
        if found.number == 0 and found.unread.is_empty and not plan.drops_orders:
            return self._leave_checked(found.output, pipeline, reader)
        computed = pipeline.compute()
        if computed.frame.dtypes != found.output.dtypes:
            return self._compute_all(OTHER_COLUMNS)
        staged = self._stage(pipeline, computed)
        staged.result.details["refresh"] = {
            "computed": "changed",
            "changed_keys": found.number,
            "files_kept": len(found.split.keep),
            "months_rewritten": sorted({month_of(name) for name in found.split.rewrite | found.split.drop}),
        }
        return staged

    def _incremental_plan(self, plan: Changed, typed: Mapping[str, RawTable]) -> IncrementalPlan:
        settings, output = order_settings(self.config.feature_pipeline), read_output(self.spark, self.path)
        unread = UnreadFiles(self.spark, self.channel, self._timezone, self.now.tables, plan.files)
        finder = KeyFinder(self.spark, self.channel, settings, typed["orders"], output)
        keys = finder.write(plan, unread, self.mapping, self.users, f"{self.folder}/keys-{self.context.run_id}")
        number = keys.count()
        keys = F.broadcast(keys) if number <= MAX_BROADCAST_KEYS else keys
        paths = [f"{self.path.rstrip('/')}/{each.name}" for each in self.now.output]
        with_keys = files_with_keys(self.spark, self.channel, typed, self._timezone, paths, keys)
        split = split_output(self.now.output, with_keys["output"], self.now.window.start)
        return IncrementalPlan(keys, number, with_keys, unread, output, split)

    def _changed_reader(self, found: IncrementalPlan, typed: Mapping[str, RawTable]) -> ChangedOrdersReader:
        return ChangedOrdersReader(
            self.spark,
            self.raw,
            self._timezone,
            mapping=self.mapping,
            keys=found.keys,
            tables=typed,
            with_keys=found.with_keys,
            unread=found.unread,
            staging=self.staging,
        )

    def _changed_pipeline(self, found: IncrementalPlan, reader: Reader) -> OrderFeaturePipeline:
        start, rewrite = self.now.window.start, found.split.rewrite
        unchanged = unchanged_rows(found.output, self.path, rewrite, self.channel, found.keys, self._timezone, start)
        publisher = MonthPublisher(self.path, self._timezone, self.context.run_id, found.split.keep, unchanged)
        days = partial(unchanged_per_day, found.output, self.channel, found.keys, self._timezone, self.now.window.end)
        gate = channel_gate(self.config, self.channel.name, self.before, days)
        # A quarantine of its own: that of a full computation has the rejected rows of all files.
        return self._pipeline(reader, publisher, gate, f"{self.channel.name}_new_files")

    def _pipeline(
        self, reader: Reader, publisher: MonthPublisher, gate: Gate, quarantine_name: str | None = None
    ) -> OrderFeaturePipeline:
        return OrderFeaturePipeline(
            self.config,
            self.channel.name,
            self.spark,
            inputs=self.raw,
            context=self.context,
            reader=reader,
            publisher=publisher,
            users=self.users.read,
            quarantine_name=quarantine_name,
            gate=gate,
            staging=self.staging,
        )

    @property
    def _timezone(self) -> str:
        return self.config.feature_pipeline.common.timezone


def remove_unnamed(folder: str, run_id: str) -> None:
    """Remove what a run wrote to the folder of a channel's state and the state does not name."""
    state = read_state(f"{folder}/state.json")
    named = _folders(state.copies) if state else set()
    remove(folder, lambda name: run_id in name and name not in named)


def _folders(copies: Mapping[str, Sequence[TableCopy]]) -> set[str]:
    return {folder_name(copy.folder) for each in copies.values() for copy in each}
