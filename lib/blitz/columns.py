"""Helpers that build Spark columns."""

from collections.abc import Callable, Sequence

from pyspark.sql import Column


def balanced(operator: Callable[[Column, Column], Column], columns: Sequence[Column]) -> Column:
    """The columns joined by an associative operator as a shallow tree: menus have hundreds of categories, and Spark
    Connect refuses plans that are some hundred levels deep. At least one column must be given."""
    while len(columns) > 1:
        pairs = [operator(*columns[at : at + 2]) for at in range(0, len(columns) - 1, 2)]
        columns = pairs + list(columns[len(pairs) * 2 :])
    return columns[0]
