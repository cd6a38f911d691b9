"""Build the report: read the manifests, aggregate, assemble the numbers, write them and the page."""

import json
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

from pyspark.sql import DataFrame, SparkSession

from blitz import storage
from blitz.config import Config
from blitz.errors import InputError
from blitz.pipelines.context import read_published
from blitz.publish.tables import output_exists, read_output
from blitz.raw.channels import CHANNELS
from blitz.report import aggregates, page
from blitz.report.changes import changes, digest
from blitz.report.items import SMALL, unmapped_items
from blitz.report.notices import notices
from blitz.report.numbers import Counted, report_numbers
from blitz.report.profiles import plan_tables
from blitz.report.runs import numbers_path, read_facts, read_numbers, report_path
from blitz.report.score_aggregates import rfm_groups, score_groups, transition_groups
from blitz.report.scores import score_numbers, transition_numbers, value_numbers
from blitz.report.words import category_names
from blitz.segmentation.rules import load_rules
from blitz.segmentation.score_rules import load_rfm_rules
from blitz.spark.columns import numeric_columns
from blitz.text import JsonObject

log = logging.getLogger(__name__)
Items = Literal["keep", "small", "all"]
THREADS = 3  # the aggregations are small: planning one overlaps with the tasks of another


def make_report(spark: SparkSession, config: Config, *, items: Items = "keep", previous: str | None = None) -> str:
    """Write the report page and its numbers (``report.json``); returns the path of the page.

    Args:
        spark: the session.
        config: the config of the run; its outputs and manifests are read.
        items: whether to count unmapped items in the raw lines: ``all``, ``small`` (only if the files are small), or
            ``keep`` (what an earlier report of the same run counted).
        previous: the ``report.json`` to compare with; by default the one that this report replaces.

    Raises InputError if an output is missing or there is no manifest. Nothing but the two files is written.
    """
    target = report_path(config)
    facts = read_facts(config)
    replaced = read_numbers(numbers_path(target))
    is_same = replaced is not None and replaced["digest"]["run_id"] == facts.get("run_id")
    before = _before(replaced, is_same, previous)
    counted = _count(spark, config, items, before)
    if counted.items is None and is_same and replaced is not None:
        counted = Counted(**{**vars(counted), "items": replaced["items"]})
    numbers = _assemble(config, facts, counted, before)
    written = json.dumps(numbers, ensure_ascii=False, indent=1) + "\n"
    html = page.render(numbers)
    storage.write_bytes(numbers_path(target), written.encode())
    storage.write_bytes(target, html.encode())
    return target


def _before(replaced: JsonObject | None, is_same: bool, path: str | None) -> JsonObject | None:
    """The digest of the previous run. A report that is built again keeps the digest that it was compared with."""
    if path is not None:
        given = read_numbers(path)
        if given is None:
            raise InputError(f"{path}: not the numbers of a report; give the report.json of another run")
        return dict(given["digest"])
    if replaced is None:
        return None
    return replaced.get("previous") if is_same else dict(replaced["digest"])


def _count(spark: SparkSession, config: Config, items: Items, before: JsonObject | None) -> Counted:
    """Run all aggregations, THREADS at a time."""
    body, pipeline = config.segmentation, config.feature_pipeline

    def read(path: str) -> DataFrame:
        return read_published(spark, path, config)

    features, segments = read(body.input_path), read(body.output_segments_path)
    micro = read(body.output_microsegments_path)
    orders = {name: read(pipeline.channel(name).output_path) for name in CHANNELS}
    flags = [name for name in dict.fromkeys(body.convert_to_flag) if name in features.columns]
    names = numeric_columns(micro)
    labels = pipeline.common.price_config.bucket_labels
    jobs: dict[str, Callable[[], Any]] = {
        "segments": lambda: aggregates.segment_groups(features, segments, flags),
        "clusters": lambda: aggregates.cluster_groups(micro, names),
        "orders": lambda: aggregates.order_groups(orders, pipeline.common.timezone, labels),
        "stores": lambda: aggregates.store_groups(orders),
    }
    if items != "keep":
        jobs["items"] = lambda: unmapped_items(spark, pipeline, SMALL if items == "small" else None)
    path = before and before["segments_path"]
    if path and path != body.output_segments_path and output_exists(spark, path):
        jobs["moves"] = lambda: aggregates.segment_moves(read(path), segments)
    if output_exists(spark, pipeline.scores_path):
        scores = read(pipeline.scores_path)
        jobs["scores"] = lambda: score_groups(scores, segments)
        jobs["rfm"] = lambda: rfm_groups(scores)
    history = config.run.history_path
    if history and output_exists(spark, history):
        jobs["history"] = lambda: transition_groups(read_output(spark, history))
    with ThreadPoolExecutor(THREADS) as pool:
        running: dict[str, Future[Any]] = {name: pool.submit(job) for name, job in jobs.items()}
        found = {name: each.result() for name, each in running.items()}
    return Counted(flags=flags, features=names, **found)


def _score_sections(config: Config, facts: JsonObject, counted: Counted) -> JsonObject:
    """``scores`` and ``value``, None without scores, and ``transitions``, None without two dates of a history."""
    sections: JsonObject = {"scores": None, "value": None, "transitions": None}
    if counted.scores is not None and counted.rfm is not None:
        settings = config.feature_pipeline.customer.scores
        cuts = facts["steps"].get("scores", {}).get("rfm_cuts", {})
        rules = load_rfm_rules(settings.rfm_rules_path)
        sections["scores"] = score_numbers(counted.scores, counted.rfm, rules, settings.new_days, cuts)
        sections["value"] = value_numbers(counted.scores, counted.rfm)
    if counted.history is not None:
        sections["transitions"] = transition_numbers(counted.history)
    return sections


def _assemble(config: Config, facts: JsonObject, counted: Counted, before: JsonObject | None) -> JsonObject:
    rules = load_rules(config.segmentation.rules_path)
    numbers = report_numbers(config, facts, rules, counted)
    categories = category_names(facts["menu"])
    numbers["plans"] = plan_tables(config.segmentation, counted.clusters, counted.features, categories)
    numbers |= _score_sections(config, facts, counted)
    numbers["warnings"] = notices(numbers, facts, rules)
    numbers["digest"] = digest(numbers)
    numbers["previous"] = before
    numbers["changes"] = changes(before, numbers["digest"], counted.moves) if before else None
    return numbers
