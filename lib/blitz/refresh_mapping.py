"""The customer mapping as a refresh keeps it: customers and order keys of its rows, parsed once.

A mapping is an export that grows at its end and is written again as a whole. The copy therefore stands in parts, each
with the typed rows of some pieces of the raw files: whole files, and what later stood behind the pieces known before.
Of each piece of a CSV file a digest of its bytes is kept. A part whose pieces still begin their files stays as it is,
and the rest alone is parsed: at 7.1 million lines 0.4 s on the driver, where a hash of each line took 26 processor
seconds of Spark (2026-11-26, 2 cores). A file that is no plain CSV, or that the driver cannot read by ranges (HDFS and
the like), is parsed as a whole when it changes.
"""

import hashlib
from collections.abc import Collection, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import sources, storage
from blitz.channels import CHANNELS, Channel
from blitz.files import RawTable
from blitz.orders import mapping_key
from blitz.refresh_differences import WrittenOnce, differing
from blitz.refresh_state import MappingCopy, Part, Piece, described, output_files, typed_by

MOST_PARTS = 24  # then all is parsed again, as one: Spark lists more than 32 folders in a job of its own
MOST_TAIL = 256 * 1024 * 1024  # bytes behind what is known of a file; they go through the driver's memory
CHUNK = 16 * 1024 * 1024
THREADS = 8
SCHEMA = "customer string, app_key bigint, instore_key string"


def mapping_copy(
    spark: SparkSession, table: RawTable, timezone: str, before: Sequence[MappingCopy], folder: str
) -> MappingCopy:
    """The copy of the mapping as it is now: one of ``before`` if its files are the same, else the parts of the first of
    ``before`` that still hold, and one of all else, written to ``folder``."""
    files, typed = described(table.files), _typed_by(table, timezone)
    usable = [copy for copy in before if copy.typed_by == typed and copy.is_whole()]
    for copy in usable:
        if copy.files == files:
            return copy
    kept = _kept(table, usable[0]) if usable else []
    missing = _missing(table, kept)
    if len(kept) >= MOST_PARTS or any(piece.start and piece.end - piece.start > MOST_TAIL for piece in missing):
        kept, missing = [], _missing(table, [])
    if not missing:
        return MappingCopy(files, typed, kept)
    _write(spark, table, timezone, missing, folder)
    return MappingCopy(files, typed, [*kept, Part(missing, folder, output_files(folder))])


class KeptMapping:
    """The rows of a copy, and how they differ from those of older ones.

    Args:
        copy: the mapping as it is now.
        folder: what is found out about its rows is written beside this folder.
    """

    def __init__(self, spark: SparkSession, copy: MappingCopy, folder: str) -> None:
        self.copy = copy
        self._spark = spark
        self._changes, self._of_customers = WrittenOnce(f"{folder}-changes"), WrittenOnce(f"{folder}-of")

    def keyed(self, channel: Channel) -> DataFrame:
        """``order_key`` and ``customer`` of every row, as ``keyed_customers`` in orders.py gives them."""
        return self._rows(self.copy.parts).select(F.col(key_column(channel)).alias("order_key"), "customer")

    def of_customers(self, name: Hashable, customers: DataFrame) -> DataFrame:
        """The rows (SCHEMA) of the ``algonomy_id`` of ``customers``, found once for all channels that ask by this
        name."""
        is_one = F.col("customer") == F.col("algonomy_id")
        return self._of_customers.get(name, lambda: self._rows(self.copy.parts).join(customers, is_one, "left_semi"))

    def changes(self, before: MappingCopy) -> DataFrame | None:
        """The distinct rows (SCHEMA) that came or went since an older copy, None where it is the same; compared once
        for all channels that have the same older copy."""
        came = [part for part in self.copy.parts if part not in before.parts]
        went = [part for part in before.parts if part not in self.copy.parts]
        if not came and not went:
            return None
        name = tuple(part.folder for part in before.parts)
        return self._changes.get(name, lambda: differing(self._rows(came), self._rows(went)))

    def _rows(self, parts: Collection[Part]) -> DataFrame:
        held = [part.folder for part in parts if part.output]
        if not held:
            return self._spark.createDataFrame([], SCHEMA)
        return self._spark.read.schema(SCHEMA).parquet(*[storage.spark_path(place, literal=True) for place in held])


def key_column(channel: Channel) -> str:
    """The column of a copy that holds the channel's order keys."""
    return "instore_key" if channel.is_local else "app_key"


def _typed_by(table: RawTable, timezone: str) -> str:
    return hashlib.sha256(f"{typed_by(table.spec, timezone)} {SCHEMA}".encode()).hexdigest()


def _kept(table: RawTable, before: MappingCopy) -> list[Part]:
    """The parts whose pieces all stand where they stood, with nothing before them that is new."""
    sizes = {info.path: info.size for info in table.files}
    was = [tuple(file) for file in before.files]
    same = {path for path, size, time in described(table.files) if (path, size, time) in was}

    @cache
    def stands(piece: Piece) -> bool:
        if piece.path in same:
            return True
        is_inside = piece.digest != "" and piece.end <= sizes.get(piece.path, 0)
        return is_inside and _digest(piece.path, piece.start, piece.end) == piece.digest

    parts, lost = before.parts, True
    while lost:  # a part that is lost leaves a gap before the pieces of others
        ends: dict[str, int] = {}
        for piece in sorted((piece for part in parts for piece in part.pieces), key=lambda piece: piece.start):
            if piece.start == ends.get(piece.path, 0) and stands(piece):
                ends[piece.path] = piece.end
        kept = [part for part in parts if all(piece.end <= ends.get(piece.path, 0) for piece in part.pieces)]
        parts, lost = kept, len(kept) < len(parts)
    return parts


def _missing(table: RawTable, kept: Sequence[Part]) -> list[Piece]:
    """What of the files is in no part: whole files, and what stands behind the parts' pieces."""
    pieces = []
    for info in table.files:
        start = max((piece.end for part in kept for piece in part.pieces if piece.path == info.path), default=0)
        if start < info.size:
            pieces.append(Piece(info.path, start, info.size, _digest(info.path, start, info.size)))
    return pieces


def _digest(path: str, start: int, end: int) -> str:
    """A digest of some bytes of a file; empty where nothing can follow them: they do not end a line, or are no text."""
    is_plain = path.lower().endswith((".csv", ".txt")) and (storage.is_local(path) or storage.is_s3(path))
    if not is_plain:
        return ""
    with ThreadPoolExecutor(THREADS) as pool:
        chunks = list(pool.map(lambda at: _chunk(path, at, min(at + CHUNK, end)), range(start, end, CHUNK)))
    ends_line = chunks[-1][1] == b"\n"
    return hashlib.sha256(b"".join(digest for digest, _ in chunks)).hexdigest() if ends_line else ""


def _chunk(path: str, start: int, end: int) -> tuple[bytes, bytes]:
    """The digest of some bytes, and the last of them."""
    data = _bytes(path, start, end)
    return hashlib.sha256(data).digest(), data[-1:]


def _bytes(path: str, start: int, end: int) -> bytes:
    with storage.open_input(path) as file:
        file.seek(start)
        return file.read(end - start)


def _write(spark: SparkSession, table: RawTable, timezone: str, pieces: Sequence[Piece], folder: str) -> None:
    """Write the rows of some pieces as SCHEMA to ``folder``."""
    staged = f"{folder}-lines"
    groups = list(table.only({piece.path for piece in pieces if piece.start == 0}).groups)
    try:
        for number, piece in enumerate(piece for piece in pieces if piece.start):
            lines = f"{staged}/{number}.csv"
            storage.write_bytes(lines, _bytes(piece.path, piece.start, piece.end))
            group = next(group for group in table.groups if piece.path in group.paths)
            groups.append(replace(group, paths=(lines,), has_header=False))
        rows = sources.read_table(spark, replace(table, groups=tuple(groups)), timezone)
        keys = [mapping_key(CHANNELS[name]).alias(key_column(CHANNELS[name])) for name in ("ownapp", "instore")]
        named = rows.where(F.col("customer_code_ty").isNotNull())
        keyed = named.select(F.col("customer_code_ty").alias("customer"), *keys)
        keyed.write.mode("error").parquet(storage.spark_path(folder))
    finally:
        storage.delete(staged)
