"""Lifecycle and RFM segments as rule sets, proven as the segments are (docs/contract.md, section 11)."""

from functools import cache
from importlib import resources

from blitz.errors import RuleError
from blitz.segmentation.domains import LIFECYCLE, LIFECYCLES, SCORES
from blitz.segmentation.proof import Proof, require_proven
from blitz.segmentation.rules import Band, Condition, Rule, RuleSet, load_rules

DAYS_SINCE_FIRST = "days_since_first_order"
ORDERS = "omnichannel_order_count"
MISSED_VISITS = "missed_visits"


def lifecycle_rules(new_days: int) -> RuleSet:
    """The rules of ``lifecycle``: new, then one_time, then by missed visits; each condition excludes those before."""
    known = Condition(column=DAYS_SINCE_FIRST, greater_than=new_days)
    several = Condition(column=ORDERS, greater_than=1)

    def missed(low: float | None, high: float | None) -> tuple[Condition, ...]:
        return (known, several, Condition(column=MISSED_VISITS, greater_than=low, at_most=high))

    conditions = (
        (Condition(column=DAYS_SINCE_FIRST, at_most=new_days),),
        (known, Condition(column=ORDERS, at_most=1)),
        missed(None, 1),
        missed(1, 2),
        missed(2, 3),
        missed(3, None),
    )
    rules = tuple(Rule(segment=name, conditions=each) for name, each in zip(LIFECYCLES, conditions, strict=True))
    return RuleSet(bands=(Band(name=LIFECYCLE, rules=rules),))


@cache
def default_rfm_rules() -> RuleSet:
    """The built-in names of the RFM scores."""
    text = resources.files("blitz.segmentation").joinpath("default_rfm_rules.json").read_text(encoding="utf-8")
    return RuleSet.model_validate_json(text)


def load_rfm_rules(path: str | None = None) -> RuleSet:
    """The RFM rules of a JSON file, or the built-in ones; one band that reads the three scores alone.

    Raises RuleError for a file that is not such a rule set.
    """
    rules = default_rfm_rules() if path is None else load_rules(path)
    source = path or "the built-in RFM rules"
    if len(rules.bands) != 1:
        raise RuleError(f"{source}: RFM rules have one band, not {len(rules.bands)}")
    other = sorted(set(rules.bands[0].columns) - set(SCORES))
    if other:
        raise RuleError(f"{source}: RFM rules read {', '.join(SCORES)}, not {', '.join(other)}")
    return rules


def require_rfm_proven(rules: RuleSet) -> Proof:
    """The proof of RFM rules over the 125 cells of the three scores. Raises RuleError where it does not hold."""
    return require_proven(rules, SCORES)
