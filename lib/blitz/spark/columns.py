"""Helpers that build Spark columns."""

from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_SEPARATORS = [chr(code) for code in range(0x1F, 0, -1)]  # control characters, the unit separator first
NUMERIC_TYPES = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")


def balanced(operator: Callable[[Column, Column], Column], columns: Sequence[Column]) -> Column:
    """The columns joined by an associative operator as a shallow tree: menus have hundreds of categories, and Spark
    Connect refuses plans that are some hundred levels deep. At least one column must be given."""
    while len(columns) > 1:
        pairs = [operator(*columns[at : at + 2]) for at in range(0, len(columns) - 1, 2)]
        columns = pairs + list(columns[len(pairs) * 2 :])
    return columns[0]


def quoted_col(name: str) -> Column:
    """Return the column of exactly this name: price labels come from the users' config and may contain dots."""
    return F.col(quoted(name))


def quoted(name: str) -> str:
    """Return the name in backticks, as Spark SQL expects a name with special characters."""
    return "`" + name.replace("`", "``") + "`"


def to_bigint(code: Column) -> Column:
    """Return the text of a code as bigint; null where it has a fraction, which Spark's cast would drop (1.7 to 1)."""
    return F.when(F.instr(code, ".") == 0, try_cast(code, "bigint"))


def try_cast(value: Column, type_name: str) -> Column:
    """Return the value as another type, null where it cannot be converted; Sail's ``cast`` fails there."""
    is_new = hasattr(type(value), "try_cast")  # since Spark 4.0; an instance takes any name for a field
    return value.try_cast(type_name) if is_new else value.cast(type_name)


def is_numeric(type_name: str) -> bool:
    """Whether a type, as ``DataFrame.dtypes`` names it, is a number."""
    return type_name.split("(")[0] in NUMERIC_TYPES


def numeric_columns(df: DataFrame) -> list[str]:
    """Return the names of the numeric columns, in the frame's order."""
    return [name for name, type_name in df.dtypes if is_numeric(type_name)]


def names_where(named_conditions: Sequence[tuple[str, Column]]) -> Column:
    """An array of the names whose condition is true, in the given order; empty where none is.

    Built as a text that is split: on Sail three times as fast as an array whose gaps are removed; Spark compiles it.
    """
    separator = next(each for each in _SEPARATORS if not any(each in name for name, _ in named_conditions))
    joined = F.concat_ws(separator, *[F.when(condition, F.lit(name)) for name, condition in named_conditions])
    return F.when(joined == "", F.array().cast("array<string>")).otherwise(F.split(joined, separator))
