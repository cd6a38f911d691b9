"""Why a customer is in its segment and micro-segments (docs/contract.md, sections 5 and 6).

The published outputs are filtered by the customer's id; only the customers of the plan items are read in full, for the
percentiles that cap their features.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.accounts import Reason
from blitz.config import Config, FeaturePipeline
from blitz.errors import InputError
from blitz.features.orders import in_window
from blitz.pipelines.context import read_published
from blitz.pipelines.segmentation import SegmentRunner
from blitz.publish.tables import output_exists
from blitz.raw.channels import CHANNELS
from blitz.segmentation import segments
from blitz.segmentation.domains import Value
from blitz.segmentation.microsegments import PlanItem, plan_rows, prepared
from blitz.segmentation.payload import Payload
from blitz.segmentation.rules import RuleSet, about_segments, explain_rules
from blitz.segmentation.segments import BAND_COLUMN, CATEGORY_COUNT, ID_COLUMN, MOST_ORDERS
from blitz.spark.columns import quoted_col
from blitz.spark.local_times import local_time
from blitz.text import JsonObject

Vector = NDArray[np.float64]


def explain(config: Config, spark: SparkSession, customer: str) -> JsonObject:
    """Return what determines a customer's segment and micro-segments, as JSON values.

    Keys: ``customer``, ``window``, ``orders`` (by channel; None if the config has no feature pipeline), ``scores``
    (None if there are none), ``dropped`` (why the customer has no segment, or None), ``band``, ``rule_variables``,
    ``flags``, ``counts``, ``rules`` (each with its name and the conditions that failed), ``segment`` (computed,
    published, agrees, and what the rules say about it for readers) and ``plans``.

    Raises InputError where an output is not published, or the customer features do not contain the id.
    """
    with ThreadPoolExecutor(4) as pool:  # lookups are mostly planning, so four at a time take little longer than one
        orders = pool.submit(_orders, config, spark, customer)
        published = pool.submit(_published, config, spark, customer)
        micro = pool.submit(_microclusters, config, spark, customer)
        scored = pool.submit(_scores, config, spark, customer)
        runner = SegmentRunner(config, spark)
        table = runner.load_data()
        plans = pool.submit(lambda: _plans(config, spark, table, customer, published.result(), micro.result()))
        # Counts and flags in one job: the loaded columns travel as one struct.
        loaded = _of(table, customer).withColumn("loaded", F.struct(*[quoted_col(name) for name in table.columns]))
        flagged = runner.rename_cols(runner.create_flags(loaded))
        segments.check_rule_columns(flagged.columns, runner.rules)
        rows = flagged.collect()
        # A customer that the segmentation drops is in the features alone, or does not exist.
        features = rows[0]["loaded"].asDict() if rows else _features(runner, customer, table.columns)
        dropped = None if rows else _dropped(features)
        body: JsonObject = {"customer": customer, **orders.result(), "scores": scored.result(), "dropped": dropped}
    body["counts"] = {name: plain(features[name]) for name in table.columns if name != ID_COLUMN}
    body |= _rules(rows[0].asDict() if rows else {}, runner.rules)
    computed, segment = _matched(body["rules"]), published.result()
    agrees = segment is not None and computed == segment
    about = about_segments(runner.rules)
    described = about[computed].as_json() if computed else {}
    body["segment"] = {"computed": computed, "published": segment, "agrees": agrees, **described}
    body["plans"] = plans.result()
    return body


def _features(runner: SegmentRunner, customer: str, loaded: Sequence[str]) -> JsonObject:
    """The customer's published features, whether or not the segmentation drops the customer."""
    path = runner.config.input_path
    needed = list(dict.fromkeys([*loaded, BAND_COLUMN, CATEGORY_COUNT]))
    features = _of(runner.read_features(), customer)
    found = features.select(*[quoted_col(name) for name in needed]).collect()
    if not found:
        raise InputError(
            f"no customer with that id in {path}; ids are text, so leading zeros count, and only customers with an "
            "own-app order since cutoff_date have features"  # the debug log has this message: no id in it
        )
    return found[0].asDict()


def plain(value: Any) -> Any:
    """Return a value of a row as JSON can represent it: NaN becomes None, dates and times become ISO text."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (datetime, date)):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _of(df: DataFrame, customer: str) -> DataFrame:
    return df.where(F.col(ID_COLUMN) == customer)


def _published(config: Config, spark: SparkSession, customer: str) -> str | None:
    path = config.segmentation.output_segments_path
    rows = _of(read_published(spark, path, config), customer).select("Segment").collect()
    return rows[0]["Segment"] if rows else None


def _scores(config: Config, spark: SparkSession, customer: str) -> JsonObject | None:
    """The customer's published scores by column; None where there is no scores table, or it lacks the customer."""
    path = config.segmentation.scores_path
    if path is None or not output_exists(spark, path):
        return None
    rows = _of(read_published(spark, path, config), customer).drop(ID_COLUMN).collect()
    return {name: plain(value) for name, value in rows[0].asDict().items()} if rows else None


def _microclusters(config: Config, spark: SparkSession, customer: str) -> dict[str, str]:
    """The customer's published micro-segments by plan item."""
    path = config.segmentation.output_microsegments_path
    rows = _of(read_published(spark, path, config), customer)
    return {row["Segment"]: row["microcluster"] for row in rows.select("Segment", "microcluster").collect()}


def _dropped(features: JsonObject) -> Reason | None:
    """Why the segmentation drops a customer (see ``segments.load``)."""
    if features[BAND_COLUMN] is None:
        return Reason.BAD_RECORD
    if not features[BAND_COLUMN] <= MOST_ORDERS:
        return Reason.OVER_100_ORDERS
    return Reason.NO_CATEGORY if not plain(features[CATEGORY_COUNT]) else None


def _orders(config: Config, spark: SparkSession, customer: str) -> JsonObject:
    """``window`` and, by channel, the orders that the customer features count, oldest first."""
    if config.feature_pipeline_body is None:
        return {"window": None, "orders": None}
    body: FeaturePipeline = config.feature_pipeline
    common = body.common
    start = body.customer_start
    local = local_time(F.col("order_placed_datetime"), common.timezone)
    frames = []
    for name in CHANNELS:
        orders = _of(read_published(spark, body.channel(name).output_path, config), customer)
        frames.append(
            orders.select(
                F.lit(name).alias("channel"),
                F.col("order_id").cast("string").alias("order_id"),
                local.cast("string").alias("at"),
                F.col("total_price").cast("double").alias("total_price"),
                F.col("item_count").cast("double").alias("item_count"),
                F.col("order_time_of_day").alias("daypart"),
                (F.col("is_weekend") == 1).alias("weekend"),
                F.col("unique_base_products_in_order").alias("base_products"),
            ).where(in_window(local, start, common.current_run_date))
        )
    rows = reduce(DataFrame.unionByName, frames).orderBy("at", "order_id").collect()
    window = {"from": start.isoformat(), "to": common.current_run_date.isoformat(), "timezone": common.timezone}
    by_channel: dict[str, list[JsonObject]] = {name: [] for name in CHANNELS}
    for row in rows:
        values = {name: plain(value) for name, value in row.asDict().items()}
        by_channel[values.pop("channel")].append(values)
    return {"window": window, "orders": by_channel}


def _rules(values: JsonObject, rules: RuleSet) -> JsonObject:
    """The band, its variables, the flags and each rule's result; all empty for a customer without a segment."""
    inside = [band for band in rules.bands if values and band.holds(float(values[BAND_COLUMN]))]
    if not inside:
        return {"band": None, "rule_variables": {}, "flags": {}, "rules": []}
    band = inside[0]
    # NaN satisfies no condition, like null in Spark's when.
    cells = {name: _rule_value(values[name]) for name in band.columns}
    verdicts = [
        {
            "segment": verdict.segment,
            "name": rule.name,
            "rule": rule.in_words(),
            "matched": verdict.matched,
            "failed": [text.replace("(is nan)", "(is null)") for text in verdict.failed],
        }
        for rule, verdict in zip(band.rules, explain_rules(band.name, cells, rules), strict=True)
    ]
    return {
        "band": band.name,
        "rule_variables": {name: plain(values[name]) for name in [BAND_COLUMN, *band.columns]},
        "flags": {name: value for name, value in values.items() if name.endswith("_flag")},
        "rules": verdicts,
    }


def _rule_value(value: Any) -> Value:
    """A cell as the rules compare it; NaN for a missing one, which meets no condition."""
    return value if isinstance(value, str) else math.nan if value is None else float(value)


def _matched(verdicts: Sequence[JsonObject]) -> str | None:
    return next((each["segment"] for each in verdicts if each["matched"]), None)


def _plans(
    config: Config, spark: SparkSession, table: DataFrame, customer: str, segment: str | None, published: dict[str, str]
) -> list[JsonObject]:
    """The enabled plan items of the customer's published segment; only their models are read."""
    seg = config.segmentation
    mine = [item for item in seg.micro_plan if item.enabled and segment in item.source_segments]
    if not mine:
        return []
    own = config.model_copy(update={"segmentation_body": seg.model_copy(update={"micro_plan": mine})})
    runner = SegmentRunner(own, spark)
    payloads = runner.load_payloads()
    plan = runner.plan_items(table.columns, payloads)
    assignments = read_published(spark, seg.output_segments_path, config)
    rows, columns = prepared(plan_rows(table, assignments, plan), plan, runner.lower_q, runner.upper_q)
    mine_rows = {row["plan"]: row.asDict() for row in _of(rows, customer).collect()}
    return [
        {
            "plan": item.name,
            "model": each.model_key,
            "model_sha256": payloads[each.model_key].sha256,
            **_place(item, payloads[each.model_key], columns, mine_rows[at], published.get(item.name)),
        }
        for at, (item, each) in enumerate(zip(plan, mine, strict=True))
        if at in mine_rows
    ]


def _place(
    item: PlanItem, payload: Payload, columns: Sequence[str], row: JsonObject, published: str | None
) -> JsonObject:
    """The micro-segment that a model gives the customer, and why."""
    places = [columns.index(name) for name in item.columns]
    x = np.array([row[f"x_{at}"] for at in places], dtype=float)
    z = item.scaler.transform(x[None, :])[0]
    centres = item.kmeans.cluster_centers_
    squares = (z - centres) ** 2
    distances = np.sqrt(squares.sum(axis=1))
    chosen, *others = (int(at) for at in np.argsort(distances, kind="stable"))
    return {
        "microcluster": str(chosen),
        "published": published,
        "agrees": published == str(chosen),
        "is_capped": item.is_capped,
        "capped": _capped(item, payload.features, columns, row) if item.is_capped else [],
        "distances": {str(at): float(distance) for at, distance in enumerate(distances)},
        "runner_up": str(others[0]) if others else None,
        "pulls": _pulls(payload.features, x, z, squares, chosen, others[0]) if others else [],
    }


def _capped(item: PlanItem, names: Sequence[str], columns: Sequence[str], row: JsonObject) -> list[JsonObject]:
    """The features that were capped, and by how much; ``prepared`` numbers its bounds without the band column."""
    clippable = [name for name in columns if name != BAND_COLUMN]
    moved = []
    for name, source in zip(names, item.columns, strict=True):
        value, capped = row[source], row[f"x_{columns.index(source)}"]
        if source == BAND_COLUMN or value is None or float(value) == capped:
            continue
        at = clippable.index(source)
        moved.append(
            {
                "feature": name,
                "value": plain(value),
                "capped_to": capped,
                "by": capped - float(value),
                "low": row[f"low_{at}"],
                "high": row[f"high_{at}"],
            }
        )
    return moved


def _pulls(
    names: Sequence[str], x: Vector, z: Vector, squares: Vector, chosen: int, runner_up: int
) -> list[JsonObject]:
    """Per feature its pull, strongest first: how much more it adds to the squared distance of the runner-up.

    The pulls add up to the difference of the two squared distances; a negative one pulls towards the runner-up.
    """
    pulls = squares[runner_up] - squares[chosen]
    return [
        {
            "feature": names[at],
            "value": float(x[at]),
            "scaled": float(z[at]),
            "to_chosen": float(squares[chosen][at]),
            "to_runner_up": float(squares[runner_up][at]),
            "pull": float(pulls[at]),
        }
        for at in np.argsort(-pulls, kind="stable")
    ]
