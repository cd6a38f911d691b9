"""Order features of one channel: read, compute, publish."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession

from blitz.accounts import Account, Counter
from blitz.config import FeaturePipeline, add_months, feature_pipeline_of
from blitz.errors import BlitzError
from blitz.features.lines import LINE_REASONS
from blitz.features.orders import OrderSettings, OrderTables, order_features, with_user_flag
from blitz.pipelines.context import ConfigLike, RunContext, StepResult
from blitz.pipelines.reader import FileReader, Reader
from blitz.publish.tables import Published, publish, read_output
from blitz.raw.channels import CHANNELS, Channel
from blitz.raw.inputs import RawInputs, raw_inputs
from blitz.raw.mappings import Mappings, category_table, choice_table, store_table
from blitz.spark.session import configure

log = logging.getLogger(__name__)


class OrderFeaturePipeline:
    """Order features of one channel (contract: order features).

    Args:
        config: a Config, the whole config, or the users' ``feature_pipeline`` body.
        channel: ``ownapp``, ``swiggy`` or ``instore``. The last two read the own-app output for its customers.
        spark: the session.
        inputs: raw tables that were found before; by default they are looked up at the run.
        reader: where the rows of the raw tables come from; by default their files.
    """

    def __init__(
        self,
        config: ConfigLike,
        channel: str,
        spark: SparkSession,
        *,
        inputs: RawInputs | None = None,
        context: RunContext | None = None,
        reader: Reader | None = None,
    ) -> None:
        if channel not in CHANNELS:
            raise BlitzError(f"unknown channel {channel!r}; known: {', '.join(CHANNELS)}")
        self.config: FeaturePipeline = feature_pipeline_of(config)
        self.channel: Channel = CHANNELS[channel]
        self.spark = spark
        self.context = context or RunContext.of(config)
        self._inputs = inputs
        self._reader = reader
        self.result: StepResult | None = None

    @property
    def quarantine_name(self) -> str:
        """The folder of the rejected rows."""
        return self.channel.name

    @property
    def output_path(self) -> str:
        """Where the order features go."""
        return str(getattr(self.config, self.channel.name).output_path)

    def run(self) -> DataFrame:
        """Compute and publish the order features; returns them as published. ``result`` holds the accounts.

        Raises InputError for missing files or columns, BlitzError where too many rows cannot be read.
        """
        started = time.monotonic()
        configure(self.spark)
        inputs = self._inputs or raw_inputs(self.config, [self.channel.name])
        mappings = inputs.mappings()
        reader = self._reader or FileReader(self.spark, inputs, self.config.common.timezone)
        counter = Counter()
        features = order_features(self._tables(reader, mappings), self.channel, self.settings, counter)
        accounts: list[Account] = []
        quarantined: list[str] = []

        def check(_rows: int) -> None:
            accounts.extend(self._accounts(counter, mappings))
            quarantined.extend(self._quarantine(reader, accounts))
            self._refuse_too_many_rejected(accounts, quarantined)

        output = self._publish(features, check)
        self.result = StepResult(
            self.channel.name, output, accounts, time.monotonic() - started, next(iter(quarantined), None)
        )
        return read_output(self.spark, self.output_path, self.context.format)

    def _accounts(self, counter: Counter, mappings: Mappings) -> list[Account]:
        return order_accounts(counter.values(), mappings.conflicts)

    def _publish(self, features: DataFrame, check: Callable[[int], None]) -> Published:
        return publish(features, self.output_path, fmt=self.context.format, run_id=self.context.run_id, check=check)

    @property
    def settings(self) -> OrderSettings:
        """What the features depend on beside the data."""
        common = self.config.common
        return OrderSettings(
            start=add_months(common.current_run_date, -common.months_offset),
            end=common.current_run_date,
            timezone=common.timezone,
            price_bins=[float(edge) for edge in common.price_config.price_bins],
            bucket_labels=list(common.price_config.bucket_labels),
            excluded_stores=list(self.config.instore.exclude_store_codes),
        )

    def _users(self) -> DataFrame | None:
        """``algonomy_id`` of the own-app users; None for own app itself."""
        if self.channel.name == "ownapp":
            return None
        return read_output(self.spark, self.config.ownapp.output_path, self.context.format)

    def _tables(self, reader: Reader, mappings: Mappings) -> OrderTables:
        return OrderTables(
            orders=reader.orders(self.channel),
            lines=reader.lines(self.channel),
            customers=with_user_flag(reader.customers(self.channel), self._users()),
            queries=reader.queries(self.channel),
            stores=store_table(self.spark, mappings, self.channel),
            choices=choice_table(self.spark, mappings, self.channel),
            categories=category_table(self.spark, mappings, self.channel),
            menu=mappings.menu,
        )

    def _quarantine(self, reader: Reader, accounts: Sequence[Account]) -> list[str]:
        """Write the rejected rows beside the output; returns the path, nothing where there are none."""
        rejected = [account.table for account in accounts if account.rejected_fraction() > 0]
        if not rejected:
            return []
        path = quarantine_path(self.context, self.output_path, self.quarantine_name)
        frames = reader.rejected(self.channel, rejected)
        if not frames:
            return []
        rows = frames[0] if len(frames) == 1 else frames[0].unionByName(frames[1])
        publish(rows, path, fmt="parquet", run_id=self.context.run_id)
        return [path]

    def _refuse_too_many_rejected(self, accounts: Sequence[Account], quarantined: Sequence[str]) -> None:
        most = self.context.max_rejected_fraction
        for account in accounts:
            if account.rejected_fraction() > most:
                counts: dict[str, int] = {
                    name: account.dropped[name] for name in ("bad_record", "bad_timestamp") if name in account.dropped
                }
                raise BlitzError(
                    f"{self.channel.name} {account.table}: {account.rejected_fraction():.2%} of {account.read:,} rows "
                    f"cannot be read ({_counts(counts)}), more than run.max_rejected_fraction = {most:.2%}; nothing "
                    f"was published. See {', '.join(quarantined)}, then mend the files or raise the limit"
                )


def quarantine_path(context: RunContext, output_path: str, step: str) -> str:
    """Where the rejected rows of a step go: under ``run.quarantine_path``, or beside the step's output."""
    base = context.quarantine_path or output_path.rstrip("/").rpartition("/")[0] + "/quarantine"
    return f"{base.rstrip('/')}/{step}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def order_accounts(counts: Mapping[str, int], conflicts: Mapping[str, int]) -> list[Account]:
    """The accounts of a channel's raw orders and lines from the counts taken along by ``order_features``."""
    reasons = ("bad_record", "bad_timestamp", "outside_window", "excluded_store")
    dropped = {name: counts[name] for name in reasons}
    dropped["duplicate"] = counts["in_window"] - counts["distinct_orders"]
    dropped |= {name: counts[name] for name in ("no_customer", "not_ownapp_user")}
    notes = {"customer_conflicts": counts["customer_conflicts"], **{f"{k}_conflicts": v for k, v in conflicts.items()}}
    lines_dropped = {name: counts[f"lines_{name}"] for name in ("bad_record", "no_order", *LINE_REASONS)}
    return [
        Account("orders", counts["read"], counts["kept"], dropped, notes),
        Account("lines", counts["lines_read"], counts["lines_kept_lines"], lines_dropped),
    ]
