"""Training of the micro-segment models on the pipeline's own preparation (docs/contract.md, section 6).

Spark prepares and samples, scikit-learn fits on the driver. Training and prediction prepare rows with the same
functions (``plan_rows`` and ``prepared`` of ``blitz.segmentation.microsegments``), so they cannot drift apart.
"""

import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from blitz import storage
from blitz.config import Config, MicroPlanItem
from blitz.config.values import did_you_mean
from blitz.errors import BlitzError, ConfigError, InputError
from blitz.pipelines.segmentation import SegmentRunner
from blitz.run.manifest import versions
from blitz.segmentation.microsegments import PlanItem, feature_columns, plan_rows, prepared
from blitz.segmentation.payload import load_payload
from blitz.segmentation.segments import ID_COLUMN, short_name
from blitz.spark.columns import numeric_columns
from blitz.text import JsonObject
from blitz.training.fitting import Fitted, Matrix, fit
from blitz.training.sampling import DRAW, allocate, is_candidate, to_driver, with_draw

MIN_PER_CLUSTER = 10


@dataclass(frozen=True)
class TrainingOptions:
    """How to train: the maximum sample size over all plan items, the numbers of clusters to try, and the seed."""

    max_rows: int = 200_000
    ks: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """The trained model of a plan item, to be written: the payload and the model card."""

    plan: str
    model_key: str
    path: str
    data: bytes
    card: JsonObject = field(repr=False)

    @property
    def sha256(self) -> str:
        """The payload's SHA-256 (hex), as ``run.model_sha256`` pins it."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def card_path(self) -> str:
        """The path of the model card, next to the payload."""
        return self.path.removesuffix(".pkl") + ".card.json"


def choose_plans(config: Config, names: Sequence[str] | None) -> list[MicroPlanItem]:
    """Return the named plan items, or all that are enabled.

    Raises ConfigError for unknown names, and where two chosen items share a model.
    """
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
                "so one model would overwrite the other; name one of them with --plan"
                for key in shared
            ]
        )
    return chosen


def model_paths(config: Config, items: Sequence[MicroPlanItem], out: str | None) -> dict[str, str]:
    """Return the path of each plan item's model by name: that of the config, or the same file name in ``out``.

    Raises ConfigError where two items would write the same file.
    """
    paths = {item.name: config.segmentation.models[item.model_key] for item in items}
    if out:
        paths = {name: f"{out.rstrip('/')}/{PurePosixPath(path).name}" for name, path in paths.items()}
    if len(set(paths.values())) < len(paths):
        raise ConfigError([f"two plan items would write the same file: {', '.join(sorted(paths.values()))}"])
    return paths


def train(
    config: Config,
    spark: SparkSession,
    options: TrainingOptions,
    plans: Sequence[str] | None = None,
    out: str | None = None,
) -> list[Trained]:
    """Train the models of the plan items; nothing is written (``write`` does).

    Args:
        config: names the published customer features and segments, and the plan items.
        spark: the session.
        options: how to train.
        plans: the names of plan items, by default all that are enabled.
        out: the folder for the files, by default the config's paths.

    Raises ConfigError for a wrong choice of plan items, InputError listing the items with too few customers.
    """
    chosen = choose_plans(config, plans)
    paths = model_paths(config, chosen, out)
    runner = SegmentRunner(config, spark)
    table = runner.load_data()
    assignments = runner.context.read(spark, config.segmentation.output_segments_path)
    items, features = _plan_items(config, table, chosen)
    rows = plan_rows(with_draw(table, options.seed), assignments, items)
    counts = _count_customers(rows, items, options)
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
        trained.append(_train_item(item, paths[item.name], matrices[at], features, options, card))
    return trained


def write(models: Sequence[Trained]) -> None:
    """Write each payload and its model card."""
    for model in models:
        storage.write_bytes(model.path, model.data)
        storage.write_bytes(model.card_path, (json.dumps(model.card, indent=2) + "\n").encode())


def _plan_items(config: Config, table: DataFrame, chosen: Sequence[MicroPlanItem]) -> tuple[list[PlanItem], list[str]]:
    """The plan items as prediction prepares them, with unfitted models, and the feature names."""
    renames, capped = config.segmentation.rename_dict_microsegments, set(config.segmentation.cap_segments)
    features = [short_name(name, renames) for name in numeric_columns(table) if name != ID_COLUMN]
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
) -> list[Matrix]:
    """Per plan item the sampled rows, features in order; the preparation sees all customers of the item."""
    sizes = allocate(counts, options.max_rows)
    ready, sources = prepared(rows, items, runner.lower_q, runner.upper_q)
    values = [f"x_{at}" for at in range(len(sources))]
    frame = to_driver(ready.where(is_candidate(F.col("plan"), counts, sizes)).select("plan", DRAW, *values))
    frame = frame.sort_values(["plan", DRAW, *values], kind="stable")
    return [
        frame.loc[frame["plan"] == at, [f"x_{sources.index(name)}" for name in item.columns]]
        .head(sizes[at])
        .to_numpy(dtype=np.float64)
        for at, item in enumerate(items)
    ]


def _count_customers(rows: DataFrame, items: Sequence[PlanItem], options: TrainingOptions) -> dict[int, int]:
    """The customers of each plan item; raises InputError listing every item with too few of them."""
    found = {row["plan"]: int(row["count"]) for row in rows.groupBy("plan").count().collect()}
    counts = {at: found.get(at, 0) for at in range(len(items))}
    needed = MIN_PER_CLUSTER * max(options.ks)
    sizes = allocate(counts, options.max_rows)
    problems = [
        f"{item.name}: {counts[at]:,} customers ({sizes[at]:,} of them in the sample)"
        for at, item in enumerate(items)
        if sizes[at] < needed
    ]
    if problems:
        raise InputError(
            f"too few customers to train on: k up to {max(options.ks)} needs {needed:,} ({MIN_PER_CLUSTER} per "
            "cluster); use a smaller k or more rows, or choose plan items with --plan; nothing was written:\n"
            + "\n".join(f"  - {problem}" for problem in problems)
        )
    return counts


def _train_item(
    item: MicroPlanItem,
    path: str,
    matrix: Matrix,
    features: Sequence[str],
    options: TrainingOptions,
    card: JsonObject,
) -> Trained:
    """Fit a plan item and check that its file, read as the pipeline reads it, predicts the training labels."""
    fitted = fit(matrix, options.ks, options.seed, item.name)
    body = {"kmeans": fitted.kmeans, "scaler": fitted.scaler, "features": list(features)}
    data = pickle.dumps(body, protocol=4)
    loaded = load_payload(data, source=f"{path} ({item.model_key})", strict=True)
    with threadpool_limits(limits=1):
        if not np.array_equal(loaded.kmeans.predict(loaded.scaler.transform(matrix)), fitted.kmeans.labels_):
            raise BlitzError(f"plan {item.name}: the model file does not predict the training labels")
    model = {"sha256": hashlib.sha256(data).hexdigest(), "path": path}
    return Trained(item.name, item.model_key, path, data, {**card, **_model_card(fitted, matrix, features), **model})


def _model_card(fitted: Fitted, matrix: Matrix, features: Sequence[str]) -> JsonObject:
    """What a card says of the fitted model."""
    kmeans = fitted.kmeans
    members = [matrix[kmeans.labels_ == at] for at in range(kmeans.n_clusters)]
    return {
        "sampled_rows": len(matrix),
        "k": kmeans.n_clusters,
        "k_chosen_by": "silhouette" if len(fitted.silhouettes) > 1 else "given",
        "silhouette": {str(k): score for k, score in fitted.silhouettes.items()},
        "inertia": float(kmeans.inertia_),
        "clusters": [
            {
                "cluster": str(at),
                "size": len(rows),
                "profile": dict(zip(features, rows.mean(axis=0).tolist(), strict=True)),
            }
            for at, rows in enumerate(members)
        ],
    }


def _common_card(config: Config, spark: SparkSession, options: TrainingOptions, features: Sequence[str]) -> JsonObject:
    """What the cards of one training have in common."""
    window = None
    if config.feature_pipeline_body is not None:
        common, customer = config.feature_pipeline.common, config.feature_pipeline.customer
        start = max(customer.cutoff_date, config.feature_pipeline.window_start)
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
