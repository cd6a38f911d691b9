"""KMeans models fitted on the driver. No Spark."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from blitz.errors import BlitzError, InputError

SILHOUETTE_ROWS = 5_000  # the silhouette compares every pair of rows
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A KMeans model on scaled rows, its clusters numbered by size, and the silhouette of each k that was tried."""

    kmeans: KMeans
    scaler: StandardScaler
    silhouettes: dict[int, float]


def fit(matrix: Matrix, ks: Sequence[int], seed: int, plan: str) -> Fitted:
    """Fit a model per k on scaled rows and return the one with the best silhouette, the smallest k on a tie.

    Args:
        matrix: a row per customer, a column per feature.
        ks: the numbers of clusters to try.
        seed: of KMeans and of the rows that the silhouette is computed on.
        plan: the plan item's name, for messages.

    Raises InputError where there are fewer distinct rows than clusters.
    """
    distinct = len(np.unique(matrix, axis=0))
    if distinct < max(ks):
        raise InputError(
            f"plan {plan}: the sample has only {distinct:,} distinct rows, too few for {max(ks)} clusters; "
            "use a smaller k; nothing was written"
        )
    # One thread: with several, floating-point sums depend on timing, and the same rows must give the same file.
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
            has_score = 1 < len(np.unique(labels)) < len(labels)
            scores[k] = float(silhouette_score(scaled[some], labels)) if has_score else -1.0
        best = min(ks, key=lambda k: (-scores[k], k))
        return Fitted(number_by_size(models[best], scaled), scaler, scores)


def number_by_size(kmeans: KMeans, scaled: Matrix) -> KMeans:
    """Renumber the model's clusters by size, the largest 0, those of equal size by their centroids; returns the model.

    ``labels_`` then equals what ``predict`` gives for the same rows. Raises BlitzError if prediction does not reproduce
    the clusters of the training.
    """
    for _ in range(10):  # a row equally far from two centroids goes to the first: reordering may move it
        labels = kmeans.predict(scaled)
        sizes = np.bincount(labels, minlength=kmeans.n_clusters)
        order = sorted(range(kmeans.n_clusters), key=lambda at: (-sizes[at], *kmeans.cluster_centers_[at]))
        kmeans.labels_ = labels
        if order == list(range(kmeans.n_clusters)):
            break
        kmeans.cluster_centers_ = np.ascontiguousarray(kmeans.cluster_centers_[order])
    cost = float(((scaled - kmeans.cluster_centers_[kmeans.labels_]) ** 2).sum())
    if not np.isclose(cost, kmeans.inertia_, rtol=1e-6, atol=1e-9):
        raise BlitzError(f"prediction does not reproduce the clusters: inertia {cost}, in training {kmeans.inertia_}")
    return kmeans
