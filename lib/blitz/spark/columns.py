"""Helpers that build Spark columns."""

from collections.abc import Callable, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

_SEPARATORS = [chr(code) for code in range(0x1F, 0, -1)]  # control characters, the unit separator first


def balanced(operator: Callable[[Column, Column], Column], columns: Sequence[Column]) -> Column:
    """The columns joined by an associative operator as a shallow tree: menus have hundreds of categories, and Spark
    Connect refuses plans that are some hundred levels deep. At least one column must be given."""
    while len(columns) > 1:
        pairs = [operator(*columns[at : at + 2]) for at in range(0, len(columns) - 1, 2)]
        columns = pairs + list(columns[len(pairs) * 2 :])
    return columns[0]


def named(name: str) -> Column:
    """The column of exactly this name, whatever it holds: price labels are the users' own, and may hold dots."""
    return F.col(quoted(name))


def quoted(name: str) -> str:
    """The name as Spark SQL takes it whatever it holds, in backticks."""
    return "`" + name.replace("`", "``") + "`"


def whole(code: Column) -> Column:
    """The text of a code as bigint; null where it is no whole number: Spark's cast would cut ``1.7`` to 1."""
    return F.when(F.instr(code, ".") == 0, try_cast(code, "bigint"))


def try_cast(value: Column, kind: str) -> Column:
    """The value as another type; null where it cannot be read as one. Sail's ``cast`` fails there, ANSI or not."""
    return value.try_cast(kind) if hasattr(value, "try_cast") else value.cast(kind)  # a method since Spark 4.0


def names_where(named_conditions: Sequence[tuple[str, Column]]) -> Column:
    """An array of the names whose condition is true, in the given order; empty where none is.

    Built as a text that is split: on Sail three times as fast as an array whose gaps are removed; Spark compiles it.
    """
    separator = next(each for each in _SEPARATORS if not any(each in name for name, _ in named_conditions))
    joined = F.concat_ws(separator, *[F.when(condition, F.lit(name)) for name, condition in named_conditions])
    return F.when(joined == "", F.array().cast("array<string>")).otherwise(F.split(joined, separator))
