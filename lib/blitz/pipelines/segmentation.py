"""Rule segments and micro-segments of the customer features (docs/contract.md, sections 5 and 6)."""

import logging
import time
from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession

from blitz.accounts import RowMetrics
from blitz.config import ConfigSource, Segmentation, config_of
from blitz.features.scores import COLUMNS as SCORE_COLUMNS
from blitz.pipelines.context import RunContext, StepResult, session_of
from blitz.pipelines.models import load_payloads
from blitz.pipelines.spelling import with_original_names
from blitz.publish.tables import Published
from blitz.segmentation import microsegments, segments
from blitz.segmentation.payload import Payload
from blitz.segmentation.proof import require_proven
from blitz.segmentation.rules import Rule, RuleSet, load_rules, rules_for_band
from blitz.spark.session import configure
from blitz.spark.staging import Staging

log = logging.getLogger(__name__)


class SegmentRunner:
    """Rule segments and micro-segments of the customer features (docs/contract.md, sections 5 and 6).

    ``config`` is the segmentation config and reads like a dict; ``id_col`` is the customer's column, ``target_col`` the
    order count that decides the band, ``lower_q`` and ``upper_q`` are the quantiles that plans are capped at.

    Args:
        config: a Config, or the path or content of a whole config or of the users' ``segmentation_config.json``.
        spark: the session; by default the active one, or a new one of the config's engine.
        context: the run that this step belongs to; by default a run of its own.
        rules: rules that are proven already; by default those of the config, which are read and proven here.
        payloads: the models by model key; by default they are read when they are needed.

    Raises RuleError where the rules of the config do not give every customer exactly one segment.
    """

    id_col = segments.ID_COLUMN
    target_col = segments.BAND_COLUMN

    def __init__(
        self,
        config: ConfigSource,
        spark: SparkSession | None = None,
        *,
        context: RunContext | None = None,
        rules: RuleSet | None = None,
        payloads: Mapping[str, Payload] | None = None,
    ) -> None:
        self._whole = with_original_names(config_of(config, "segmentation"))
        self.config: Segmentation = self._whole.segmentation
        self.spark = spark or session_of(self._whole)
        self.context = context or RunContext.of(self._whole)
        self.lower_q = float(self.config.lower_q)
        self.upper_q = float(self.config.upper_q)
        self.rules = rules or _proven(load_rules(self.config.rules_path))
        self._payloads = payloads

    def load_data(self, path: str | None = None, metrics: RowMetrics | None = None) -> DataFrame:
        """The customers that can be segmented, with the columns of ``cols_to_keep`` and ``convert_to_flag``.

        Listed columns that the table lacks are a warning. Raises InputError where there is no table.
        """
        configure(self.spark)
        features = self.read_features(path)
        wanted = list(dict.fromkeys([self.id_col, *self.config.listed_columns]))
        missing = [name for name in wanted if name not in features.columns]
        if missing:
            log.warning("the customer features lack %d listed columns: %s", len(missing), ", ".join(missing))
        return segments.load(features, wanted, metrics)

    def read_features(self, path: str | None = None) -> DataFrame:
        """The customer features as published, with the listed columns that only the scores have.

        Raises InputError where there is no table.
        """
        features = self.context.read(self.spark, path or self.config.input_path)
        wanted = [name for name in score_columns(self.config) if name not in features.columns]
        if not wanted or self.config.scores_path is None:
            return features
        scores = self.context.read(self.spark, self.config.scores_path)
        return features.join(scores.select(self.id_col, *wanted), self.id_col, "left")

    def create_flags(self, df: DataFrame) -> DataFrame:
        """The ``convert_to_flag`` columns as 0/1 flags under their flag names."""
        return segments.create_flags(df, self.config.convert_to_flag)

    def rename_cols(self, df: DataFrame) -> DataFrame:
        """The frame with the column names that the rules use."""
        return segments.rename_columns(df, self.config.rename_dict, segments.rule_columns(self.rules))

    def rules_for_band(self, band: str) -> tuple[Rule, ...]:
        """The rules of a band (``1_5``, ``6_15``, ``15_plus``), in order. Raises RuleError for an unknown band."""
        return rules_for_band(band, self.rules)

    _rules_for_band = rules_for_band  # the name in the users' notebooks

    def run_rule_segmentation(self, df: DataFrame) -> dict[str, dict[str, DataFrame]]:
        """The segments of every band of a flagged, renamed frame.

        Returns per band ``summary`` (``Segment``, ``Customer Count``, ``Total Orders``, ``Avg Orders per Customer``)
        and ``assignments`` (``algonomy_id``, ``Segment``). Raises InputError for a column that a rule needs.
        """
        segments.check_rule_columns(df.columns, self.rules)
        found = {}
        for band in self.rules.bands:
            assigned = segments.assign_band(df, band.name, self.rules)
            summary = segments.summarise(self.spark, assigned, band.name, self.rules)
            found[band.name] = {"summary": summary, "assignments": assigned.select(self.id_col, "Segment")}
        return found

    def run_rule_pipeline(self, metrics: RowMetrics | None = None) -> tuple[DataFrame, DataFrame]:
        """Load, flag, rename and assign the segments of all bands in one pass; publishes nothing.

        Returns the loaded table (counts, not flags) and the assignments of all bands (``algonomy_id``, ``Segment``);
        ``metrics`` gets the rows read and the customers and orders of every segment. Raises InputError for a column
        that a rule needs.
        """
        loaded = self.load_data(metrics=metrics)
        flagged = self.rename_cols(self.create_flags(loaded))
        segments.check_rule_columns(flagged.columns, self.rules)
        assigned = segments.assign(flagged, self.rules)
        if metrics is not None:
            by = ("Segment", segments.BAND_COLUMN)
            assigned = metrics.observe(assigned, segments.segment_metrics(self.rules), by=by)
        return loaded, assigned.select(self.id_col, "Segment")

    def save_segments(self, df: DataFrame, path: str | None = None) -> Published:
        """Publish ``algonomy_id`` and ``Segment`` at ``path``, by default at ``output_segments_path``."""
        rows = df.select(self.id_col, "Segment")
        target = path or self.config.output_segments_path
        return self.context.publish(rows, target, "segments")

    def publish_segments(self) -> StepResult:
        """Publish what ``run_rule_pipeline`` returns; the result has the account of the customers and, per band, the
        customers and orders of every segment."""
        started = time.monotonic()
        metrics = RowMetrics()
        _, assignments = self.run_rule_pipeline(metrics)
        output = self.save_segments(assignments)
        return StepResult(
            "segments",
            output,
            [segments.account(metrics)],
            time.monotonic() - started,
            details={"bands": segments.band_tables(self.rules, metrics)},
        )

    def load_payloads(self) -> Mapping[str, Payload]:
        """The models of the enabled plan items by model key: those given at construction, else read now.

        Raises InputError listing every model that cannot be used.
        """
        return load_payloads(self._whole) if self._payloads is None else self._payloads

    def plan_items(self, loaded: Sequence[str], payloads: Mapping[str, Payload]) -> list[microsegments.PlanItem]:
        """The enabled plan items with the loaded columns that give their models' features.

        Raises InputError for features that no loaded column gives.
        """
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
        self, df_base: DataFrame | None = None, df_segments: DataFrame | None = None
    ) -> DataFrame:
        """Score every enabled plan item in one pass, publish at ``output_microsegments_path`` and return the table.

        Args:
            df_base: the loaded table (counts, not flags); by default ``load_data()``.
            df_segments: ``algonomy_id``, ``Segment``; by default the published segments.

        Returns ``algonomy_id``, ``microcluster`` (text), ``Segment`` (the plan's name), then the columns of the loaded
        table; one row per customer and plan. Raises InputError for models that cannot be used.
        """
        self.publish_microsegments(df_base, df_segments)
        return self.context.read(self.spark, self.config.output_microsegments_path)

    def publish_microsegments(
        self, df_base: DataFrame | None = None, df_segments: DataFrame | None = None
    ) -> StepResult:
        """Publish the micro-segments; arguments and errors as for ``run_microsegments_from_config``.

        The result has, per plan item, the sizes of its clusters, and the SHA-256 of the models that scored.
        """
        started = time.monotonic()
        payloads = self.load_payloads()
        table = self.load_data() if df_base is None else df_base
        if df_segments is None:
            df_segments = self.context.read(self.spark, self.config.output_segments_path)
        plan = self.plan_items(table.columns, payloads)
        scored = microsegments.score(self.spark, table, df_segments, plan, self.lower_q, self.upper_q)
        clusters = {item.name: int(item.kmeans.n_clusters) for item in plan}
        with Staging() as staging:
            metrics = RowMetrics(staging)
            counted, by = microsegments.cluster_metrics(clusters), ("Segment", "microcluster")
            observed = metrics.observe(scored, counted, is_costly=True, by=by)
            output = self.context.publish(observed, self.config.output_microsegments_path, "microsegments")
            sizes = microsegments.cluster_sizes(clusters, metrics)
        models = {key: payload.sha256 for key, payload in payloads.items()}
        details = {"clusters": sizes, "models": models}
        return StepResult("microsegments", output, [], time.monotonic() - started, details=details)


def score_columns(config: Segmentation) -> list[str]:
    """The listed columns that the scores have."""
    return [name for name in config.listed_columns if name in SCORE_COLUMNS]


def _proven(rules: RuleSet) -> RuleSet:
    require_proven(rules)
    return rules
