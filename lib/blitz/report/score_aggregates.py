"""The report's aggregations over the scores and the history. Neither ids nor rows leave Spark."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.pipelines.history import RUN_DATE
from blitz.report.aggregates import Rows, collect
from blitz.segmentation.domains import LIFECYCLE, SCORES
from blitz.segmentation.segments import ID_COLUMN
from blitz.text import JsonObject

MAX_DATES = 25  # of a history, the newest


def score_groups(scores: DataFrame, segments: DataFrame) -> Rows:
    """Per ``segment`` (None: in no segment) and ``lifecycle`` the ``customers``, their ``spend`` and ``orders``, those
    who came ``again`` on another day, and the sum ``again_value`` of their spend per repeat day."""
    named = segments.select(ID_COLUMN, F.col("Segment").alias("segment"))
    again = F.col("clv_frequency") > 0
    return collect(
        scores.join(named, ID_COLUMN, "left")
        .groupBy("segment", LIFECYCLE)
        .agg(
            F.count(F.lit(1)).alias("customers"),
            F.sum("total_spend").alias("spend"),
            F.sum("spend_orders").alias("orders"),
            F.sum(again.cast("int")).alias("again"),
            F.sum(F.when(again, F.col("clv_monetary_value"))).alias("again_value"),
        )
    )


def rfm_groups(scores: DataFrame) -> Rows:
    """Per three scores and their ``rfm_segment`` the ``customers`` and their ``spend``."""
    grouped = scores.groupBy(*SCORES, "rfm_segment")
    return collect(grouped.agg(F.count(F.lit(1)).alias("customers"), F.sum("total_spend").alias("spend")))


def transition_groups(history: DataFrame) -> JsonObject:
    """Count how customers went from each run date of a history to the next.

    Returns ``dates`` (ISO, ascending, the newest MAX_DATES), and ``segments`` and ``lifecycles``: rows of ``at`` (the
    place of the earlier date), ``was_here``, ``is_here``, ``from``, ``to`` and ``customers``.
    """
    days = sorted(row[RUN_DATE] for row in history.select(RUN_DATE).distinct().collect())[-MAX_DATES:]
    places = history.sparkSession.createDataFrame(
        [(day, at) for at, day in enumerate(days)], f"{RUN_DATE} date, at int"
    )
    rows = history.join(F.broadcast(places), RUN_DATE).select(ID_COLUMN, "at", "segment", LIFECYCLE)
    before = _side(rows.where(F.col("at") < len(days) - 1), F.col("at"), "from", "was_here")
    after = _side(rows.where(F.col("at") > 0), F.col("at") - 1, "to", "is_here")
    joined = before.join(after, [ID_COLUMN, "at"], "full_outer")
    return {
        "dates": [day.isoformat() for day in days],
        "segments": _counted(joined, "segment"),
        "lifecycles": _counted(joined, LIFECYCLE),
    }


def _side(rows: DataFrame, at: Column, end: str, here: str) -> DataFrame:
    kinds = [F.col(kind).alias(f"{end}_{kind}") for kind in ("segment", LIFECYCLE)]
    return rows.select(ID_COLUMN, at.alias("at"), *kinds, F.lit(True).alias(here))


def _counted(joined: DataFrame, kind: str) -> Rows:
    ends = [F.col(f"{end}_{kind}").alias(end) for end in ("from", "to")]
    here = [F.coalesce(F.col(name), F.lit(False)).alias(name) for name in ("was_here", "is_here")]
    return collect(joined.groupBy("at", *here, *ends).agg(F.count(F.lit(1)).alias("customers")))
