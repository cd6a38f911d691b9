"""Proof that a rule set gives every customer exactly one segment (docs/contract.md, section 5).

The cut points of all conditions divide the space of values into cells; within a cell every rule has one answer. So it
is enough to check one value of each cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, prod

from blitz.errors import RuleError
from blitz.segmentation.domains import Value, domain_of, shown
from blitz.segmentation.rules import BAND_COLUMN, Band, Condition, Rule, RuleSet, segment_names

MOST_CELLS = 2_000_000
_ANY_OTHER_TEXT = "\0"


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


def prove(rules: RuleSet, columns: Sequence[str] = ()) -> Proof:
    """Enumerate the cells between all cut points and check that each matches exactly one rule.

    ``columns``: columns whose values make cells whether or not a rule reads them.
    """
    problems = _band_problems(rules)
    proofs = []
    for band in rules.bands:
        proof = _prove_band(band, columns)
        proofs.append(proof)
        if proof.problem:
            problems.append(f"band {band.name}: {proof.problem}")
    return Proof(tuple(proofs), tuple(problems))


def require_proven(rules: RuleSet, columns: Sequence[str] = ()) -> Proof:
    """The proof of a rule set (see ``prove``).

    Raises RuleError naming the cell and the rules where it has a gap or an overlap.
    """
    proof = prove(rules, columns)
    if not proof.holds:
        listed = "\n".join(f"  - {problem}" for problem in proof.problems)
        raise RuleError(f"the rules do not give every customer exactly one segment:\n{listed}")
    return proof


def _band_problems(rules: RuleSet) -> list[str]:
    """Duplicate band names, segments in several bands, and order counts that belong to no band or to several."""
    problems = []
    names = [band.name for band in rules.bands]
    problems += [f"band {name} appears twice" for name in sorted({n for n in names if names.count(n) > 1})]
    owners: dict[str, str] = {}
    for band in rules.bands:
        for segment in segment_names(rules, band.name):
            if owners.setdefault(segment, band.name) != band.name:
                problems.append(f"segment {segment} belongs to the bands {owners[segment]} and {band.name}")
    for band in rules.bands:
        problems += [
            f"band {band.name}: {name} is compared with text and with numbers" for name in _mixed_columns(band)
        ]
    for label, value in _cells([(band.low, band.high) for band in rules.bands]):
        inside = [band.name for band in rules.bands if band.holds(value)]
        if len(inside) != 1 and value > 0:
            which = f"the bands {', '.join(inside)}" if inside else "no band"
            problems.append(f"order counts with {BAND_COLUMN} {label} belong to {which}")
    return problems


def _cells(ranges: Sequence[tuple[float, float]], points: Sequence[float] = ()) -> list[tuple[str, float]]:
    """The cells between the cut points of ranges, and single points: the label of each and a value inside it."""
    cuts = sorted({end for ends in ranges for end in ends if abs(end) != inf})
    ends = [(f"= {point:g}", point) for point in points]
    if not cuts:
        return [("is any other" if points else "is any", _inside(0, 2, points)), *ends]
    cells = [(f"<= {cuts[0]:g}", _inside(cuts[0] - 1, cuts[0], points))]
    for low, high in zip(cuts, cuts[1:], strict=False):
        cells.append((f"in ({low:g}, {high:g}]", _inside(low, high, points)))
    return [*cells, (f"> {cuts[-1]:g}", _inside(cuts[-1], cuts[-1] + 2, points)), *ends]


def _inside(low: float, high: float, points: Sequence[float]) -> float:
    """A value between two bounds that is not one of the points."""
    value = (low + high) / 2
    while value in points:
        value = (value + high) / 2
    return value


def cells_of_column(band: Band, column: str) -> list[tuple[str, Value]]:
    """The cells of one column of a band: for each its label, for example ``in (2, 5]``, and a value inside it."""
    conditions = _conditions(band, column)
    if domain := domain_of(column):
        return [(f"= {shown(value)}", value) for value in domain]
    points = {c.equals for c in conditions if c.equals is not None}
    texts = sorted(point for point in points if isinstance(point, str))
    if texts:
        return [("is any other", _ANY_OTHER_TEXT), *[(f"= {text}", text) for text in texts]]
    numbers = sorted(point for point in points if not isinstance(point, str))
    return [*_cells([(c.low, c.high) for c in conditions if c.equals is None], numbers)]


def _conditions(band: Band, column: str) -> list[Condition]:
    return [c for rule in band.rules for c in rule.conditions if c.column == column]


def _mixed_columns(band: Band) -> list[str]:
    """The columns that some conditions compare with text and others with numbers."""
    kinds = {name: {isinstance(c.equals, str) for c in _conditions(band, name)} for name in band.columns}
    return [name for name, found in kinds.items() if len(found) > 1]


def _prove_band(band: Band, columns: Sequence[str]) -> BandProof:
    axes = {column: cells_of_column(band, column) for column in dict.fromkeys([*columns, *band.columns])}
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
    cell: Sequence[tuple[str, Value]],
    values: Mapping[str, Value],
    matching: Sequence[Rule],
) -> str:
    where = ", ".join(f"{column} {label}" for column, (label, _) in zip(axes, cell, strict=True))
    if matching:
        return f"the cell {where} matches {' and '.join(rule.segment for rule in matching)}"
    nearest = min(band.rules, key=lambda rule: len(rule.failed(values)))
    failed = " and ".join(condition.in_words() for condition in nearest.failed(values))
    return f"the cell {where} matches no rule; the nearest is {nearest.segment}, which fails at {failed}"
