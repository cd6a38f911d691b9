"""Order features of one channel: read, compute, publish (docs/contract.md, section 3)."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial, reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.accounts import Account, RowMetrics
from blitz.catalog.names import below, sibling
from blitz.config import ConfigSource, FeaturePipeline, config_of
from blitz.errors import BlitzError
from blitz.features.orders import OrderSettings, OrderTables, order_accounts, order_features
from blitz.pipelines.context import RunContext, StepResult, session_of
from blitz.pipelines.gates import channel_gate
from blitz.pipelines.outputs import StagedStep
from blitz.pipelines.previous import previous_feature_steps
from blitz.pipelines.publisher import Publisher, TablePublisher
from blitz.pipelines.reader import FileReader, Reader, raw_tables
from blitz.publish.tables import Output, publish, read_output
from blitz.raw.channels import CHANNELS, USER_CHANNEL, Channel, channel_of
from blitz.raw.cut_off import naming_cut_off_files
from blitz.raw.erased_rows import ErasedOrders
from blitz.raw.inputs import RawInputs, raw_inputs, read_options
from blitz.raw.mappings import Mappings, item_table, store_table
from blitz.raw.rejections import damaged_files, rejections
from blitz.raw.tables import RawTable
from blitz.spark.session import configure
from blitz.spark.staging import Staging
from blitz.storage import is_table

# Called with the account of the orders, all counts and the number of staged rows; returns what the manifest says of
# it. Raises GateError.
Gate = Callable[[Account, Mapping[str, int], int], list[dict[str, str]]]


@dataclass(frozen=True)
class ComputedOrders:
    """The order features of a channel as a lazy frame, with what their accounts need once the frame is written.

    ``started`` is the ``time.monotonic()`` at which the computation began.
    """

    frame: DataFrame
    channel: Channel
    metrics: RowMetrics
    reader: Reader
    conflicts: Mapping[str, int]
    raw: Mapping[str, RawTable]
    started: float

    def accounts(self) -> list[Account]:
        """Return the accounts of the raw tables; call it after the frame was written."""
        return order_accounts(self.metrics, self.conflicts) + self.reader.accounts(self.channel)


class OrderFeaturePipeline:
    """Order features of one channel (docs/contract.md, section 3).

    Everything that varies is given here and nothing changes afterwards: a refresh or a backfill gives its own reader,
    publisher and users.

    Args:
        config: a Config, or the path or content of a whole config or of the users' ``feature_pipeline_config.json``.
        channel: ``ownapp``, ``swiggy`` or ``instore``.
        spark: the session; by default the active one, or a new one of the config's engine.
        inputs: the raw tables; by default they are looked up at the run.
        context: the run that this step belongs to; by default a run of its own.
        reader: where the raw rows come from; by default the raw files.
        publisher: how the features replace the output; by default as one table.
        users: returns a frame with the ``algonomy_id`` of the own-app users; by default those of the own-app output.
            Own app itself does not ask for them.
        quarantine_name: the folder of the rejected rows; by default the channel's name.
        gate: looks at the counts before the features are published; by default the gates of the config do, compared
            with the manifests next to the customer features.
        staging: gets the frames that several queries or steps of the run read; by default one that ``run`` removes.
    """

    def __init__(
        self,
        config: ConfigSource,
        channel: str,
        spark: SparkSession | None = None,
        *,
        inputs: RawInputs | None = None,
        context: RunContext | None = None,
        reader: Reader | None = None,
        publisher: Publisher | None = None,
        users: Callable[[], DataFrame] | None = None,
        quarantine_name: str | None = None,
        gate: Gate | None = None,
        staging: Staging | None = None,
    ) -> None:
        if channel not in CHANNELS:
            raise BlitzError(f"unknown channel {channel!r}; known: {', '.join(CHANNELS)}")
        whole = config_of(config, "feature_pipeline")
        self._whole = whole
        self.config: FeaturePipeline = whole.feature_pipeline
        self.channel: Channel = channel_of(channel, self.config.common.business_day_minutes)
        self.spark = spark or session_of(whole)
        self.context = context or RunContext.of(whole)
        self._inputs = inputs
        self._reader = reader
        self._publisher = publisher or TablePublisher(self.context, self.output_path, channel)
        self._users = users or self._published_users
        self._quarantine_name = quarantine_name or channel
        self._gate = gate or self._gate_of_config
        self._staging = staging or Staging()

    @property
    def output_path(self) -> str:
        """Where the order features are published."""
        return self.config.channel(self.channel.name).output_path

    def run(self) -> DataFrame:
        """Compute and publish the order features and return them as published.

        Raises InputError for missing files or columns, BlitzError where too many rows cannot be read, GateError where a
        gate stops it; then the previous output stays.
        """
        with self._staging:
            self.publish(self.compute())
        return self.context.read(self.spark, self.output_path)

    def run_instore(self) -> DataFrame:
        """Compute and publish the in-store order features, whatever the channel of this pipeline, and return them."""
        return OrderFeaturePipeline(self._whole, "instore", self.spark, context=self.context).run()

    def compute(self) -> ComputedOrders:
        """Return the order features as a lazy frame. Raises InputError for missing files or columns."""
        started = time.monotonic()
        configure(self.spark)
        inputs = self._inputs or raw_inputs(
            self.config,
            [self.channel.name],
            self.context.allow_repeated_files,
            self.context.suppression_path,
            self.spark,
        )
        reader = self._reader or FileReader(self.spark, inputs, self.config.common.timezone, self._staging)
        mappings, metrics = inputs.mappings(), RowMetrics(self._staging)
        tables = self._tables(reader, mappings)
        frame = order_features(tables, self.channel, order_settings(self.config), metrics)
        raw = raw_tables(inputs, self.channel.name)
        return ComputedOrders(frame, self.channel, metrics, reader, mappings.conflicts, raw, started)

    def publish(self, computed: ComputedOrders) -> StepResult:
        """Publish what ``compute`` returned; the result has the accounts and where the rejected rows are.

        Raises BlitzError where too many rows cannot be read, GateError where a gate stops the run; then the previous
        output stays.
        """
        with self.publishing() as output:
            return self.stage(computed, output).commit()

    def publishing(self) -> AbstractContextManager[Output]:
        """Start a publication of the output. Raises PublishError where the output cannot be replaced."""
        return self._publisher.publishing()

    def stage(self, computed: ComputedOrders, output: Output) -> StagedStep:
        """Stage what ``compute`` returned in a publication of the output, and check it.

        Raises BlitzError where too many rows cannot be read, GateError where a gate stops the run.
        """
        with naming_cut_off_files(*computed.raw.values()):
            staged = output.stage(computed.frame)
        accounts = computed.accounts()
        quarantine = self.check_rejected(computed.reader, accounts, computed.raw)
        counts = computed.metrics.counts("orders")
        details = {"gates": self._gate(accounts[0], counts, staged.rows)}
        seconds = time.monotonic() - computed.started
        return StagedStep(StepResult(self.channel.name, staged, accounts, seconds, quarantine, details), output)

    def check_rejected(self, reader: Reader, accounts: Sequence[Account], raw: Mapping[str, RawTable]) -> str | None:
        """Publish the rejected rows of the accounts to the quarantine; returns its path, None where there are none.

        Raises BlitzError where more rows of a table are rejected than ``run.max_rejected_fraction`` allows, and where
        any of them is the rest of a record, whose first half looks like a record of its own, or text that is not UTF-8.
        """
        quarantine = self._quarantine(reader, accounts)
        rejected = [_table_of(account, raw) for account in accounts if account.rejected_fraction() > 0]
        if quarantine and any(table is None or table.is_csv for table in rejected):
            self._refuse_damaged_files(read_output(self.spark, quarantine))
        self._refuse_too_many_rejected(accounts, quarantine, raw)
        return quarantine

    def _gate_of_config(self, orders: Account, counts: Mapping[str, int], rows: int) -> list[dict[str, str]]:
        before = previous_feature_steps(self._whole).get(self.channel.name)
        return channel_gate(self._whole, self.channel.name, before)(orders, counts, rows)

    def _published_users(self) -> DataFrame:
        return self.context.read(self.spark, self.config.channel(USER_CHANNEL.name).output_path)

    def _tables(self, reader: Reader, mappings: Mappings) -> OrderTables:
        users = None if self.channel.defines_users else self._users()
        return OrderTables(
            orders=reader.orders(self.channel),
            lines=reader.lines(self.channel),
            customers=reader.customers(self.channel).flagged(users, reader.erased_customers()),
            queries=reader.queries(self.channel),
            stores=store_table(self.spark, mappings, self.channel),
            items=item_table(self.spark, mappings, self.channel),
            menu=mappings.menu,
        )

    def _quarantine(self, reader: Reader, accounts: Sequence[Account]) -> str | None:
        """Publish the rejected rows to the quarantine; returns its path, None where there are none."""
        rejected = [account.table for account in accounts if account.rejected_fraction() > 0]
        if not rejected:
            return None
        path = quarantine_path(self.context, self.output_path, self._quarantine_name)
        frames = reader.rejected(self.channel, rejected)
        if not frames:
            return None
        rows = self._of_others(reduce(DataFrame.unionByName, frames), reader)
        fmt = self.context.format if is_table(path) else "parquet"
        publish(rows, path, fmt=fmt, run_id=self.context.run_id)
        return path

    def _of_others(self, rejected: DataFrame, reader: Reader) -> DataFrame:
        """The rejected rows that are not an erased customer's."""
        if reader.suppression.is_empty:
            return rejected
        options, timezone = read_options(self.config, self.channel.name), self.config.common.timezone
        keys = partial(reader.erased, self.channel)
        erased = ErasedOrders(self.channel, options, timezone, reader.suppression, keys)
        return erased.without(self._staging.kept(rejected))

    def _refuse_damaged_files(self, quarantine: DataFrame) -> None:
        damaged = damaged_files(quarantine)
        if damaged.not_utf8:
            raise BlitzError(
                f"{self.channel.name}: files have text that is not UTF-8 (likely Windows-1252 or Latin-1); nothing was "
                "published. Save them as UTF-8" + "".join(f"\n  - {line}" for line in damaged.not_utf8)
            )
        if damaged.half_records:
            raise BlitzError(
                f"{self.channel.name}: rows are the rest of a record with a line break inside quotes; nothing was "
                "published. Set instore.multi_line to true, or correct the files"
                + "".join(f"\n  - {line}" for line in damaged.half_records)
            )

    def _refuse_too_many_rejected(
        self, accounts: Sequence[Account], quarantine: str | None, raw: Mapping[str, RawTable]
    ) -> None:
        most = self.context.max_rejected_fraction
        for account in accounts:
            if account.rejected_fraction() > most:
                counts = ", ".join(f"{reason} {count:,}" for reason, count in account.rejected.items())
                raise BlitzError(
                    f"{self.channel.name} {account.table}: {account.rejected_fraction():.2%} of {account.read:,} rows "
                    f"cannot be read ({counts}), more than run.max_rejected_fraction = {most:.2%}; nothing "
                    f"was published. See {quarantine or ''}, then correct the files or raise the limit"
                    + "".join(f"\n  - {line}" for line in self._why(account, quarantine, raw))
                )

    def _why(self, account: Account, quarantine: str | None, raw: Mapping[str, RawTable]) -> list[str]:
        """What is wrong with the rejected rows of a table, by file and column."""
        table = _table_of(account, raw)
        if table is None or quarantine is None:
            return []
        rows = read_output(self.spark, quarantine).where(F.col("table") == table.spec.name)
        return rejections(rows, table, self.config.common.timezone)


def _table_of(account: Account, raw: Mapping[str, RawTable]) -> RawTable | None:
    """The raw table whose rows an account counts."""
    return next((table for name, table in raw.items() if account.table.startswith(name)), None)


def order_settings(config: FeaturePipeline) -> OrderSettings:
    """The settings that the order features depend on."""
    common = config.common
    return OrderSettings(
        start=config.window_start,
        end=common.current_run_date,
        timezone=common.timezone,
        price_bins=[float(edge) for edge in common.price_config.price_bins],
        bucket_labels=list(common.price_config.bucket_labels),
        excluded_stores=list(config.instore.exclude_store_codes),
    )


def quarantine_path(context: RunContext, output_path: str, step: str) -> str:
    """Where the rejected rows of a step go: below ``run.quarantine_path``, or next to the step's output.

    For tables of a catalog, ``NAME_step`` and ``quarantine_step`` in the schema of the output.
    """
    return below(context.quarantine_path or sibling(output_path, "quarantine"), step)
