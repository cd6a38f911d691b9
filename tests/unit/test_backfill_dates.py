"""Run dates of a backfill."""

import datetime as dt

import pytest

from blitz.errors import ConfigError
from blitz.run import backfill as backfills


def test_run_dates_keep_the_day_of_the_first():
    assert backfills.run_dates("2025-01-31", "2025-04-30", "month") == [
        dt.date(2025, 1, 31), dt.date(2025, 2, 28), dt.date(2025, 3, 31), dt.date(2025, 4, 30),
    ]  # fmt: skip
    assert backfills.run_dates("2025-01-01", "2025-01-16", "week") == [dt.date(2025, 1, day) for day in (1, 8, 15)]
    assert backfills.run_dates("2024-02-28", "2024-03-01", "day")[1] == dt.date(2024, 2, 29)
    with pytest.raises(ConfigError, match="--to: 2025-01-01 is before --from 2025-02-01"):
        backfills.run_dates("2025-02-01", "2025-01-01", "month")
    with pytest.raises(ConfigError, match=r"--from: .*\n.*--to: "):
        backfills.run_dates("2025-02-30", "soon", "month")
