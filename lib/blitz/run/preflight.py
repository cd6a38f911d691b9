"""What is checked before the first job of a run; what was checked is handed to the steps."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pyspark.sql import SparkSession

from blitz import storage
from blitz.accounts import Reason
from blitz.config import Config, validate_segments
from blitz.errors import InputError
from blitz.pipelines.models import load_payloads
from blitz.publish.tables import output_exists
from blitz.raw.channels import CHANNELS
from blitz.raw.inputs import raw_inputs, raw_paths
from blitz.run.manifest import previous_steps
from blitz.run.steps import Preflight, inputs_of
from blitz.segmentation.proof import require_proven
from blitz.segmentation.rules import load_rules, segment_names
from blitz.segmentation.score_rules import lifecycle_rules, load_rfm_rules, require_rfm_proven


def preflight(config: Config, steps: Sequence[str], spark: SparkSession | None = None) -> Preflight:
    """Prove the rules, find every file, check every schema and model that the steps need.

    ``spark`` looks up tables of a catalog; without a session they stay unchecked. Raises RuleError or ConfigError for
    what the config says, else one InputError with everything that is missing.
    """
    rules = proof = rfm_rules = inputs = menu = None
    payloads = {}
    if "segments" in steps or "microsegments" in steps:
        rules = load_rules(config.segmentation.rules_path)
        proof = require_proven(rules)
        validate_segments(config, segment_names(rules))
    if "scores" in steps:
        settings = config.feature_pipeline.customer.scores
        rfm_rules = load_rfm_rules(settings.rfm_rules_path)
        require_rfm_proven(rfm_rules)
        require_proven(lifecycle_rules(settings.new_days))
    channels = [step for step in steps if step in CHANNELS]
    problems: list[str] = []
    with _collected(problems):
        if _reads_raw(steps):
            repeated, suppressed = config.run.allow_repeated_files, config.run.suppression_path
            inputs = raw_inputs(config.feature_pipeline, channels, repeated, suppressed, spark)
            menu = inputs.small.menu if inputs.small else None
    with _collected(problems):
        if "microsegments" in steps:
            payloads = load_payloads(config)
    with _collected(problems):
        check_published_inputs(config, steps, spark)
    if problems:
        raise InputError("\n".join(problems))
    before = previous_steps(config) if inputs else {}
    require_suppression(config, before)
    return Preflight(tuple(steps), inputs, menu, rfm_rules, rules, proof, payloads, before)


def require_suppression(config: Config, before: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError where there is no suppression list although the previous runs (``before``: their steps by name)
    dropped orders of erased customers: they would come back."""
    path = config.run.suppression_path
    if path is not None and storage.exists(path):
        return
    accounts = [account for step in before.values() for account in step.get("accounts", ())]
    erased = sum(account.get("dropped", {}).get(Reason.ERASED, 0) for account in accounts)
    if erased:
        raise InputError(
            f"{path or 'run.suppression_path is not set'}: no suppression list, but the previous runs left out "
            f"{erased:,} orders of erased customers, who would come back; restore the list (an empty file, if nobody "
            "is to be left out any more)"
        )


@contextmanager
def _collected(problems: list[str]) -> Iterator[None]:
    """Add an InputError of the block to the problems, so that the checks after it run as well."""
    try:
        yield
    except InputError as error:
        problems.append(str(error))


def check_published_inputs(config: Config, steps: Sequence[str], spark: SparkSession | None = None) -> None:
    """Raise InputError listing every output that the steps read and that neither exists nor is written by them.

    Tables of a catalog are looked up by ``spark``, and taken for there without a session.
    """
    missing = [
        f"{path}: no {step.output} there; run the step {step.name} first"
        for path, step in inputs_of(config, steps).items()
        if not _is_there(path, spark)
    ]
    if missing:
        raise InputError("inputs are missing:\n" + "\n".join(f"  - {problem}" for problem in missing))


def _is_there(path: str, spark: SparkSession | None) -> bool:
    if storage.is_table(path):
        return spark is None or output_exists(spark, path)
    return storage.exists(path)


def reads_tables(config: Config, steps: Sequence[str]) -> bool:
    """Whether the steps read tables of a catalog, so that a session must be there to check their inputs."""
    raw = raw_paths(config.feature_pipeline, [step for step in steps if step in CHANNELS]) if _reads_raw(steps) else []
    return any(map(storage.is_table, [*raw, *inputs_of(config, steps)]))


def _reads_raw(steps: Sequence[str]) -> bool:
    return "customers" in steps or any(step in CHANNELS for step in steps)
