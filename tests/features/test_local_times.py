"""Local times beside Python's own zone rules, for zones with one offset and with several."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from blitz.spark.local_times import local_time, utc_time

pytestmark = pytest.mark.engines

INSTANTS = [
    "1985-12-31 18:29:59.999999",  # Kathmandu moves its clocks
    "1985-12-31 18:30:00",
    "2025-03-09 06:59:59",  # New York's summer time begins
    "2025-03-09 07:00:00",
    "2025-06-30 18:29:59.999999",  # midnight in India
    "2025-06-30 18:30:00",
    "2025-11-02 05:30:00",  # New York's summer time ends
    "2025-11-02 06:30:00",
]


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Etc/GMT+5", "UTC"])
def test_the_wall_clock_of_an_instant_and_back(spark, zone):
    instants = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in INSTANTS]
    local = [instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) for instant in instants]
    # Of the two instants of a repeated hour a local time names the first.
    back = [time.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None) for time in local]
    expected = [(text, str(time), str(instant)) for text, time, instant in zip(INSTANTS, local, back, strict=True)]
    given = spark.createDataFrame([(text,) for text in [*INSTANTS, None]], "text string")
    times = given.select("text", local_time(F.col("text").cast("timestamp"), zone).alias("local"))
    found = times.select(
        "text", F.col("local").cast("string"), utc_time(F.col("local"), zone).cast("string").alias("at")
    )
    rows = spark.createDataFrame([*expected, (None, None, None)], "text string, local string, at string")
    assert_df_equality(found, rows, ignore_nullable=True, ignore_row_order=True)
