"""What changed between two runs: migration and its causes, population stability, centroids. Aggregates only.

The earlier customer features are read once for the bins; then one pass counts those of both runs. One join compares
segments with the variables of the rules, another one micro-segments with their features.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.drift.money import money, prefixed, spend_of, spend_sums, unknown_spend
from blitz.drift.numbers import Group, centroid_drift, distribution, psi
from blitz.drift.runs import Run, Variable
from blitz.errors import InputError
from blitz.publish.tables import output_exists
from blitz.segmentation.domains import LIFECYCLE
from blitz.segmentation.segments import ID_COLUMN
from blitz.spark.columns import numeric_columns, quoted_col
from blitz.text import JsonObject

THREADS = 3  # the queries are small: planning one overlaps with the tasks of another
GROWING = "clv_"  # scores that grow with the window: they differ between any two dates
NOT_FEATURES = (ID_COLUMN, "Segment", "microcluster")
Move: TypeAlias = tuple[str | None, str | None, int]


def compare(spark: SparkSession, before: Run, after: Run, bins: int = 10) -> JsonObject:
    """Compare two runs and return JSON values; docs/compare.md describes each key.

    ``bins``: the number of bins per feature. Raises InputError where an output is missing or empty, or the two runs
    have no numeric feature in common.
    """
    micro = (before.read(spark, "microsegments"), after.read(spark, "microsegments"))
    features = (before.read(spark, "customers"), after.read(spark, "customers"))
    segments = (before.read(spark, "segments"), after.read(spark, "segments"))
    loaded = common_numeric(*micro)
    variables = _variables(loaded, common_numeric(*features), after)
    unknown = unknown_spend(spark, before, after)
    spend = None if unknown else (spend_of(spark, before), spend_of(spark, after))
    scores = _scores(spark, before, after)
    with ThreadPoolExecutor(THREADS) as pool:
        stability = pool.submit(_feature_psi, _with_scores(features, scores), bins)
        lifecycles = pool.submit(_lifecycles, scores)
        moved = pool.submit(segment_pairs, segments, features, variables, spend)
        groups = pool.submit(microsegment_groups, micro, loaded).result()
        pairs, per_feature = moved.result(), stability.result()
    models_same = before.models == after.models
    return {
        "before": before.as_json(),
        "after": after.as_json(),
        "rules_same": before.rules == after.rules,
        "models_same": models_same,
        "about_segments": {**before.about, **after.about},
        "bins": bins,
        "segments": migration(pairs, variables),
        "money": {"unknown": unknown} if unknown else money(pairs),
        "lifecycles": lifecycles.result(),
        "microsegments": _microsegments(groups),
        "psi": _psi(per_feature, pairs, groups),
        "only_before": sorted(set(_numeric(features[0])) - set(_numeric(features[1]))),
        "only_after": sorted(set(_numeric(features[1])) - set(_numeric(features[0]))),
        "centroids": centroid_drift(groups, loaded, models_same),
    }


def _scores(spark: SparkSession, before: Run, after: Run) -> tuple[DataFrame, DataFrame] | None:
    """The scores of both runs; None where one of them has none."""
    runs = (before, after)
    if any(run.scores is None or not output_exists(spark, run.scores) for run in runs):
        return None
    return before.read(spark, "scores"), after.read(spark, "scores")


def _with_scores(
    features: tuple[DataFrame, DataFrame], scores: tuple[DataFrame, DataFrame] | None
) -> tuple[DataFrame, DataFrame]:
    """The features of both sides with their numeric scores, but for those that grow with every day."""
    if scores is None:
        return features
    first, second = (
        table.join(
            each.select(ID_COLUMN, *[name for name in _numeric(each) if not name.startswith(GROWING)]),
            ID_COLUMN,
            "left",
        )
        for table, each in zip(features, scores, strict=True)
    )
    return first, second


def _lifecycles(scores: tuple[DataFrame, DataFrame] | None) -> JsonObject | None:
    """``migration`` between lifecycles and ``totals``, as of segments; None without scores."""
    if scores is None:
        return None
    named = [each.select(ID_COLUMN, F.col(LIFECYCLE).alias("Segment")) for each in scores]
    ids = [each.select(ID_COLUMN) for each in scores]
    found = migration(segment_pairs((named[0], named[1]), (ids[0], ids[1]), ()), ())
    return {key: found[key] for key in ("migration", "totals")}


def _numeric(df: DataFrame) -> list[str]:
    return [name for name in numeric_columns(df) if name not in NOT_FEATURES]


def common_numeric(before: DataFrame, after: DataFrame) -> list[str]:
    """Return the numeric features of both tables, in the order of the first."""
    common = set(_numeric(after))
    return [name for name in _numeric(before) if name in common]


def _variables(loaded: Sequence[str], features: Sequence[str], run: Run) -> list[Variable]:
    available = set(features)
    return [run.variable(name) for name in dict.fromkeys([*loaded, *sorted(run.flags)]) if name in available]


def _cell(name: str) -> Column:
    """A column as double, NaN as null: Spark treats NaN as greater than any number."""
    value = quoted_col(name).cast("double")
    return F.when(~F.isnan(value), value)


def segment_pairs(
    segments: tuple[DataFrame, DataFrame],
    features: tuple[DataFrame, DataFrame],
    variables: Sequence[Variable],
    spend: tuple[DataFrame, DataFrame] | None = None,
) -> list[JsonObject]:
    """Return per (``from``, ``to``) segment the ``customers``, and in how many variable i went up (``up_i``) or down.

    With ``spend`` (``channel_spend`` of both sides) also what ``money`` needs. A segment is None where the run has no
    such customer.
    """
    sides: list[DataFrame] = []
    for prefix, segment, table in zip(("b_", "a_"), segments, features, strict=True):
        values = table.select(ID_COLUMN, *[_cell(each.column).alias(prefix + each.column) for each in variables])
        side = segment.select(ID_COLUMN, F.col("Segment").alias(f"{prefix}segment"))
        side = side.join(values, ID_COLUMN, "left").withColumn(f"{prefix}here", F.lit(True))
        sides.append(side.join(prefixed(spend[len(sides)], prefix), ID_COLUMN, "left") if spend else side)
    joined = sides[0].join(sides[1], ID_COLUMN, "full_outer")
    both = F.col("b_here") & F.col("a_here")
    counts = []
    for at, each in enumerate(variables):
        old, new = each.of("b_"), each.of("a_")
        counts += [
            F.sum(F.when(both & (new > old), 1).otherwise(0)).alias(f"up_{at}"),
            F.sum(F.when(both & (new < old), 1).otherwise(0)).alias(f"down_{at}"),
        ]
    grouped = joined.groupBy(F.col("b_segment").alias("from"), F.col("a_segment").alias("to"))
    amounts = [each for prefix in ("b_", "a_") for each in spend_sums(prefix)] if spend else []
    rows = grouped.agg(F.count(F.lit(1)).alias("customers"), *counts, *amounts).collect()
    return sorted((row.asDict() for row in rows), key=lambda row: (row["from"] or "", row["to"] or ""))


def microsegment_groups(micro: tuple[DataFrame, DataFrame], features: Sequence[str]) -> list[Group]:
    """Return per plan and pair of clusters the customers, and mean and variance of their features, null as 0."""
    sides = []
    for prefix, table in zip(("b_", "a_"), micro, strict=True):
        values = [F.coalesce(_cell(name), F.lit(0.0)).alias(f"{prefix}{at}") for at, name in enumerate(features)]
        cluster = F.col("microcluster").alias(f"{prefix}cluster")
        sides.append(table.select(ID_COLUMN, F.col("Segment").alias("plan"), cluster, *values))
    joined = sides[0].join(sides[1], [ID_COLUMN, "plan"], "full_outer")
    numbers = range(len(features))
    rows = (
        joined.groupBy("plan", F.col("b_cluster").alias("from"), F.col("a_cluster").alias("to"))
        .agg(
            F.count(F.lit(1)).alias("customers"),
            F.array(*[F.avg(f"b_{at}") for at in numbers]).alias("mean_before"),
            F.array(*[F.var_pop(f"b_{at}") for at in numbers]).alias("variance_before"),
            F.array(*[F.avg(f"a_{at}") for at in numbers]).alias("mean_after"),
        )
        .collect()
    )
    groups = [Group.of_row(row.asDict()) for row in rows]
    return sorted(groups, key=lambda each: (each.plan, each.source or "", each.target or ""))


def bin_edges(before: DataFrame, names: Sequence[str], bins: int) -> dict[str, list[float]]:
    """Return per feature the distinct inner quantiles of the earlier run (exact, as numpy's), ascending.

    A feature whose values are all null has none.
    """
    shares = F.array(*[F.lit(at / bins) for at in range(1, bins)])
    columns = [F.percentile(_cell(name), shares).alias(f"q_{at}") for at, name in enumerate(names)]
    row = before.agg(*columns).collect()[0]
    return {name: sorted(set(row[f"q_{at}"] or [])) for at, name in enumerate(names)}


def bin_counts(
    features: tuple[DataFrame, DataFrame], edges: Mapping[str, Sequence[float]]
) -> dict[str, tuple[dict[int, int], dict[int, int]]]:
    """Return per feature the rows of each bin, before and after: bin i is edge i-1 < value <= edge i, bin -1 null."""
    names = list(edges)
    cuts = features[0].sparkSession.createDataFrame(
        [(at, [float(edge) for edge in edges[name]]) for at, name in enumerate(names)], "at int, edges array<double>"
    )
    sides = [
        table.select(F.lit(at).alias("side"), F.array(*[_cell(name) for name in names]).alias("cells"))
        for at, table in enumerate(features)
    ]
    long = sides[0].unionByName(sides[1]).select("side", F.posexplode("cells").alias("at", "value"))
    below = F.size(F.filter("edges", lambda edge: edge < F.col("value")))
    rows = (
        long.join(F.broadcast(cuts), "at")  # as one literal of all features, the edges take thirty times as long
        .withColumn("bin", F.when(F.col("value").isNull(), F.lit(-1)).otherwise(below))
        .groupBy("side", "at", "bin")
        .agg(F.count(F.lit(1)).alias("rows"))
        .collect()
    )
    found: dict[str, tuple[dict[int, int], dict[int, int]]] = {name: ({}, {}) for name in names}
    for row in rows:
        found[names[row["at"]]][row["side"]][row["bin"]] = row["rows"]
    return found


def _feature_psi(features: tuple[DataFrame, DataFrame], bins: int) -> list[JsonObject]:
    """The index of each feature that both tables have, with its bins' edges. Raises InputError where there is none."""
    names = common_numeric(*features)
    if not names:
        raise InputError("the customer features of the two runs have no numeric column in common")
    edges = bin_edges(features[0], names, bins)
    counts = bin_counts(features, edges)
    if any(not side for side in counts[names[0]]):
        raise InputError("the customer features of one of the two runs are empty; there is nothing to compare")
    return [{"feature": name, **psi(*counts[name]), "edges": edges[name]} for name in names]


def _psi(features: Sequence[JsonObject], pairs: Sequence[JsonObject], groups: Sequence[Group]) -> JsonObject:
    """The indices of ``features``, of ``segments`` with each segment's term, and of each plan's clusters."""
    plans = sorted({group.plan for group in groups})
    moves = {plan: [(g.source, g.target, g.customers) for g in groups if g.plan == plan] for plan in plans}
    return {
        "features": sorted(features, key=lambda each: -each["psi"]),
        "segments": distribution([(row["from"], row["to"], row["customers"]) for row in pairs]),
        "plans": {plan: distribution(moves[plan]) for plan in plans},
    }


def migration(pairs: Sequence[JsonObject], variables: Sequence[Variable]) -> JsonObject:
    """Migration matrix, totals per segment, and the variables that changed among the customers of each move."""

    def changes(rows: Sequence[JsonObject]) -> list[JsonObject]:
        both = sum(row["customers"] for row in rows)
        found = [
            {
                "variable": each.label,
                "is_flag": each.is_flag,
                "in_rules": each.in_rules,
                "up": sum(row[f"up_{at}"] for row in rows),
                "down": sum(row[f"down_{at}"] for row in rows),
                "customers": both,
            }
            for at, each in enumerate(variables)
        ]
        changed = [each for each in found if each["up"] or each["down"]]
        return sorted(changed, key=lambda each: (not each["in_rules"], -each["up"] - each["down"], each["variable"]))

    moves = [row for row in pairs if row["from"] and row["to"] and row["from"] != row["to"]]
    names = sorted({row[end] for row in pairs for end in ("from", "to") if row[end]})
    return {
        "migration": [{key: row[key] for key in ("from", "to", "customers")} for row in pairs],
        "totals": _totals([(row["from"], row["to"], row["customers"]) for row in pairs]),
        "moved_pairs": [
            {"from": row["from"], "to": row["to"], "customers": row["customers"], "changed": changes([row])}
            for row in moves
        ],
        "moved": {
            name: {
                "out": changes([row for row in moves if row["from"] == name]),
                "in": changes([row for row in moves if row["to"] == name]),
            }
            for name in names
        },
    }


def _microsegments(groups: Sequence[Group]) -> JsonObject:
    plans = sorted({group.plan for group in groups})
    return {
        plan: {
            "migration": [
                {"from": each.source, "to": each.target, "customers": each.customers}
                for each in groups
                if each.plan == plan
            ],
            "totals": _totals([(g.source, g.target, g.customers) for g in groups if g.plan == plan]),
        }
        for plan in plans
    }


def _totals(moves: Sequence[Move]) -> dict[str, dict[str, int]]:
    """Per segment or cluster: ``before``, ``after``, ``stayed``, ``moved_out``, ``moved_in``, ``left``, ``entered``.

    ``left`` and ``entered`` count customers that one of the runs does not have.
    """
    keys = ("before", "after", "stayed", "moved_out", "moved_in", "left", "entered")
    names = sorted({name for old, new, _ in moves for name in (old, new) if name is not None})
    totals = {name: dict.fromkeys(keys, 0) for name in names}
    for old, new, customers in moves:
        if old is not None:
            totals[old]["before"] += customers
            totals[old]["left" if new is None else "stayed" if new == old else "moved_out"] += customers
        if new is not None:
            totals[new]["after"] += customers
            if new != old:
                totals[new]["entered" if old is None else "moved_in"] += customers
    return totals
