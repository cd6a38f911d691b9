"""What a rule file would do: who would move, which plans lose members, what each condition keeps. Publishes nothing."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.config import Config, validate_segments
from blitz.drift.compare import migration, segment_pairs
from blitz.errors import ConfigError
from blitz.pipelines.context import read_published
from blitz.pipelines.segmentation import SegmentRunner
from blitz.publish.tables import output_exists
from blitz.segmentation import segments
from blitz.segmentation.proof import require_proven
from blitz.segmentation.rules import Band, RuleSet, about_segments, band_condition, rules_hash, segment_names
from blitz.segmentation.segments import ID_COLUMN
from blitz.text import JsonObject


def try_rules(config: Config, spark: SparkSession, rules: RuleSet) -> JsonObject:
    """Return what a run with the rules would assign on the published customer features, as JSON values.

    Keys: ``rules`` (hashes ``now`` and ``then``), ``now_from`` (``published`` segments, or ``rules`` where there are
    none), ``about_segments``, ``segments`` (as in a comparison: migration, totals, moved pairs), ``plans`` (members now
    and then), ``conditions`` (per band and rule what each condition keeps and drops, in order) and ``problems`` (what
    would stop a run with the rules).

    Raises RuleError for rules that are not proven, InputError where features or a column that a rule reads are missing.
    """
    require_proven(rules)
    runner = SegmentRunner(config, spark)
    flagged = runner.rename_cols(runner.create_flags(runner.load_data()))
    segments.check_rule_columns(flagged.columns, rules)
    path = config.segmentation.output_segments_path
    is_published = output_exists(spark, path)
    now = read_published(spark, path, config) if is_published else segments.assign(flagged, runner.rules)
    then = segments.assign(flagged, rules).select(ID_COLUMN, "Segment")
    ids = flagged.select(ID_COLUMN)
    pairs = segment_pairs((now, then), (ids, ids), ())
    return {
        "rules": {"now": rules_hash(runner.rules), "then": rules_hash(rules)},
        "now_from": "published" if is_published else "rules",
        "about_segments": {
            name: about.as_json() for each in (runner.rules, rules) for name, about in about_segments(each).items()
        },
        "segments": migration(pairs, ()),
        "plans": _plans(config, pairs, segment_names(rules)),
        "conditions": _conditions(flagged, rules),
        "problems": _problems(config, rules),
    }


def _plans(config: Config, pairs: Sequence[JsonObject], names: Sequence[str]) -> list[JsonObject]:
    """Per enabled plan item its model, and the members that it has now, would have, lose and gain."""
    found = []
    for item in config.segmentation.micro_plan:
        if not item.enabled:
            continue
        sources = set(item.source_segments)

        def total(was: bool | None, will: bool | None, sources: set[str] = sources) -> int:
            return sum(
                pair["customers"]
                for pair in pairs
                if was in (None, pair["from"] in sources) and will in (None, pair["to"] in sources)
            )

        found.append(
            {
                "plan": item.name,
                "model": item.model_key,
                "now": total(True, None),
                "then": total(None, True),
                "lost": total(True, False),
                "gained": total(False, True),
                "unknown_segments": sorted(sources - set(names)),
            }
        )
    return found


def _conditions(flagged: DataFrame, rules: RuleSet) -> list[JsonObject]:
    """Per band its customers and rules; per rule, what is left after each of its conditions, in order. One query."""
    sums = {}
    for at, band in enumerate(rules.bands):
        inside = band_condition(band.name, rules)
        sums[f"b_{at}"] = inside
        for place, rule in enumerate(band.rules):
            so_far = inside
            for step, condition in enumerate(rule.conditions):
                so_far = so_far & condition.compiled()
                sums[f"b_{at}_{place}_{step}"] = so_far
    row = flagged.agg(*[F.sum(F.when(value, 1).otherwise(0)).alias(name) for name, value in sums.items()]).collect()[0]
    counts = {name: int(row[name] or 0) for name in sums}
    return [_band(band, f"b_{at}", counts) for at, band in enumerate(rules.bands)]


def _band(band: Band, key: str, counts: dict[str, int]) -> JsonObject:
    listed = []
    for place, rule in enumerate(band.rules):
        steps, before = [], counts[key]
        for step, condition in enumerate(rule.conditions):
            kept = counts[f"{key}_{place}_{step}"]
            steps.append({"condition": condition.in_words(), "kept": kept, "dropped": before - kept})
            before = kept
        listed.append({"segment": rule.segment, "conditions": steps, "customers": before})
    return {"band": band.name, "customers": counts[key], "rules": listed}


def _problems(config: Config, rules: RuleSet) -> list[str]:
    """The segments that the plan and, where it is given, ``cap_segments`` name and the rules do not have."""
    try:
        validate_segments(config, segment_names(rules))
    except ConfigError as error:
        return list(error.problems)
    return []
