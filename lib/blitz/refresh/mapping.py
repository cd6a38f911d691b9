"""The customer mapping as a refresh keeps it: customers and order keys of its rows, parsed once.

A mapping is an export that grows at its end and is written again as a whole. The copy therefore stands in parts, each
with the typed rows of some pieces of the raw files: whole files, and what later stood behind the pieces known before.
Of each piece of a CSV file a digest of its bytes is kept. A part whose pieces all still begin their files stays as it
is, and the rest alone is parsed: at 7.8 million lines (336 MB) digests take the driver 0.2 to 0.7 s, where two passes
of Spark over the lines took 26 processor seconds (2026-11-26, 2 cores). A file that is compressed or no CSV, or that
the driver cannot read by ranges (HDFS and the like), is not looked into: when it changes, the parts that hold any of it
are parsed again.
"""

import hashlib
from collections.abc import Collection, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.errors import InputError
from blitz.features.orders import mapping_key
from blitz.raw import typed_rows as sources
from blitz.raw.channels import CHANNELS, Channel
from blitz.raw.files import RawTable, grouped
from blitz.refresh.differences import WrittenOnce, differing
from blitz.refresh.state import MappingCopy, Part, Piece, described, output_files, typed_by
from blitz.storage.frames import read_parquet, write_parquet

MOST_PARTS = 24  # then all is parsed again, as one: Spark lists more than 32 folders in a job of its own
MOST_TAIL = 256 * 1024 * 1024  # bytes behind what is known of a file; they go through the driver's memory
CHUNK = 16 * 1024 * 1024
THREADS = 8
Range = tuple[str, int, int]  # path, start and end of some bytes
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
    kept = max((_kept(table, copy) for copy in _distinct(usable)), key=_size, default=[])
    missing = _missing(table, kept)
    if len(kept) >= MOST_PARTS or any(start and end - start > MOST_TAIL for _, start, end in missing):
        kept, missing = [], _missing(table, [])
    if not missing:
        return MappingCopy(files, typed, kept)
    looks = _looked_into(missing)
    pieces = [Piece(*each, *looks[each]) for each in missing]
    _write(spark, table, timezone, pieces, folder)
    if described(storage.list_files(table.path)) != files:  # what was parsed may be half of what was looked into
        raise InputError(f"{table.path}: was written while it was read; run again when it is complete")
    return MappingCopy(files, typed, [*kept, Part(pieces, folder, output_files(folder))])


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
        return read_parquet(self._spark, held, SCHEMA)


def key_column(channel: Channel) -> str:
    """The column of a copy that holds the channel's order keys."""
    return "instore_key" if channel.is_local else "app_key"


def _typed_by(table: RawTable, timezone: str) -> str:
    return hashlib.sha256(f"{typed_by(table.spec, timezone)} {SCHEMA}".encode()).hexdigest()


def _distinct(copies: Sequence[MappingCopy]) -> list[MappingCopy]:
    return [copy for at, copy in enumerate(copies) if copy not in copies[:at]]


def _size(parts: Sequence[Part]) -> int:
    """How many raw bytes the parts hold."""
    return sum(piece.end - piece.start for part in parts for piece in part.pieces)


def _kept(table: RawTable, before: MappingCopy) -> list[Part]:
    """The parts whose pieces all stand where they stood, with nothing before them that is new."""
    sizes = {info.path: info.size for info in table.files}
    was = {tuple(file) for file in before.files}
    same = {path for path, size, time in described(table.files) if (path, size, time) in was}
    pieces = sorted((piece for part in before.parts for piece in part.pieces), key=lambda piece: piece.start)
    fitting = [piece for piece in pieces if piece.digest and piece.end <= sizes.get(piece.path, 0)]
    looks = _looked_into([_range(piece) for piece in fitting if piece.path not in same])

    def stands(piece: Piece) -> bool:
        if piece.path in same:
            return True
        can_follow = piece.ends_line or piece.end == sizes.get(piece.path)
        return can_follow and looks.get(_range(piece)) == (piece.digest, piece.ends_line)

    parts, lost = before.parts, True
    while lost:  # a part that is lost leaves a gap before the pieces of others
        ends: dict[str, int] = {}
        held = {piece for part in parts for piece in part.pieces}
        for piece in pieces:
            if piece in held and piece.start == ends.get(piece.path, 0) and stands(piece):
                ends[piece.path] = piece.end
        kept = [part for part in parts if all(piece.end <= ends.get(piece.path, 0) for piece in part.pieces)]
        parts, lost = kept, len(kept) < len(parts)
    return parts


def _missing(table: RawTable, kept: Sequence[Part]) -> list[Range]:
    """What of the files is in no part: whole files, and what stands behind the parts' pieces."""
    ends: dict[str, int] = {}
    for piece in (piece for part in kept for piece in part.pieces):
        ends[piece.path] = max(piece.end, ends.get(piece.path, 0))
    found = [(info.path, ends.get(info.path, 0), info.size) for info in table.files]
    return [(path, start, end) for path, start, end in found if start < end]


def _range(piece: Piece) -> Range:
    return piece.path, piece.start, piece.end


def _looked_into(ranges: Collection[Range]) -> dict[Range, tuple[str, bool]]:
    """A digest of the bytes of each range, and whether they end a line; "" and False for files not looked into."""
    plain = [(path, start, end) for path, start, end in ranges if _is_plain(path)]
    chunks = [
        (path, at, min(at + CHUNK, end), (path, start, end))
        for path, start, end in plain
        for at in range(start, end, CHUNK)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        digests = list(pool.map(lambda chunk: _digest_and_last(*chunk[:3]), chunks))
    sums = {each: hashlib.sha256() for each in plain}
    ends_line = dict.fromkeys(ranges, False)
    for (*_, each), (digest, last) in zip(chunks, digests, strict=True):
        sums[each].update(digest)
        ends_line[each] = last == b"\n"
    return {each: (sums[each].hexdigest() if each in sums else "", ends_line[each]) for each in ranges}


def _is_plain(path: str) -> bool:
    return path.lower().endswith((".csv", ".txt")) and (storage.is_local(path) or storage.is_s3(path))


def _digest_and_last(path: str, start: int, end: int) -> tuple[bytes, bytes]:
    """The digest of some bytes of a file, and the last of them."""
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
            storage.write_bytes(lines, b"a header\n" + _bytes(piece.path, piece.start, piece.end))
            group = next(group for group in table.groups if piece.path in group.paths)
            groups.append(replace(group, paths=(lines,)))
        rows = sources.read_table(spark, replace(table, groups=grouped(groups)), timezone)
        keys = [mapping_key(CHANNELS[name]).alias(key_column(CHANNELS[name])) for name in ("ownapp", "instore")]
        named = rows.where(F.col("customer_code_ty").isNotNull())
        keyed = named.select(F.col("customer_code_ty").alias("customer"), *keys)
        write_parquet(keyed, folder)
    finally:
        storage.delete(staged)
