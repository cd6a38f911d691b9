"""Population stability index and centroid drift, computed from collected aggregates. No Spark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blitz.text import JsonObject

EPSILON = 1e-4
MODERATE, LARGE = 0.1, 0.25
MAX_FEATURES = 5  # features listed per centroid
Bin = TypeVar("Bin", int, str)
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """The customers of one plan that went from one cluster (``source``) to another (``target``), and their features.

    A customer that the plan does not score in one of the two runs has None as its cluster there.
    """

    plan: str
    source: str | None
    target: str | None
    customers: int
    mean_before: Vector
    variance_before: Vector
    mean_after: Vector

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Group":
        """Return the group of a collected row with ``from`` and ``to`` for the clusters; null numbers become NaN."""
        vectors = (np.array(row[name], dtype=float) for name in ("mean_before", "variance_before", "mean_after"))
        return cls(row["plan"], row["from"], row["to"], row["customers"], *vectors)


def level(value: float) -> str:
    """Return ``stable`` below 0.1, ``moderate`` below 0.25, else ``large``."""
    return "stable" if value < MODERATE else "moderate" if value < LARGE else "large"


def terms(before: Mapping[Bin, int], after: Mapping[Bin, int]) -> dict[Bin, float]:
    """Return per bin (a - b) ln(a / b), where b and a are its shares before and after, each at least EPSILON."""
    n, m = sum(before.values()), sum(after.values())
    found = {}
    for each in sorted(set(before) | set(after)):
        b = max(before.get(each, 0) / n, EPSILON) if n else EPSILON
        a = max(after.get(each, 0) / m, EPSILON) if m else EPSILON
        found[each] = float((a - b) * np.log(a / b))
    return found


def psi(before: Mapping[Bin, int], after: Mapping[Bin, int]) -> JsonObject:
    """Return ``psi``, the sum of the terms, and its ``level``."""
    total = sum(terms(before, after).values())
    return {"psi": total, "level": level(total)}


def distribution(moves: Sequence[tuple[str | None, str | None, int]]) -> JsonObject:
    """Return ``psi``, ``level`` and ``terms`` by name; ``moves`` are (name before, name after, customers)."""
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for old, new, customers in moves:
        if old is not None:
            before[old] = before.get(old, 0) + customers
        if new is not None:
            after[new] = after.get(new, 0) + customers
    return {**psi(before, after), "terms": terms(before, after)}


def centroid_drift(groups: Sequence[Group], features: Sequence[str], models_same: bool) -> list[JsonObject]:
    """Return per plan and earlier cluster the later cluster that it is compared with, and how far its mean moved.

    Means are scaled by mean and standard deviation of the plan's customers in the earlier run (a zero deviation counts
    as 1). With the same models clusters are matched by number, otherwise each to the nearest later mean.
    """
    found = []
    for plan in sorted({group.plan for group in groups}):
        mine = [group for group in groups if group.plan == plan]
        old = _means(mine, "source", "mean_before")
        new = _means(mine, "target", "mean_after")
        if not old:
            continue
        centre, scale = _scale([group for group in mine if group.source is not None])
        scaled = {name: (mean - centre) / scale for name, (_, mean) in new.items()}
        for name, (customers, mean) in old.items():
            here = (mean - centre) / scale
            distances = {other: float(np.linalg.norm(value - here)) for other, value in scaled.items()}
            match = name if models_same else min(distances, key=lambda other: distances[other], default=None)
            row: JsonObject = {"plan": plan, "cluster": name, "customers_before": customers, "matched": None,
                         "customers_after": 0, "distance": None, "features": []}  # fmt: skip
            if match in scaled:
                shift = scaled[match] - here
                hardest = [at for at in np.argsort(-np.abs(shift), kind="stable")[:MAX_FEATURES] if shift[at]]
                row |= {"matched": match, "customers_after": new[match][0], "distance": distances[match]}
                row["features"] = [{"feature": features[at], "shift": float(shift[at])} for at in hardest]
            found.append(row)
    return found


def _means(groups: Sequence[Group], end: str, mean: str) -> dict[str, tuple[int, Vector]]:
    """Per cluster its customers and their mean, over the groups that have it as ``end`` (``source`` or ``target``)."""
    names = sorted({name for group in groups if (name := getattr(group, end)) is not None})
    found = {}
    for name in names:
        mine = [group for group in groups if getattr(group, end) == name]
        weights = np.array([group.customers for group in mine], dtype=float)
        values = np.array([getattr(group, mean) for group in mine])
        found[name] = (int(weights.sum()), weights @ values / weights.sum())
    return found


def _scale(groups: Sequence[Group]) -> tuple[Vector, Vector]:
    """Earlier mean and standard deviation over some groups: the variance within them plus that between them."""
    weights = np.array([group.customers for group in groups], dtype=float)
    weights /= weights.sum()
    means = np.array([group.mean_before for group in groups])
    centre = weights @ means
    variance = weights @ (np.array([group.variance_before for group in groups]) + (means - centre) ** 2)
    scale = np.sqrt(variance)
    scale[scale == 0] = 1.0
    return centre, scale
