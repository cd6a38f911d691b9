"""Typed copies of CSV tables, so that a refresh parses each raw file once and reads columns from then on.

A copy is a Parquet folder with the good rows of some raw files: those that were new when it was made. It counts for as
long as none of its files was written again or removed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import sources, storage
from blitz.accounts import Counter, count_where
from blitz.columns import named
from blitz.files import RawTable, resolve
from blitz.refresh_state import Copy, described
from blitz.tables import BAD_RECORD, BAD_TIMESTAMP, REASON, Kind


@dataclass(frozen=True)
class Readable:
    """A table as a refresh reads it: ``table`` its files or their copies, ``added`` those of them that are new."""

    table: RawTable
    added: frozenset[str]
    copies: list[Copy]


def readable(
    spark: SparkSession,
    table: RawTable,
    timezone: str,
    added: Collection[str],
    before: Sequence[Copy],
    folder: str,
    counter: Counter,
) -> Readable:
    """The table, by its copies where all its files are CSV; files that are in no copy yet are copied now.

    Args:
        added: the raw files that are new since the refresh before.
        before: the copies of that refresh.
        folder: how the names of new copies begin.
        counter: gets the rows of the new files where they are copied (``watched``).
    """
    if any(group.format != "csv" for group in table.groups):
        return Readable(table, frozenset(added), [])
    now = {tuple(file) for file in described(table.files)}
    copies = [copy for copy in before if now.issuperset(map(tuple, copy.files)) and storage.exists(copy.folder)]
    missing = {info.path for info in table.files} - {file[0] for copy in copies for file in copy.files}
    new = ""
    for name, paths in (("new", missing & set(added)), ("again", missing - set(added))):
        if paths:
            part = table.only(paths)
            rows = sources.read_table(spark, part, timezone)
            if name == "new":
                new, rows = f"{folder}-new", watched(rows, table.spec.name, counter)
            _write(rows, table, f"{folder}-{name}")
            copies.append(Copy(f"{folder}-{name}", described(part.files)))
    parts = resolve([(table.spec, copy.folder) for copy in copies])
    fresh = {info.path for part, copy in zip(parts, copies, strict=True) if copy.folder == new for info in part.files}
    groups = tuple(group for part in parts for group in part.groups)
    whole = replace(table, groups=groups, files=tuple(info for part in parts for info in part.files))
    return Readable(whole, frozenset(fresh), copies)


def watched(rows: DataFrame, name: str, counter: Counter) -> DataFrame:
    """The rows of a table's new files; ``counter`` gets how many there are and how many cannot be read."""
    rejected = {f"{name}_{each}": count_where(F.col(REASON) == each) for each in (BAD_RECORD, BAD_TIMESTAMP)}
    return counter.watch(rows, **{f"{name}_read": F.count(F.lit(1))}, **rejected)


def _write(rows: DataFrame, table: RawTable, folder: str) -> None:
    """Write the good rows. Local times are written as such, so that no zone is applied to them again."""

    def column(name: str, kind: Kind) -> Column:
        return named(name).cast("timestamp_ntz").alias(name) if kind is Kind.LOCAL else named(name)

    columns = [column(field.name, field.kind) for field in table.spec.fields]
    good = rows.where(F.col(REASON).isNull()).select(*columns)
    good.write.mode("error").parquet(storage.spark_path(folder))
