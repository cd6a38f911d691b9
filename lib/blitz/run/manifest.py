"""The manifest of a run: a JSON file next to its results that says what it used and what it made.

The name of the manifest of some steps is that of the whole run's with the steps in it: ``manifest.json`` and
``manifest.segments_microsegments.json``.
"""

import hashlib
import json
import platform
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from importlib.resources.abc import Traversable
from typing import Any

from pyspark.sql import SparkSession

import blitz
from blitz import storage
from blitz.config import Config
from blitz.errors import ConfigError
from blitz.pipelines.context import StepResult
from blitz.pipelines.previous import last_steps, manifests_at, other_dates
from blitz.pipelines.spelling import spelling_of
from blitz.run.steps import STEPS, Preflight
from blitz.segmentation.rules import about_segments, rules_hash
from blitz.spark.engine import SAIL, engine_of
from blitz.storage import FileInfo

_SUFFIX = ".json"


def manifest_path(config: Config, steps: Collection[str]) -> str:
    """Where the manifest of a run of these steps goes: ``run.manifest_path``, or next to the results."""
    return _with_steps(_whole_run_path(config, steps), steps)


def _whole_run_path(config: Config, steps: Collection[str]) -> str:
    """The manifest of a run of all steps that starts with the first of these."""
    if config.run.manifest_path is not None:
        return config.run.manifest_path
    anchor = STEPS[next(iter(steps))].anchor(config)
    return anchor.rstrip("/").rpartition("/")[0] + "/manifest" + _SUFFIX


def _with_steps(path: str, steps: Collection[str]) -> str:
    return path if tuple(steps) == tuple(STEPS) else f"{path.removesuffix(_SUFFIX)}.{'_'.join(steps)}{_SUFFIX}"


def _is_manifest(name: str, whole_run: str) -> bool:
    """Whether a file's name is that of a manifest of all or some steps, given that of a whole run."""
    infix = name.removesuffix(_SUFFIX).removeprefix(whole_run.removesuffix(_SUFFIX))
    return not infix or (infix[0] == "." and set(infix[1:].split("_")) <= set(STEPS))


def manifest_files(config: Config) -> Iterator[FileInfo]:
    """The files of the manifests that runs of this config left: those of whole runs and those of some steps."""
    for path in _whole_run_paths(config):
        for info in storage.list_files(f"{path.removesuffix(_SUFFIX)}*{_SUFFIX}"):
            if _is_manifest(info.path.rpartition("/")[2], path.rpartition("/")[2]):
                yield info


def read_manifests(config: Config) -> Iterator[dict[str, Any]]:
    """Every manifest that runs of this config left: those of whole runs and those of some steps, in no order."""
    for path in _whole_run_paths(config):
        whole_run = path.rpartition("/")[2]
        yield from manifests_at(f"{path.removesuffix(_SUFFIX)}*{_SUFFIX}", partial(_is_manifest, whole_run=whole_run))


def _whole_run_paths(config: Config) -> list[str]:
    """Where manifests of whole runs go; several where a config has one of the two bodies at a time."""
    paths = set()
    for step in STEPS:
        with suppress(ConfigError):  # a config with one of the two bodies has only the steps of that body
            paths.add(_whole_run_path(config, [step]))
    return sorted(paths)


def previous_steps(config: Config) -> dict[str, Mapping[str, Any]]:
    """The last published state of each step, from the manifests up to the run date, also those in ``{as_of}`` folders
    of earlier dates; a step that no manifest has is left out."""
    return last_steps(_dated_manifests(config), config.feature_pipeline.common.current_run_date)


def _dated_manifests(config: Config) -> Iterator[dict[str, Any]]:
    yield from read_manifests(config)
    for step in STEPS:
        with suppress(ConfigError):
            path = _whole_run_path(config, [step])
            pattern = other_dates(path, config.feature_pipeline.common.current_run_date)
            if pattern != path:
                yield from manifests_at(f"{pattern.removesuffix(_SUFFIX)}*{_SUFFIX}", lambda _: True)


def manifest(
    config: Config,
    spark: SparkSession,
    ready: Preflight,
    results: Sequence[StepResult],
    run_id: str,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """What a run used and what it made (docs/contract.md, section 8): hashes, versions, accounts, seconds, paths.

    ``warnings`` are those of the run; ``menu`` names the categories of the category columns; ``column_names`` has the
    original names of columns that are written in snake case; ``about_segments`` has what the rules say about each
    segment for readers.
    """
    body: dict[str, Any] = {
        "run_id": run_id,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "config_hash": config.config_hash,
        "code": code_hash(),
        "engine": engine_of(spark),
        "versions": versions(spark),
        "models": {key: payload.sha256 for key, payload in ready.payloads.items()},
        "rules": rules_hash(ready.rules) if ready.rules else None,
        "steps": {
            result.step: {
                "output": result.output.path,
                "rows": result.output.rows,
                "files": result.output.files,
                "bytes": result.output.bytes,
                **({"version": result.output.version} if result.output.version else {}),
                "seconds": round(result.seconds, 3),
                "accounts": [account.as_json() for account in result.accounts],
                "quarantine": result.quarantine,
                **result.details,
            }
            for result in results
        },
        "warnings": list(dict.fromkeys(warnings)),
    }
    spelling = spelling_of(config)
    if spelling.is_snake_case:
        body["column_names"] = dict(spelling.originals)
    if ready.rules:
        body["about_segments"] = {name: about.as_json() for name, about in about_segments(ready.rules).items()}
    if ready.menu:
        body["menu"] = {kind: [each.name for each in ready.menu.of_kind(kind)] for kind in ("dri", "base")}
    if config.feature_pipeline_body:
        common = config.feature_pipeline.common
        body["run_date"] = common.current_run_date.isoformat()
        body["cutoff_date"] = config.feature_pipeline.customer.cutoff_date.isoformat()
        body["order_window_start"] = config.feature_pipeline.window_start.isoformat()
        body["timezone"] = common.timezone
    return body


def code_hash() -> str:
    """SHA-256 (hex) over the package's modules, rule table and templates: a version alone does not show an edit."""
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
    """The versions of everything that can change a result."""
    found = {"blitz": blitz.__version__, "python": platform.python_version(), "spark": spark.version}
    engine = ("pysail",) if engine_of(spark) == SAIL else ()
    for name in ("pandas", "numpy", "pyarrow", "scikit-learn", "pyspark", *engine):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a cluster may bring Spark without package metadata
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return found


def write_manifest(path: str, body: dict[str, Any]) -> None:
    """Write the manifest as JSON."""
    storage.write_bytes(path, (json.dumps(body, indent=2, sort_keys=False) + "\n").encode())
