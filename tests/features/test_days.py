"""The orders of the last 35 days, and the gates that look at them: just at their limits and just beyond, on both engines."""

import datetime as dt
from collections.abc import Iterable

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from blitz.accounts import Account
from blitz.config.models import Gates
from blitz.features.days import age_in_days, day_metrics, orders_per_day
from blitz.pipelines.gates import channel_verdicts

pytestmark = pytest.mark.engines
RUN_DATE = dt.date(2025, 7, 1)
MIDNIGHT = dt.datetime(2025, 7, 1)


def per_day(spark: SparkSession, times: Iterable[dt.datetime]) -> tuple[int, ...]:
    """The orders of each of the last days, of orders at these local times."""
    rows = spark.createDataFrame([(time,) for time in times], "local timestamp")
    metrics = day_metrics(age_in_days(F.col("local"), RUN_DATE))
    counts = rows.agg(*[F.sum(share).alias(name) for name, share in metrics.items()]).collect()[0].asDict()
    return orders_per_day({name: count or 0 for name, count in counts.items()})


def states(days: tuple[int, ...]) -> dict[str, str]:
    """The states of the gates over a channel with these orders a day."""
    account = Account("orders", 900, 900, {})
    verdicts = channel_verdicts("swiggy", account, days, RUN_DATE, Gates(missing_days="stop"), None)
    return {verdict.gate: verdict.state for verdict in verdicts}


def test_a_day_is_one_of_local_time(spark):
    first, last = MIDNIGHT - dt.timedelta(days=35), MIDNIGHT - dt.timedelta(microseconds=1)
    second = first + dt.timedelta(days=1)
    times = [first - dt.timedelta(microseconds=1), first, second - dt.timedelta(microseconds=1), second, last, MIDNIGHT]
    assert per_day(spark, times) == (2, 1, *(0,) * 31, 0, 1)


def test_the_newest_order_is_seven_days_old_or_eight(spark):
    newest = dt.datetime(2025, 6, 24)
    assert states(per_day(spark, [newest, dt.datetime(2025, 6, 1)]))["freshness_days"] == "passed"
    assert states(per_day(spark, [newest - dt.timedelta(microseconds=1)]))["freshness_days"] == "stopped"


@pytest.mark.parametrize(("orders", "state"), [(19, "passed"), (20, "stopped")])
def test_a_day_without_orders_among_days_of_twenty(spark, orders, state):
    days = [day for day in range(1, 36) if day != 17]
    times = [MIDNIGHT - dt.timedelta(days=day) + dt.timedelta(minutes=at) for day in days for at in range(orders)]
    found = per_day(spark, times)
    assert found == (*(orders,) * 18, 0, *(orders,) * 16)
    assert states(found)["missing_days"] == state
    one_more = [*times, MIDNIGHT - dt.timedelta(days=17)]
    assert states(per_day(spark, one_more))["missing_days"] == "passed"
