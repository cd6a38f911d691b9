"""Compressed files that end too early: their names, where the engine's error has none (Spark 3.5)."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from blitz import storage
from blitz.errors import BlitzError, InputError
from blitz.raw.csv_cells import CHUNK, unzipped
from blitz.raw.tables import RawTable

_SIGNS = ("EOFException", "ZipException", "end of input stream", "end of stream", "ncorrect data check")


@contextmanager
def naming_cut_off_files(*tables: RawTable) -> Iterator[None]:
    """Raise InputError naming the compressed files of the tables that are cut off, where the block ends with an error
    that tells of one and names none. Only then are they read, here on the driver."""
    try:
        yield
    except BlitzError:
        raise
    except Exception as error:
        text = str(error)
        if not any(sign in text for sign in _SIGNS) or ".gz" in text:
            raise
        paths = sorted({path for table in tables for group in table.groups for path in group.paths})
        cut_off = [path for path in paths if path.lower().endswith(".gz") and not _is_complete(path)]
        if not cut_off:
            raise
        raise InputError(
            "\n".join(f"{path}: the compressed data is cut off; copy the file again" for path in cut_off)
        ) from error


def _is_complete(path: str) -> bool:
    try:
        with storage.open_input(path) as source:
            content = unzipped(source)
            while content.read(CHUNK):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return True
