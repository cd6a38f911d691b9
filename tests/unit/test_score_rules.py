"""Lifecycle and RFM names as rule sets: proven over every cell, and equal to the contract's text on every cell."""

import json
from itertools import product
from pathlib import Path

import pytest

from blitz.errors import RuleError
from blitz.segmentation.proof import cells_of_column, prove
from blitz.segmentation.rules import RuleSet, default_rules, explain_rules, rules_hash
from blitz.segmentation.score_rules import lifecycle_rules, load_rfm_rules, require_rfm_proven


def matched(rules: RuleSet, values: dict[str, float | str]) -> list[str]:
    return [each.segment for each in explain_rules(rules.bands[0].name, values, rules) if each.matched]


def test_the_built_in_rfm_rules_are_proven_over_the_125_scores() -> None:
    (band,) = require_rfm_proven(load_rfm_rules()).bands
    assert (band.cells, band.gaps, band.overlaps, len(band.per_segment)) == (125, 0, 0, 12)
    assert min(band.per_segment.values()) > 0


def test_rules_that_read_two_of_the_scores_are_proven_over_all_three(tmp_path: Path) -> None:
    def high(over: float | None, at_most: float | None) -> dict[str, object]:
        return {"column": "r_score", "greater_than": over, "at_most": at_most}

    rules = [{"segment": "here", "conditions": [high(2, None)]}, {"segment": "gone", "conditions": [high(None, 2)]}]
    (tmp_path / "rfm.json").write_text(json.dumps({"bands": [{"name": "any", "rules": rules}]}))
    (band,) = require_rfm_proven(load_rfm_rules(f"{tmp_path}/rfm.json")).bands
    assert (band.cells, band.per_segment) == (125, {"here": 75, "gone": 50})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda band: band["rules"].pop(), "r_score = 1, f_score = 1, m_score = 1 matches no rule"),
        (lambda band: band["rules"][0]["conditions"].pop(), "recent_frequent_high_spend and recent_frequent"),
        (lambda band: band["rules"][4]["conditions"][1].update(equals=6), "f_score equals 1, 2, 3, 4 or 5"),
        (lambda band: band["rules"][4]["conditions"].append({"column": "channel_count", "equals": 1}), "not channel_count"),
    ],
)  # fmt: skip
def test_rfm_rules_that_do_not_name_every_score_once_are_refused(tmp_path: Path, change, message) -> None:
    body = json.loads(load_rfm_rules().model_dump_json(exclude_none=True))
    change(body["bands"][0])
    (tmp_path / "rfm.json").write_text(json.dumps(body))
    with pytest.raises(RuleError, match=message):
        require_rfm_proven(load_rfm_rules(f"{tmp_path}/rfm.json"))


def test_the_band_rules_are_no_rfm_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text(default_rules().model_dump_json(exclude_none=True))
    with pytest.raises(RuleError, match="RFM rules have one band, not 3"):
        load_rfm_rules(f"{tmp_path}/rules.json")


def test_the_lifecycle_is_exhaustive_and_exclusive_and_the_first_that_applies() -> None:
    rules = lifecycle_rules(30)
    (band,) = prove(rules).bands
    assert prove(rules).holds and band.cells == 2 * 2 * 4
    for age, orders, missed in product((0, 30, 31, 400), (1, 2, 50), (0.0, 1.0, 1.001, 2.0, 2.5, 3.0, 3.001, 90.0)):
        expected = (
            "new" if age <= 30 else "one_time" if orders == 1 else "active" if missed <= 1 else "due" if missed <= 2
            else "late" if missed <= 3 else "lapsed"
        )  # fmt: skip
        values = {"days_since_first_order": age, "omnichannel_order_count": orders, "missed_visits": missed}
        assert matched(rules, values) == [expected], values


def test_rules_can_read_text() -> None:
    def rules_of(*conditions: dict[str, object]) -> RuleSet:
        rules = [{"segment": f"S{at}", "conditions": [condition]} for at, condition in enumerate(conditions)]
        return RuleSet.model_validate({"bands": [{"name": "1_5", "rules": rules}]})

    lives = [{"column": "lifecycle", "equals": name} for name in ("new", "one_time", "active", "due", "late", "lapsed")]
    assert prove(rules_of(*lives)).holds
    assert "lifecycle = lapsed matches no rule" in prove(rules_of(*lives[:-1])).problems[0]
    only = prove(rules_of({"column": "rfm", "equals": "555"})).problems[0]
    assert "rfm is any other matches no rule" in only
    mixed = prove(rules_of({"column": "rfm", "equals": "555"}, {"column": "rfm", "at_most": 3})).problems
    assert mixed[0] == "band 1_5: rfm is compared with text and with numbers"
    with pytest.raises(ValueError, match="lifecycle equals new, one_time, active, due, late or lapsed"):
        rules_of({"column": "lifecycle", "equals": "gone"})
    with pytest.raises(ValueError, match="lifecycle is text: give equals"):
        rules_of({"column": "lifecycle", "at_most": 2})
    (verdict, *_) = explain_rules("1_5", {"lifecycle": "due"}, rules_of(*lives))
    assert (verdict.matched, verdict.failed) == (False, ("lifecycle = new (is due)",))
    assert cells_of_column(rules_of(*lives).bands[0], "lifecycle")[0] == ("= new", "new")


def test_what_is_for_readers_does_not_change_the_hash() -> None:
    plain = default_rules().model_dump(exclude_none=True)
    for band in plain["bands"]:
        for rule in band["rules"]:
            rule |= {"name": "N", "description": "D", "action": "A", "owner": "O"}
    named = RuleSet.model_validate(plain)
    assert named != default_rules()
    assert rules_hash(named) == rules_hash(default_rules())
