"""Training of the micro-segments' models on the pipeline's own preparation (contract: micro-segments).

Spark prepares and samples, scikit-learn fits on the driver. What a model sees in training and in prediction comes from
the same functions (``microsegments.plan_rows``, ``prepared``), so the two cannot drift apart.
"""

import hashlib
import json
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from blitz import storage
from blitz.config import Config, MicroPlanItem, add_months
from blitz.config.values import did_you_mean
from blitz.errors import BlitzError, ConfigError, InputError
from blitz.pipelines.segmentation import SegmentRunner
from blitz.publish.tables import read_output
from blitz.run.manifest import versions
from blitz.segmentation.microsegments import PlanItem, feature_columns, plan_rows, prepared
from blitz.segmentation.payload import load_payload
from blitz.segmentation.segments import ID_COLUMN, short_name
from blitz.spark.session import is_connect

NUMERIC = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
DRAW = "_draw"
SILHOUETTE_ROWS = 5_000  # the silhouette compares every pair of rows
FEWEST_PER_CLUSTER = 10


@dataclass(frozen=True)
class TrainingOptions:
    """How to train: the most rows to train on, all plans together; the k to try; the seed."""

    max_rows: int = 200_000
    ks: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """KMeans over scaled rows, its clusters numbered by size, and the silhouette of every k that was tried."""

    kmeans: KMeans
    scaler: StandardScaler
    silhouettes: dict[int, float]


@dataclass(frozen=True)
class Trained:
    """A trained plan item, ready to be written."""

    plan: str
    model_key: str
    path: str
    data: bytes
    card: dict[str, Any] = field(repr=False)

    @property
    def sha256(self) -> str:
        """Of the payload, as ``run.model_sha256`` pins it."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def card_path(self) -> str:
        """The model card stands beside the payload."""
        return self.path.removesuffix(".pkl") + ".card.json"


def shares(counts: Mapping[Any, int], most: int) -> dict[Any, int]:
    """How many rows each stratum may give so that all together give at most ``most``.

    Small strata give all they have; the large ones divide the rest evenly.
    """
    left, given = most, {}
    by_size = sorted(counts, key=lambda name: (counts[name], str(name)))
    for at, name in enumerate(by_size):
        given[name] = min(counts[name], left // (len(by_size) - at))
        left -= given[name]
    return given


def with_draw(df: DataFrame, seed: int) -> DataFrame:
    """The frame with ``_draw``: a number in [0, 1) from id and seed, the same wherever and however Spark reads it."""
    hashed = F.xxhash64(F.col(ID_COLUMN), F.lit(seed))
    return df.withColumn(DRAW, F.shiftrightunsigned(hashed, 11) / F.lit(float(2**53)))


def sampled(stratum: Column, counts: Mapping[Any, int], given: Mapping[Any, int]) -> Column:
    """Whether a row is among the sample's candidates: a few more than each stratum's share, for the exact cut later."""
    limit = F.lit(0.0)
    for name, count in counts.items():
        wanted = given[name] + 6 * given[name] ** 0.5 + 10  # six standard deviations: never too few in practice
        limit = F.when(stratum == name, F.lit(1.0 if given[name] == count else wanted / count)).otherwise(limit)
    return F.col(DRAW) < limit


def collected(df: DataFrame) -> pd.DataFrame:
    """The frame on the driver, by Arrow: row by row takes minutes for a large sample."""
    spark, key = df.sparkSession, "spark.sql.execution.arrow.pyspark.enabled"
    if is_connect(spark):  # always Arrow there
        return df.toPandas()
    before = spark.conf.get(key)
    spark.conf.set(key, "true")
    try:
        return df.toPandas()
    finally:
        spark.conf.set(key, str(before))


def choose_plans(config: Config, names: Sequence[str] | None) -> list[MicroPlanItem]:
    """The enabled plan items, or those named. Raises ConfigError for unknown names and for two that share a model."""
    items = config.segmentation.micro_plan
    known = [item.name for item in items]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ConfigError([f"--plan: unknown plan {name!r}{did_you_mean(name, known)}" for name in unknown])
    chosen = [item for item in items if (item.name in names if names else item.enabled)]
    if not chosen:
        raise ConfigError(["segmentation.micro_plan: no plan item is enabled; name one with --plan"])
    keys = [item.model_key for item in chosen]
    shared = sorted({key for key in keys if keys.count(key) > 1})
    if shared:
        raise ConfigError(
            [
                f"segmentation.micro_plan: {' and '.join(i.name for i in chosen if i.model_key == key)} share {key}, "
                "which one training would write over the other; name one of them with --plan"
                for key in shared
            ]
        )
    return chosen


def model_paths(config: Config, items: Sequence[MicroPlanItem], out: str | None) -> dict[str, str]:
    """Where each plan item's model goes: the config's path, or the same file name in the folder ``out``."""
    paths = {item.name: config.segmentation.models[item.model_key] for item in items}
    if out:
        paths = {name: f"{out.rstrip('/')}/{PurePosixPath(path).name}" for name, path in paths.items()}
    if len(set(paths.values())) < len(paths):
        raise ConfigError([f"two plans would write the same file of {', '.join(sorted(paths.values()))}"])
    return paths


def numeric_columns(table: DataFrame) -> list[str]:
    """The loaded columns that a model can read: every numeric one but the id."""
    return [name for name, kind in table.dtypes if kind.split("(")[0] in NUMERIC and name != ID_COLUMN]


def train(
    config: Config,
    spark: SparkSession,
    options: TrainingOptions,
    plans: Sequence[str] | None = None,
    out: str | None = None,
) -> list[Trained]:
    """Train the plan items' models; nothing is written (``write`` does).

    Raises ConfigError for a wrong choice of plans, InputError where a plan has too few customers (all are listed).
    """
    chosen = choose_plans(config, plans)
    paths = model_paths(config, chosen, out)
    runner = SegmentRunner(config, spark)
    table = runner.load_data()
    assignments = read_output(spark, config.segmentation.output_segments_path, runner.context.format)
    items, features = _items(config, table, chosen)
    rows = plan_rows(with_draw(table, options.seed), assignments, items)
    counts = _counted(rows, items, options)
    matrices = _matrices(rows, items, runner, counts, options)
    common = _common_card(config, spark, options, features)
    trained = []
    for at, (item, plan) in enumerate(zip(chosen, items, strict=True)):
        card = {
            "plan": item.name,
            "model_key": item.model_key,
            "source_segments": list(item.source_segments),
            "capped_to": [runner.lower_q, runner.upper_q] if plan.is_capped else None,
            "rows": counts[at],
            **common,
        }
        trained.append(_trained(item, paths[item.name], matrices[at], features, options, card))
    return trained


def _items(config: Config, table: DataFrame, chosen: Sequence[MicroPlanItem]) -> tuple[list[PlanItem], list[str]]:
    """The plan items as prediction prepares them, their models still to be fitted, and the features' names."""
    renames, capped = config.segmentation.rename_dict_microsegments, set(config.segmentation.cap_segments)
    features = [short_name(name, renames) for name in numeric_columns(table)]
    repeated = sorted({name for name in features if features.count(name) > 1})
    if repeated:
        raise InputError(f"rename_dict_microsegments gives several columns the name {', '.join(repeated)}")
    items = [
        PlanItem(
            name=item.name,
            source_segments=tuple(item.source_segments),
            is_capped=bool(set(item.source_segments) & capped),
            columns=tuple(feature_columns(features, table.columns, renames, item.name)),
            scaler=StandardScaler(),
            kmeans=KMeans(),
        )
        for item in chosen
    ]
    return items, features


def _matrices(
    rows: DataFrame,
    items: Sequence[PlanItem],
    runner: SegmentRunner,
    counts: Mapping[int, int],
    options: TrainingOptions,
) -> list[np.ndarray]:
    """The sample of every plan item, prepared over all its customers, in the features' order."""
    given = shares(counts, options.max_rows)
    ready, behind = prepared(rows, items, runner.lower_q, runner.upper_q)
    values = [f"x_{at}" for at in range(len(behind))]
    frame = collected(ready.where(sampled(F.col("plan"), counts, given)).select("plan", DRAW, *values))
    frame = frame.sort_values(["plan", DRAW, *values], kind="stable")
    return [
        frame.loc[frame["plan"] == at, [f"x_{behind.index(name)}" for name in item.columns]]
        .head(given[at])
        .to_numpy(dtype=np.float64)
        for at, item in enumerate(items)
    ]


def _counted(rows: DataFrame, items: Sequence[PlanItem], options: TrainingOptions) -> dict[int, int]:
    """The customers of every plan item; raises InputError listing every plan that has too few of them."""
    found = {row["plan"]: row["count"] for row in rows.groupBy("plan").count().collect()}
    counts = {at: int(found.get(at, 0)) for at in range(len(items))}
    fewest = FEWEST_PER_CLUSTER * max(options.ks)
    given = shares(counts, options.max_rows)
    problems = [
        f"{item.name}: {counts[at]:,} customers ({given[at]:,} of them in the sample)"
        for at, item in enumerate(items)
        if given[at] < fewest
    ]
    if problems:
        raise InputError(
            f"too few customers to train on: k up to {max(options.ks)} needs {fewest:,} ({FEWEST_PER_CLUSTER} per "
            "cluster); take a smaller k, more rows, or choose plans with --plan; nothing was written:\n"
            + "\n".join(f"  - {problem}" for problem in problems)
        )
    return counts


def fit(matrix: np.ndarray, ks: Sequence[int], seed: int, plan: str = "the plan") -> Fitted:
    """Scale, fit KMeans for every k, keep the k of the best silhouette (the smaller one of equals), number by size.

    Raises InputError where there are fewer different rows than clusters.
    """
    different = len(np.unique(matrix, axis=0))
    if different < max(ks):
        raise InputError(
            f"plan {plan}: the sample has only {different:,} different rows, too few for {max(ks)} clusters; "
            "take a smaller k; nothing was written"
        )
    # One thread: sums over several come in any order, and the same rows shall give the same file.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scaler = StandardScaler().fit(matrix)
        scaled = scaler.transform(matrix)
        some = np.random.default_rng(seed).permutation(len(scaled))[:SILHOUETTE_ROWS]
        models: dict[int, KMeans] = {}
        scores: dict[int, float] = {}
        for k in ks:
            models[k] = KMeans(n_clusters=int(k), n_init=10, random_state=seed).fit(scaled)
            labels = models[k].labels_[some]
            several = 1 < len(np.unique(labels)) < len(labels)
            scores[k] = float(silhouette_score(scaled[some], labels)) if several else -1.0
        best = min(ks, key=lambda k: (-scores[k], k))
        return Fitted(by_size(models[best], scaled), scaler, scores)


def by_size(kmeans: KMeans, scaled: np.ndarray) -> KMeans:
    """The model with its clusters numbered by size, the largest 0; equal sizes by their centres.

    ``labels_`` are then exactly what ``predict`` gives for the same rows.
    """
    for _ in range(10):  # a row as far from two centres goes to the first: a new order may move it
        labels = kmeans.predict(scaled)
        sizes = np.bincount(labels, minlength=kmeans.n_clusters)
        order = sorted(range(kmeans.n_clusters), key=lambda at: (-sizes[at], *kmeans.cluster_centers_[at]))
        kmeans.labels_ = labels
        if order == list(range(kmeans.n_clusters)):
            break
        kmeans.cluster_centers_ = np.ascontiguousarray(kmeans.cluster_centers_[order])
    cost = float(((scaled - kmeans.cluster_centers_[kmeans.labels_]) ** 2).sum())
    if not np.isclose(cost, kmeans.inertia_, rtol=1e-6, atol=1e-9):
        raise BlitzError(f"prediction does not give the training's clusters: inertia {cost}, not {kmeans.inertia_}")
    return kmeans


def _trained(
    item: MicroPlanItem,
    path: str,
    matrix: np.ndarray,
    features: Sequence[str],
    options: TrainingOptions,
    card: Mapping[str, Any],
) -> Trained:
    """Fit one plan item, and check that its file, read as the pipeline reads it, predicts the training labels."""
    fitted = fit(matrix, options.ks, options.seed, item.name)
    body = {"kmeans": fitted.kmeans, "scaler": fitted.scaler, "features": list(features)}
    data = pickle.dumps(body, protocol=4)
    loaded = load_payload(data, source=f"{path} ({item.model_key})", strict=True)
    labels = fitted.kmeans.labels_
    with threadpool_limits(limits=1):
        if not np.array_equal(loaded.kmeans.predict(loaded.scaler.transform(matrix)), labels):
            raise BlitzError(f"plan {item.name}: the model's file does not predict its training labels")
    k = fitted.kmeans.n_clusters
    clusters = [
        {
            "cluster": str(at),
            "size": int((labels == at).sum()),
            "profile": dict(zip(features, matrix[labels == at].mean(axis=0).tolist(), strict=True)),
        }
        for at in range(k)
    ]
    return Trained(
        item.name,
        item.model_key,
        path,
        data,
        {
            **card,
            "sampled_rows": len(matrix),
            "k": k,
            "k_chosen_by": "silhouette" if len(options.ks) > 1 else "given",
            "silhouette": {str(tried): score for tried, score in fitted.silhouettes.items()},
            "inertia": float(fitted.kmeans.inertia_),
            "clusters": clusters,
            "sha256": hashlib.sha256(data).hexdigest(),
            "path": path,
        },
    )


def _common_card(
    config: Config, spark: SparkSession, options: TrainingOptions, features: Sequence[str]
) -> dict[str, Any]:
    """What all cards of a training share."""
    window = None
    if config.feature_pipeline_body is not None:
        common, customer = config.feature_pipeline.common, config.feature_pipeline.customer
        start = max(customer.cutoff_date, add_months(common.current_run_date, -common.months_offset))
        window = {"from": start.isoformat(), "to": common.current_run_date.isoformat()}
    return {
        "data_window": window,
        "customer_features": config.segmentation.input_path,
        "segments": config.segmentation.output_segments_path,
        "features": list(features),
        "seed": options.seed,
        "max_rows": options.max_rows,
        "config_hash": config.config_hash,
        "versions": versions(spark),
    }


def write(models: Sequence[Trained]) -> None:
    """Write every payload and the model card beside it."""
    for model in models:
        storage.write_bytes(model.path, model.data)
        storage.write_bytes(model.card_path, (json.dumps(model.card, indent=2) + "\n").encode())
