"""Segment lists as CSV for activation tools: a folder per segment or plan item, without spreadsheet formulas.

Every cell is quoted text, so that ids keep their leading zeros and names may contain commas. Control characters become
spaces. A single quote is inserted where a cell, or a part of it after a comma or semicolon, could be read as a formula.
Spark writes the lists; they are published like a table.
"""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.accounts import READ, RowMetrics, each_row
from blitz.config import Config
from blitz.errors import ConfigError, PublishError
from blitz.features.scores import COLUMNS as SCORE_COLUMNS
from blitz.pipelines.context import new_run_id, read_published
from blitz.publish.files import publishing_files
from blitz.segmentation.rules import READER_FIELDS, About, about_segments, load_rules
from blitz.segmentation.segments import ID_COLUMN
from blitz.storage.frames import write_lists

log = logging.getLogger(__name__)

KINDS = ("segment", "plan")
COLUMNS = (ID_COLUMN, "segment", "microcluster")
MORE_COLUMNS = (*READER_FIELDS, *SCORE_COLUMNS)
MAX_ROWS = 1_000_000  # per file: spreadsheets have 1,048,576
_LONGEST_FOLDER = 200  # file systems allow 255 bytes
_CONTROL = r"[\p{Cc}\p{Zl}\p{Zp}]"
# The start of a formula, in ASCII or full width, after anything that a spreadsheet may strip.
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
    """An export: rows and folder by list name, number of data files, cells escaped, and customers in no list."""

    path: str
    rows: dict[str, int]
    folders: dict[str, str]
    files: int
    escaped: int
    unlisted: int


def safe_text(cell: Column) -> Column:
    """Return the text escaped for a CSV cell (see the module's docstring); null stays null."""
    return F.regexp_replace(F.regexp_replace(cell, _CONTROL, " "), _FORMULA, "$1'$2")


def folder_name(name: str) -> str:
    """Return a name as part of a path: any byte but ASCII letters, digits, ``_`` and ``-`` as a dot and its hex code.

    Different names get different folders. A name that is too long ends in a part of its SHA-256.
    """
    encoded = "".join(
        character if re.fullmatch("[A-Za-z0-9_-]", character) else "".join(f".{b:02X}" for b in character.encode())
        for character in name
    )
    if len(encoded) <= _LONGEST_FOLDER:
        return encoded
    return f"{encoded[: _LONGEST_FOLDER - 17]}.{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def members(segments: DataFrame, microsegments: DataFrame, kind: str) -> DataFrame:
    """Return the members of each list: ``list`` (its name), ``algonomy_id``, ``segment`` and ``microcluster``.

    By segment there is one row per customer; where several plan items score the customer, ``microcluster`` is
    ``PLAN:CLUSTER`` of each, separated by ``|``. By plan there is one row per customer and plan item.
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


def with_more_columns(
    lists: DataFrame, columns: Sequence[str], about: Mapping[str, About], scores: DataFrame | None
) -> DataFrame:
    """The lists with more columns, all text: what the rules say about the segment for readers, and scores.

    Amounts have two decimals. A segment that the rules do not have, and a customer without scores, have nulls.
    """
    told = [name for name in columns if name in READER_FIELDS]
    if told:
        rows = [(segment, *[getattr(each, name) for name in told]) for segment, each in about.items()]
        table = lists.sparkSession.createDataFrame(rows, ", ".join(f"{name} string" for name in ("segment", *told)))
        lists = lists.join(F.broadcast(table), "segment", "left")
    wanted = [name for name in columns if name not in READER_FIELDS]
    if wanted and scores is not None:
        kinds = dict(scores.dtypes)
        cells = {name: F.col(name).cast("decimal(20,2)") if kinds[name] == "double" else F.col(name) for name in wanted}
        texts = scores.select(ID_COLUMN, *[cell.cast("string").alias(name) for name, cell in cells.items()])
        lists = lists.join(texts, ID_COLUMN, "left")
    return lists


def export(
    config: Config, spark: SparkSession, kind: str, out: str, max_rows: int = MAX_ROWS, more: Sequence[str] = ()
) -> Exported:
    """Write lists of the published segments and micro-segments to ``out``, replacing those of an earlier export.

    Args:
        config: names the outputs and their format.
        spark: the session.
        kind: ``segment`` or ``plan``.
        out: a folder that is absent, empty, or contains lists of the same kind.
        max_rows: maximum rows per file; a longer list has several files.
        more: further columns, of MORE_COLUMNS.

    Raises InputError where an output is missing, ConfigError where ``out`` overlaps an output, PublishError where it
    contains other files; then nothing is written.
    """
    _refuse_outputs(config, out)
    body = config.segmentation
    segments = read_published(spark, body.output_segments_path, config)
    microsegments = read_published(spark, body.output_microsegments_path, config)
    source = segments if kind == "segment" else microsegments
    about = about_segments(load_rules(body.rules_path))
    has_scores = set(more) & set(SCORE_COLUMNS)
    scores = read_published(spark, str(body.scores_path), config) if has_scores else None
    with publishing_files(out, run_id=new_run_id()) as staged:
        _refuse_other_files(out, kind)
        found = {row["Segment"]: int(row["count"]) for row in source.groupBy("Segment").count().collect()}
        unlisted = found.pop(None, 0)
        rows = dict(sorted(found.items()))
        lists = with_more_columns(members(segments, microsegments, kind), more, about, scores)
        columns = (*COLUMNS, *more)
        escaped = _write(lists, columns, rows, f"by_{kind}", max_rows, staged.folder, out)
        files = [info for info in storage.list_files(staged.folder) if info.path.endswith(".csv")]
        if rows and not files:
            raise PublishError(
                f"{out}: this machine sees none of the files that Spark wrote; all machines of the cluster must share "
                "the folder's file system (HDFS, S3, a mount)"
            )
        staged.commit()
    folders = {name: f"by_{kind}={folder_name(name)}" for name in rows}
    return Exported(out, rows, folders, len(files), escaped, unlisted)


def _write(
    lists: DataFrame,
    columns: Sequence[str],
    rows: dict[str, int],
    key: str,
    max_rows: int,
    staging: str,
    out: str,
) -> int:
    """Write the lists to ``staging``; returns how many cells were escaped. Raises PublishError if rows are missing."""
    places = [(name, folder_name(name), -(-count // max_rows)) for name, count in rows.items()]
    table = lists.sparkSession.createDataFrame(places, f"list string, {key} string, parts int")
    part = F.pmod(F.xxhash64(F.col(ID_COLUMN)), F.col("parts")).alias("part")
    raw = lists.join(F.broadcast(table), "list", "inner").select(key, part, *columns)
    cells = raw.select(key, "part", *columns, *[safe_text(F.col(name)).alias(f"safe_{name}") for name in columns])
    metrics = RowMetrics()
    escaped = {name: F.col(f"safe_{name}") != F.col(name) for name in columns}
    observed = metrics.observe(cells, {"lists": {READ: each_row()}, "escaped": escaped})
    ready = (
        observed.select(key, "part", *[F.col(f"safe_{name}").alias(name) for name in columns])
        .repartition(key, "part")  # one file per list, several for a long one, written in parallel
        .sortWithinPartitions(key, ID_COLUMN)
        .drop("part")
    )
    write_lists(ready, staging, key, max_rows, _CSV)
    written = metrics.counts("lists")[READ]
    expected = sum(rows.values())
    if written < expected:
        raise PublishError(
            f"{out}: only {written:,} of {expected:,} rows were written, because the outputs changed while they were "
            "read; run the export again"
        )
    if written > expected:  # Spark's observed counts have this limit
        log.warning("%s: %d rows counted, %d expected; a task that ran twice counts twice", out, written, expected)
    return sum(metrics.counts("escaped").values())


def _refuse_outputs(config: Config, out: str) -> None:
    """Raise ConfigError where ``out`` is inside an output of the pipeline, or contains one."""
    body = config.segmentation
    paths = [body.input_path, body.output_segments_path, body.output_microsegments_path]
    mine = storage.spark_path(out).rstrip("/") + "/"
    for path in paths:
        theirs = storage.spark_path(path).rstrip("/") + "/"
        if mine.startswith(theirs) or theirs.startswith(mine):
            raise ConfigError([f"--out: {out} and the output {path} overlap; choose another folder"])


def _refuse_other_files(out: str, kind: str) -> None:
    """Raise PublishError where ``out`` contains a file that no export of this kind wrote: it would be deleted."""
    ours = re.compile(rf"by_{kind}=[^/]+/part-[^/]+\.csv")
    for info in storage.list_files(out) if storage.exists(out) else ():
        below = "/".join(info.path.split("/")[-2:])
        if not ours.fullmatch(below):
            raise PublishError(
                f"{out}: contains {below}, which is not a list by {kind} and would be deleted; choose another folder"
            )
