"""Column names as outputs have them: as they are, or without blanks and capitals (docs/contract.md, section 10)."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame

from blitz.errors import PublishError
from blitz.spark.columns import quoted_col

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake_case(name: str) -> str:
    """The name without blanks and capitals: ``BussTime`` as ``buss_time``, ``Late Night`` as ``late_night``.

    A name that has neither stays as it is, so that the result is its own snake case.
    """
    return re.sub(r"\W+", "_", _WORD_START.sub("_", name)).lower()


def same_names(names: Iterable[str]) -> dict[str, list[str]]:
    """The names that are one in snake case, by that name; only where there are several."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        found[snake_case(name)].append(name)
    return {name: several for name, several in found.items() if len(several) > 1}


def found_as(wanted: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """Which of the names each wanted one is: the same, or the only one that is the same in snake case.

    Wanted names that are none of them are left out.
    """
    present, alike = set(names), defaultdict(set)
    for name in names:
        alike[snake_case(name)].add(name)
    exact = {name: name for name in wanted if name in present}
    others = {
        name: next(iter(alike[snake_case(name)]))
        for name in wanted
        if name not in present and len(alike[snake_case(name)]) == 1
    }
    return exact | others


@dataclass(frozen=True)
class Spelling:
    """How outputs spell their columns.

    ``is_snake_case``: whether they are written in snake case; they are read in either. ``originals``: the names of
    columns with blanks or capitals, by their snake case.
    """

    is_snake_case: bool = False
    originals: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, is_snake_case: bool, names: Iterable[str]) -> "Spelling":
        """The spelling of outputs that may have columns of these names; those that are alike stay as they are."""
        names = list(names)
        alike = same_names(names)
        originals = {snake_case(name): name for name in names if snake_case(name) != name}
        return cls(is_snake_case, {short: name for short, name in originals.items() if short not in alike})

    def original(self, name: str) -> str:
        """The name of a column that is given in either spelling."""
        return self.originals.get(name, name)

    def read(self, df: DataFrame) -> DataFrame:
        """The frame with the original names, whichever way its columns are spelled."""
        present = set(df.columns)
        names = {name: self.original(name) for name in df.columns}
        changed = {name: new for name, new in names.items() if new != name and new not in present}
        return _renamed(df, changed)

    def written(self, df: DataFrame, path: str) -> DataFrame:
        """The frame as it is written at ``path``; PublishError where two columns would have one name."""
        if not self.is_snake_case:
            return df
        if several := same_names(df.columns):
            named = "; ".join(f"{' and '.join(map(repr, names))} would be {short}" for short, names in several.items())
            raise PublishError(f"run.snake_case_columns: {named}; rename one of them or switch it off", path=path)
        return _renamed(df, {name: snake_case(name) for name in df.columns})


PLAIN = Spelling()


def _renamed(df: DataFrame, names: Mapping[str, str]) -> DataFrame:
    if all(name == new for name, new in names.items()):
        return df
    return df.select(*[quoted_col(name).alias(names.get(name, name)) for name in df.columns])
