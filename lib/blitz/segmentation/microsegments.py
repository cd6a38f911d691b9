"""Micro-segments: KMeans clusters inside chosen segments, all plan items in one pass (docs/contract.md, section 6)."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from threadpoolctl import threadpool_limits

from blitz.accounts import RowMetrics
from blitz.catalog.spelling import found_as
from blitz.errors import InputError
from blitz.segmentation.segments import BAND_COLUMN, ID_COLUMN, short_name
from blitz.spark.columns import quoted_col
from blitz.spark.engine import is_connect

if TYPE_CHECKING:  # two seconds to import: only who loads a model pays for it
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True)
class PlanItem:
    """One plan item that is ready to be scored.

    ``columns`` are the loaded columns that give the model's features, in the model's order; ``is_capped``: they are
    first clipped to their quantiles over the plan's customers.
    """

    name: str
    source_segments: tuple[str, ...]
    is_capped: bool
    columns: tuple[str, ...]
    scaler: "StandardScaler"
    kmeans: "KMeans"


def feature_columns(features: Sequence[str], loaded: Sequence[str], renames: Mapping[str, str], plan: str) -> list[str]:
    """The loaded columns that give a model's features, in the model's order; names match in either spelling.

    Raises InputError naming the features that no loaded column gives, the plan and the renames at work.
    """
    source = {short_name(name, renames): name for name in loaded if name != ID_COLUMN}
    found = found_as(features, list(source))
    missing = [name for name in features if name not in found]
    if missing:
        used = {old: new for old, new in renames.items() if new in missing}
        hint = f" (renames that would give them: {used})" if used else ""
        raise InputError(
            f"plan {plan}: the model needs {', '.join(missing)}, which the loaded columns lack after "
            f"rename_dict_microsegments{hint}; check cols_to_keep, convert_to_flag and the renames"
        )
    return [source[found[name]] for name in features]


def plan_rows(table: DataFrame, assignments: DataFrame, plan: Sequence[PlanItem]) -> DataFrame:
    """The loaded table once per customer and plan item, with ``plan``, the item's place in the plan."""
    places = F.array(*[F.when(F.col("Segment").isin(*item.source_segments), F.lit(at)) for at, item in enumerate(plan)])
    members = assignments.select(ID_COLUMN, F.explode(F.array_distinct(places)).alias("plan"))
    return table.join(members.where(F.col("plan").isNotNull()), ID_COLUMN, "inner")


def cap_bounds(rows: DataFrame, columns: Sequence[str], lower_q: float, upper_q: float) -> DataFrame:
    """The exact quantiles of each column per plan item: ``plan``, ``low_0``, ``high_0``, ``low_1`` …"""
    quantiles = F.array(F.lit(lower_q), F.lit(upper_q))
    found = rows.groupBy("plan").agg(
        *[F.percentile(_number(name), quantiles).alias(f"q_{at}") for at, name in enumerate(columns)]
    )
    ends = [(f"q_{at}", end, at) for at in range(len(columns)) for end in (0, 1)]
    return found.select("plan", *[F.col(q)[end].alias(f"{'high' if end else 'low'}_{at}") for q, end, at in ends])


def _number(name: str) -> Column:
    return quoted_col(name).cast("double")


def prepared(rows: DataFrame, plan: Sequence[PlanItem], lower_q: float, upper_q: float) -> tuple[DataFrame, list[str]]:
    """What the models get: the rows with ``x_0``, ``x_1`` … (double, capped where the plan caps, null as 0).

    Returns the frame and the loaded column of each x. Training and prediction share this function.
    """
    columns = list(dict.fromkeys(name for item in plan for name in item.columns))
    capped = [at for at, item in enumerate(plan) if item.is_capped]
    clippable = [at for at, name in enumerate(columns) if name != BAND_COLUMN]
    if capped and clippable:
        some = rows.where(F.col("plan").isin(*capped))
        bounds = cap_bounds(some, [columns[at] for at in clippable], lower_q, upper_q)
        rows = rows.join(F.broadcast(bounds), "plan", "left")
        low_high = {at: (F.col(f"low_{place}"), F.col(f"high_{place}")) for place, at in enumerate(clippable)}
    else:
        low_high = {}

    def value(at: int, name: str) -> Column:
        number = _number(name)
        if at in low_high:  # least and greatest pass over a null bound: plans that are not capped have none
            low, high = low_high[at]
            number = F.when(number.isNotNull(), F.greatest(F.least(number, high), low))
        return F.coalesce(number, F.lit(0.0)).alias(f"x_{at}")

    return rows.select("*", *[value(at, name) for at, name in enumerate(columns)]), columns


def score(
    spark: SparkSession,
    table: DataFrame,
    assignments: DataFrame,
    plan: Sequence[PlanItem],
    lower_q: float,
    upper_q: float,
) -> DataFrame:
    """The micro-segment of every customer of every plan item.

    Returns ``algonomy_id``, ``microcluster`` (text), ``Segment`` (the plan item's name), then the loaded columns
    as they are; one row per customer and plan item, none for an item without customers.
    """
    loaded = [quoted_col(name) for name in table.columns if name != ID_COLUMN]
    if not plan:
        nothing = table.where(F.lit(False))
        empty = F.lit(None).cast("string")
        return nothing.select(ID_COLUMN, empty.alias("microcluster"), empty.alias("Segment"), *loaded)
    rows, columns = prepared(plan_rows(table, assignments, plan), plan, lower_q, upper_q)
    predict: Any = pandas_udf(_predictor(_share(spark, _models(plan, columns))), "string")  # type: ignore[call-overload]
    cluster = predict("plan", *[f"x_{at}" for at in range(len(columns))])
    names = F.array(*[F.lit(item.name) for item in plan])
    return rows.select(ID_COLUMN, cluster.alias("microcluster"), F.get(names, F.col("plan")).alias("Segment"), *loaded)


Model: TypeAlias = "tuple[list[int], StandardScaler, KMeans]"


def _models(plan: Sequence[PlanItem], columns: list[str]) -> list[Model]:
    """Per plan item: the places of its features among the x columns, scaler, kmeans."""
    return [([columns.index(name) for name in item.columns], item.scaler, item.kmeans) for item in plan]


def _share(spark: SparkSession, models: list[Model]) -> Callable[[], list[Model]]:
    """The models as executors get them: broadcast, or captured in the closure where Spark Connect has no broadcast."""
    if is_connect(spark):
        return lambda: models
    shared = spark.sparkContext.broadcast(models)
    return lambda: shared.value


def _predictor(
    models: Callable[[], list[Model]],
) -> Callable[[Iterator[tuple[pd.Series, ...]]], Iterator[pd.Series]]:
    def predict(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
        shared = models()
        for plan, *values in batches:
            yield predict_batch(shared, plan.to_numpy(), [value.to_numpy() for value in values])

    return predict


def predict_batch(models: Sequence[Model], plan: NDArray[Any], values: Sequence[NDArray[Any]]) -> pd.Series:
    """The clusters of one batch of rows, as text: each row by the model of its plan item."""
    clusters = np.empty(len(plan), dtype=object)
    # One thread a task: Spark already runs a task per core, and OpenMP would start as many threads again in each.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")  # order is checked by name
        for at in np.unique(plan):
            places, scaler, kmeans = models[at]
            chosen = plan == at
            matrix = np.column_stack([values[place][chosen] for place in places])
            clusters[chosen] = kmeans.predict(scaler.transform(matrix)).astype(str)
    return pd.Series(clusters)


def cluster_metrics(clusters: Mapping[str, int]) -> dict[str, dict[str, Column]]:
    """What to count on a ``score`` frame: the customers of each cluster, by plan item and cluster.

    Args:
        clusters: the number of clusters by plan item.
    """
    return {
        name: {str(at): (F.col("Segment") == name) & (F.col("microcluster") == str(at)) for at in range(count)}
        for name, count in clusters.items()
    }


def cluster_sizes(clusters: Mapping[str, int], metrics: RowMetrics) -> dict[str, list[int]]:
    """The sizes of the clusters by plan item, from the counts of ``cluster_metrics``."""
    sizes = {name: metrics.counts(name) for name in clusters}
    return {name: [sizes[name][str(at)] for at in range(count)] for name, count in clusters.items()}
