"""Segment lists as CSV for activation tools: a folder per segment or per plan, text that no spreadsheet executes.

Every cell is text in double quotes, so that ids keep their leading zeros and names may hold commas. Control characters
become blanks, and where a cell, or a part of it behind a comma or semicolon, could be taken for a formula, a single
quote stands before it. Written by Spark, published like a table (see publish.py).
"""

import hashlib
import logging
import re
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.accounts import READ, RowMetrics, each_row
from blitz.config import Config
from blitz.errors import ConfigError, PublishError
from blitz.pipelines.context import RunContext
from blitz.publish.files import publishing_files
from blitz.publish.tables import read_output
from blitz.segmentation.segments import ID_COLUMN
from blitz.storage.frames import write_lists

log = logging.getLogger(__name__)

KINDS = ("segment", "plan")
COLUMNS = (ID_COLUMN, "segment", "microcluster")
MOST_ROWS = 1_000_000  # of a file: spreadsheets end at 1,048,576
_LONGEST_FOLDER = 200  # file systems end at 255 bytes
_CONTROL = r"[\p{Cc}\p{Zl}\p{Zp}]"
# What begins a formula, in ASCII and full width, behind anything that a spreadsheet may drop before it.
_FORMULA = r"""(^|[;,])([\p{Z}\p{C}'"`]*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20])"""
_CSV = {
    "header": "true",
    "quoteAll": "true",
    "escape": '"',  # quotes inside a cell are doubled
    "nullValue": "",
    "emptyValue": "",
    "ignoreLeadingWhiteSpace": "false",  # else Spark drops blanks after the cell was made safe
    "ignoreTrailingWhiteSpace": "false",
    "encoding": "UTF-8",
}


@dataclass(frozen=True)
class Exported:
    """An export: rows per list name and its folder, data files, cells made safe, customers that are in no list."""

    path: str
    rows: dict[str, int]
    folders: dict[str, str]
    files: int
    made_safe: int
    unlisted: int


def safe_text(cell: Column) -> Column:
    """The text as it may stand in a CSV cell (see above); null stays null."""
    return F.regexp_replace(F.regexp_replace(cell, _CONTROL, " "), _FORMULA, "$1'$2")


def folder_name(name: str) -> str:
    """A name as part of a path: ASCII letters, digits, ``_`` and ``-`` stay, any other byte is a dot and its hex code.

    Different names have different folders. One too long for file systems ends in a part of its SHA-256.
    """
    encoded = "".join(
        character if re.fullmatch("[A-Za-z0-9_-]", character) else "".join(f".{b:02X}" for b in character.encode())
        for character in name
    )
    if len(encoded) <= _LONGEST_FOLDER:
        return encoded
    return f"{encoded[: _LONGEST_FOLDER - 17]}.{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def members(segments: DataFrame, microsegments: DataFrame, kind: str) -> DataFrame:
    """Who is in which list: ``list`` (the segment's or plan's name), ``algonomy_id``, ``segment``, ``microcluster``.

    By segment there is one row per customer. Where several plans score a customer, ``microcluster`` holds
    ``PLAN:CLUSTER`` of each, joined by a bar. By plan there is one row per customer and plan.
    """
    segment = segments.select(ID_COLUMN, F.col("Segment").alias("segment"))
    scored = microsegments.select(ID_COLUMN, F.col("Segment").alias("plan"), "microcluster")
    if kind == "plan":
        return scored.join(segment, ID_COLUMN, "left").select(F.col("plan").alias("list"), *COLUMNS)
    several = F.array_join(F.sort_array(F.collect_list(F.concat_ws(":", "plan", "microcluster"))), "|")
    clusters = scored.groupBy(ID_COLUMN).agg(
        F.when(F.count(F.lit(1)) == 1, F.min("microcluster")).otherwise(several).alias("microcluster")
    )
    return segment.join(clusters, ID_COLUMN, "left").select(F.col("segment").alias("list"), *COLUMNS)


def export(config: Config, spark: SparkSession, kind: str, out: str, most_rows: int = MOST_ROWS) -> Exported:
    """Write the lists of the published segments and micro-segments below ``out``, in place of those of a run before.

    Args:
        config: says where the outputs are and in which format.
        spark: the session.
        kind: ``segment`` or ``plan``.
        out: a folder that is absent, empty, or holds lists of the same kind.
        most_rows: of one file; a longer list has several.

    Raises InputError where an output is missing, ConfigError for a folder of the pipeline's own, PublishError for one
    that holds anything else; then nothing is written.
    """
    _refuse_outputs(config, out)
    context, body = RunContext.of(config), config.segmentation
    segments = read_output(spark, body.output_segments_path, context.format)
    microsegments = read_output(spark, body.output_microsegments_path, context.format)
    source = segments if kind == "segment" else microsegments
    with publishing_files(out, run_id=context.run_id) as staged:
        _refuse_other_files(out, kind)
        found = {row["Segment"]: int(row["count"]) for row in source.groupBy("Segment").count().collect()}
        unlisted = found.pop(None, 0)
        rows = dict(sorted(found.items()))
        lists = members(segments, microsegments, kind)
        made_safe = _write(spark, lists, rows, f"by_{kind}", most_rows, staged.folder, out)
        files = [info for info in storage.list_files(staged.folder) if info.path.endswith(".csv")]
        if rows and not files:
            raise PublishError(
                f"{out}: Spark wrote no file that this machine sees; all machines of the cluster must share the "
                "folder's file system (HDFS, S3, a mount)"
            )
        staged.commit()
    folders = {name: f"by_{kind}={folder_name(name)}" for name in rows}
    return Exported(out, rows, folders, len(files), made_safe, unlisted)


def _write(
    spark: SparkSession, lists: DataFrame, rows: dict[str, int], key: str, most_rows: int, staging: str, out: str
) -> int:
    """Write the lists below ``staging``; returns the cells made safe. Raises PublishError where rows are missing."""
    places = [(name, folder_name(name), -(-count // most_rows)) for name, count in rows.items()]
    table = spark.createDataFrame(places, f"list string, {key} string, parts int")
    part = F.pmod(F.xxhash64(F.col(ID_COLUMN)), F.col("parts")).alias("part")
    raw = lists.join(F.broadcast(table), "list", "inner").select(key, part, *COLUMNS)
    cells = raw.select(key, "part", *COLUMNS, *[safe_text(F.col(name)).alias(f"safe_{name}") for name in COLUMNS])
    metrics = RowMetrics()
    made_safe = {name: F.col(f"safe_{name}") != F.col(name) for name in COLUMNS}
    observed = metrics.observe(cells, {"lists": {READ: each_row()}, "made safe": made_safe})
    ready = (
        observed.select(key, "part", *[F.col(f"safe_{name}").alias(name) for name in COLUMNS])
        .repartition(key, "part")  # a list is one file, a long one several, written side by side
        .sortWithinPartitions(key, ID_COLUMN)
        .drop("part")
    )
    write_lists(ready, staging, key, most_rows, _CSV)
    written = metrics.counts("lists")[READ]
    expected = sum(rows.values())
    if written < expected:
        raise PublishError(
            f"{out}: {written:,} rows were written of {expected:,}; the outputs changed while they were read; run again"
        )
    if written > expected:  # as in every count that Spark takes along
        log.warning("%s: %d rows counted, %d expected; a task that ran twice counts twice", out, written, expected)
    return sum(metrics.counts("made safe").values())


def _refuse_outputs(config: Config, out: str) -> None:
    """Raise ConfigError where ``out`` lies in an output of the pipeline, or an output in it."""
    body = config.segmentation
    paths = [body.input_path, body.output_segments_path, body.output_microsegments_path]
    mine = storage.spark_path(out).rstrip("/") + "/"
    for path in paths:
        theirs = storage.spark_path(path).rstrip("/") + "/"
        if mine.startswith(theirs) or theirs.startswith(mine):
            raise ConfigError([f"--out: {out} and the output {path} overlap; choose a folder of its own"])


def _refuse_other_files(out: str, kind: str) -> None:
    """Raise PublishError where ``out`` holds a file that no export of this kind wrote: it would be lost."""
    ours = re.compile(rf"by_{kind}=[^/]+/part-[^/]+\.csv")
    for info in storage.list_files(out) if storage.exists(out) else ():
        below = "/".join(info.path.split("/")[-2:])
        if not ours.fullmatch(below):
            raise PublishError(f"{out}: holds {below}, which is no list by {kind} and would be lost; choose another")
