"""Publish refreshed order features: files of one month each, of which those without changed orders are kept."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from blitz.features.days import DAYS, age_in_days, day_metrics, orders_per_day
from blitz.publish.months import publishing_months
from blitz.publish.tables import Output
from blitz.raw.channels import Channel
from blitz.refresh.keys import CHANGED_KEY
from blitz.spark.local_times import local_time
from blitz.storage.frames import read_parquet


@dataclass(frozen=True)
class MonthPublisher:
    """Publishes order features as files that each have the orders of one local month.

    Args:
        path: the output.
        timezone: the zone of local times.
        run_id: names what the run writes next to the output.
        keep: names of the output's files that stay.
        unchanged: rows of the other files that stay; None where there are none.
    """

    path: str
    timezone: str
    run_id: str
    keep: frozenset[str] = frozenset()
    unchanged: DataFrame | None = None

    def publishing(self) -> AbstractContextManager[Output]:
        """Start a publication of the staged rows, the unchanged rows and the kept files; see ``publishing_months``."""
        month = F.date_format(local_time(F.col("order_placed_datetime"), self.timezone), "yyyy-MM")
        return publishing_months(self.path, month, run_id=self.run_id, keep=self.keep, unchanged=self.unchanged)


def unchanged_rows(
    output: DataFrame, path: str, names: Collection[str], channel: Channel, keys: DataFrame, timezone: str, start: date
) -> DataFrame | None:
    """Return the rows of some files of the output that stay: in the window (from ``start``) and of no changed key.

    None where there are no such files.
    """
    if not names:
        return None
    paths = [f"{path.rstrip('/')}/{name}" for name in sorted(names)]
    rows = read_parquet(output.sparkSession, paths, output.schema)
    first = F.lit(start.isoformat()).cast("timestamp")
    in_window = rows.where(local_time(F.col("order_placed_datetime"), timezone) >= first)
    return in_window.join(keys, channel.published_key() == F.col(CHANGED_KEY), "left_anti")


def unchanged_per_day(
    output: DataFrame, channel: Channel, keys: DataFrame, timezone: str, end: date
) -> tuple[int, ...]:
    """Return the orders of the output of no changed key on each of the last days before ``end``, the oldest first."""
    local = local_time(F.col("order_placed_datetime"), timezone)
    recent = output.where(local >= F.lit((end - timedelta(days=DAYS)).isoformat()).cast("timestamp"))
    rest = recent.join(keys, channel.published_key() == F.col(CHANGED_KEY), "left_anti")
    shares = day_metrics(age_in_days(local, end))
    counts = rest.agg(*[F.sum(share).alias(name) for name, share in shares.items()]).collect()[0]
    return orders_per_day({name: count or 0 for name, count in counts.asDict().items()})
