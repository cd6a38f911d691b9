"""What a comparison needs to know about a run, from its manifest or its config: outputs, models, rules, flags."""

import hashlib
import json
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.catalog.spelling import PLAIN, Spelling
from blitz.config import FeaturePipeline, load_config
from blitz.config.values import parse_date
from blitz.errors import InputError
from blitz.features.spend import SpendSettings
from blitz.pipelines.spelling import spelling_of, with_original_names
from blitz.publish.tables import Format, read_output
from blitz.raw.channels import CHANNELS
from blitz.run.steps import output_path
from blitz.segmentation.rules import about_segments, load_rules, rules_hash
from blitz.segmentation.segments import BAND_COLUMN, OMNICHANNEL, flag_name, short_name
from blitz.spark.columns import quoted_col
from blitz.spark.engine import SPARK
from blitz.text import JsonObject

OUTPUTS = ("customers", "segments", "microsegments")  # what every run that can be compared has


@dataclass(frozen=True)
class Variable:
    """A loaded column whose change may move a customer to another segment: a count, or a flag (its count above 0).

    ``in_rules``: whether a rule reads it, None if that is unknown.
    """

    column: str
    label: str
    is_flag: bool
    in_rules: bool | None = None

    def of(self, prefix: str) -> Column:
        """Return its value on the side of the join whose columns have the prefix; null as 0."""
        value = F.coalesce(quoted_col(prefix + self.column).cast("double"), F.lit(0.0))
        return (value > 0).cast("int") if self.is_flag else value


@dataclass(frozen=True)
class Run:
    """One run: the file that describes it, its outputs by step, its hashes, and what its config says about columns.

    A manifest says nothing about columns (``names`` is None): then each loaded ``omnichannel_`` column counts as a
    flag, and whether a rule reads it is unknown. ``about`` has what the rules say about each segment for readers.
    ``orders``: the order outputs by channel, and ``windows`` those of the spend; None where the file does not say.
    ``scores``: the scores; None where the run had none.
    """

    source: str
    outputs: dict[str, str]
    models: dict[str, str]
    rules: str | None
    flags: frozenset[str] = frozenset()
    names: dict[str, str] | None = None
    rule_columns: frozenset[str] = frozenset()
    format: Format | None = None
    spark: dict[str, str] = field(default_factory=dict)
    s3_endpoint: str | None = None
    s3_region: str | None = None
    engine: str = SPARK
    spelling: Spelling = PLAIN
    about: dict[str, dict[str, str]] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    windows: SpendSettings | None = None
    scores: str | None = None

    def read(self, spark: SparkSession, step: str) -> DataFrame:
        """Return the published output of a step. Raises InputError where there is none."""
        path = {**self.outputs, **self.orders, "scores": str(self.scores)}[step]
        found = self.format or _format_of(path)
        return self.spelling.read(read_output(spark, path, found))

    def variable(self, column: str) -> Variable:
        """Return a loaded column as the rules see it."""
        is_flag = column.startswith(OMNICHANNEL) if self.names is None else column in self.flags
        label = short_name(flag_name(column) if is_flag else column, self.names or {})
        return Variable(column, label, is_flag, None if self.names is None else label in self.rule_columns)

    def as_json(self) -> JsonObject:
        """Return what identifies the run in a comparison."""
        return {"source": self.source, "outputs": self.outputs, "rules": self.rules, "models": self.models}


def read_run(path: str) -> Run:
    """Read the run that a manifest or a config describes.

    Raises InputError for a file that is neither, or a manifest that lacks one of the three outputs; ConfigError for a
    config with problems.
    """
    try:
        body = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}; give the manifest.json or the config of a run") from error
    if isinstance(body, dict) and "steps" in body:
        return _of_manifest(path, body)
    if isinstance(body, dict) and "segmentation" in body:
        return _of_config(path)
    raise InputError(f"{path}: neither a manifest (no steps) nor a config (no segmentation)")


def _of_manifest(path: str, body: JsonObject) -> Run:
    steps = body["steps"]
    missing = [step for step in OUTPUTS if step not in steps]
    if missing:
        raise InputError(
            f"{path}: the run did not include {', '.join(missing)}; give the manifest of a full run, or the config"
        )
    outputs = {step: str(steps[step]["output"]) for step in OUTPUTS}
    engine = str(body.get("engine", SPARK))
    spelling = Spelling(originals=body.get("column_names", {}))
    about = dict(body.get("about_segments", {}))
    models, rules = dict(body.get("models", {})), body.get("rules")
    orders = {name: str(steps[name]["output"]) for name in CHANNELS if name in steps}
    scores = str(steps["scores"]["output"]) if "scores" in steps else None
    return Run(
        path,
        outputs,
        models,
        rules,
        engine=engine,
        spelling=spelling,
        about=about,
        orders=orders,
        windows=_windows(body),
        scores=scores,
    )


def _windows(body: JsonObject) -> SpendSettings | None:
    """The windows of a manifest; None where it was written before manifests had them."""
    keys = ("order_window_start", "cutoff_date", "run_date")
    if any(key not in body for key in (*keys, "timezone")):
        return None
    start, cutoff, end = (parse_date(body[key]) for key in keys)
    return SpendSettings(start, max(start, cutoff), end, body["timezone"])


def _format_of(path: str) -> Format:
    if storage.is_table(path):
        return "parquet"  # it is the catalog that knows
    return "delta" if storage.exists(path.rstrip("/") + "/_delta_log") else "parquet"


def _of_config(path: str) -> Run:
    config = with_original_names(load_config(conf=path))
    body, run = config.segmentation, config.run
    storage.configure(endpoint=run.s3_endpoint, region=run.s3_region)
    rules = load_rules(body.rules_path)
    used = dict.fromkeys(item.model_key for item in body.micro_plan if item.enabled)
    return Run(
        path,
        {"customers": body.input_path, **{step: output_path(config, step) for step in OUTPUTS if step != "customers"}},
        {key: hashlib.sha256(storage.read_bytes(body.models[key])).hexdigest() for key in used},
        rules_hash(rules),
        frozenset(body.convert_to_flag),
        dict(body.rename_dict),
        frozenset(column for band in rules.bands for column in [BAND_COLUMN, *band.columns]),
        run.format,
        dict(config.spark),
        run.s3_endpoint,
        run.s3_region,
        run.engine,
        spelling_of(config),
        {name: about.as_json() for name, about in about_segments(rules).items()},
        *_orders_of(config.feature_pipeline_body),
        body.scores_path,
    )


def _orders_of(body: FeaturePipeline | None) -> tuple[dict[str, str], SpendSettings | None]:
    """The order outputs of a config and the windows of the spend."""
    if body is None:
        return {}, None
    common = body.common
    windows = SpendSettings(body.window_start, body.customer_start, common.current_run_date, common.timezone)
    return {name: body.channel(name).output_path for name in CHANNELS}, windows
