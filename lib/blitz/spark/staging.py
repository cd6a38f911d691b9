"""Frames that several queries read, computed once."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Self

from py4j.protocol import Py4JError
from pyspark.sql import DataFrame
from pyspark.storagelevel import StorageLevel

from blitz.spark.engine import SAIL, engine_of, is_connect, path_to_read, path_to_write
from blitz.spark.parquet import empty_file

# Sail's options for files that are read once or twice: a dictionary and statistics cost more than they save.
_FAST = {"compression": "lz4_raw", "dictionary_enabled": "false", "statistics_enabled": "none"}


class Staging:
    """Frames that are computed once, for an engine that would compute them again in every query that reads them.

    Sail has no observations and no cache, so ``once`` writes Parquet to a temporary folder (``TMPDIR``) and reads it
    from there. ``remove`` deletes the folder, at the latest the end of the process does. Spark counts rows while it
    writes them and gets the frame itself; what several steps read it keeps on the disks of its executors.
    """

    def __init__(self) -> None:
        self._folder: str | None = None
        self._number = 0
        self._shared: dict[Hashable, DataFrame] = {}
        self._cached: list[DataFrame] = []
        self._locks: dict[Hashable, Lock] = {}
        self._lock = Lock()

    def __enter__(self) -> Self:
        """Return the object; the end of the block removes what it staged."""
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def once(self, df: DataFrame) -> DataFrame:
        """Return the rows of a frame, on Sail as they are now."""
        if engine_of(df.sparkSession) != SAIL:
            return df
        folder, spark = self._next_folder(), df.sparkSession
        df.write.options(**_FAST).parquet(path_to_write(spark, folder.as_uri()))
        if not folder.exists():
            folder.mkdir()
            (folder / "part-0.parquet").write_bytes(empty_file(df))
        return spark.read.parquet(path_to_read(spark, folder.as_uri()))

    def kept(self, df: DataFrame) -> DataFrame:
        """Return ``once`` of a frame that several queries read: Spark keeps its rows as well."""
        return self._persisted(self.once(df))

    def shared(self, name: Hashable, compute: Callable[[], DataFrame], *, cached: bool = False) -> DataFrame:
        """Return ``once`` of what ``compute`` returns; it runs only for the first caller with this ``name``.

        ``cached``: several steps read the rows, so Spark keeps them as well.
        """
        with self._lock:
            lock = self._locks.setdefault(name, Lock())
        with lock:
            if name not in self._shared:
                self._shared[name] = self.kept(compute()) if cached else self.once(compute())
            return self._shared[name]

    def _persisted(self, rows: DataFrame) -> DataFrame:
        """The rows, kept by a classic Spark session: Sail has them in a file, and Databricks serverless, which is
        reached by Spark Connect, refuses to persist."""
        if is_connect(rows.sparkSession):
            return rows
        self._cached.append(rows.persist(StorageLevel.DISK_ONLY))
        return self._cached[-1]

    def remove(self) -> None:
        """Delete the files and what Spark keeps; frames of this object cannot be read any more."""
        for rows in self._cached:
            with suppress(Py4JError, ConnectionError):  # a JVM that has ended keeps nothing
                rows.unpersist()
        self._cached.clear()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
        self._shared.clear()

    def _next_folder(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.mkdtemp(prefix="blitz-staging-")
                atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
            self._number += 1
            return Path(self._folder, str(self._number))
