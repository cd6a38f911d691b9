"""Decision trees over the variables of a band, and the rules compiled from them. No Spark."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf, nextafter
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from blitz.errors import InputError
from blitz.segmentation.rules import FLAG_SUFFIX, Band, Condition, Rule

TARGET = "_target"
Tree: TypeAlias = DecisionTreeClassifier | DecisionTreeRegressor


@dataclass(frozen=True)
class LearningOptions:
    """The maximum sample size over all bands, minimum rows of a leaf, maximum leaves of a band, and the seed."""

    max_rows: int = 200_000
    min_leaf: int = 100
    max_leaves: int = 10
    seed: int = 0


@dataclass(frozen=True)
class FittedBand:
    """The tree of a band, its variables and the rules compiled from it.

    ``integral``: the variables of an integer type; ``leaf_segments``: the segment of each leaf's node.
    """

    band: Band
    columns: tuple[str, ...]
    integral: frozenset[str]
    tree: Tree
    rules: Band
    leaf_segments: Mapping[int, str]

    def cuts(self) -> Iterator[tuple[str, float]]:
        """Yield the (column, threshold) of each split."""
        inner = self.tree.tree_
        for node in range(inner.node_count):
            if inner.children_left[node] != -1:
                yield self.columns[inner.feature[node]], float(inner.threshold[node])

    def segment(self, values: Sequence[float | None]) -> str | None:
        """Return the segment of one row, walking the tree as scikit-learn does; None where a null decides."""
        inner, node = self.tree.tree_, 0
        while inner.children_left[node] != -1:
            value = values[inner.feature[node]]
            if value is None or value != value:
                return None
            goes_left = float(np.float32(value)) <= inner.threshold[node]
            node = int((inner.children_left if goes_left else inner.children_right)[node])
        return self.leaf_segments[node]

    def segments(self, values: NDArray[np.float64]) -> NDArray[np.object_]:
        """Return the segment of each row (NaN: null); None where a null decides."""
        complete = ~np.isnan(values).any(axis=1)
        found = np.full(len(values), None, dtype=object)
        if complete.any():
            found[complete] = [self.leaf_segments[node] for node in self.tree.apply(values[complete])]
        found[~complete] = [self.segment(row) for row in values[~complete].tolist()]
        return found


def last_left(threshold: float) -> float:
    """Return the greatest double that goes left at a threshold: scikit-learn compares values rounded to 32 bits."""
    below = np.float32(threshold)
    if float(below) > threshold:
        below = np.nextafter(below, np.float32(-inf))
    middle = (float(below) + float(np.nextafter(below, np.float32(inf)))) / 2
    return middle if np.float32(middle) == below else nextafter(middle, -inf)


def cut_of(threshold: float, is_integral: bool) -> float:
    """Return a rule's cut that separates the same values as a tree's threshold.

    Between two integers for an integral variable, else the greatest double that goes left.
    """
    last = last_left(threshold)
    return floor(last) + 0.5 if is_integral else last


def compile_tree(
    tree: Tree, band: Band, columns: Sequence[str], integral: frozenset[str]
) -> tuple[Band, dict[int, str]]:
    """Return the band with one rule per leaf, left to right, and the segment of each leaf's node."""
    inner = tree.tree_
    rules: list[Rule] = []
    leaf_segments: dict[int, str] = {}
    pending: list[tuple[int, dict[str, tuple[float, float]]]] = [(0, {})]
    while pending:
        node, ends = pending.pop()
        if inner.children_left[node] == -1:
            segment = f"Learned_{band.name}_{len(rules) + 1:02d}"
            leaf_segments[node] = segment
            rules.append(Rule(segment=segment, conditions=tuple(_condition(c, *ends[c]) for c in columns if c in ends)))
            continue
        column = columns[inner.feature[node]]
        cut = 0.5 if column.endswith(FLAG_SUFFIX) else cut_of(float(inner.threshold[node]), column in integral)
        low, high = ends.get(column, (-inf, inf))
        pending.append((inner.children_right[node], {**ends, column: (max(low, cut), high)}))
        pending.append((inner.children_left[node], {**ends, column: (low, min(high, cut))}))
    return band.model_copy(update={"rules": tuple(rules)}), leaf_segments


def _condition(column: str, low: float, high: float) -> Condition:
    if column.endswith(FLAG_SUFFIX):
        return Condition(column=column, equals=float(low == 0.5))
    return Condition(column=column, greater_than=None if low == -inf else low, at_most=None if high == inf else high)


def fit_band(
    band: Band, frame: pd.DataFrame, integral: frozenset[str], classify: bool, options: LearningOptions
) -> FittedBand:
    """Fit a tree of a band over its rule variables and ``_target``. Raises InputError where no row is complete."""
    columns = band.columns
    known = frame.dropna(subset=[*columns, TARGET])
    if known.empty or not columns:
        what = "has no variables" if not columns else "has no customer with all variables and a target"
        raise InputError(f"band {band.name} {what}: nothing to learn from")
    kind = DecisionTreeClassifier if classify else DecisionTreeRegressor
    tree = kind(min_samples_leaf=options.min_leaf, max_leaf_nodes=options.max_leaves, random_state=options.seed)
    target = known[TARGET].astype(str) if classify else known[TARGET].astype(float)
    tree.fit(known[columns].to_numpy(dtype=np.float64), target.to_numpy())
    rules, leaf_segments = compile_tree(tree, band, columns, integral)
    return FittedBand(band, tuple(columns), integral & set(columns), tree, rules, leaf_segments)
