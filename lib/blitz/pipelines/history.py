"""The history of customers: segment, micro-segments and scores per run date (docs/contract.md, section 11)."""

import re
from collections.abc import Collection
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.config import Config
from blitz.errors import PublishError
from blitz.features.scores import COLUMN_TYPES as SCORE_TYPES
from blitz.pipelines.context import read_published
from blitz.publish.months import publishing_months
from blitz.publish.tables import Published, output_exists
from blitz.segmentation.segments import ID_COLUMN

RUN_DATE, SEGMENT, MICROSEGMENTS = "run_date", "segment", "microsegments"
_OURS = re.compile(r"\d{4}-\d{2}-\d{2}-.+\.parquet")
_DATE = len("2025-07-01")


def history_rows(segments: DataFrame, microsegments: DataFrame, scores: DataFrame | None, as_of: date) -> DataFrame:
    """One row per customer with a segment or scores: ``algonomy_id``, ``run_date``, ``segment``, ``microsegments``
    (``PLAN:CLUSTER`` joined by bars; null without one), and the columns of the scores, null where there are none."""
    scored = microsegments.groupBy(ID_COLUMN).agg(
        F.array_join(F.sort_array(F.collect_list(F.concat_ws(":", "Segment", "microcluster"))), "|").alias(
            MICROSEGMENTS
        )
    )
    rows = segments.select(ID_COLUMN, F.col("Segment").alias(SEGMENT)).join(scored, ID_COLUMN, "left")
    if scores is not None:
        rows = rows.join(scores, ID_COLUMN, "full_outer")
    known = set(rows.columns)
    values = [
        (F.col(name) if name in known else F.lit(None)).cast(kind).alias(name) for name, kind in SCORE_TYPES.items()
    ]
    return rows.select(ID_COLUMN, F.lit(as_of).alias(RUN_DATE), SEGMENT, MICROSEGMENTS, *values)


def write_history(config: Config, spark: SparkSession, run_id: str) -> Published | None:
    """Put the published segments, micro-segments and scores into the history in place of those of the run date.

    The files of other dates stay as they are; a reader sees the history before or after. Returns the whole history, or
    None where the config has none. Raises PublishError where another run is writing to it or it contains other files.
    """
    path = config.run.history_path
    if path is None:
        return None
    as_of = config.feature_pipeline.common.current_run_date
    body, scores_path = config.segmentation, config.feature_pipeline.scores_path
    rows = history_rows(
        read_published(spark, body.output_segments_path, config),
        read_published(spark, body.output_microsegments_path, config),
        read_published(spark, scores_path, config) if output_exists(spark, scores_path) else None,
        as_of,
    )
    day = as_of.isoformat()
    with publishing_months(path, F.lit(day), run_id=run_id, keep=lambda: _files_of_other_dates(path, day)) as output:
        output.stage(rows)
        return output.commit()


def _files_of_other_dates(path: str, day: str) -> Collection[str]:
    names = [info.path.rpartition("/")[2] for info in storage.list_files(path)] if storage.exists(path) else []
    other = [name for name in names if name.endswith(".parquet") and not _OURS.fullmatch(name)]
    if other:
        raise PublishError(f"contains {other[0]}, which is no file of a history; choose another folder", path=path)
    return [name for name in names if _OURS.fullmatch(name) and name[:_DATE] != day]
