"""Load and validate the configs: the users' two bodies and our ``spark`` and ``run`` (docs/contract.md, section 1).

Nothing else in the project reads JSON configs. All problems are reported at once, each with its JSON path, its file and
the nearest known name for a misspelt one.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Literal

from blitz.config.checks import check_config, check_segments
from blitz.config.files import read_object, relative_to
from blitz.config.messages import check_models
from blitz.config.models import Config, FeaturePipeline, Segmentation, is_model_key, scores_next_to
from blitz.config.paths import HISTORY, INPUTS, OUTPUTS, SUPPRESSION
from blitz.config.values import AS_OF, Problem, add_months, dig, parse_date, parsed, show
from blitz.errors import ConfigError

Source = str | os.PathLike[str] | Mapping[str, Any]
ConfigSource = Config | FeaturePipeline | Segmentation | Source
Body = Literal["feature_pipeline", "segmentation"]
_BODIES = ("feature_pipeline", "segmentation")
_BODY_KEYS = {"feature_pipeline": {"common", "ownapp"}, "segmentation": {"cols_to_keep", "micro_plan"}}
_RUN_DATE, _CUTOFF = "feature_pipeline.common.current_run_date", "feature_pipeline.customer.cutoff_date"
_INPUT = "segmentation.input_path"
_SCORES_INPUT = "segmentation.scores_path"
_CUSTOMERS = "feature_pipeline.customer.output_path"
_SCORES = "feature_pipeline.customer.output_scores_path"


def load_config(
    conf: Source | None = None,
    feature_pipeline: Source | None = None,
    segmentation: Source | None = None,
    as_of: str | date | None = None,
    catalog: str | None = None,
    schema: str | None = None,
) -> Config:
    """The validated, resolved config.

    Args:
        conf: path or content of a file like ``conf/prod.json``, with ``feature_pipeline`` and ``segmentation`` (inline,
            or a path; a relative one is relative to that file), ``spark`` and ``run``. Data paths in it are
            used unchanged: a relative one is relative to the working directory.
        feature_pipeline: path or content of the users' feature pipeline config; it replaces the one in ``conf``.
        segmentation: path or content of the users' segmentation config; it replaces the one in ``conf``.
        as_of: the run date (YYYY-MM-DD) instead of ``current_run_date``. ``cutoff_date`` moves by
            (y2 - y1) * 12 + (m2 - m1) months, whatever the two days of the month are, and keeps its own day; in a
            shorter month it is the last day: run date 2025-07-01 and cutoff 2024-07-01 become, as of 2025-08-15,
            2025-08-15 and 2024-08-01. ``{as_of}`` in output paths becomes the resulting run date as YYYYMMDD.
        catalog, schema: what ``{catalog}`` and ``{schema}`` in paths and names of tables become, instead of
            ``run.catalog`` and ``run.schema``.

    Raises:
        ConfigError: lists every problem found. Nothing was read but the config files.
    """
    tree, files, problems = _gather(conf, {"feature_pipeline": feature_pipeline, "segmentation": segmentation})
    has_customers = "feature_pipeline" in tree or "feature_pipeline" in files  # the latter: given, but unreadable
    sources = {_INPUT: ""} if _default_input(tree) and has_customers else {}
    sources |= _default_scores(tree)
    _name_catalog(tree, {"catalog": catalog, "schema": schema})
    problems += _resolve(tree, as_of)
    found = [*check_models(tree), *check_config(tree)]
    for path, message in _without_defaults(found, sources):
        file = files.get(path.split(".")[0].split("[")[0])
        problems.append(f"{path}: {message}" + (f" (in {file})" if file else ""))
    if not problems and all(tree.get(name) is None for name in _BODIES):
        problems.append("no config: give --conf, or --feature_pipeline_config and --segmentation_config")
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return Config.model_validate(tree)


def config_of(source: ConfigSource, body: Body) -> Config:
    """The validated config behind what the public classes take.

    Args:
        source: a Config, one of its two bodies, or the path or content of a whole config or of the users' bare body.
        body: which of the two bodies a bare one is.

    Raises:
        ConfigError: lists every problem.
    """
    if isinstance(source, Config):
        return source
    if isinstance(source, FeaturePipeline):
        return Config(feature_pipeline=source)
    if isinstance(source, Segmentation):
        return Config(segmentation=source)
    content = source if isinstance(source, Mapping) else _content(source)
    if any(name in content for name in _BODIES):
        return load_config(conf=source)
    return load_config(feature_pipeline=source) if body == "feature_pipeline" else load_config(segmentation=source)


def _content(source: object) -> Mapping[str, Any]:
    """The content of a config file; empty where it cannot be read: ``load_config`` then says why."""
    return _read(source, "the config", "", []) or {}  # type: ignore[arg-type]


def validate_segments(config: Config | Segmentation, names: Collection[str]) -> None:
    """Check the plan and ``cap_segments`` against the segments of a rule file, once that is known.

    The default of ``cap_segments`` belongs to the built-in rules and is not checked against others.

    Raises:
        ConfigError: names every segment that no rule assigns.
    """
    body = config.segmentation if isinstance(config, Config) else config
    plain = body.model_dump(include={"micro_plan", *({"cap_segments"} & body.model_fields_set)})
    problems = [f"{path}: {message}" for path, message in check_segments({"segmentation": plain}, names)]
    if problems:
        raise ConfigError(problems)


def _gather(
    conf: Source | None, given: Mapping[str, Source | None]
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """All sections in one plain dict, the file of each section that came from one, and the problems.

    A body that could not be read is missing from the dict but has its file, so that the rest is still checked.
    """
    problems: list[str] = []
    tree = _read(conf, "--conf", "", problems) or {}
    base = os.fspath(conf) if isinstance(conf, str | os.PathLike) else None
    for name, keys in _BODY_KEYS.items():
        if keys & tree.keys():
            problems.append(
                f"--conf: this is the body of {name}; give it as --{name}_config" + (f" {base}" if base else "")
            )
            tree = {}
    files = {name: base for name in tree if base}
    for name in _BODIES:
        source = given[name]
        if source is None and isinstance(tree.get(name), str):
            source = relative_to(base, tree[name])
        if source is None:
            continue
        tree.pop(name, None)
        body = _read(source, f"--{name}_config", name, problems)
        files[name] = "" if isinstance(source, Mapping) else os.fspath(source)
        if body is not None:
            tree[name] = body
    return tree, files, problems


def _read(source: Source | None, option: str, section: str, problems: list[str]) -> dict[str, Any] | None:
    if source is None:
        return None
    if isinstance(source, Mapping):
        return dict(source)
    if not isinstance(source, str | os.PathLike):
        problems.append(f"{option}: must be a path or a dict, not {show(source)}")
        return None
    path = os.fspath(source)
    if not path.strip():
        problems.append(f"{option}: the path is empty")
        return None
    try:
        return dict(read_object(path, section))
    except ConfigError as error:
        problems += error.problems
        return None


def _resolve(tree: dict[str, Any], as_of: str | date | None) -> list[str]:
    """Move the dates to as-of and fill ``{as_of}`` in output paths; wrong values stay for the checks to report."""
    problems = []
    run_date = parsed(parse_date, dig(tree, _RUN_DATE))
    if as_of is not None:
        try:
            run_date = _move(tree, run_date, parse_date(as_of))
        except ValueError as error:
            problems.append(f"--as-of: {error}")
    for path in (*OUTPUTS, _INPUT, _SCORES_INPUT):
        value = dig(tree, path)
        if run_date and path != HISTORY and isinstance(value, str) and AS_OF in value:
            _put(tree, path, value.replace(AS_OF, run_date.strftime("%Y%m%d")))
    return problems


def _name_catalog(tree: dict[str, Any], given: Mapping[str, str | None]) -> None:
    """Put the catalog and the schema into ``run`` where given, and into all paths; those without a value stay."""
    if isinstance(tree.get("run", {}), dict):
        tree["run"] = {**tree.get("run", {}), **{key: name for key, name in given.items() if name}}
    body = dig(tree, "segmentation")
    models = [f"segmentation.{key}" for key in body if is_model_key(key)] if isinstance(body, dict) else []
    for path in (*INPUTS, *OUTPUTS, SUPPRESSION, *models):
        value = dig(tree, path)
        for key in given:
            name = dig(tree, f"run.{key}")
            if isinstance(value, str) and isinstance(name, str):
                value = value.replace(f"{{{key}}}", name)
        if isinstance(value, str):
            _put(tree, path, value)


def _move(tree: dict[str, Any], run_date: date | None, as_of: date) -> date:
    cutoff = parsed(parse_date, dig(tree, _CUTOFF))
    if run_date and cutoff:
        months = (as_of.year - run_date.year) * 12 + as_of.month - run_date.month
        _put(tree, _CUTOFF, add_months(cutoff, months))
    if run_date:
        _put(tree, _RUN_DATE, as_of)
    return as_of


def _put(tree: dict[str, Any], path: str, value: object) -> None:
    """Set a value, on copies: the caller's own dicts stay as they are."""
    *parents, last = path.split(".")
    node = tree
    for key in parents:
        node[key] = dict(node[key])
        node = node[key]
    node[last] = value


def _default_input(tree: dict[str, Any]) -> bool:
    """Let the segmentation read the customer output where it has no ``input_path``; returns whether it has none."""
    body = dig(tree, "segmentation")
    missing = isinstance(body, dict) and body.get("input_path") is None
    source = dig(tree, _CUSTOMERS)
    if missing and isinstance(source, str):
        _put(tree, _INPUT, source)
    return missing


def _default_scores(tree: dict[str, Any]) -> dict[str, str]:
    """Put the scores next to the customer output, and let the segmentation take them from there, or from next to its
    input, where these keys are missing; returns for each that was the key that it depends on."""
    sources = {}
    customers, source = dig(tree, _CUSTOMERS), dig(tree, _INPUT)
    if dig(tree, _SCORES) is None and isinstance(customers, str):
        _put(tree, _SCORES, scores_next_to(customers))
        sources[_SCORES] = _CUSTOMERS
    if dig(tree, _SCORES_INPUT) is None and isinstance(source, str):
        published = dig(tree, _SCORES) if source == customers else None
        _put(tree, _SCORES_INPUT, published or scores_next_to(source))
        sources[_SCORES_INPUT] = _INPUT if published is None else _CUSTOMERS
    return sources


def _without_defaults(found: Sequence[Problem], sources: Mapping[str, str]) -> list[Problem]:
    """The problems without those of a default whose source has one too, or that is reported with another key ("")."""
    paths = {path for path, _ in found}
    return [each for each in found if each[0] not in sources or sources[each[0]] not in {"", *paths}]
