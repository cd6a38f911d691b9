"""Rule sets as data: read, proven exhaustive and exclusive, compiled to one Spark ``when`` chain per band.

Contract: rule segments. A rule set has bands of the own-app order count; each band has rules, each rule conditions on
columns: a range (``greater_than`` < value <= ``at_most``) or ``equals``. Columns that end in ``_flag`` hold 0 or 1.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from importlib import resources
from itertools import product
from math import inf, prod

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pyspark.sql import Column
from pyspark.sql import functions as F

from blitz.errors import RuleError

BAND_COLUMN = "ownapp_order_count"
FLAG_SUFFIX = "_flag"
MOST_CELLS = 2_000_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Range(_Part):
    """``greater_than`` < value <= ``at_most``; an end that is not given is open."""

    greater_than: float | None = None
    at_most: float | None = None

    @property
    def low(self) -> float:
        """The end that is out."""
        return -inf if self.greater_than is None else self.greater_than

    @property
    def high(self) -> float:
        """The end that is in."""
        return inf if self.at_most is None else self.at_most

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range."""
        return self.low < value <= self.high


class Condition(Range):
    """A range of a column, or its value where ``equals`` is given."""

    column: str = Field(min_length=1)
    equals: float | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "Condition":
        if self.equals is not None and (self.greater_than is not None or self.at_most is not None):
            raise ValueError("give equals, or greater_than and at_most, not both")
        if self.equals is None and self.greater_than is None and self.at_most is None:
            raise ValueError("give equals, greater_than or at_most")
        if self.low >= self.high:
            raise ValueError("greater_than must be below at_most")
        if self.column.endswith(FLAG_SUFFIX) and self.equals not in (0, 1, None):
            raise ValueError("a flag equals 0 or 1")
        return self

    def holds(self, value: float) -> bool:
        """Whether a value fulfils the condition."""
        return value == self.equals if self.equals is not None else super().holds(value)

    def in_words(self) -> str:
        """The condition as a reader writes it, e.g. ``8.5 < unique_cat_base_count <= 11.5``."""
        if self.equals is not None:
            return f"{self.column} = {self.equals:g}"
        left = "" if self.greater_than is None else f"{self.greater_than:g} < "
        right = "" if self.at_most is None else f" <= {self.at_most:g}"
        return f"{self.column} > {self.greater_than:g}" if not right else f"{left}{self.column}{right}"

    def compiled(self) -> Column:
        """The condition in Spark; null where the value is."""
        value = F.col(f"`{self.column}`")
        if self.equals is not None:
            return value == self.equals
        ends = [] if self.greater_than is None else [value > self.greater_than]
        return reduce(Column.__and__, ends + ([] if self.at_most is None else [value <= self.at_most]))


class Rule(_Part):
    """The segment of the customers that fulfil every condition."""

    segment: str = Field(min_length=1)
    conditions: tuple[Condition, ...] = Field(strict=False)

    def failed(self, values: Mapping[str, float]) -> list[Condition]:
        """The conditions that values do not fulfil."""
        return [condition for condition in self.conditions if not condition.holds(values[condition.column])]

    def in_words(self) -> str:
        """The rule as one line."""
        return " and ".join(condition.in_words() for condition in self.conditions) or "everyone"


class Band(Range):
    """A range of own-app order counts and its rules."""

    name: str = Field(min_length=1)
    rules: tuple[Rule, ...] = Field(strict=False, min_length=1)

    @property
    def columns(self) -> list[str]:
        """The columns that the rules read, in the order of their first use."""
        return list(dict.fromkeys(c.column for rule in self.rules for c in rule.conditions))


class RuleSet(_Part):
    """All bands; see ``default_rules.json`` for the form."""

    bands: tuple[Band, ...] = Field(strict=False, min_length=1)

    def band(self, name: str) -> Band:
        """The band of a name. Raises RuleError for an unknown one."""
        for band in self.bands:
            if band.name == name:
                return band
        raise RuleError(f"unknown band {name!r}; known: {', '.join(band.name for band in self.bands)}")


@cache
def default_rules() -> RuleSet:
    """The built-in rules."""
    text = resources.files("blitz.segmentation").joinpath("default_rules.json").read_text(encoding="utf-8")
    return RuleSet.model_validate_json(text)


def load_rules(path: str | None = None) -> RuleSet:
    """The rule set of a JSON file, or the built-in one. Raises RuleError listing everything that is wrong with it."""
    if path is None:
        return default_rules()
    from blitz.storage import read_bytes

    try:
        return RuleSet.model_validate(json.loads(read_bytes(path)))
    except ValidationError as error:
        problems = [
            f"  - {'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise RuleError(f"{path}: not a rule set:\n" + "\n".join(problems)) from error
    except ValueError as error:
        raise RuleError(f"{path}: not JSON: {error}") from error


def rules_for_band(band: str, rules: RuleSet | None = None) -> tuple[Rule, ...]:
    """The rules of a band, in order."""
    return (rules or default_rules()).band(band).rules


def segment_names(rules: RuleSet, band: str | None = None) -> list[str]:
    """The segments of a rule set or of one of its bands, each once, in the rules' order."""
    bands = rules.bands if band is None else (rules.band(band),)
    return list(dict.fromkeys(rule.segment for each in bands for rule in each.rules))


def rules_hash(rules: RuleSet) -> str:
    """SHA-256 (hex) of the rule set's canonical JSON."""
    body = rules.model_dump(mode="json", exclude_none=True)
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def band_condition(band: str, rules: RuleSet | None = None) -> Column:
    """Whether a customer belongs to a band."""
    chosen = (rules or default_rules()).band(band)
    bounds = Condition(column=BAND_COLUMN, greater_than=chosen.greater_than, at_most=chosen.at_most)
    return bounds.compiled()


def segment_column(band: str, rules: RuleSet | None = None) -> Column:
    """The segment of a customer of the band, as one ``when`` chain; null where a variable that decides is null."""
    chain: Column | None = None
    for rule in rules_for_band(band, rules):
        matches = reduce(Column.__and__, [c.compiled() for c in rule.conditions], F.lit(True))
        chain = F.when(matches, rule.segment) if chain is None else chain.when(matches, rule.segment)
    assert chain is not None  # a band has at least one rule
    return chain


@dataclass(frozen=True)
class BandProof:
    """How the rules cover the cells of a band; ``problem`` names the first cell that does not match exactly one rule.

    ``per_segment`` counts the cells that match one rule, ``gaps`` those that match none.
    """

    band: str
    cells: int
    per_segment: dict[str, int]
    gaps: int
    problem: str | None

    @property
    def overlaps(self) -> int:
        """The number of cells that match several rules."""
        return self.cells - self.gaps - sum(self.per_segment.values())


@dataclass(frozen=True)
class Proof:
    """The proof of a rule set; it holds where no problem was found."""

    bands: tuple[BandProof, ...]
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every customer has exactly one segment."""
        return not self.problems

    def summary(self) -> str:
        """One line per rule set."""
        cells = ", ".join(f"{band.band} {band.cells} cells" for band in self.bands)
        segments = sum(len(band.per_segment) for band in self.bands)
        return f"{segments} segments; {cells}; " + ("each matched by one rule" if self.holds else "NOT PROVEN")


def prove(rules: RuleSet) -> Proof:
    """Enumerate the cells between all cut points and check that every cell matches exactly one rule."""
    problems = _band_problems(rules)
    proofs = []
    for band in rules.bands:
        proof = _prove_band(band)
        proofs.append(proof)
        if proof.problem:
            problems.append(f"band {band.name}: {proof.problem}")
    return Proof(tuple(proofs), tuple(problems))


def require_proven(rules: RuleSet) -> Proof:
    """The proof of a rule set. Raises RuleError naming the cell and the rules where it has a gap or an overlap."""
    proof = prove(rules)
    if not proof.holds:
        listed = "\n".join(f"  - {problem}" for problem in proof.problems)
        raise RuleError(f"the rules do not give every customer exactly one segment:\n{listed}")
    return proof


def _band_problems(rules: RuleSet) -> list[str]:
    """Band names and segments that repeat, order counts in no band or in several."""
    problems = []
    names = [band.name for band in rules.bands]
    problems += [f"band {name} stands there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    owners: dict[str, str] = {}
    for band in rules.bands:
        for segment in segment_names(rules, band.name):
            if owners.setdefault(segment, band.name) != band.name:
                problems.append(f"segment {segment} belongs to the bands {owners[segment]} and {band.name}")
    for label, value in _cells([(band.low, band.high) for band in rules.bands]):
        inside = [band.name for band in rules.bands if band.holds(value)]
        if len(inside) != 1 and value > 0:
            which = f"the bands {', '.join(inside)}" if inside else "no band"
            problems.append(f"order counts with {BAND_COLUMN} {label} belong to {which}")
    return problems


def _cells(ranges: Sequence[tuple[float, float]], points: Sequence[float] = ()) -> list[tuple[str, float]]:
    """The cells between the cut points of some ranges, and single points: (in words, a value inside)."""
    cuts = sorted({end for ends in ranges for end in ends if abs(end) != inf})
    ends = [(f"= {point:g}", point) for point in points]
    if not cuts:
        return [("is any other" if points else "is any", _inside(0, 2, points)), *ends]
    cells = [(f"<= {cuts[0]:g}", _inside(cuts[0] - 1, cuts[0], points))]
    for low, high in zip(cuts, cuts[1:], strict=False):
        cells.append((f"in ({low:g}, {high:g}]", _inside(low, high, points)))
    return [*cells, (f"> {cuts[-1]:g}", _inside(cuts[-1], cuts[-1] + 2, points)), *ends]


def _inside(low: float, high: float, points: Sequence[float]) -> float:
    """A value between two ends that is none of the points."""
    value = (low + high) / 2
    while value in points:
        value = (value + high) / 2
    return value


def _axis(band: Band, column: str) -> list[tuple[str, float]]:
    """The cells of one column of a band."""
    conditions = [c for rule in band.rules for c in rule.conditions if c.column == column]
    if column.endswith(FLAG_SUFFIX):
        return [("= 0", 0.0), ("= 1", 1.0)]
    points = sorted({c.equals for c in conditions if c.equals is not None})
    return _cells([(c.low, c.high) for c in conditions if c.equals is None], points)


def _prove_band(band: Band) -> BandProof:
    axes = {column: _axis(band, column) for column in band.columns}
    count = prod(len(axis) for axis in axes.values())
    if count > MOST_CELLS:
        return BandProof(band.name, count, {}, 0, f"{count:,} cells are too many to prove (at most {MOST_CELLS:,})")
    per_segment: dict[str, int] = dict.fromkeys((rule.segment for rule in band.rules), 0)
    gaps, problem = 0, None
    for cell in product(*axes.values()):
        values = {column: value for column, (_, value) in zip(axes, cell, strict=True)}
        matching = [rule for rule in band.rules if not rule.failed(values)]
        if len(matching) == 1:
            per_segment[matching[0].segment] += 1
            continue
        gaps += not matching
        problem = problem or _counterexample(band, axes, cell, values, matching)
    unused = [segment for segment, cells in per_segment.items() if cells == 0]
    if problem is None and unused:
        problem = f"no customer can be in {', '.join(unused)}"
    return BandProof(band.name, count, per_segment, gaps, problem)


def _counterexample(
    band: Band,
    axes: Mapping[str, object],
    cell: Sequence[tuple[str, float]],
    values: Mapping[str, float],
    matching: Sequence[Rule],
) -> str:
    where = ", ".join(f"{column} {label}" for column, (label, _) in zip(axes, cell, strict=True))
    if matching:
        return f"the cell {where} matches {' and '.join(rule.segment for rule in matching)}"
    nearest = min(band.rules, key=lambda rule: len(rule.failed(values)))
    failed = " and ".join(condition.in_words() for condition in nearest.failed(values))
    return f"the cell {where} matches no rule; the nearest is {nearest.segment}, which fails at {failed}"


@dataclass(frozen=True)
class RuleVerdict:
    """What a rule says of one customer."""

    segment: str
    matched: bool
    failed: tuple[str, ...]


def explain_rules(band: str, values: Mapping[str, float], rules: RuleSet | None = None) -> list[RuleVerdict]:
    """Each rule of a band with the conditions that a customer's values fail, in words."""
    verdicts = []
    for rule in rules_for_band(band, rules):
        failed = tuple(f"{c.in_words()} (is {values[c.column]:g})" for c in rule.failed(values))
        verdicts.append(RuleVerdict(rule.segment, not failed, failed))
    return verdicts
