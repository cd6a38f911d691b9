"""The public classes, with the names that users know; thin over the pure functions of the other modules."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from blitz import microsegments, segments, storage
from blitz.accounts import Account, Counter
from blitz.channels import CHANNELS, Channel
from blitz.config import Config, FeaturePipeline, Segmentation, add_months, feature_pipeline_of, segmentation_of
from blitz.config_models import RunOptions
from blitz.customers import CustomerSettings, customer_features
from blitz.errors import BlitzError
from blitz.inputs import RawInputs, menu_inputs, raw_inputs
from blitz.lines import LINE_REASONS
from blitz.mappings import BASE_PREFIX, DRI_PREFIX, Mappings, Menu, category_table, choice_table, slug, store_table
from blitz.orders import OrderSettings, OrderTables, order_features, with_user_flag
from blitz.payload import Payload, load_payload
from blitz.publish import Format, Published, publish, read_output
from blitz.reader import FileReader, Reader
from blitz.rules import Rule, RuleSet, load_rules, require_proven, rules_for_band
from blitz.session import configure

log = logging.getLogger(__name__)

ConfigLike = Config | Mapping[str, Any]


@dataclass
class StepResult:
    """What a step did: its output, row accounts, seconds, and what the summary at the end of a run shows."""

    step: str
    output: Published
    accounts: list[Account]
    seconds: float
    quarantine: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


def new_run_id() -> str:
    """A name for one run: time and a random part, safe in paths."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + uuid.uuid4().hex[:8]


def run_options(config: ConfigLike) -> RunOptions:
    """The ``run`` section of a config; a users' body alone has the defaults."""
    return config.run if isinstance(config, Config) else RunOptions(**config.get("run", {}))


@dataclass(frozen=True)
class RunContext:
    """What the steps of one run share."""

    run_id: str
    format: Format = "parquet"
    max_rejected_fraction: float = 0.01
    quarantine_path: str | None = None

    @classmethod
    def of(cls, config: ConfigLike, run_id: str | None = None) -> "RunContext":
        """The context that a config asks for; a users' body alone gets the defaults."""
        run = run_options(config)
        return cls(run_id or new_run_id(), run.format, float(run.max_rejected_fraction), run.quarantine_path)


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


class CustomerFeaturePipeline:
    """Customer features over the three order outputs (contract: customer features).

    Args:
        config: a Config, the whole config, or the users' ``feature_pipeline`` body.
        spark: the session.
    """

    def __init__(
        self,
        config: ConfigLike,
        spark: SparkSession,
        *,
        inputs: RawInputs | None = None,
        context: RunContext | None = None,
    ) -> None:
        self.config: FeaturePipeline = feature_pipeline_of(config)
        self.spark = spark
        self.context = context or RunContext.of(config)
        self._inputs = inputs
        self.result: StepResult | None = None

    def run(self) -> DataFrame:
        """Compute and publish the customer features; returns them as published. ``result`` holds the accounts."""
        started = time.monotonic()
        configure(self.spark)
        mappings = self._inputs.mappings() if self._inputs else menu_inputs(self.config)
        orders = {
            name: read_output(self.spark, getattr(self.config, name).output_path, self.context.format)
            for name in CHANNELS
        }
        counter = Counter()
        features = customer_features(orders, self._settings(mappings.menu), counter)
        path = self.config.customer.output_path
        output = publish(features, path, fmt=self.context.format, run_id=self.context.run_id)
        counts = counter.values()
        accounts = [
            Account(
                f"{name} order features",
                counts[f"{name}_read"],
                counts[f"{name}_kept"],
                {"outside_window": counts[f"{name}_read"] - counts[f"{name}_kept"]},
            )
            for name in CHANNELS
        ]
        self.result = StepResult("customers", output, accounts, time.monotonic() - started)
        return read_output(self.spark, path, self.context.format)

    def _settings(self, menu: Menu) -> CustomerSettings:
        common, customer = self.config.common, self.config.customer
        window_start = add_months(common.current_run_date, -common.months_offset)
        return CustomerSettings(
            start=max(customer.cutoff_date, window_start),
            end=common.current_run_date,
            timezone=common.timezone,
            bucket_labels=list(common.price_config.bucket_labels),
            menu=menu,
            categories=category_bounds(customer, menu),
        )


def category_bounds(customer: Any, menu: Menu) -> dict[str, frozenset[str]] | None:
    """The category columns that older configs let a channel contribute, by name or column; None: no bound."""
    per_channel = {name: getattr(customer, f"{name}_base_categs") for name in CHANNELS}
    if customer.dri_categ_names is None and all(names is None for names in per_channel.values()):
        return None
    dri = _bounded(customer.dri_categ_names, DRI_PREFIX, menu.columns("dri"))
    return {
        name: frozenset(dri + _bounded(names, BASE_PREFIX, menu.columns("base"))) for name, names in per_channel.items()
    }


def _bounded(names: Sequence[str] | None, prefix: str, columns: list[str]) -> list[str]:
    if names is None:
        return columns
    wanted = {prefix + slug(name).removeprefix(prefix) for name in names}
    return [column for column in columns if column in wanted]


class SegmentRunner:
    """Rule segments and micro-segments of the customer features (contract: rule segments, micro-segments).

    Args:
        config: a Config, the whole config, or the users' ``segmentation`` body.
        spark: the session.
    """

    id_col = segments.ID_COLUMN
    target_col = segments.BAND_COLUMN

    def __init__(self, config: ConfigLike, spark: SparkSession, *, context: RunContext | None = None) -> None:
        self.config: Segmentation = segmentation_of(config)
        self.spark = spark
        self.context = context or RunContext.of(config)
        run = run_options(config)
        self._pins: Mapping[str, str] = run.model_sha256
        self._strict = run.strict_models
        self.lower_q = float(self.config.lower_q)
        self.upper_q = float(self.config.upper_q)
        self.rules: RuleSet = load_rules(self.config.rules_path)
        require_proven(self.rules)
        self.results: dict[str, StepResult] = {}

    def load_data(self, path: str | None = None, counter: Counter | None = None) -> DataFrame:
        """The customers that can be segmented, with the columns of ``cols_to_keep`` and ``convert_to_flag``."""
        configure(self.spark)
        features = read_output(self.spark, path or self.config.input_path, self.context.format)
        wanted = list(dict.fromkeys([self.id_col, *self.config.cols_to_keep, *self.config.convert_to_flag]))
        missing = [name for name in wanted if name not in features.columns]
        if missing:
            log.warning("the customer features lack %d listed columns: %s", len(missing), ", ".join(missing))
        return segments.load(features, wanted, counter)

    def create_flags(self, df: DataFrame) -> DataFrame:
        """The ``convert_to_flag`` columns as 0/1 flags under their flag names."""
        return segments.create_flags(df, self.config.convert_to_flag)

    def rename_cols(self, df: DataFrame) -> DataFrame:
        """The frame under the names that the rules know."""
        return segments.rename_columns(df, self.config.rename_dict)

    def rules_for_band(self, band: str) -> tuple[Rule, ...]:
        """The rules of a band, in order."""
        return rules_for_band(band, self.rules)

    def run_rule_segmentation(self, df: DataFrame, band: str) -> segments.BandResult:
        """Summary and assignments of one band (``1_5``, ``6_15``, ``15_plus``) of a flagged, renamed frame."""
        segments.check_rule_columns(df.columns, self.rules)
        assigned = segments.assign_band(df, band, self.rules)
        summary = segments.summarise(self.spark, assigned, band, self.rules)
        return segments.BandResult(summary, assigned.select(self.id_col, "Segment"))

    def save_segments(
        self, assignments: DataFrame, path: str | None = None, check: Callable[[int], None] | None = None
    ) -> Published:
        """Publish ``algonomy_id``, ``Segment``."""
        rows = assignments.select(self.id_col, "Segment")
        target = path or self.config.output_segments_path
        return publish(rows, target, fmt=self.context.format, run_id=self.context.run_id, check=check)

    def run_rule_pipeline(self) -> DataFrame:
        """Load, flag, rename, assign all bands in one pass and publish; returns the assignments as published.

        ``results["segments"]`` holds the accounts and, per band, customers and orders of every segment.
        """
        started = time.monotonic()
        counter = Counter()
        flagged = self.rename_cols(self.create_flags(self.load_data(counter=counter)))
        segments.check_rule_columns(flagged.columns, self.rules)
        assigned = segments.assign(flagged, self.rules)
        watched = counter.watch(assigned, **segments.segment_metrics(self.rules))
        output = self.save_segments(watched)
        counts = counter.values()
        self.results["segments"] = StepResult(
            "segments",
            output,
            [segments.account(counts)],
            time.monotonic() - started,
            details={"bands": segments.band_tables(self.rules, counts)},
        )
        return read_output(self.spark, self.config.output_segments_path, self.context.format)

    def load_payloads(self) -> dict[str, Payload]:
        """The models of the enabled plan items by model key, fetched and unpickled on the driver alone."""
        keys = dict.fromkeys(item.model_key for item in self.config.micro_plan if item.enabled)
        loaded = {}
        for key in keys:
            path = self.config.models[key]
            data = storage.read_bytes(path)
            loaded[key] = load_payload(data, source=f"{path} ({key})", sha256=self._pins.get(key), strict=self._strict)
        return loaded

    def plan_items(self, loaded: Sequence[str], payloads: Mapping[str, Payload]) -> list[microsegments.PlanItem]:
        """The enabled plan items, with the loaded columns behind their models' features."""
        renames = self.config.rename_dict_microsegments
        return [
            microsegments.PlanItem(
                name=item.name,
                source_segments=tuple(item.source_segments),
                is_capped=bool(set(item.source_segments) & set(self.config.cap_segments)),
                columns=tuple(
                    microsegments.feature_columns(payloads[item.model_key].features, loaded, renames, item.name)
                ),
                scaler=payloads[item.model_key].scaler,
                kmeans=payloads[item.model_key].kmeans,
            )
            for item in self.config.micro_plan
            if item.enabled
        ]

    def run_microsegments_from_config(
        self, df: DataFrame | None = None, assignments: DataFrame | None = None
    ) -> DataFrame:
        """Score every enabled plan item in one pass and publish; returns the micro-segments as published.

        Args:
            df: the loaded table (counts, not flags); by default ``load_data()``.
            assignments: ``algonomy_id``, ``Segment``; by default the published segments.
        """
        started = time.monotonic()
        payloads = self.load_payloads()
        table = self.load_data() if df is None else df
        if assignments is None:
            assignments = read_output(self.spark, self.config.output_segments_path, self.context.format)
        plan = self.plan_items(table.columns, payloads)
        counter = Counter()
        scored = microsegments.score(self.spark, table, assignments, plan, self.lower_q, self.upper_q)
        clusters = {item.name: int(item.kmeans.n_clusters) for item in plan}
        watched = counter.watch(scored, **microsegments.cluster_metrics(clusters))
        path = self.config.output_microsegments_path
        output = publish(watched, path, fmt=self.context.format, run_id=self.context.run_id)
        self.results["microsegments"] = StepResult(
            "microsegments",
            output,
            [],
            time.monotonic() - started,
            details={
                "clusters": microsegments.cluster_sizes(clusters, counter.values()),
                "models": {key: payload.sha256 for key, payload in payloads.items()},
            },
        )
        return read_output(self.spark, path, self.context.format)
