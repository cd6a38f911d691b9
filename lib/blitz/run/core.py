"""A run: its steps in order, what it checks before the first, and the manifest that it leaves."""

import hashlib
import json
import logging
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from importlib.resources.abc import Traversable
from typing import Any

from pyspark.sql import SparkSession

import blitz
from blitz import storage
from blitz.config import Config, validate_segments
from blitz.errors import BlitzError, ConfigError, InputError, PayloadError, StorageError, by_reason
from blitz.pipelines.context import RunContext, StepResult
from blitz.pipelines.customers import CustomerFeaturePipeline
from blitz.pipelines.orders import OrderFeaturePipeline
from blitz.pipelines.segmentation import SegmentRunner
from blitz.raw.channels import CHANNELS
from blitz.raw.inputs import RawInputs, raw_inputs
from blitz.raw.menu import Menu
from blitz.segmentation.microsegments import feature_columns
from blitz.segmentation.payload import Payload, load_payload
from blitz.segmentation.rules import RuleSet, load_rules, require_proven, rules_hash, segment_names

log = logging.getLogger(__name__)

STEPS = (*CHANNELS, "customers", "segments", "microsegments")
SIDE_BY_SIDE = ("swiggy", "instore")


@dataclass(frozen=True)
class Preflight:
    """What was found and checked before the first job: raw tables, menu, rules, models."""

    steps: tuple[str, ...]
    inputs: RawInputs | None
    menu: Menu | None
    rules: RuleSet | None
    payloads: dict[str, Payload] = field(default_factory=dict)


def chosen_steps(names: str | None) -> tuple[str, ...]:
    """The steps of a ``--steps`` list, in the order of a run. Raises ConfigError for an unknown name."""
    if names is None:
        return STEPS
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in STEPS]
    if unknown or not wanted:
        raise ConfigError([f"--steps: unknown step {name!r}; known: {', '.join(STEPS)}" for name in unknown or [""]])
    return tuple(step for step in STEPS if step in wanted)


def preflight(config: Config, steps: Sequence[str]) -> Preflight:
    """Prove the rules, find every file, check every schema and model that the steps need; no Spark.

    Raises RuleError or ConfigError for what the config says, else one InputError with everything that is missing.
    """
    rules = None
    if "segments" in steps or "microsegments" in steps:
        rules = load_rules(config.segmentation.rules_path)
        require_proven(rules)
        validate_segments(config, segment_names(rules))
    channels = [step for step in steps if step in CHANNELS]
    inputs = menu = None
    payloads: dict[str, Payload] = {}
    problems: list[str] = []
    with _listed(problems):
        if channels or "customers" in steps:
            inputs = raw_inputs(config.feature_pipeline, channels)
            menu = inputs.mappings().menu
    with _listed(problems):
        if "microsegments" in steps:
            payloads = _payloads(config)
    with _listed(problems):
        check_published_inputs(config, steps)
    if problems:
        raise InputError("\n".join(problems))
    return Preflight(tuple(steps), inputs, menu, rules, payloads)


@contextmanager
def _listed(problems: list[str]) -> Iterator[None]:
    """Let the checks after this block run as well: an error of the input is listed, not raised."""
    try:
        yield
    except InputError as error:
        problems.append(str(error))


def _payloads(config: Config) -> dict[str, Payload]:
    """The models of the enabled plan items; every one that is missing, refused or lacks a feature is listed."""
    seg, problems, payloads = config.segmentation, [], {}
    loaded = list(dict.fromkeys([*seg.cols_to_keep, *seg.convert_to_flag]))
    unread: dict[str, list[str]] = {}
    for item in seg.micro_plan:
        if not item.enabled:
            continue
        path = seg.models[item.model_key]
        try:
            if item.model_key not in payloads:
                pin = config.run.model_sha256.get(item.model_key)
                data = storage.read_bytes(path)
                payloads[item.model_key] = load_payload(
                    data, source=f"{path} ({item.model_key})", sha256=pin, strict=config.run.strict_models
                )
            feature_columns(payloads[item.model_key].features, loaded, seg.rename_dict_microsegments, item.name)
        except StorageError as error:
            unread.setdefault(str(error).removeprefix(f"{path}: "), []).append(f"{item.model_key}: {path}")
        except (InputError, PayloadError) as error:
            text = str(error)
            problems.append(text if item.model_key in text else f"{item.model_key}: {text}")
    problems += by_reason(unread)
    if problems:
        raise InputError("the models cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return payloads


def check_published_inputs(config: Config, steps: Sequence[str]) -> None:
    """What a step reads must be there already, or be written by an earlier step of this run."""
    needs: list[tuple[str, str, str]] = []
    if "swiggy" in steps or "instore" in steps:
        needs.append(("ownapp", config.feature_pipeline.ownapp.output_path, "own-app order features"))
    if "customers" in steps:
        needs += [
            (name, getattr(config.feature_pipeline, name).output_path, f"{name} order features") for name in CHANNELS
        ]
    if "segments" in steps or "microsegments" in steps:
        needs.append(("customers", config.segmentation.input_path, "customer features"))
    if "microsegments" in steps:
        needs.append(("segments", config.segmentation.output_segments_path, "segments"))
    missing = [
        f"{path}: no {what} there; run the step {step} first"
        for step, path, what in dict.fromkeys(needs)
        if step not in steps and not storage.exists(path)
    ]
    if missing:
        raise InputError("inputs are missing:\n" + "\n".join(f"  - {problem}" for problem in missing))


def run_steps(
    config: Config,
    spark: SparkSession,
    ready: Preflight,
    context: RunContext,
    run_channel: Callable[[str], StepResult] | None = None,
) -> list[StepResult]:
    """Run the steps in order and publish each.

    ``run_channel`` computes and publishes the order features of a channel; by default with ``OrderFeaturePipeline``.

    Swiggy and in-store run side by side: each alone leaves cores idle while the driver plans and the last tasks end
    (the sample of 100,000 orders: 52 to 43 s on two cores). Where both fail, the second error is logged.
    """
    results: list[StepResult] = []
    with ThreadPoolExecutor(len(SIDE_BY_SIDE), thread_name_prefix="blitz-step") as pool:
        for wave in _waves(ready.steps):
            running = [pool.submit(_run_step, step, config, spark, ready, context, run_channel) for step in wave]
            wait(running)  # a step that fails lets the other end: what it publishes is whole
            failed = [error for each in running if (error := each.exception())]
            for error in failed[1:]:
                log.error("failed, too: %s", error)
            results += [each.result() for each in running]
    return results


def _waves(steps: Sequence[str]) -> list[tuple[str, ...]]:
    """The steps in order, those that do not need one another together."""
    together = tuple(step for step in steps if step in SIDE_BY_SIDE)
    waves = [together if step in SIDE_BY_SIDE else (step,) for step in steps]
    return list(dict.fromkeys(waves))


def _run_step(
    step: str,
    config: Config,
    spark: SparkSession,
    ready: Preflight,
    context: RunContext,
    run_channel: Callable[[str], StepResult] | None,
) -> StepResult:
    log.info("%s: started", step)
    try:
        if step in CHANNELS:
            result = run_channel(step) if run_channel else _run_orders(config, spark, ready, context, step)
        elif step == "customers":
            result = CustomerFeaturePipeline(config, spark, inputs=ready.inputs, context=context).publish()
        else:
            segmenter = SegmentRunner(config, spark, context=context)
            _SEGMENT_STEPS[step](segmenter)
            result = segmenter.results[step]
    except BlitzError as error:
        raise type(error)(f"{step}: {error}") if not isinstance(error, ConfigError) else error from error
    except Exception as error:
        error.add_note(step)
        raise
    log.info("%s: %s rows, %.1f s, %s", step, f"{result.output.rows:,}", result.seconds, result.output.path)
    for account in result.accounts:
        if not account.adds_up:
            log.warning("%s %s: the counts do not add up; a task that ran twice counts twice", step, account.table)
    return result


def _run_orders(config: Config, spark: SparkSession, ready: Preflight, context: RunContext, channel: str) -> StepResult:
    pipeline = OrderFeaturePipeline(config, channel, spark, inputs=ready.inputs, context=context)
    return pipeline.publish(pipeline.compute())


_SEGMENT_STEPS: dict[str, Callable[[SegmentRunner], Any]] = {
    "segments": SegmentRunner.run_rule_pipeline,
    "microsegments": SegmentRunner.run_microsegments_from_config,
}


def manifest_path(config: Config, steps: Sequence[str]) -> str:
    """Where the manifest goes: ``run.manifest_path``, or beside the results; a run of some steps has its own file."""
    target = config.run.manifest_path
    if target is None:
        first = next(iter(steps))
        anchor = (
            config.segmentation.output_segments_path
            if first in ("segments", "microsegments")
            else config.feature_pipeline.customer.output_path
        )
        target = anchor.rstrip("/").rpartition("/")[0] + "/manifest.json"
    if tuple(steps) == STEPS:
        return target
    return target.removesuffix(".json") + "." + "_".join(steps) + ".json"


def manifest(
    config: Config,
    spark: SparkSession,
    ready: Preflight,
    results: Sequence[StepResult],
    run_id: str,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """What the run was made of and what it made (contract: accounts): hashes, versions, accounts, seconds, paths.

    ``warnings`` are the run's own; ``menu`` names the categories behind the category columns.
    """
    body: dict[str, Any] = {
        "run_id": run_id,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "config_hash": config.config_hash,
        "code": code_hash(),
        "versions": versions(spark),
        "models": {key: payload.sha256 for key, payload in ready.payloads.items()},
        "rules": rules_hash(ready.rules) if ready.rules else None,
        "steps": {
            result.step: {
                "output": result.output.path,
                "rows": result.output.rows,
                "files": result.output.files,
                "bytes": result.output.bytes,
                "seconds": round(result.seconds, 3),
                "accounts": [account.as_json() for account in result.accounts],
                "quarantine": result.quarantine,
                **result.details,
            }
            for result in results
        },
        "warnings": list(dict.fromkeys(warnings)),
    }
    if ready.menu:
        body["menu"] = {kind: [each.name for each in ready.menu.of_kind(kind)] for kind in ("dri", "base")}
    if config.feature_pipeline_body:
        common = config.feature_pipeline.common
        body["run_date"] = common.current_run_date.isoformat()
        body["cutoff_date"] = config.feature_pipeline.customer.cutoff_date.isoformat()
    return body


def code_hash() -> str:
    """SHA-256 (hex) over the package's modules, rule table and templates: a version alone does not tell an edit."""
    digest = hashlib.sha256()
    folder = resources.files(blitz)
    for name in sorted(_files(folder)):
        digest.update(f"{name}\0{hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(folder: Traversable, prefix: str = "") -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".py", ".json", ".j2")):
            yield prefix + entry.name


def versions(spark: SparkSession) -> dict[str, str]:
    """The versions of everything that could change a result."""
    found = {"blitz": blitz.__version__, "python": platform.python_version(), "spark": spark.version}
    for name in ("pandas", "numpy", "pyarrow", "scikit-learn", "pyspark"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a cluster may bring Spark without package metadata
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return found


def write_manifest(path: str, body: dict[str, Any]) -> None:
    """Write the manifest as JSON."""
    storage.write_bytes(path, (json.dumps(body, indent=2, sort_keys=False) + "\n").encode())
