"""What a comparison needs to know of a run: outputs, models, rules and flags, from its manifest or its config."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.config import load_config
from blitz.errors import InputError
from blitz.publish.tables import Format, read_output
from blitz.raw.channels import CHANNELS
from blitz.run.steps import STEPS, output_path
from blitz.segmentation.rules import load_rules, rules_hash
from blitz.segmentation.segments import BAND_COLUMN, OMNICHANNEL, flag_name, short_name
from blitz.spark.engine import SPARK

OUTPUTS = tuple(step for step in STEPS if step not in CHANNELS)


@dataclass(frozen=True)
class Variable:
    """A loaded column whose changes may move a customer: a flag (its count above 0) or a count."""

    column: str
    label: str
    is_flag: bool
    in_rules: bool | None = None

    def of(self, prefix: str) -> Column:
        """Its number on one side of the join."""
        value = F.coalesce(F.col(f"`{prefix}{self.column}`").cast("double"), F.lit(0.0))
        return (value > 0).cast("int") if self.is_flag else value


@dataclass(frozen=True)
class Run:
    """One run: where it was read from, its outputs by step, hashes, and what its config says of the loaded columns.

    A manifest says nothing of them (``names`` is None): then every loaded ``omnichannel_`` column counts as a flag, and
    whether a rule reads it is not known.
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

    def read(self, spark: SparkSession, step: str) -> DataFrame:
        """The published output of a step. Raises InputError where there is none."""
        path = self.outputs[step]
        found: Format = self.format or ("delta" if storage.exists(path.rstrip("/") + "/_delta_log") else "parquet")
        return read_output(spark, path, found)

    def variable(self, column: str) -> Variable:
        """A loaded column as the rules see it."""
        is_flag = column.startswith(OMNICHANNEL) if self.names is None else column in self.flags
        label = short_name(flag_name(column) if is_flag else column, self.names or {})
        return Variable(column, label, is_flag, None if self.names is None else label in self.rule_columns)

    def as_json(self) -> dict[str, Any]:
        """What names the run in a report."""
        return {"source": self.source, "outputs": self.outputs, "rules": self.rules, "models": self.models}


def read_run(path: str) -> Run:
    """The run of a manifest (it has ``steps``) or of a config.

    Raises InputError for what is neither or lacks one of the three outputs, ConfigError for a config with problems.
    """
    try:
        body = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}; give a run's manifest.json or its config") from error
    if isinstance(body, dict) and "steps" in body:
        return _of_manifest(path, body)
    if isinstance(body, dict) and "segmentation" in body:
        return _of_config(path)
    raise InputError(f"{path}: neither a manifest (no steps) nor a config (no segmentation)")


def _of_manifest(path: str, body: dict[str, Any]) -> Run:
    steps = body["steps"]
    missing = [step for step in OUTPUTS if step not in steps]
    if missing:
        raise InputError(
            f"{path}: the run had no step {', '.join(missing)}; give the manifest of a whole run, or the config"
        )
    outputs = {step: str(steps[step]["output"]) for step in OUTPUTS}
    engine = str(body.get("engine", SPARK))
    return Run(path, outputs, dict(body.get("models", {})), body.get("rules"), engine=engine)


def _of_config(path: str) -> Run:
    config = load_config(conf=path)
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
    )
