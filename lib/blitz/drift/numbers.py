"""The arithmetic of a comparison on collected aggregates: population stability index and centroid drift. No Spark."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

EPSILON = 1e-4
MODERATE, LARGE = 0.1, 0.25
MOST_FEATURES = 5
Body = dict[str, Any]


class Group:
    """The customers of one plan that went from one cluster to another (None: not there), and their features."""

    def __init__(
        self,
        plan: str,
        customers: int,
        mean_before: Sequence[float],
        variance_before: Sequence[float],
        mean_after: Sequence[float],
        **ends: str | None,
    ) -> None:
        self.plan, self.customers = plan, customers
        self.source, self.target = ends["from"], ends["to"]
        self.mean_before = np.array(mean_before, dtype=float)
        self.variance_before = np.array(variance_before, dtype=float)
        self.mean_after = np.array(mean_after, dtype=float)


def level(value: float) -> str:
    """``stable`` below 0.1, ``moderate`` below 0.25, else ``large``."""
    return "stable" if value < MODERATE else "moderate" if value < LARGE else "large"


def terms(before: Mapping[Any, int], after: Mapping[Any, int]) -> dict[Any, float]:
    """Per bin (a - b) ln(a / b) with the shares b before and a after, each at least EPSILON."""
    n, m = sum(before.values()), sum(after.values())
    found = {}
    for each in sorted(set(before) | set(after)):
        b = max(before.get(each, 0) / n, EPSILON) if n else EPSILON
        a = max(after.get(each, 0) / m, EPSILON) if m else EPSILON
        found[each] = float((a - b) * np.log(a / b))
    return found


def psi(before: Mapping[Any, int], after: Mapping[Any, int]) -> Body:
    """``psi``, the sum of the terms, and its ``level``."""
    total = sum(terms(before, after).values())
    return {"psi": total, "level": level(total)}


def distribution(moves: Sequence[tuple[str | None, str | None, int]]) -> Body:
    """The index of a distribution over names, with each name's term: from (before, after, customers)."""
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for old, new, customers in moves:
        if old is not None:
            before[old] = before.get(old, 0) + customers
        if new is not None:
            after[new] = after.get(new, 0) + customers
    return {**psi(before, after), "terms": terms(before, after)}


def centroid_drift(groups: Sequence[Group], features: Sequence[str], models_same: bool) -> list[Body]:
    """Per plan and cluster before: the cluster after that it is compared with, and how far the mean went.

    Means are scaled by mean and standard deviation of the plan's customers before, a zero deviation as 1. With the same
    models clusters go by number, otherwise each goes to the nearest mean after.
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
            row: Body = {"plan": plan, "cluster": name, "customers_before": customers, "matched": None,
                         "customers_after": 0, "distance": None, "features": []}  # fmt: skip
            if match in scaled:
                shift = scaled[match] - here
                hardest = [at for at in np.argsort(-np.abs(shift), kind="stable")[:MOST_FEATURES] if shift[at]]
                row |= {"matched": match, "customers_after": new[match][0], "distance": distances[match]}
                row["features"] = [{"feature": features[at], "shift": float(shift[at])} for at in hardest]
            found.append(row)
    return found


def _means(groups: Sequence[Group], end: str, mean: str) -> dict[str, tuple[int, np.ndarray]]:
    """Per cluster its customers and mean, over the groups that it is the source or the target of."""
    names = sorted({name for group in groups if (name := getattr(group, end)) is not None})
    found = {}
    for name in names:
        mine = [group for group in groups if getattr(group, end) == name]
        weights = np.array([group.customers for group in mine], dtype=float)
        values = np.array([getattr(group, mean) for group in mine])
        found[name] = (int(weights.sum()), weights @ values / weights.sum())
    return found


def _scale(groups: Sequence[Group]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation before over some groups: the variance within them plus that between them."""
    weights = np.array([group.customers for group in groups], dtype=float)
    weights /= weights.sum()
    means = np.array([group.mean_before for group in groups])
    centre = weights @ means
    variance = weights @ (np.array([group.variance_before for group in groups]) + (means - centre) ** 2)
    scale = np.sqrt(variance)
    scale[scale == 0] = 1.0
    return centre, scale
