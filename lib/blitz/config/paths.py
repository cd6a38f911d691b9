"""Inputs and outputs of a config that share a path or contain one another, and tables of a catalog where they cannot be
(docs/contract.md, sections 1 and 10)."""

import os
import posixpath
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from blitz.catalog.names import table_name
from blitz.config.models import CHANNEL_SECTIONS, Config, is_model_key
from blitz.config.values import AS_OF, Problem, check_input_path, check_output_path, dig, parsed
from blitz.storage.paths import is_local, is_s3, is_table, local_path, scheme_of

Location = tuple[str, ...]
_TABLE = "table"

STEP_OUTPUTS = (
    *(f"feature_pipeline.{name}.output_path" for name in CHANNEL_SECTIONS),
    "feature_pipeline.customer.output_path",
    "feature_pipeline.customer.output_scores_path",
    "segmentation.output_segments_path",
    "segmentation.output_microsegments_path",
)
HISTORY = "run.history_path"  # one folder for all run dates
TABLE_OUTPUTS = (*STEP_OUTPUTS, "run.quarantine_path", HISTORY)
SUPPRESSION = "run.suppression_path"  # one file for all run dates, so none of OUTPUTS
OUTPUTS = (*TABLE_OUTPUTS, "run.manifest_path", "run.debug_log", "run.report_path")
INPUTS = (
    *(f"feature_pipeline.{name}.{key}" for name, section in CHANNEL_SECTIONS.items() for key in section.INPUTS),
    *(
        f"feature_pipeline.common.{key}"
        for key in ("mapping_file", "store_mds_dsr_path", "store_master_path", "categories_path", "clear_master_path")
    ),
    "feature_pipeline.customer.scores.rfm_rules_path",
    "segmentation.input_path",
    "segmentation.scores_path",
    "segmentation.rules_path",
)
_ANCHORS = ("feature_pipeline.customer.output_path", "segmentation.output_segments_path")  # a manifest is next to them


def check_paths(tree: object) -> Iterator[Problem]:
    """Outputs that share a path, or are inside one another or inside an input: a run would destroy its own data."""
    outputs = [(path, _located(dig(tree, path), check_output_path)) for path in (*OUTPUTS, SUPPRESSION)]
    written = [(path, place) for path, place in outputs if place]
    for index, (path, place) in enumerate(written):
        if AS_OF in str(dig(tree, path)) and dig(tree, "feature_pipeline.common.current_run_date") is None:
            yield path, f"{AS_OF} needs a run date: feature_pipeline.common.current_run_date or --as-of"
        for other, taken in written[:index]:
            if _is_same(place, taken):
                yield path, f"the same {'table' if place[0] == _TABLE else 'path'} as {other}"
            elif _within(place, taken) and other in TABLE_OUTPUTS:
                yield path, f"is inside {other}, which every run replaces"
            elif _within(taken, place) and path in TABLE_OUTPUTS:
                yield path, f"{other} is inside it, and every run replaces this one"
    for source, patterns in _inputs(tree):
        for path, place in written:
            if any(_matches(place, pattern) for pattern in patterns):
                yield path, f"{'is the table of' if place[0] == _TABLE else 'is inside'} the input {source}"
            elif any(_within(pattern, place) for pattern in patterns) and path in TABLE_OUTPUTS:
                yield path, f"the input {source} is inside it, and every run replaces this one"


def check_tables(tree: object) -> Iterator[Problem]:
    """What tables of a catalog need: a place for the manifest, and for the format iceberg, all outputs as tables."""
    given = {key: value for key in STEP_OUTPUTS if isinstance(value := dig(tree, key), str)}
    tables = [key for key, value in given.items() if is_table(value)]
    anchor = next((key for key in _ANCHORS if key in tables), None)
    if anchor and dig(tree, "run.manifest_path") is None:
        yield "run.manifest_path", f"must name a file: {anchor} is a table, which has no folder for the manifest"
    if dig(tree, "run.format") == "iceberg":
        for key in given:
            if key not in tables:
                yield key, 'must be a table, such as "table:catalog.schema.name": run.format is iceberg'


def tables_of(config: Config) -> list[tuple[str, str]]:
    """(key, name) of each input and output that is a table of a catalog."""
    return [(key, path) for key, path in _given(config) if is_table(path)]


def paths_that_need_spark(config: Config) -> list[tuple[str, str]]:
    """(key, path) of each input and output that only Spark reaches: neither on a local disk or mount nor on S3."""
    return [(key, path) for key, path in _given(config) if not is_local(path) and not is_s3(path)]


def _given(config: Config) -> list[tuple[str, str]]:
    """(key, path) of each input and output."""
    tree, body = config.model_dump(by_alias=True), config.segmentation_body
    models = body.models if body else {}
    given = {key: dig(tree, key) for key in (*INPUTS, *OUTPUTS, SUPPRESSION)}
    given |= {f"segmentation.{key}": path for key, path in models.items()}
    return [(key, path) for key, path in given.items() if isinstance(path, str)]


def inputs_at(config: Config, path: str) -> list[str]:
    """The keys of the inputs that contain a path or are inside it."""
    place = location(path)
    return [
        key
        for key, patterns in _inputs(config.model_dump(mode="json", by_alias=True))
        if any(_matches(place, pattern) or _within(pattern, place) for pattern in patterns)
        and key not in ("segmentation.input_path", "segmentation.scores_path")
    ]


def _inputs(tree: object) -> Iterator[tuple[str, list[Location]]]:
    """Every input with its location and, for a glob, the folder that it lists."""
    body = dig(tree, "segmentation")
    models = [f"segmentation.{key}" for key in body if is_model_key(key)] if isinstance(body, dict) else []
    published = {
        f"segmentation.{key}": _located(dig(tree, f"feature_pipeline.customer.{output}"), check_output_path)
        for key, output in (("input_path", "output_path"), ("scores_path", "output_scores_path"))
    }
    for path in (*INPUTS, *models):
        key = path.split(".", 1)
        value = body.get(key[1]) if isinstance(body, dict) and path in models else dig(tree, path)
        place = _located(value, check_output_path if path in published else check_input_path)
        if not place or place == published.get(path):
            continue
        last_is_glob = any(mark in place[-1] for mark in "*?[")
        yield path, [place, place[:-1]] if last_is_glob else [place]


def _located(value: object, check: Callable[[str], str]) -> Location | None:
    text = parsed(check, value) if isinstance(value, str) else None
    return location(text) if text else None


def location(path: str) -> Location:
    """The location of a path as parts, equal for every way to write it (s3 and s3a, dbfs:/ and /dbfs, file://); of a
    table its catalog, schema and name in lower case, as most catalogs compare them."""
    if is_table(path):
        name = table_name(path)
        return (_TABLE, *(part.lower() for part in (name.catalog or "", name.schema, name.table)))
    if is_local(path):
        return ("file", *(part for part in os.path.abspath(local_path(path)).split("/") if part))
    scheme = scheme_of(path)
    rest = posixpath.normpath(path[len(scheme) + 1 :])
    return ("s3" if is_s3(path) else scheme, *(part for part in rest.split("/") if part))


def _is_same(place: Location, other: Location) -> bool:
    """Whether both are, or may be, the same: a table without a catalog is one of the session's current catalog."""
    if place[0] == other[0] == _TABLE:
        return place[2:] == other[2:] and (place[1] == other[1] or "" in (place[1], other[1]))
    return place == other


def _within(place: Location, folder: Location) -> bool:
    return place[: len(folder)] == folder


def _matches(place: Location, pattern: Location) -> bool:
    """Whether files below ``place`` are, or may be, among those of an input."""
    if place[0] == _TABLE:
        return _is_same(place, pattern)
    if len(place) < len(pattern):
        return False
    return all(part == wanted or fnmatchcase(part, wanted) for part, wanted in zip(place, pattern, strict=False))
