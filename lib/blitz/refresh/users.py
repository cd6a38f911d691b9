"""The own-app users as a refresh keeps them: Swiggy and in-store orders count only for these customers."""

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

from pyspark.sql import DataFrame, SparkSession

from blitz.pipelines.outputs import RunOutputs
from blitz.publish.tables import read_output
from blitz.refresh.differences import SharedTables, symmetric_difference
from blitz.refresh.state import OutputFile, UsersCopy, output_files
from blitz.storage.frames import write_parquet


class OwnAppUsers:
    """The users in the own-app order features, copied once for all channels and later refreshes.

    Args:
        spark: the session.
        outputs: reads the own-app order features, as this run staged them or as they are published.
        orders_path: the own-app order features; they are read when a method is first called.
        folder: where the copy goes; also the prefix of the folders for its differences.
        before: copies of earlier refreshes; one of the same own-app output is used again.
    """

    def __init__(
        self, spark: SparkSession, outputs: RunOutputs, orders_path: str, folder: str, before: Sequence[UsersCopy]
    ) -> None:
        self._spark, self._outputs, self._orders_path = spark, outputs, orders_path
        self._folder, self._before = folder, before
        self._copies: list[UsersCopy] = []  # at most one
        self._lock = Lock()  # Swiggy and in-store run at the same time
        self._changes = SharedTables(f"{folder}-changes")

    def source(self) -> tuple[OutputFile, ...] | None:
        """Return the files of the published own-app output; None where this run replaces it."""
        return None if self._outputs.is_open(self._orders_path) else output_files(self._orders_path)

    def write(self) -> UsersCopy:
        """Return the copy; the first call writes it. It has no ``source`` where this run replaces the own-app output.

        Raises InputError where there are no own-app order features.
        """
        with self._lock:
            if not self._copies:
                self._copies.append(self._earlier_copy() or self._write())
            return self._copies[0]

    def published(self) -> UsersCopy:
        """Return the copy with its ``source``, once the own-app output of this run is published."""
        copy = self.write()
        return copy if copy.source else replace(copy, source=output_files(self._orders_path))

    def read(self) -> DataFrame:
        """Return the distinct ``algonomy_id`` of the users."""
        return read_output(self._spark, self.write().folder)

    def changes(self, before: UsersCopy) -> DataFrame:
        """Return the ``algonomy_id`` of customers who are in only one of the copy and an earlier one.

        Computed once for all channels with the same earlier copy.
        """
        return self._changes.get(
            before.folder, lambda: symmetric_difference(self.read(), read_output(self._spark, before.folder))
        )

    def _earlier_copy(self) -> UsersCopy | None:
        source = self.source()
        return next((copy for copy in self._before if source and copy.source == source and copy.is_intact()), None)

    def _write(self) -> UsersCopy:
        source = self.source() or ()
        users = self._outputs.read(self._orders_path).select("algonomy_id").distinct()
        write_parquet(users, self._folder)
        return UsersCopy(self._folder, source, output_files(self._folder))
