"""Whether two large Parquet tables are equal, in little memory."""

from pathlib import Path
from typing import Any

import duckdb

from compare import name_problems


def exact_differences(expected: str, actual: str, keys: list[str]) -> list[str]:
    """What differs between two Parquet folders or files, a line per column, at any size, fractions to the last bit:
    DuckDB sums a hash of each column's values with their row's keys, whatever the order of the rows."""
    both = [_described(path) for path in (expected, actual)]
    names, others = ([name for name, _ in columns] for columns, _ in both)
    if found := name_problems(names, others, ordered=True):
        return found
    if both[0] != both[1]:
        return ["columns of other types"]
    counts, *sums = zip(*(_hashed(path, names, keys) for path in (expected, actual)), strict=True)
    if counts[0] != counts[1]:
        return [f"{counts[1]:,} rows instead of {counts[0]:,}"]
    return [f"{name}: differs" for name, (one, other) in zip(names, sums, strict=True) if one != other]


def _table(path: str) -> str:
    """A table's files as DuckDB takes them."""
    files = sorted(Path(path).glob("*.parquet")) if Path(path).is_dir() else [Path(path)]
    return "[{}]".format(", ".join("'{}'".format(str(file).replace("'", "''")) for file in files))


def _described(path: str) -> tuple[list[tuple[str, str]], set[tuple[str, ...]]]:
    """The columns of a table in order, with their types, and those that its files hold: each may have its own."""
    columns = _rows(f"DESCRIBE SELECT * FROM read_parquet({_table(path)})")
    types = _rows(f"SELECT DISTINCT name, type, logical_type FROM parquet_schema({_table(path)}) WHERE type != ''")
    return [(name, kind) for name, kind, *_ in columns], set(types)


def _hashed(path: str, names: list[str], keys: list[str]) -> tuple[int, ...]:
    """The number of rows, and for each column the sum of its hashes."""
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in names}
    key = ", ".join(quoted[name] for name in keys)
    sums = ", ".join(f"sum(hash({key}, {quoted[name]})::HUGEINT)" for name in names)
    return _rows(f"SELECT count(*), {sums} FROM read_parquet({_table(path)})")[0]


def _rows(query: str) -> list[tuple[Any, ...]]:
    return duckdb.execute(query).fetchall()
