"""The customer mapping as a refresh keeps it: customers and order keys of its rows, in parts that are compared apart.

A mapping is an export that grows and is written again as a whole. Its raw rows fall into parts by how their date
begins, and each part has a fingerprint: how many rows it has, and the sum of their hashes. Only parts whose fingerprint
is another one than before are parsed and compared row by row; the files of the others are kept. Of CSV files the
fingerprint is that of the lines as they stand: of 7.1 million, 9 processor seconds, where parsing them and writing the
copy takes 35 (a slow machine, 2026-11-25).
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import sources, storage
from blitz.channels import CHANNELS, Channel
from blitz.files import FileGroup, RawTable
from blitz.orders import mapping_key
from blitz.refresh_differences import Differences, differing
from blitz.refresh_state import MappingCopy, Part, described, output_files, typed_by

PARTS = 32  # no more: Spark lists more folders than that in a job of its own
SCHEMA = "customer string, app_key bigint, instore_key string"


def mapping_copy(
    spark: SparkSession, table: RawTable, timezone: str, before: Sequence[MappingCopy], folder: str
) -> MappingCopy:
    """The copy of the mapping as it is now: one of ``before`` if its files are the same, else with the parts of the
    first of ``before`` that are the same, and the others written to ``folder``."""
    files, typed = described(table.files), _typed_by(table, timezone)
    usable = [copy for copy in before if copy.typed_by == typed and copy.is_whole()]
    for copy in usable:
        if copy.files == files:
            return copy
    kept = usable[0].parts if usable else {}
    found = _fingerprints(_raw_rows(spark, table, timezone))
    same = {part: kept[part] for part in found if part in kept and kept[part].fingerprint == found[part]}
    new = sorted(found.keys() - same.keys())
    if new:
        _write(spark, table, timezone, new, folder)
    places = {part: f"{folder}/part={part}" for part in new}
    written = {part: Part(found[part], place, output_files(place)) for part, place in places.items()}
    return MappingCopy(files, typed, same | written)


class KeptMapping:
    """The rows of a copy, and how they differ from those of older ones.

    Args:
        copy: the mapping as it is now.
        folder: where the differences are written to, beside the copies.
    """

    def __init__(self, spark: SparkSession, copy: MappingCopy, folder: str) -> None:
        self.copy = copy
        self._spark = spark
        self._differences = Differences(f"{folder}-changes")

    def keyed(self, channel: Channel) -> DataFrame:
        """``order_key`` and ``customer`` of every row, as ``keyed_customers`` in orders.py gives them."""
        return self._rows(self.copy, self.copy.parts).select(F.col(key_column(channel)).alias("order_key"), "customer")

    def changes(self, before: MappingCopy) -> DataFrame | None:
        """The distinct rows (SCHEMA) that came or went since an older copy, None where it is the same; compared once
        for all channels that have the same older copy."""
        now, old = self.copy.parts, before.parts
        parts = sorted(part for part in {*now, *old} if now.get(part) != old.get(part))
        if not parts:
            return None
        older = tuple((part, old[part].folder if part in old else "") for part in parts)
        return self._differences.since(
            older, lambda: differing(self._rows(self.copy, parts), self._rows(before, parts))
        )

    def _rows(self, copy: MappingCopy, parts: Collection[str]) -> DataFrame:
        held = [copy.parts[part].folder for part in parts if part in copy.parts and copy.parts[part].output]
        if not held:
            return self._spark.createDataFrame([], SCHEMA)
        return self._spark.read.schema(SCHEMA).parquet(*[storage.spark_path(place, literal=True) for place in held])


def key_column(channel: Channel) -> str:
    """The column of a copy that holds the channel's order keys."""
    return "instore_key" if channel.is_local else "app_key"


def _typed_by(table: RawTable, timezone: str) -> str:
    return hashlib.sha256(f"{typed_by(table.spec, timezone)} {SCHEMA} {PARTS}".encode()).hexdigest()


def _is_csv(table: RawTable) -> bool:
    return all(group.format == "csv" for group in table.groups)


def _raw_rows(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """``part`` and ``hash`` of every raw row."""
    if _is_csv(table):
        return reduce(DataFrame.unionByName, [_lines(spark, group) for group in table.groups]).select("part", "hash")
    return _typed_rows(spark, table, timezone).select("part", "hash")


def _lines(spark: SparkSession, group: FileGroup) -> DataFrame:
    """The lines of CSV files with one header: ``value``, ``part``, ``hash``. A comma inside quotes may put a line into
    another part: always the same one. Headers are among them."""
    place = next(column.position for column in group.columns if column.name == "invoice_date") or 0
    date = F.substring_index(F.substring_index(F.col("value"), ",", place + 1), ",", -1)
    shape = repr((group.columns, group.width))  # the same line below another header is another row
    lines = spark.read.text([storage.spark_path(path, literal=True) for path in group.paths])
    return lines.select("value", _part(date).alias("part"), F.xxhash64("value", F.lit(shape)).alias("hash"))


def _typed_rows(spark: SparkSession, table: RawTable, timezone: str) -> DataFrame:
    """The typed rows of files that are not all CSV, with ``part`` and ``hash``."""
    rows = sources.read_table(spark, table, timezone)
    # A null leaves a hash as it was, so that its place would not count.
    hashed = [part for name in rows.columns for part in (F.col(name), F.col(name).isNull())]
    part = _part(F.col("invoice_date").cast("string"))
    return rows.select("*", part.alias("part"), F.xxhash64(*hashed).alias("hash"))


def _part(date: Column) -> Column:
    """The part of a row by how the text of its date begins: 2025-06, maybe behind a quote. The months of two years and
    a half have parts of their own; what begins otherwise has one."""
    month = F.translate(F.substring(date, 1, 8), '"-', "").cast("int")
    number = F.floor(month / 100) * 12 + F.pmod(month, F.lit(100))
    return F.coalesce(F.pmod(number, F.lit(PARTS - 1)), F.lit(PARTS - 1)).cast("string")


def _fingerprints(rows: DataFrame) -> dict[str, list[int]]:
    """Rows and sum of hashes of every part; beyond 64 bits the sum goes round, since ANSI mode is off."""
    sums = rows.groupBy("part").agg(F.count(F.lit(1)).alias("rows"), F.sum("hash").alias("hashes"))
    return {row["part"]: [row["rows"], row["hashes"]] for row in sums.collect()}


def _write(spark: SparkSession, table: RawTable, timezone: str, parts: Sequence[str], folder: str) -> None:
    """Write the rows of some parts as SCHEMA to ``folder/part=…``."""
    if not _is_csv(table):
        _write_typed(_typed_rows(spark, table, timezone).where(F.col("part").isin(*parts)), folder)
        return
    staged = f"{folder}-lines"
    try:
        groups = []
        for number, group in enumerate(table.groups):
            place = f"{staged}/{number}"
            lines = _lines(spark, group).where(F.col("part").isin(*parts)).select("value", "part")
            lines.write.partitionBy("part").text(storage.spark_path(place))
            if storage.list_files(place):
                groups.append(replace(group, paths=(place,), has_header=False))
        _write_typed(sources.read_with(spark, replace(table, groups=tuple(groups)), timezone, "part"), folder)
    finally:
        storage.delete(staged)


def _write_typed(rows: DataFrame, folder: str) -> None:
    keys = [mapping_key(CHANNELS[name]).alias(key_column(CHANNELS[name])) for name in ("ownapp", "instore")]
    is_header = reduce(Column.__or__, [F.col(name).eqNullSafe(name) for name in ("customer_code_ty", "invoice_no")])
    named = rows.where(F.col("customer_code_ty").isNotNull() & ~is_header)
    keyed = named.select(F.col("customer_code_ty").alias("customer"), *keys, "part")
    keyed.write.mode("error").partitionBy("part").parquet(storage.spark_path(folder))
