"""Rules learned by a decision tree per band, in the form that the pipeline reads (contract: rule segments).

scikit-learn fits on a bounded sample; the tree's leaves become rules, the rule set is proven, and every sampled row is
then segmented by Spark and by the tree: one row of disagreement is an error.

Nulls are the pipeline's: a flag is 0 where its count is null; a null in any other variable fulfils no condition. The
tree learns from rows without nulls; a row whose path asks for a null has no segment, in the tree and in Spark.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf, nextafter
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from blitz.config import Config
from blitz.config.values import did_you_mean
from blitz.errors import BlitzError, InputError
from blitz.pipelines.segmentation import SegmentRunner
from blitz.publish.tables import read_output
from blitz.segmentation import segments
from blitz.segmentation.proof import require_proven
from blitz.segmentation.rules import FLAG_SUFFIX, Band, Condition, Rule, RuleSet, band_condition, segment_column
from blitz.training.microsegments import DRAW, NUMERIC, collected, sampled, shares, with_draw

log = logging.getLogger(__name__)

TARGET = "_target"
INTEGRAL = ("tinyint", "smallint", "int", "bigint")
CUT_ROWS = 20  # rows of each band that are moved to every cut point for the check

Tree = Any  # DecisionTreeClassifier or DecisionTreeRegressor: scikit-learn has no types


@dataclass(frozen=True)
class LearningOptions:
    """The most sampled rows, all bands together; the fewest rows of a leaf, the most leaves of a band; the seed."""

    max_rows: int = 200_000
    min_leaf: int = 100
    max_leaves: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Leaf:
    """One leaf: its segment, sampled rows, and the target there: its mean, or its most frequent value and share."""

    segment: str
    rows: int
    target: str


@dataclass(frozen=True)
class LearnedBand:
    """What a band's tree was learned from and gives. ``checked`` counts the rows that tree and Spark agreed on."""

    band: str
    rows: int
    sampled: int
    left_out: int
    checked: int
    at_cuts: int
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True)
class Learned:
    """A proven rule set and how it came about."""

    rules: RuleSet
    bands: tuple[LearnedBand, ...]

    def as_json(self) -> bytes:
        """The rule file."""
        return (json.dumps(self.rules.model_dump(mode="json", exclude_none=True), indent=1) + "\n").encode()


@dataclass(frozen=True)
class FittedBand:
    """A band's tree, its variables (those that hold whole numbers in ``whole``) and the rules compiled from it."""

    band: Band
    columns: tuple[str, ...]
    whole: frozenset[str]
    tree: Tree
    rules: Band
    leaf_segments: Mapping[int, str]

    def cuts(self) -> Iterator[tuple[str, float]]:
        """The (column, threshold) of every split."""
        inner = self.tree.tree_
        for node in range(inner.node_count):
            if inner.children_left[node] != -1:
                yield self.columns[inner.feature[node]], float(inner.threshold[node])

    def segment(self, values: Sequence[float | None]) -> str | None:
        """The segment of one row by walking the tree as scikit-learn does; None where the path asks for a null."""
        inner, node = self.tree.tree_, 0
        while inner.children_left[node] != -1:
            value = values[inner.feature[node]]
            if value is None or value != value:
                return None
            goes_left = float(np.float32(value)) <= inner.threshold[node]
            node = inner.children_left[node] if goes_left else inner.children_right[node]
        return self.leaf_segments[node]


def last_left(threshold: float) -> float:
    """The greatest double that scikit-learn sends left at a threshold: it rounds values to 32 bits before comparing."""
    below = np.float32(threshold)
    if float(below) > threshold:
        below = np.nextafter(below, np.float32(-inf))
    middle = (float(below) + float(np.nextafter(below, np.float32(inf)))) / 2
    return middle if np.float32(middle) == below else nextafter(middle, -inf)


def cut_of(threshold: float, is_whole: bool) -> float:
    """The rule's cut for a tree's threshold, equal on every value: between two whole numbers where there are no others,
    else the greatest double that goes left."""
    last = last_left(threshold)
    return floor(last) + 0.5 if is_whole else last


def compile_tree(tree: Tree, band: Band, columns: Sequence[str], whole: frozenset[str]) -> tuple[Band, dict[int, str]]:
    """The band with one rule per leaf, left to right, and the segment of every leaf's node."""
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
        cut = 0.5 if column.endswith(FLAG_SUFFIX) else cut_of(float(inner.threshold[node]), column in whole)
        low, high = ends.get(column, (-inf, inf))
        pending.append((inner.children_right[node], {**ends, column: (max(low, cut), high)}))
        pending.append((inner.children_left[node], {**ends, column: (low, min(high, cut))}))
    return band.model_copy(update={"rules": tuple(rules)}), leaf_segments


def _condition(column: str, low: float, high: float) -> Condition:
    if column.endswith(FLAG_SUFFIX):
        return Condition(column=column, equals=float(low == 0.5))
    return Condition(column=column, greater_than=None if low == -inf else low, at_most=None if high == inf else high)


def fit_band(
    band: Band, frame: pd.DataFrame, whole: frozenset[str], classify: bool, how: LearningOptions
) -> FittedBand:
    """The tree of a band over its rule variables. Raises InputError where no row is complete."""
    columns = band.columns
    known = frame.dropna(subset=[*columns, TARGET])
    if known.empty or not columns:
        what = "reads no variable" if not columns else "has no customer with all variables and a target"
        raise InputError(f"band {band.name} {what}: nothing to learn from")
    kind = DecisionTreeClassifier if classify else DecisionTreeRegressor
    tree = kind(min_samples_leaf=how.min_leaf, max_leaf_nodes=how.max_leaves, random_state=how.seed)
    target = known[TARGET].astype(str) if classify else known[TARGET].astype(float)
    tree.fit(known[columns].to_numpy(dtype=np.float64), target.to_numpy())
    rules, leaf_segments = compile_tree(tree, band, columns, whole)
    return FittedBand(band, tuple(columns), whole & set(columns), tree, rules, leaf_segments)


def flagged_with_target(runner: SegmentRunner, config: Config, target: str, rules: RuleSet) -> DataFrame:
    """The flagged and renamed customers that the rules see, with ``_target``. Raises InputError."""
    seg = config.segmentation
    features = read_output(runner.spark, seg.input_path, runner.context.format)
    kinds = dict(features.dtypes)
    if target not in kinds:
        raise InputError(f"{seg.input_path} has no column {target}{did_you_mean(target, kinds)}")
    if kinds[target].split("(")[0] not in (*NUMERIC, "string", "boolean"):
        raise InputError(f"--target {target} is of type {kinds[target]}; take a number, a text or a flag")
    wanted = list(dict.fromkeys([runner.id_col, *seg.cols_to_keep, *seg.convert_to_flag]))
    variables = {column for band in rules.bands for column in band.columns} | {segments.BAND_COLUMN}
    flag = segments.flag_name(target) if target in seg.convert_to_flag else target
    if target in wanted and segments.short_name(flag, seg.rename_dict) in variables:
        raise InputError(f"--target {target} is a variable of the rules itself; take another column")
    loaded = segments.load(features.withColumn(TARGET, F.col(f"`{target}`")), [*wanted, TARGET])
    flagged = runner.rename_cols(runner.create_flags(loaded))
    segments.check_rule_columns(flagged.columns, rules)
    return flagged


def learn(config: Config, spark: SparkSession, target: str, how: LearningOptions) -> Learned:
    """A proven rule set that tells the target apart, with the bands and variables of the config's rule set.

    A text or boolean target is classified, a number is regressed (for 0 and 1 that is the same split).
    Raises InputError for a target that cannot be used, BlitzError where tree and Spark disagree.
    """
    runner = SegmentRunner(config, spark)
    flagged = flagged_with_target(runner, config, target, runner.rules)
    kinds = dict(flagged.dtypes)
    classify = kinds[TARGET] in ("string", "boolean")
    whole = frozenset(name for name, kind in kinds.items() if kind in INTEGRAL)
    band = F.lit(None).cast("string")
    for each in runner.rules.bands:
        band = F.when(band_condition(each.name, runner.rules), F.lit(each.name)).otherwise(band)
    rows = with_draw(flagged.withColumn("_band", band), how.seed)
    found = {row["_band"]: int(row["count"]) for row in rows.groupBy("_band").count().collect() if row["_band"]}
    counts = {each.name: found.get(each.name, 0) for each in runner.rules.bands}
    given = shares(counts, how.max_rows)
    sample = rows.where(sampled(F.col("_band"), counts, given))
    columns = list(dict.fromkeys(name for each in runner.rules.bands for name in each.columns))
    frames = _frames(sample, columns, [TARGET], given)
    fitted = [fit_band(each, frames[each.name], whole, classify, how) for each in runner.rules.bands]
    rules = RuleSet(bands=tuple(each.rules for each in fitted))
    require_proven(rules)
    checked = _check_sample(sample, columns, fitted, rules, given)
    at_cuts = {each.band.name: _check_cuts(spark, each, frames[each.band.name], rules) for each in fitted}
    bands = []
    for done in fitted:
        name, frame = done.band.name, frames[done.band.name]
        left_out = len(frame) - len(frame.dropna(subset=[*done.columns, TARGET]))
        leaves = _leaves(done, frame, classify)
        bands.append(LearnedBand(name, counts[name], len(frame), left_out, checked[name], at_cuts[name], leaves))
    return Learned(rules, tuple(bands))


def _frames(
    sample: DataFrame, columns: Sequence[str], more: Sequence[Any], given: Mapping[str, int]
) -> dict[str, pd.DataFrame]:
    """The sample on the driver, per band cut to its share, always in the same order."""
    numbers = [F.col(f"`{name}`").cast("double").alias(name) for name in columns]
    frame = collected(sample.select("_band", DRAW, *numbers, *more)).sort_values([DRAW, *columns], kind="stable")
    return {name: frame[frame["_band"] == name].head(most).reset_index(drop=True) for name, most in given.items()}


def _check_sample(
    sample: DataFrame, columns: Sequence[str], fitted: Sequence[FittedBand], rules: RuleSet, given: Mapping[str, int]
) -> dict[str, int]:
    """Segment the sampled rows by Spark from the table itself, and by the tree; returns the rows per band."""
    segment = F.lit(None).cast("string")
    for each in fitted:
        inside = F.col("_band") == each.band.name
        segment = F.when(inside, segment_column(each.band.name, rules)).otherwise(segment)
    frames = _frames(sample, columns, [segment.alias("_segment")], given)
    for each in fitted:
        _compare(each, frames[each.band.name], "in the sample")
    return {name: len(frame) for name, frame in frames.items()}


def _check_cuts(spark: SparkSession, fitted: FittedBand, frame: pd.DataFrame, rules: RuleSet) -> int:
    """The same for rows moved to either side of every cut point, and to null; returns how many."""
    base = frame[list(fitted.columns)].head(CUT_ROWS).astype(object)
    base = base.where(base.notna(), None).to_dict("records")
    moved = []
    for column, threshold in dict.fromkeys(fitted.cuts()):
        for value in _around(threshold, column, column in fitted.whole):
            moved += [{**row, column: value} for row in base]
    if not moved:
        return 0
    schema = ", ".join(f"`{name}` double" for name in fitted.columns)
    tuples = [tuple(None if row[c] is None else float(row[c]) for c in fitted.columns) for row in moved]
    cells = spark.createDataFrame(tuples, schema)
    got = cells.select("*", segment_column(fitted.band.name, rules).alias("_segment")).collect()
    _compare(fitted, pd.DataFrame([row.asDict() for row in got]).astype(object), "at a cut point")
    return len(moved)


def _around(threshold: float, column: str, is_whole: bool) -> list[float | None]:
    """Values on both sides of a threshold, the nearest there are; flags are never null."""
    if column.endswith(FLAG_SUFFIX):
        return [0.0, 1.0]
    if is_whole:
        return [float(floor(threshold)), float(floor(threshold) + 1), None]
    last = last_left(threshold)
    return [threshold, last, nextafter(last, inf), nextafter(last, -inf), float(np.float32(threshold)), None]


def _compare(fitted: FittedBand, frame: pd.DataFrame, where: str) -> None:
    """Raise BlitzError where Spark's ``_segment`` is another than the tree's; says how many, never which customers."""
    values = frame[list(fitted.columns)].astype(float).to_numpy()
    complete = ~np.isnan(values).any(axis=1)
    expected = np.full(len(frame), None, dtype=object)
    if complete.any():
        nodes = fitted.tree.apply(values[complete])
        expected[complete] = [fitted.leaf_segments[node] for node in nodes]
    expected[~complete] = [fitted.segment([None if v != v else v for v in row]) for row in values[~complete]]
    actual = frame["_segment"].astype(object).where(frame["_segment"].notna(), None).to_numpy()
    wrong = [at for at in range(len(frame)) if expected[at] != actual[at]]
    if wrong:
        raise BlitzError(
            f"band {fitted.band.name}: the tree and Spark disagree on {len(wrong):,} of {len(frame):,} rows {where}: "
            f"e.g. {expected[wrong[0]]} by the tree, {actual[wrong[0]]} by Spark; nothing was written"
        )


def _leaves(fitted: FittedBand, frame: pd.DataFrame, classify: bool) -> tuple[Leaf, ...]:
    known = frame.dropna(subset=[*fitted.columns, TARGET])
    nodes = fitted.tree.apply(known[list(fitted.columns)].to_numpy(dtype=np.float64))
    leaves = []
    for node, segment in fitted.leaf_segments.items():
        values = known.loc[nodes == node, TARGET]
        if classify:
            shares_of = values.astype(str).value_counts(normalize=True).sort_index(kind="stable")
            described = f"{shares_of.idxmax()} {shares_of.max():.0%}"
        else:
            described = f"mean {values.astype(float).mean():.4g}"
        leaves.append(Leaf(segment, len(values), described))
    return tuple(leaves)
