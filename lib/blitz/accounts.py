"""Row accounts: every stage's rows add up, counted in the pass that works on them anyway (contract: accounts)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.spark.engine import observed


def count_where(condition: Column) -> Column:
    """How many rows fulfil a condition; a null does not."""
    return F.count(F.when(condition, F.lit(1)))


class Counter:
    """Counts that Spark takes along while it writes: ``watch`` a frame, write it, then read ``values``."""

    def __init__(self) -> None:
        self._watched: list[Callable[[], dict[str, Any]]] = []
        self._known: dict[str, int] = {}

    def add(self, **counts: int) -> None:
        """Counts that are known already, under their names."""
        self._known |= counts

    def watch(self, df: DataFrame, **metrics: Column) -> DataFrame:
        """The same rows; once an action has run over them, every metric is in ``values`` under its name."""
        rows, counted = observed(df, [column.alias(name) for name, column in metrics.items()])
        self._watched.append(counted)
        return rows

    def values(self) -> dict[str, int]:
        """All metrics. Only after the action: it waits for it otherwise."""
        found = dict(self._known)
        for counted in self._watched:
            found.update({name: int(value or 0) for name, value in counted().items()})
        return found


@dataclass(frozen=True)
class Account:
    """``read = kept + Σ dropped`` of one table in one step; ``notes`` are counts beside the sum (conflicts …)."""

    table: str
    read: int
    kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Whether no row is unaccounted for."""
        return self.read == self.kept + sum(self.dropped.values())

    def rejected_fraction(self) -> float:
        """The share of rows that could not be read at all (``bad_record``, ``bad_timestamp``)."""
        rejected = self.dropped.get("bad_record", 0) + self.dropped.get("bad_timestamp", 0)
        return rejected / self.read if self.read else 0.0

    def as_json(self) -> dict[str, Any]:
        """The account as it stands in the manifest."""
        return {
            "table": self.table,
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "notes": self.notes,
        }
