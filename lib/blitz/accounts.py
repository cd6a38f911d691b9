"""Row accounts: the rows of each step add up, counted in the pass that processes them (docs/contract.md, section 8)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.spark.observation import observed
from blitz.spark.staging import Staging

READ = "read"
KEPT = "kept"


class Reason(StrEnum):
    """Why a row is dropped. Each step lists the reasons that apply to it; its rows get the first that applies."""

    BAD_RECORD = "bad_record"
    BAD_TIMESTAMP = "bad_timestamp"
    OUTSIDE_WINDOW = "outside_window"
    EXCLUDED_STORE = "excluded_store"
    DUPLICATE = "duplicate"
    NO_CUSTOMER_CODE = "no_customer_code"
    NO_KEY = "no_key"
    NO_CUSTOMER = "no_customer"
    ERASED = "erased"
    NOT_OWNAPP_USER = "not_ownapp_user"
    NO_ORDER = "no_order"
    PROMO = "promo"
    CHOICE = "choice"
    UNMAPPED = "unmapped"
    EXCLUDED = "excluded"
    NO_CUSTOMER_FEATURES = "no_customer_features"
    OVER_100_ORDERS = "over_100_orders"
    NO_CATEGORY = "no_category"


REJECTED = (Reason.BAD_RECORD, Reason.BAD_TIMESTAMP)  # the raw row cannot be read


def each_row() -> Column:
    """A metric that counts all rows."""
    return F.lit(1)


def by_reason(reason: Column, reasons: Iterable[Reason]) -> dict[str, Column]:
    """One metric per reason: the rows whose ``reason`` column has it."""
    return {each: reason == each for each in reasons}


class RowMetrics:
    """Row counts of a step by table and name: ``observe`` frames, run the action, then read ``counts``.

    Args:
        staging: gets what the step computes once; by default one of its own.
    """

    def __init__(self, staging: Staging | None = None) -> None:
        self.staging = staging or Staging()
        self._observed: list[tuple[dict[str, tuple[str, str]], Callable[[], dict[str, int]]]] = []
        self._known: dict[str, dict[str, int]] = {}

    def add(self, table: str, counts: Mapping[str, int]) -> None:
        """Add counts of a table that are known already."""
        self._known.setdefault(table, {}).update(counts)

    def observe(
        self,
        df: DataFrame,
        metrics: Mapping[str, Mapping[str, Column]],
        keep: Column | None = None,
        *,
        is_costly: bool = False,
        by: Sequence[str] = (),
    ) -> DataFrame:
        """Count the rows of a frame while an action computes them.

        Args:
            df: the frame.
            metrics: per table and name what each row adds to the count: a boolean or whole number, null adds nothing.
            keep: which rows pass, by default all. All rows are counted.
            is_costly: whether the frame is expensive to compute; without observations (Sail), it is then staged.
            by: the columns that the metrics depend on, where these have few values: see ``observed``.

        Returns the rows that pass; the action must run over this frame or one derived from it.
        """
        names = {f"{table} {name}": (table, name) for table, columns in metrics.items() for name in columns}
        passes = F.lit(True) if keep is None else keep
        if not names:
            return df.where(passes)
        values = {key: metrics[table][name] for key, (table, name) in names.items()}
        frame, totals = observed(df, values, passes, self.staging if is_costly else None, by)
        self._observed.append((names, totals))
        return frame

    def counts(self, table: str) -> dict[str, int]:
        """The counts of a table by name. Call it only after the action."""
        found = dict(self._known.get(table, {}))
        for names, totals in self._observed:
            if any(of == table for of, _ in names.values()):
                values = totals()
                found |= {name: values[key] for key, (of, name) in names.items() if of == table}
        return found


@dataclass(frozen=True)
class Account:
    """``read = kept + Σ dropped`` of one table in one step; ``notes`` are further counts, such as conflicts."""

    table: str
    read: int
    kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, table: str, counts: Mapping[str, int], reasons: Iterable[Reason]) -> "Account":
        """The account from counts that hold ``READ``, ``KEPT`` and one count per reason."""
        return cls(table, counts[READ], counts[KEPT], {reason: counts[reason] for reason in reasons})

    @property
    def adds_up(self) -> bool:
        """Whether all rows are accounted for."""
        return self.read == self.kept + sum(self.dropped.values())

    @property
    def rejected(self) -> dict[str, int]:
        """The rows that cannot be read, by reason; only the reasons that apply to the table."""
        return {reason: self.dropped[reason] for reason in REJECTED if reason in self.dropped}

    def rejected_fraction(self) -> float:
        """The share of rows that cannot be read."""
        return sum(self.rejected.values()) / self.read if self.read else 0.0

    def as_json(self) -> dict[str, object]:
        """The account as the manifest holds it."""
        return {
            "table": self.table,
            "read": self.read,
            "kept": self.kept,
            "dropped": {str(reason): count for reason, count in self.dropped.items()},
            "notes": self.notes,
        }
