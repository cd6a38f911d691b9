"""Hash byte ranges of raw CSV files on the driver, to see whether a file still begins as it did.

At 7.8 million lines (336 MB) this takes the driver 0.2 to 0.7 s, where two passes of Spark over the lines took 26
processor seconds (2026-11-26, 2 cores).
"""

import hashlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

from blitz import storage
from blitz.refresh.state import ByteRange, Digest

CHUNK_BYTES = 16 * 1024 * 1024
THREADS = 8


def digests(ranges: Collection[ByteRange], chunk_bytes: int = CHUNK_BYTES) -> dict[ByteRange, Digest]:
    """Return the digest of each range; an empty one for files that are not hashed (``can_be_hashed``).

    Args:
        ranges: not empty, and inside their files.
        chunk_bytes: how many bytes a thread reads at once; it does not change the digest of what is compared as long
            as it stays the same from run to run.
    """
    chunks = [chunk for each in ranges if can_be_hashed(each.path) for chunk in _chunks(each, chunk_bytes)]
    with ThreadPoolExecutor(THREADS) as pool:
        data = dict(zip(chunks, pool.map(_hash_and_last_byte, chunks), strict=True))
    found = dict.fromkeys(ranges, Digest())
    for each in ranges:
        parts = [data[chunk] for chunk in _chunks(each, chunk_bytes) if chunk in data]
        if parts:
            combined = hashlib.sha256(b"".join(digest for digest, _ in parts))
            found[each] = Digest(combined.hexdigest(), ends_line=parts[-1][1] == b"\n")
    return found


def can_be_hashed(path: str) -> bool:
    """Return whether a file is uncompressed CSV in a storage that the driver reads by ranges (local disk, S3)."""
    return path.lower().endswith((".csv", ".txt")) and (storage.is_local(path) or storage.is_s3(path))


def read_range(each: ByteRange) -> bytes:
    """Return the bytes of a range. Raises InputError where the file cannot be read."""
    with storage.open_input(each.path) as file:
        file.seek(each.start)
        return file.read(each.end - each.start)


def _chunks(each: ByteRange, size: int) -> Iterator[ByteRange]:
    for start in range(each.start, each.end, size):
        yield ByteRange(each.path, start, min(start + size, each.end))


def _hash_and_last_byte(chunk: ByteRange) -> tuple[bytes, bytes]:
    data = read_range(chunk)
    return hashlib.sha256(data).digest(), data[-1:]
