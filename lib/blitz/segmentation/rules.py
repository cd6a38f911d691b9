"""Rule sets as data, compiled to one Spark ``when`` chain per band (docs/contract.md, section 5).

A rule set has bands of the own-app order count, a band has rules, and a rule has conditions on columns: a range
(``greater_than`` < value <= ``at_most``) or ``equals``. Columns that end in ``_flag`` are 0 or 1.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from importlib import resources
from math import inf

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pyspark.sql import Column
from pyspark.sql import functions as F

from blitz.errors import RuleError
from blitz.segmentation.domains import FLAG_SUFFIX as FLAG_SUFFIX
from blitz.segmentation.domains import Value, domain_of, shown
from blitz.spark.columns import quoted_col
from blitz.storage import read_bytes

BAND_COLUMN = "ownapp_order_count"
READER_FIELDS = ("name", "description", "action", "owner")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Range(_Part):
    """``greater_than`` < value <= ``at_most``; a bound that is missing does not restrict."""

    greater_than: float | None = None
    at_most: float | None = None

    @property
    def low(self) -> float:
        """The exclusive lower bound; minus infinity where there is none."""
        return -inf if self.greater_than is None else self.greater_than

    @property
    def high(self) -> float:
        """The inclusive upper bound; infinity where there is none."""
        return inf if self.at_most is None else self.at_most

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range."""
        return self.low < value <= self.high


class Condition(Range):
    """A range of a column, or its value where ``equals`` is given."""

    column: str = Field(min_length=1)
    equals: Value | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "Condition":
        if self.equals is not None and (self.greater_than is not None or self.at_most is not None):
            raise ValueError("give equals, or greater_than and at_most, not both")
        if self.equals is None and self.greater_than is None and self.at_most is None:
            raise ValueError("give equals, greater_than or at_most")
        if self.low >= self.high:
            raise ValueError("greater_than must be below at_most")
        domain = domain_of(self.column)
        if domain and self.equals is not None and self.equals not in domain:
            noun = "a flag" if self.column.endswith(FLAG_SUFFIX) else self.column
            raise ValueError(f"{noun} equals {', '.join(map(shown, domain[:-1]))} or {shown(domain[-1])}")
        if domain and isinstance(domain[0], str) and self.equals is None:
            raise ValueError(f"{self.column} is text: give equals")
        return self

    def met_by(self, value: Value) -> bool:
        """Whether a value meets the condition; text never lies in a range."""
        if self.equals is not None:
            return value == self.equals
        return not isinstance(value, str) and self.holds(value)

    def in_words(self) -> str:
        """The condition as text, for example ``8.5 < unique_cat_base_count <= 11.5``."""
        if self.equals is not None:
            return f"{self.column} = {shown(self.equals)}"
        left = "" if self.greater_than is None else f"{self.greater_than:g} < "
        right = "" if self.at_most is None else f" <= {self.at_most:g}"
        return f"{self.column} > {self.greater_than:g}" if not right else f"{left}{self.column}{right}"

    def compiled(self) -> Column:
        """The condition as a Spark column; null where the value is null."""
        value = quoted_col(self.column)
        if self.equals is not None:
            return value == self.equals
        ends = [] if self.greater_than is None else [value > self.greater_than]
        return reduce(Column.__and__, ends + ([] if self.at_most is None else [value <= self.at_most]))


class Rule(_Part):
    """The segment of the customers that meet all conditions.

    ``name``, ``description``, ``action`` and ``owner`` are for readers: they decide nothing.
    """

    segment: str = Field(min_length=1)
    name: str | None = Field(default=None, min_length=1)
    description: str | None = Field(default=None, min_length=1)
    action: str | None = Field(default=None, min_length=1)
    owner: str | None = Field(default=None, min_length=1)
    conditions: tuple[Condition, ...] = Field(strict=False)

    def failed(self, values: Mapping[str, Value]) -> list[Condition]:
        """The conditions that the values do not meet."""
        return [condition for condition in self.conditions if not condition.met_by(values[condition.column])]

    def in_words(self) -> str:
        """The rule as one line."""
        return " and ".join(condition.in_words() for condition in self.conditions) or "everyone"


class Band(Range):
    """A range of own-app order counts and its rules."""

    name: str = Field(min_length=1)
    rules: tuple[Rule, ...] = Field(strict=False, min_length=1)

    @model_validator(mode="after")
    def _one_description(self) -> "Band":
        for segment, facts in _described(self.rules).items():
            for field, texts in facts.items():
                if len(texts) > 1:
                    raise ValueError(f"segment {segment} has several values of {field}: {', '.join(map(repr, texts))}")
        return self

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
    """The rule set of a JSON file, or the built-in one. Raises RuleError listing all its problems."""
    if path is None:
        return default_rules()
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
    """The distinct segments of a rule set or of one of its bands, in the order of the rules."""
    bands = rules.bands if band is None else (rules.band(band),)
    return list(dict.fromkeys(rule.segment for each in bands for rule in each.rules))


@dataclass(frozen=True)
class About:
    """What a rule file says about a segment for its readers; None where it says nothing."""

    name: str | None = None
    description: str | None = None
    action: str | None = None
    owner: str | None = None

    def as_json(self) -> dict[str, str]:
        """What is given."""
        return {field: text for field in READER_FIELDS if (text := getattr(self, field)) is not None}

    def in_words(self) -> str:
        """All that is given, as one line; empty where nothing is."""
        labelled = {"action": self.action, "owner": self.owner}
        parts = [text for text in (self.name, self.description) if text]
        return "; ".join(parts + [f"{label}: {text}" for label, text in labelled.items() if text])


def about_segments(rules: RuleSet) -> dict[str, About]:
    """What the rules say about each segment for readers."""
    return {
        segment: About(**{field: texts[0] for field, texts in facts.items() if texts})
        for segment, facts in _described([rule for band in rules.bands for rule in band.rules]).items()
    }


def _described(rules: Iterable[Rule]) -> dict[str, dict[str, list[str]]]:
    """Per segment and field for readers the distinct values in the rules of the segment."""
    found: dict[str, dict[str, list[str]]] = {}
    for rule in rules:
        facts = found.setdefault(rule.segment, {field: [] for field in READER_FIELDS})
        for field, texts in facts.items():
            text = getattr(rule, field)
            if text is not None and text not in texts:
                texts.append(text)
    return found


def rules_hash(rules: RuleSet) -> str:
    """SHA-256 (hex) of the rule set's canonical JSON, without what is for readers alone (names, actions, owners)."""
    for_readers = {"bands": {"__all__": {"rules": {"__all__": set(READER_FIELDS)}}}}
    body = rules.model_dump(mode="json", exclude_none=True, exclude=for_readers)
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def band_condition(band: str, rules: RuleSet | None = None) -> Column:
    """Whether a customer belongs to a band."""
    chosen = (rules or default_rules()).band(band)
    if chosen.greater_than is None and chosen.at_most is None:
        return quoted_col(BAND_COLUMN).isNotNull()
    bounds = Condition(column=BAND_COLUMN, greater_than=chosen.greater_than, at_most=chosen.at_most)
    return bounds.compiled()


def segment_column(band: str, rules: RuleSet | None = None) -> Column:
    """The segment of a customer of the band as one ``when`` chain; null where a value is missing."""
    chain: Column | None = None
    for rule in rules_for_band(band, rules):
        matches = reduce(Column.__and__, [c.compiled() for c in rule.conditions], F.lit(True))
        chain = F.when(matches, rule.segment) if chain is None else chain.when(matches, rule.segment)
    assert chain is not None  # a band has at least one rule
    return chain


@dataclass(frozen=True)
class RuleVerdict:
    """Whether a rule matches one customer, and the conditions that failed, as text."""

    segment: str
    matched: bool
    failed: tuple[str, ...]


def explain_rules(band: str, values: Mapping[str, Value], rules: RuleSet | None = None) -> list[RuleVerdict]:
    """Whether each rule of a band matches a customer's values, with the conditions that fail."""
    verdicts = []
    for rule in rules_for_band(band, rules):
        failed = tuple(f"{c.in_words()} (is {shown(values[c.column])})" for c in rule.failed(values))
        verdicts.append(RuleVerdict(rule.segment, not failed, failed))
    return verdicts
