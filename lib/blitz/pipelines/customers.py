"""Customer features over the three order outputs: read, compute, publish (docs/contract.md, section 4)."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from pyspark.sql import DataFrame, SparkSession

from blitz.accounts import RowMetrics
from blitz.config import ConfigSource, FeaturePipeline, config_of
from blitz.config.models import Customer
from blitz.features.customers import CustomerSettings, customer_accounts, customer_features
from blitz.pipelines.context import RunContext, StepResult, session_of
from blitz.pipelines.gates import check_customers
from blitz.pipelines.outputs import StagedStep
from blitz.pipelines.previous import previous_feature_steps
from blitz.publish.tables import Output
from blitz.raw.channels import CHANNELS
from blitz.raw.inputs import RawInputs, menu_inputs
from blitz.raw.menu import BASE_PREFIX, DRI_PREFIX, Menu, slug
from blitz.spark.session import configure


class CustomerFeaturePipeline:
    """Customer features over the three order outputs (docs/contract.md, section 4).

    Args:
        config: a Config, or the path or content of a whole config or of the users' ``feature_pipeline_config.json``.
        spark: the session; by default the active one, or a new one of the config's engine.
        inputs: the raw tables; by default the small mapping files are looked up at the run.
        context: the run that this step belongs to; by default a run of its own.
        gate: looks at the number of customers before they are published; by default the gate of the config does,
            compared with the manifests next to the customer features.
        read_orders: reads the order features at a path; by default those published there.
    """

    def __init__(
        self,
        config: ConfigSource,
        spark: SparkSession | None = None,
        *,
        inputs: RawInputs | None = None,
        context: RunContext | None = None,
        gate: Callable[[int], list[dict[str, str]]] | None = None,
        read_orders: Callable[[str], DataFrame] | None = None,
    ) -> None:
        whole = config_of(config, "feature_pipeline")
        self._whole = whole
        self.config: FeaturePipeline = whole.feature_pipeline
        self.spark = spark or session_of(whole)
        self.context = context or RunContext.of(whole)
        self._inputs = inputs
        self._gate = gate or self._gate_of_config
        self._read_orders = read_orders or self._published

    def run(self) -> DataFrame:
        """Compute and publish the customer features and return them as published.

        Raises InputError where a channel has no order features, GateError where a gate stops it.
        """
        self.publish()
        return self.context.read(self.spark, self.config.customer.output_path)

    def publish(self) -> StepResult:
        """Compute and publish the customer features; the result has the accounts of the order features that were read.

        Raises InputError where a channel has no order features, GateError where a gate stops the run.
        """
        with self.publishing() as output:
            return self.stage(output).commit()

    def publishing(self) -> AbstractContextManager[Output]:
        """Start a publication of the output. Raises PublishError where the output cannot be replaced."""
        return self.context.publishing(self.config.customer.output_path, "customers")

    def stage(self, output: Output) -> StagedStep:
        """Compute the customer features, stage them in a publication of the output, and check them.

        Raises InputError where a channel has no order features, GateError where a gate stops the run.
        """
        started = time.monotonic()
        configure(self.spark)
        mappings = self._inputs.mappings() if self._inputs else menu_inputs(self.config, self.spark)
        orders = {name: self._read_orders(self.config.channel(name).output_path) for name in CHANNELS}
        metrics = RowMetrics()
        features = customer_features(orders, self._settings(mappings.menu), metrics)
        staged = output.stage(features)
        details = {"gates": self._gate(staged.rows)}
        seconds = time.monotonic() - started
        result = StepResult("customers", staged, customer_accounts(metrics), seconds, details=details)
        return StagedStep(result, output)

    def _gate_of_config(self, customers: int) -> list[dict[str, str]]:
        return check_customers(self._whole, previous_feature_steps(self._whole).get("customers"), customers)

    def _published(self, path: str) -> DataFrame:
        return self.context.read(self.spark, path)

    def _settings(self, menu: Menu) -> CustomerSettings:
        common, customer = self.config.common, self.config.customer
        return CustomerSettings(
            start=self.config.customer_start,
            end=common.current_run_date,
            timezone=common.timezone,
            bucket_labels=list(common.price_config.bucket_labels),
            menu=menu,
            categories=category_bounds(customer, menu),
        )


def category_bounds(customer: Customer, menu: Menu) -> dict[str, frozenset[str]] | None:
    """The category columns that older configs let a channel contribute, by name or column; None: no bound."""
    per_channel = {name: customer.base_categories(name) for name in CHANNELS}
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
