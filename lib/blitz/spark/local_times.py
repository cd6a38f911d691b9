"""UTC instants as wall-clock times of a zone, and back."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from pyspark.sql import Column
from pyspark.sql import functions as F

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
_STEP = timedelta(days=7)  # shorter than any summer time


def local_time(instant: Column, timezone: str) -> Column:
    """The wall-clock time of a UTC instant, stored as if it were UTC.

    In a zone that has had one offset since 1970, as India's has, the offset is added, also to earlier instants: Sail
    takes 85 ns to convert a time by the rules of a zone and less than 1 ns to add to it.
    """
    offset = _only_offset(timezone)
    return F.from_utc_timestamp(instant, timezone) if offset is None else _moved(instant, offset)


def utc_time(local: Column, timezone: str) -> Column:
    """The UTC instant of a wall-clock time that is stored as if it were UTC; see ``local_time``."""
    offset = _only_offset(timezone)
    return F.to_utc_timestamp(local, timezone) if offset is None else _moved(local, -offset)


def _moved(time: Column, by: timedelta) -> Column:
    return time + F.expr(f"INTERVAL '{int(by.total_seconds())}' SECOND")


@cache
def _only_offset(timezone: str) -> timedelta | None:
    """The offset from UTC of a zone that has had no other since 1970; None for all others."""
    zone = ZoneInfo(timezone)
    weeks = (_LAST - _FIRST) // _STEP
    offsets = {(_FIRST + week * _STEP).astimezone(zone).utcoffset() for week in range(weeks)}
    return offsets.pop() if len(offsets) == 1 else None
