"""Scores of the customers: read, compute, publish (docs/contract.md, section 11)."""

import logging
import time
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.config import ConfigSource, FeaturePipeline, config_of
from blitz.features.scores import ScoreSettings, count_rows, cut_points, known_customers, score_accounts, scores
from blitz.features.spend import SpendSettings, customer_spend
from blitz.pipelines.context import RunContext, StepResult, session_of
from blitz.raw.channels import CHANNELS
from blitz.segmentation.rules import RuleSet, rules_hash, segment_column
from blitz.segmentation.score_rules import lifecycle_rules, load_rfm_rules, require_rfm_proven
from blitz.spark.session import configure
from blitz.spark.staging import Staging

log = logging.getLogger(__name__)


class ScorePipeline:
    """Scores of the customers of the customer features, from the three order outputs (docs/contract.md, section 11).

    Args:
        config: a Config, or the path or content of a whole config or of the users' ``feature_pipeline_config.json``.
        spark: the session; by default the active one, or a new one of the config's engine.
        context: the run that this step belongs to; by default a run of its own.
        rules: the RFM rules, proven already; by default those of the config, which are read and proven here.
        staging: gets the frame that several queries read; by default one that ``run`` removes.

    Raises RuleError where the RFM rules do not give each of the 125 scores exactly one name.
    """

    def __init__(
        self,
        config: ConfigSource,
        spark: SparkSession | None = None,
        *,
        context: RunContext | None = None,
        rules: RuleSet | None = None,
        staging: Staging | None = None,
    ) -> None:
        whole = config_of(config, "feature_pipeline")
        self.config: FeaturePipeline = whole.feature_pipeline
        self.spark = spark or session_of(whole)
        self.context = context or RunContext.of(whole)
        self.rules = rules or _proven(self.config.customer.scores.rfm_rules_path)
        self._staging = staging or Staging()

    def run(self) -> DataFrame:
        """Compute and publish the scores and return them as published. Raises as ``publish``."""
        with self._staging:
            self.publish()
        return self.context.read(self.spark, self.config.scores_path)

    def publish(self) -> StepResult:
        """Compute and publish the scores; the result has the accounts of the order features and the cut points.

        Raises InputError where the customer features or the order features of a channel are missing.
        """
        started = time.monotonic()
        configure(self.spark)
        rows = self._staging.shared("scores", self._known_customers, cached=True)
        counts = count_rows(rows)
        if counts["without_orders"]:
            log.warning(
                "%d customers of the customer features have no order in the order features; run the customer job again",
                counts["without_orders"],
            )
        customers = rows.where(F.col("is_customer"))
        cuts = cut_points(customers, counts["customers"], self._given_cuts())
        # Kept rows have the partitions of the shuffle that made them: hundreds of small files without a rebalance.
        frame = scores(customers, self._settings(cuts)).hint("rebalance")
        output = self.context.publish(frame, self.config.scores_path, "scores")
        seconds = time.monotonic() - started
        details = {"rfm_cuts": cuts, "rfm_rules": rules_hash(self.rules)}
        return StepResult("scores", output, score_accounts(counts), seconds, details=details)

    def _known_customers(self) -> DataFrame:
        read = partial(self.context.read, self.spark)
        orders = {name: read(self.config.channel(name).output_path) for name in CHANNELS}
        common = self.config.common
        windows = SpendSettings(
            order_start=self.config.window_start,
            customer_start=self.config.customer_start,
            end=common.current_run_date,
            timezone=common.timezone,
        )
        features = read(self.config.customer.output_path)
        return known_customers(features, customer_spend(orders, windows), common.current_run_date)

    def _given_cuts(self) -> dict[str, list[float]]:
        given: dict[str, list[float] | None] = self.config.customer.scores.rfm_cuts.model_dump()
        return {name: cuts for name, cuts in given.items() if cuts is not None}

    def _settings(self, cuts: dict[str, list[float]]) -> ScoreSettings:
        lifecycle = lifecycle_rules(self.config.customer.scores.new_days)
        return ScoreSettings(
            end=self.config.common.current_run_date,
            lifecycle=segment_column(lifecycle.bands[0].name, lifecycle),
            rfm_segment=segment_column(self.rules.bands[0].name, self.rules),
            cuts=cuts,
        )


def _proven(path: str | None) -> RuleSet:
    rules = load_rfm_rules(path)
    require_rfm_proven(rules)
    return rules
