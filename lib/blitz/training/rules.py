"""Segment rules learned by a decision tree per band, in the form that the pipeline reads (docs/contract.md, section 5).

scikit-learn fits on a bounded sample; the leaves of each tree become rules and the rule set is proven. Then Spark and
the tree both segment every sampled row, and one disagreement is an error.

Nulls are treated as in the pipeline: a flag is 0 where its count is null; a null in any other variable satisfies no
condition. Trees learn from rows without nulls. A row whose path depends on a null has no segment, in tree and Spark.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf, nextafter

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.config import Config
from blitz.config.values import did_you_mean
from blitz.errors import BlitzError, InputError
from blitz.pipelines.segmentation import SegmentRunner
from blitz.segmentation import segments
from blitz.segmentation.proof import require_proven
from blitz.segmentation.rules import FLAG_SUFFIX, RuleSet, band_condition, segment_column
from blitz.spark.columns import is_numeric, quoted, quoted_col
from blitz.training.sampling import DRAW, allocate, is_candidate, to_driver, with_draw
from blitz.training.trees import TARGET, FittedBand, LearningOptions, fit_band, last_left

INTEGRAL_TYPES = ("tinyint", "smallint", "int", "bigint")
CUT_ROWS = 20  # rows of each band that are moved to every cut point for the check


@dataclass(frozen=True)
class Leaf:
    """A leaf: its segment, its sampled rows, and its target: the mean, or the most frequent value with its share."""

    segment: str
    rows: int
    target: str


@dataclass(frozen=True)
class LearnedBand:
    """The sample of a band and the leaves of its tree.

    ``left_out`` counts sampled rows with a null, ``checked`` and ``at_cuts`` the rows on which tree and Spark agreed.
    """

    band: str
    rows: int
    sampled: int
    left_out: int
    checked: int
    at_cuts: int
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True)
class Learned:
    """A proven rule set and how each band was learned."""

    rules: RuleSet
    bands: tuple[LearnedBand, ...]

    def as_json(self) -> bytes:
        """Return the content of the rule file."""
        return (json.dumps(self.rules.model_dump(mode="json", exclude_none=True), indent=1) + "\n").encode()


def flagged_with_target(runner: SegmentRunner, config: Config, target: str, rules: RuleSet) -> DataFrame:
    """Return the flagged and renamed customers as the rules see them, with ``_target``.

    Raises InputError for a target that does not exist, has the wrong type or is a variable of the rules.
    """
    seg = config.segmentation
    features = runner.read_features()
    types = dict(features.dtypes)
    if target not in types:
        raise InputError(f"{seg.input_path} has no column {target}{did_you_mean(target, types)}")
    if not is_numeric(types[target]) and types[target] not in ("string", "boolean"):
        raise InputError(f"--target {target} has the type {types[target]}; choose a number, text or boolean column")
    wanted = list(dict.fromkeys([runner.id_col, *seg.listed_columns]))
    variables = {column for band in rules.bands for column in band.columns} | {segments.BAND_COLUMN}
    flag = segments.flag_name(target) if target in seg.convert_to_flag else target
    if target in wanted and segments.short_name(flag, seg.rename_dict) in variables:
        raise InputError(f"--target {target} is itself a variable of the rules; choose another column")
    loaded = segments.load(features.withColumn(TARGET, quoted_col(target)), [*wanted, TARGET])
    flagged = runner.rename_cols(runner.create_flags(loaded))
    segments.check_rule_columns(flagged.columns, rules)
    return flagged


def learn(config: Config, spark: SparkSession, target: str, options: LearningOptions) -> Learned:
    """Learn a proven rule set that predicts the target, with the bands and variables of the config's rule set.

    Text and booleans are classified, numbers are regressed (which for 0 and 1 gives the same splits).
    Raises InputError for a target that cannot be used, BlitzError where tree and Spark disagree.
    """
    runner = SegmentRunner(config, spark)
    flagged = flagged_with_target(runner, config, target, runner.rules)
    types = dict(flagged.dtypes)
    classify = types[TARGET] in ("string", "boolean")
    integral = frozenset(name for name, type_name in types.items() if type_name in INTEGRAL_TYPES)
    rows = with_draw(flagged.withColumn("_band", _band_column(runner.rules)), options.seed)
    found = {row["_band"]: int(row["count"]) for row in rows.groupBy("_band").count().collect() if row["_band"]}
    counts = {each.name: found.get(each.name, 0) for each in runner.rules.bands}
    sizes = allocate(counts, options.max_rows)
    sample = rows.where(is_candidate(F.col("_band"), counts, sizes))
    columns = list(dict.fromkeys(name for each in runner.rules.bands for name in each.columns))
    frames = _frames(sample, columns, F.col(TARGET), sizes)
    fitted = [fit_band(each, frames[each.name], integral, classify, options) for each in runner.rules.bands]
    rules = RuleSet(bands=tuple(each.rules for each in fitted))
    require_proven(rules)
    checked = _check_sample(sample, columns, fitted, rules, sizes)
    bands = []
    for done in fitted:
        name, frame = done.band.name, frames[done.band.name]
        left_out = len(frame) - len(frame.dropna(subset=[*done.columns, TARGET]))
        at_cuts = _check_cuts(spark, done, frame, rules)
        leaves = _leaves(done, frame, classify)
        bands.append(LearnedBand(name, counts[name], len(frame), left_out, checked[name], at_cuts, leaves))
    return Learned(rules, tuple(bands))


def _band_column(rules: RuleSet) -> Column:
    """The name of a customer's band; null for none."""
    band = F.lit(None).cast("string")
    for each in rules.bands:
        band = F.when(band_condition(each.name, rules), F.lit(each.name)).otherwise(band)
    return band


def _frames(
    sample: DataFrame, columns: Sequence[str], more: Column, sizes: Mapping[str, int]
) -> dict[str, pd.DataFrame]:
    """The sample on the driver by band, each cut to its size, always in the same order."""
    numbers = [quoted_col(name).cast("double").alias(name) for name in columns]
    frame = to_driver(sample.select("_band", DRAW, *numbers, more)).sort_values([DRAW, *columns], kind="stable")
    return {name: frame[frame["_band"] == name].head(most).reset_index(drop=True) for name, most in sizes.items()}


def _check_sample(
    sample: DataFrame, columns: Sequence[str], fitted: Sequence[FittedBand], rules: RuleSet, sizes: Mapping[str, int]
) -> dict[str, int]:
    """Segment the sampled rows in Spark, from the table itself, and with the trees; returns the rows per band."""
    segment = F.lit(None).cast("string")
    for each in fitted:
        inside = F.col("_band") == each.band.name
        segment = F.when(inside, segment_column(each.band.name, rules)).otherwise(segment)
    frames = _frames(sample, columns, segment.alias("_segment"), sizes)
    for each in fitted:
        _compare(each, frames[each.band.name], "in the sample")
    return {name: len(frame) for name, frame in frames.items()}


def _check_cuts(spark: SparkSession, fitted: FittedBand, frame: pd.DataFrame, rules: RuleSet) -> int:
    """The same for rows moved to both sides of every cut point, and to null; returns how many."""
    base = frame[list(fitted.columns)].head(CUT_ROWS).astype(object)
    base = base.where(base.notna(), None).to_dict("records")
    moved = []
    for column, threshold in dict.fromkeys(fitted.cuts()):
        for value in _around(threshold, column, column in fitted.integral):
            moved += [{**row, column: value} for row in base]
    if not moved:
        return 0
    schema = ", ".join(f"{quoted(name)} double" for name in fitted.columns)
    tuples = [tuple(None if row[c] is None else float(row[c]) for c in fitted.columns) for row in moved]
    cells = spark.createDataFrame(tuples, schema)
    got = cells.select("*", segment_column(fitted.band.name, rules).alias("_segment")).collect()
    _compare(fitted, pd.DataFrame([row.asDict() for row in got]).astype(object), "at a cut point")
    return len(moved)


def _around(threshold: float, column: str, is_integral: bool) -> list[float | None]:
    """The nearest values on both sides of a threshold, and null; flags are never null."""
    if column.endswith(FLAG_SUFFIX):
        return [0.0, 1.0]
    if is_integral:
        return [float(floor(threshold)), float(floor(threshold) + 1), None]
    last = last_left(threshold)
    return [threshold, last, nextafter(last, inf), nextafter(last, -inf), float(np.float32(threshold)), None]


def _compare(fitted: FittedBand, frame: pd.DataFrame, where: str) -> None:
    """Raise BlitzError where Spark's ``_segment`` differs from the tree's; the message never names customers."""
    expected = fitted.segments(frame[list(fitted.columns)].astype(float).to_numpy())
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
            frequencies = values.astype(str).value_counts(normalize=True).sort_index(kind="stable")
            described = f"{frequencies.idxmax()} {frequencies.max():.0%}"
        else:
            described = f"mean {values.astype(float).mean():.4g}"
        leaves.append(Leaf(segment, len(values), described))
    return tuple(leaves)
