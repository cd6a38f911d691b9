"""The customer mapping as a refresh keeps it: the customer and the order keys of each row, parsed once.

The mapping is an export that grows at its end and is rewritten as one file. So the copy has parts, each with the typed
rows of some byte ranges of the raw files: complete files, and what was later appended to them. A part whose ranges
still have the same bytes is kept, and only the remaining bytes are parsed. A file that cannot be hashed
(``byte_ranges``) is parsed again when it changes, together with the other files of its part.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.accounts import KEPT, READ, Account, Reason
from blitz.errors import InputError
from blitz.features.order_customers import keyed_customers, mapping_rows
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel
from blitz.raw.customer_mapping import MAPPING, MAPPING_REASONS, mapping_account
from blitz.raw.cut_off import naming_cut_off_files
from blitz.raw.specs import REASON
from blitz.raw.suppression import IS_ERASED, NOBODY, Suppression
from blitz.raw.tables import RawTable, grouped
from blitz.refresh.byte_ranges import CHUNK_BYTES, digests, read_range
from blitz.refresh.differences import SharedTables, symmetric_difference
from blitz.refresh.erased import without_ids
from blitz.refresh.state import ByteRange, Digest, HashedRange, MappingCopy, MappingPart, output_files, typing_hash
from blitz.storage.frames import read_parquet, write_parquet

SCHEMA = "customer string, delivery_key bigint, store_key string"  # one key for each layout of a channel
# Every row of the mapping: whether its customer is erased (then without the id), why it maps nothing, and
# where a row cannot be read, its file and raw values.
COPY_SCHEMA = f"{SCHEMA}, {IS_ERASED} boolean, {REASON} string, file string, raw string"
_COPY_COLUMNS = [field.split()[0] for field in COPY_SCHEMA.split(", ")]


@dataclass(frozen=True)
class MappingLimits:
    """When a mapping is parsed again as one part, and how much of it is hashed at once.

    A copy of ``max_parts`` parts is parsed again: Spark lists more than 32 folders in a job of its own. So is a file to
    which more than ``max_appended`` bytes were appended: they go through the memory of the driver.
    """

    max_parts: int = 24
    max_appended: int = 256 * 1024 * 1024
    chunk_bytes: int = CHUNK_BYTES


@dataclass(frozen=True)
class MappingPlan:
    """How to copy the mapping as it is now: the ``kept`` parts of an earlier copy, and the ``missing`` byte ranges.

    The ids of customers in ``suppression`` are not copied.
    """

    table: RawTable
    timezone: str
    typed_by: str
    kept: tuple[MappingPart, ...]
    missing: tuple[HashedRange, ...]
    suppression: Suppression = NOBODY

    def differs_from(self, before: MappingCopy) -> bool:
        """Return whether rows of the mapping can have been added or removed since an earlier copy."""
        return bool(self.missing) or set(self.kept) != set(before.parts)


def plan_mapping(
    table: RawTable,
    timezone: str,
    before: Sequence[MappingCopy],
    limits: MappingLimits | None = None,
    suppression: Suppression | None = None,
) -> MappingPlan:
    """Return how to copy the mapping with as many parts of one of the copies ``before`` as still hold.

    Works on the driver alone and writes nothing. Raises InputError where a file cannot be read.
    """
    limits, suppression = limits or MappingLimits(), suppression or NOBODY
    typed_by = typing_hash(table, timezone, COPY_SCHEMA, suppression.digest)
    usable = [copy for copy in dict.fromkeys(before) if copy.typed_by == typed_by and copy.is_intact()]
    for copy in usable:
        if copy.sources == table.files:
            return MappingPlan(table, timezone, typed_by, copy.parts, (), suppression)
    kept = max((_valid_parts(table, copy, limits) for copy in usable), key=_raw_bytes, default=())
    missing = _missing_ranges(table, kept)
    is_too_long = any(each.start and each.end - each.start > limits.max_appended for each in missing)
    if len(kept) >= limits.max_parts or is_too_long:
        kept, missing = (), _missing_ranges(table, ())
    found = digests(missing, limits.chunk_bytes)
    hashed = tuple(HashedRange(each, found[each]) for each in missing)
    return MappingPlan(table, timezone, typed_by, kept, hashed, suppression)


def copy_mapping(spark: SparkSession, plan: MappingPlan, folder: str) -> MappingCopy:
    """Write the missing rows of a plan to ``folder`` and return the copy.

    Raises InputError where the mapping changed after it was planned: the bytes that were hashed may not be those that
    were parsed.
    """
    files = plan.table.files
    if not plan.missing:
        return MappingCopy(files, plan.typed_by, plan.kept)
    with naming_cut_off_files(plan.table):
        _write(spark, plan, folder)
    if tuple(storage.list_files(plan.table.path)) != files:
        raise InputError(f"{plan.table.path}: was written while it was read; run again when it is complete")
    part = MappingPart(plan.missing, folder, output_files(folder))
    return MappingCopy(files, plan.typed_by, (*plan.kept, part))


class MappingRows:
    """The rows of a copy of the mapping, and how they differ from those of earlier copies.

    Args:
        spark: the session.
        copy: the mapping as it is now.
        folder: prefix of the folders for what is derived from the rows.
        has_erased: whether customers are erased.
    """

    def __init__(self, spark: SparkSession, copy: MappingCopy, folder: str, *, has_erased: bool = False) -> None:
        self.copy = copy
        self._spark = spark
        self._changes = SharedTables(f"{folder}-changes")
        self._of_customers = SharedTables(f"{folder}-of-customers")
        self._has_erased = has_erased

    def keyed(self, channel: Channel) -> DataFrame:
        """Return ``order_key`` and ``customer`` of the rows that map an order."""
        return keyed_customers(self._all_rows(self.copy.parts), channel)

    def erased_customers(self) -> DataFrame | None:
        """Return ``algonomy_id`` of the erased customers, which is empty for all; None where nobody is erased."""
        return self._spark.sql("SELECT '' AS algonomy_id") if self._has_erased else None

    def erased_keys(self, channel: Channel) -> DataFrame:
        """Return the distinct ``order_key`` of the orders of erased customers."""
        rows = keyed_customers(self._all_rows(self.copy.parts).where(IS_ERASED), channel)
        return rows.where(F.col("order_key").isNotNull()).select("order_key").distinct()

    def account(self) -> Account:
        """Return the account of all rows of the mapping."""
        counted = self._all_rows(self.copy.parts).groupBy(REASON).count().collect()
        rows = {row[REASON]: int(row["count"]) for row in counted}
        dropped = {str(reason): rows.get(reason, 0) for reason in MAPPING_REASONS}
        return mapping_account({READ: sum(rows.values()), KEPT: rows.get(None, 0), **dropped})

    def rejected(self, tables: Sequence[str]) -> list[DataFrame]:
        """Return the rows that cannot be read as ``blitz.raw.typed_rows.read_rejected`` does, if ``customer mapping``
        is among the tables."""
        if MAPPING not in tables:
            return []
        bad = self._all_rows(self.copy.parts).where((F.col(REASON) == Reason.BAD_RECORD) & F.col("raw").isNotNull())
        return [sources.rejected_rows(bad, MAPPING)]

    def of_customers(self, name: Hashable, customers: DataFrame) -> DataFrame:
        """Return the rows (SCHEMA) of the ``algonomy_id`` in ``customers``.

        Computed once for all channels that ask with the same ``name``.
        """
        is_one = F.col("customer") == F.col("algonomy_id")
        return self._of_customers.get(name, lambda: self._rows(self.copy.parts).join(customers, is_one, "left_semi"))

    def changes(self, before: MappingCopy) -> DataFrame:
        """Return the distinct rows (SCHEMA) that were added or removed since an earlier copy.

        Computed once for all channels with the same earlier copy.
        """
        added = [part for part in self.copy.parts if part not in before.parts]
        removed = [part for part in before.parts if part not in self.copy.parts]
        name = tuple(part.folder for part in before.parts)
        return self._changes.get(name, lambda: symmetric_difference(self._rows(added), self._rows(removed)))

    def _rows(self, parts: Collection[MappingPart]) -> DataFrame:
        """The rows (SCHEMA) of the parts that map an order."""
        good = self._all_rows(parts).where(F.col(REASON).isNull())
        return good.select("customer", "delivery_key", "store_key")

    def _all_rows(self, parts: Collection[MappingPart]) -> DataFrame:
        return _rows_of(self._spark, parts)


def _rows_of(spark: SparkSession, parts: Collection[MappingPart]) -> DataFrame:
    """All rows of some parts as COPY_SCHEMA."""
    folders = [part.folder for part in parts if part.output]
    if not folders:
        return spark.createDataFrame([], COPY_SCHEMA)
    return read_parquet(spark, folders, COPY_SCHEMA)


def _raw_bytes(parts: Sequence[MappingPart]) -> int:
    return sum(each.range.end - each.range.start for part in parts for each in part.ranges)


def _valid_parts(table: RawTable, before: MappingCopy, limits: MappingLimits) -> tuple[MappingPart, ...]:
    """Return the parts of an earlier copy whose byte ranges are unchanged and leave no gap in a file."""
    unchanged = _unchanged_ranges(table, before, limits)
    parts = before.parts
    while True:  # without a part, the ranges of others may follow a gap
        ends: dict[str, int] = {}
        for each in sorted((each.range for part in parts for each in part.ranges), key=lambda each: each.start):
            if each in unchanged and each.start == ends.get(each.path, 0):
                ends[each.path] = each.end
        valid = tuple(
            part for part in parts if all(each.range.end <= ends.get(each.range.path, 0) for each in part.ranges)
        )
        if len(valid) == len(parts):
            return valid
        parts = valid


def _unchanged_ranges(table: RawTable, before: MappingCopy, limits: MappingLimits) -> set[ByteRange]:
    """Return the ranges of an earlier copy whose bytes are the same and may be followed by what comes next."""
    sizes = {info.path: info.size for info in table.files}
    same = {info.path for info in set(table.files) & set(before.sources)}
    ranges = [each for part in before.parts for each in part.ranges]
    to_hash = [
        each.range
        for each in ranges
        if each.range.path not in same and each.digest.sha256 and each.range.end <= sizes.get(each.range.path, 0)
    ]
    now = digests(to_hash, limits.chunk_bytes)

    def is_unchanged(each: HashedRange) -> bool:
        if each.range.path in same:
            return True
        can_follow = each.digest.ends_line or each.range.end == sizes.get(each.range.path)
        return can_follow and now.get(each.range, Digest()) == each.digest

    return {each.range for each in ranges if is_unchanged(each)}


def _missing_ranges(table: RawTable, kept: Sequence[MappingPart]) -> list[ByteRange]:
    """Return what of the files is in no part: complete files, and what follows the ranges of the parts."""
    ends: dict[str, int] = {}
    for each in (each.range for part in kept for each in part.ranges):
        ends[each.path] = max(each.end, ends.get(each.path, 0))
    ranges = [ByteRange(info.path, ends.get(info.path, 0), info.size) for info in table.files]
    return [each for each in ranges if each.start < each.end]


def _write(spark: SparkSession, plan: MappingPlan, folder: str) -> None:
    """Write the rows of the missing ranges as COPY_SCHEMA to ``folder``; appended lines are staged as files of their
    own."""
    staged, file = f"{folder}-lines", F.col("file")
    ranges = [each.range for each in plan.missing]
    groups = list(plan.table.only({each.path for each in ranges if each.start == 0}).groups)
    try:
        for number, each in enumerate(each for each in ranges if each.start):
            lines = f"{staged}/{number}.csv"
            storage.write_bytes(lines, b"a header\n" + read_range(each))
            group = next(group for group in plan.table.groups if each.path in group.paths)
            groups.append(replace(group, paths=(lines,)))
            file = F.when(F.col("file").endswith(f"-lines/{number}.csv"), F.lit(each.path)).otherwise(file)
        rows = sources.read_with_raw(spark, replace(plan.table, groups=grouped(groups)), plan.timezone)
        _write_without_ids(mapping_rows(rows, file.alias("file"), F.col("raw")), plan, folder)
    finally:
        storage.delete(staged)


def _write_without_ids(rows: DataFrame, plan: MappingPlan, folder: str) -> None:
    """Write rows without ids of erased customers; they are parsed once, so they are staged where any is erased."""
    suppression, staged = plan.suppression, f"{folder}-ids"
    flagged = suppression.flag(rows).select(*_COPY_COLUMNS)
    if suppression.is_empty:
        write_parquet(flagged, folder)
        return
    try:
        write_parquet(flagged, staged)
        spark = rows.sparkSession
        with_ids = read_parquet(spark, [staged], COPY_SCHEMA)
        write_parquet(without_ids(with_ids, _rows_of(spark, plan.kept), suppression), folder)
    finally:
        storage.delete(staged)
