"""Rule segments and micro-segments of the customer features."""

import logging
import time
from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession

from blitz import storage
from blitz.accounts import Counter
from blitz.config import Segmentation, segmentation_of
from blitz.pipelines.context import ConfigLike, RunContext, StepResult, run_options
from blitz.publish.tables import Published, publish, read_output
from blitz.segmentation import microsegments, segments
from blitz.segmentation.payload import Payload, load_payload
from blitz.segmentation.rules import Rule, RuleSet, load_rules, require_proven, rules_for_band
from blitz.spark.session import configure

log = logging.getLogger(__name__)


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

    def save_segments(self, assignments: DataFrame, path: str | None = None) -> Published:
        """Publish ``algonomy_id``, ``Segment``."""
        rows = assignments.select(self.id_col, "Segment")
        target = path or self.config.output_segments_path
        return publish(rows, target, fmt=self.context.format, run_id=self.context.run_id)

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
