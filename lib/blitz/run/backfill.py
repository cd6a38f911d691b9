"""Runs as of several dates that read the raw files once.

What does not depend on the run date is staged in a scratch folder: the typed raw rows, the lines aggregated per order,
the customer of every order. Each date then does the rest of a run: window, repeated orders, own-app users, and all
later steps.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from blitz import storage
from blitz.accounts import READ, Account, Reason, RowMetrics
from blitz.config import Config, add_months
from blitz.config.paths import OUTPUTS
from blitz.config.values import dig, parse_date
from blitz.errors import ConfigError, StepError
from blitz.features.lines import line_features
from blitz.features.order_customers import OrderCustomers, customer_keys, keyed_customers, mapping_rows
from blitz.features.orders import CountedLines, good_lines
from blitz.pipelines.context import RunContext, StepResult
from blitz.pipelines.orders import order_settings
from blitz.pipelines.reader import query_keys
from blitz.publish.tables import read_output
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel, channel_of
from blitz.raw.customer_mapping import MAPPING, mapping_account, observe_mapping
from blitz.raw.cut_off import naming_cut_off_files
from blitz.raw.inputs import RawInputs
from blitz.raw.mappings import item_table
from blitz.raw.suppression import Suppression
from blitz.run.execute import run_steps
from blitz.run.manifest import manifest, manifest_path, previous_steps, write_manifest
from blitz.run.preflight import check_published_inputs
from blitz.run.steps import Preflight, run_orders
from blitz.storage.frames import write_parquet

log = logging.getLogger(__name__)

_MAPPING_FOLDER = "customer_mapping"
STRIDES = ("month", "week", "day")
# Appended to; the rejected rows are the same for each date; a run replaces those of its date.
_SHARED = ("run.debug_log", "run.quarantine_path", "run.history_path")


def run_dates(first: str, last: str, every: str) -> list[date]:
    """The run dates from ``first`` to ``last``, both inclusive where the stride reaches them.

    Monthly dates keep the day of the first one; in a shorter month it is the last day. Raises ConfigError for text that
    is not a date, and for a ``last`` before ``first``.
    """
    problems, ends = [], []
    for option, text in (("--from", first), ("--to", last)):
        try:
            ends.append(parse_date(text))
        except ValueError as error:
            problems.append(f"{option}: {error}")
    if problems:
        raise ConfigError(problems)
    begin, end = ends
    if begin > end:
        raise ConfigError([f"--to: {end} is before --from {begin}"])
    dates, at = [], begin
    while at <= end:
        dates.append(at)
        count = len(dates)
        at = add_months(begin, count) if every == "month" else begin + timedelta(days=count * _DAYS[every])
    return dates


_DAYS = {"week": 7, "day": 1}


def require_own_places(configs: Sequence[Config], steps: Sequence[str]) -> None:
    """Raise ConfigError where the runs as of several dates would write to the same path, or read it."""
    if len(configs) < 2:
        return
    one, other = (config.model_dump(mode="json", by_alias=True) for config in configs[:2])
    problems = [
        f"{key}: the same path for each date; put {{as_of}} into it"
        for key in (*OUTPUTS, "segmentation.input_path", "segmentation.scores_path")
        if key not in _SHARED and dig(one, key) is not None and dig(one, key) == dig(other, key)
    ]
    if not problems and manifest_path(configs[0], steps) == manifest_path(configs[1], steps):
        problems.append(
            f"run.manifest_path: the manifest would be {manifest_path(configs[0], steps)} for each date; "
            "set it, with {as_of}, or put {as_of} into the folder of the customer output"
        )
    if problems:
        raise ConfigError(problems)


def require_scratch(config: Config, scratch: str | None) -> None:
    """Raise ConfigError where there is no folder for what the dates share."""
    if scratch is None and storage.is_table(config.feature_pipeline.ownapp.output_path):
        raise ConfigError(["--scratch: name a folder: the own-app output is a table, which has no folder next to it"])


def scratch_path(config: Config, run_id: str) -> str:
    """Where a backfill stages what its dates share: a hidden folder next to the own-app output of the first date."""
    folder = config.feature_pipeline.ownapp.output_path.rstrip("/").rpartition("/")[0]
    return f"{folder}/.blitz-backfill-{run_id}"


@dataclass(frozen=True)
class StagedReader:
    """Reads what ``stage`` wrote; ``line_counts``: per channel the number of lines read and of bad records;
    ``mapping``: the first channel and the customer mapping's account; ``suppression``: whose orders are left out;
    ``of_erased``: ``algonomy_id`` of those that the mapping names."""

    spark: SparkSession
    folder: str
    line_counts: dict[str, tuple[int, int]]
    mapping: tuple[str, Account]
    with_queries: frozenset[str]
    suppression: Suppression
    of_erased: DataFrame | None

    def orders(self, channel: Channel) -> DataFrame:
        """Return the staged orders."""
        return self._read(channel, "orders").drop("file", "raw")

    def lines(self, channel: Channel) -> DataFrame | CountedLines:
        """Return the staged lines, aggregated per order."""
        return CountedLines(self._read(channel, "lines_per_order"), *self.line_counts[channel.name])

    def customers(self, channel: Channel) -> OrderCustomers:
        """Return the staged customer of every order key."""
        return OrderCustomers(self._read(channel, "customers"), lambda rows: rows)

    def queries(self, channel: Channel) -> DataFrame | None:
        """Return the staged keys of the orders with a query; None where the channel has no queries."""
        return self._read(channel, "queries") if channel.name in self.with_queries else None

    def rejected(self, channel: Channel, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rejected rows of the staged ``orders``, ``lines`` and ``customer mapping``, those named."""
        staged = {name: self._mapping_rows() if name == MAPPING else self._read(channel, name) for name in tables}
        return [sources.rejected_rows(rows, name) for name, rows in staged.items()]

    def accounts(self, channel: Channel) -> list[Account]:
        """Return the account of the customer mapping for the first channel of the run."""
        first, account = self.mapping
        return [account] if channel.name == first else []

    def erased_customers(self) -> DataFrame | None:
        """Return ``algonomy_id`` of the erased customers whom the mapping names; None where nobody is erased."""
        return self.of_erased

    def erased(self, channel: Channel, stems: DataFrame) -> DataFrame:
        """Return ``order_key`` of all orders of erased customers. Not where nobody is erased."""
        assert self.of_erased is not None
        return self.of_erased.join(self.customers(channel).all(), "algonomy_id").select("order_key")

    def _mapping_rows(self) -> DataFrame:
        return read_output(self.spark, f"{self.folder}/{_MAPPING_FOLDER}")

    def _read(self, channel: Channel, table: str) -> DataFrame:
        return read_output(self.spark, f"{self.folder}/{channel.name}/{table}")


def stage(config: Config, spark: SparkSession, inputs: RawInputs, folder: str) -> StagedReader:
    """Read every raw table of the channels and the customer mapping once, and write what all dates share."""
    zone = config.feature_pipeline.common.timezone
    mappings = inputs.mappings()
    counts, mapping_metrics = {}, RowMetrics()
    staged = _staged(sources.read_with_raw(spark, inputs.customer_mapping, zone), f"{folder}/{_MAPPING_FOLDER}")
    mapping = mapping_rows(staged)
    erased = None if inputs.suppression.is_empty else inputs.suppression.among(mapping, "customer")
    for name in inputs.orders:
        place = f"{folder}/{name}"
        channel = channel_of(name, config.feature_pipeline.common.business_day_minutes)
        _staged(sources.read_with_raw(spark, inputs.orders[name], zone), f"{place}/orders")
        lines = _staged(sources.read_with_raw(spark, inputs.lines[name], zone), f"{place}/lines")
        metrics = RowMetrics()
        per_order = line_features(
            good_lines(lines, metrics),
            channel,
            order_settings(config.feature_pipeline).price_bins,
            item_table(spark, mappings, channel),
            mappings.menu.masks,
        )
        _staged(per_order, f"{place}/lines_per_order")
        found = metrics.counts("lines")
        counts[name] = found[READ], found[Reason.BAD_RECORD]
        known = observe_mapping(mapping, mapping_metrics) if name == inputs.first_channel else mapping
        _staged(customer_keys(keyed_customers(known, channel)), f"{place}/customers")
        if name in inputs.queries:
            _staged(query_keys(sources.read_table(spark, inputs.queries[name], zone)), f"{place}/queries")
        log.info("%s: staged", name)
    account = mapping_account(mapping_metrics.counts(MAPPING))
    first = inputs.first_channel
    queries = frozenset(inputs.queries)
    return StagedReader(spark, folder, counts, (first, account), queries, inputs.suppression, erased)


def _staged(rows: DataFrame, path: str) -> DataFrame:
    """Write rows and return them as written."""
    write_parquet(rows, path)
    return read_output(rows.sparkSession, path)


def backfill(
    configs: Sequence[Config], spark: SparkSession, ready: Preflight, run_id: str, scratch: str | None = None
) -> dict[date, list[StepResult]]:
    """Run the steps of ``ready`` as of each config's date, oldest first; each date has its own outputs and manifest.

    Args:
        configs: the configs of the dates, oldest first.
        spark, ready: the session, and what preflight returned for the first config.
        run_id: the name of the backfill; each date's run adds its date.
        scratch: the folder of what the dates share, by default ``scratch_path``; it is removed at the end.

    Returns the results per date. What a date published stays where a later one fails. Raises ConfigError where two
    dates would write to the same path, StepError for the first step that failed.
    """
    require_own_places(configs, ready.steps)
    for config in configs:
        check_published_inputs(config, ready.steps, spark)
    folder = f"{scratch.rstrip('/')}/{run_id}" if scratch else scratch_path(configs[0], run_id)
    done: dict[date, list[StepResult]] = {}
    try:
        has_channels = ready.inputs is not None and ready.inputs.orders
        reader = None
        if ready.inputs and has_channels:
            with naming_cut_off_files(*ready.inputs.large_tables()):
                reader = stage(configs[0], spark, ready.inputs, folder)
        for config in configs:
            as_of = config.feature_pipeline.common.current_run_date
            try:
                done[as_of] = _run_date(config, spark, ready, f"{run_id}-{as_of:%Y%m%d}", reader)
            except StepError as error:
                hint = f"the outputs as of earlier dates are published; run again from {as_of}" if done else None
                raise StepError(error.step, error.cause, f"as of {as_of}: {error.reason}", hint) from error.cause
    finally:
        storage.delete(folder)
    return done


def _run_date(
    config: Config, spark: SparkSession, ready: Preflight, run_id: str, reader: StagedReader | None
) -> list[StepResult]:
    """Run the steps as of a config's date and write the manifest."""
    log.info("as of %s: started", config.feature_pipeline.common.current_run_date)
    context = RunContext.of(config, run_id)
    ready = replace(ready, before=previous_steps(config))  # an earlier date may have published them just now
    results = run_steps(config, spark, ready, context, partial(run_orders, reader=reader))
    write_manifest(manifest_path(config, ready.steps), manifest(config, spark, ready, results, run_id))
    return results
