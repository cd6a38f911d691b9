"""The orders of a channel on each of the last days of the window, counted with the other row counts.

The counts of three days share one sum of a bigint, 21 bits each: that is one aggregate per three days instead of one
per day, and holds for two million orders a day.
"""

from collections.abc import Mapping
from datetime import date

from pyspark.sql import Column
from pyspark.sql import functions as F

DAYS = 35
_PER_SUM, _BITS = 3, 21


def age_in_days(local: Column, end: date) -> Column:
    """How many days before the last day of the window an order is, 0 to DAYS - 1; null for older and later orders.

    ``local``: local time of the order; ``end``: the day after the window.
    """
    age = F.datediff(F.lit(end), F.to_date(local)) - 1
    return F.when(age.between(0, DAYS - 1), age)


def day_metrics(age: Column) -> dict[str, Column]:
    """What each order adds to the counts ``days_0``, ``days_1`` …, which ``orders_per_day`` takes apart.

    ``age``: see ``age_in_days``.
    """
    one = F.lit(1).cast("bigint")
    place = age % _PER_SUM
    share = F.when(place == 0, one).when(place == 1, one * (1 << _BITS)).when(place == 2, one * (1 << 2 * _BITS))
    return {
        f"days_{at}": F.when(age.between(at * _PER_SUM, at * _PER_SUM + _PER_SUM - 1), share)
        for at in range(-(-DAYS // _PER_SUM))
    }


def orders_per_day(counts: Mapping[str, int]) -> tuple[int, ...]:
    """The orders on each of the last DAYS days of the window, the oldest first."""
    of_age = [counts[f"days_{age // _PER_SUM}"] >> _BITS * (age % _PER_SUM) & (1 << _BITS) - 1 for age in range(DAYS)]
    return tuple(reversed(of_age))
