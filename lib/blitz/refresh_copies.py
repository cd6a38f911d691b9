"""Typed copies of CSV tables, so that a refresh parses each raw file once and reads columns from then on.

A copy is a Parquet folder with the good rows of some raw files: those that were new when it was made. It counts for as
long as it is whole, its rows would be typed the same way, and none of its raw files was written again or removed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import sources, storage
from blitz.columns import named
from blitz.files import FileGroup, RawTable, resolve
from blitz.refresh_state import Copy, copy_of, described, typed_by
from blitz.tables import REASON, Kind

MOST_COPIES = 16  # of one table; then all its files are copied again, together: each copy is a scan of its own


@dataclass(frozen=True)
class Readable:
    """A table as a refresh reads it: ``table`` its files or their copies, ``fresh`` those of them that are new."""

    table: RawTable
    fresh: frozenset[str]
    copies: list[Copy]


def readable(
    spark: SparkSession, table: RawTable, timezone: str, added: Collection[str], before: Sequence[Copy], folder: str
) -> Readable:
    """The table, by its copies where all its files are CSV; files that are in no copy that counts are copied now.

    Args:
        added: the raw files that are new since the refresh before.
        before: the copies of that refresh.
        folder: how the names of new copies begin.
    """
    if any(group.format != "csv" for group in table.groups):
        return Readable(table, frozenset(added), [])
    now, typed = {tuple(file) for file in described(table.files)}, typed_by(table.spec, timezone)
    copies = [
        copy for copy in before if copy.typed_by == typed and now.issuperset(map(tuple, copy.files)) and copy.is_whole()
    ]
    copies = copies if len(copies) < MOST_COPIES else []
    missing = {info.path for info in table.files} - {file[0] for copy in copies for file in copy.files}
    for name, paths in ((_NEW, missing & set(added)), ("-again", missing - set(added))):
        if paths:
            part = table.only(paths)
            _write(sources.read_table(spark, part, timezone), part, folder + name)
            copies.append(copy_of(part, folder + name, timezone))
    parts = resolve([(table.spec, copy.folder) for copy in copies])
    fresh = {
        info.path
        for part, copy in zip(parts, copies, strict=True)
        if copy.folder == folder + _NEW
        for info in part.files
    }
    paths_by_shape: dict[FileGroup, list[str]] = {}
    for group in (group for part in parts for group in part.groups):
        paths_by_shape.setdefault(replace(group, paths=()), []).extend(group.paths)
    groups = tuple(replace(shape, paths=tuple(paths)) for shape, paths in paths_by_shape.items())
    whole = replace(table, groups=groups, files=tuple(info for part in parts for info in part.files))
    return Readable(whole, frozenset(fresh), copies)


_NEW = "-new"


def _write(rows: DataFrame, table: RawTable, folder: str) -> None:
    """Write the good rows. Local times are written as such, so that no zone is applied to them again."""

    def column(name: str, kind: Kind) -> Column:
        return named(name).cast("timestamp_ntz").alias(name) if kind is Kind.LOCAL else named(name)

    columns = [column(field.name, field.kind) for field in table.spec.fields]
    good = rows.where(F.col(REASON).isNull()).select(*columns)
    good.write.mode("error").parquet(storage.spark_path(folder))
