"""Rule files: what proves them, what refuses them, and which condition a customer fails."""

import json

import pytest

from blitz.errors import RuleError
from blitz.segmentation.proof import prove, require_proven
from blitz.segmentation.rules import default_rules, explain_rules, load_rules, segment_names

FLAGS = ["Weekend_flag", "Weekday_flag", "Premium_price_flag", "Lunch_flag", "Late_Night_flag", "Breakfast_flag",
         "Evening_flag"]  # fmt: skip


def test_built_in_rules_are_proven():
    proof = prove(default_rules())
    assert proof.holds
    assert [band.cells for band in proof.bands] == [2 * 2**3 * 2, 2 * 2**4 * 2, 4 * 2**3]
    assert len(segment_names(default_rules())) == 27


def rule_file(tmp_path, change):
    body = json.loads(default_rules().model_dump_json(exclude_none=True))
    change(body["bands"])
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(body))
    return load_rules(str(path))


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        (lambda bands: bands[0]["rules"].pop(2), ["Weekend_flag = 1, Weekday_flag = 1", "no rule", "Seg1_5_"]),
        (lambda bands: bands[0]["rules"][0]["conditions"].pop(), ["matches Seg1_5_1 and Seg1_5_2"]),
        (lambda bands: bands[2]["rules"][2]["conditions"][0].update(greater_than=9), ["in (8.5, 9]", "no rule"]),
        (lambda bands: bands[2]["rules"][2]["conditions"][0].update(greater_than=8), ["in (8, 8.5]", "Seg15_plus_3 and Seg15_plus_4"]),
        (lambda bands: bands[1].update(greater_than=4.5), ["in (4.5, 5.5]", "bands 1_5, 6_15"]),
        (lambda bands: bands[1].update(greater_than=6.5), ["in (5.5, 6.5]", "no band"]),
        (lambda bands: bands.pop(), ["> 15.5 belong to no band"]),
        (lambda bands: bands[1]["rules"][0].update(segment="Seg1_5_1"), ["Seg1_5_1 belongs to the bands 1_5 and 6_15"]),
    ],
    ids=["gap", "overlap", "gap-in-range", "overlap-in-range", "bands-overlap", "bands-gap", "no-last-band", "shared"],
)  # fmt: skip
def test_a_broken_rule_set_is_refused_with_the_cell_and_the_rules(tmp_path, change, fragments):
    rules = rule_file(tmp_path, change)
    with pytest.raises(RuleError) as caught:
        require_proven(rules)
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("{", "not JSON"),
        ('{"bands": []}', "bands"),
        ('{"bands": [{"name": "a", "rules": [{"segment": "s", "conditions": [{"column": "u", "at_least": 3}]}]}]}', "at_least"),
        ('{"bands": [{"name": "a", "rules": [{"segment": "s", "conditions": [{"column": "u"}]}]}]}', "give equals"),
        ('{"bands": [{"name": "a", "rules": [{"segment": "s", "conditions": [{"column": "u", "at_most": "3"}]}]}]}', "at_most"),
        ('{"bands": [{"name": "a", "rules": [{"segment": "s", "conditions": [{"column": "u", "greater_than": 3, "at_most": 3}]}]}]}', "below"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_rule_set_says_where(tmp_path, text, fragment):
    path = tmp_path / "rules.json"
    path.write_text(text)
    with pytest.raises(RuleError, match="rules.json") as caught:
        load_rules(str(path))
    assert fragment in str(caught.value)


def test_explain_names_the_condition_that_failed():
    values = dict.fromkeys(FLAGS, 0) | {"unique_cat_base_count": 3, "channel_count": 2}
    verdicts = {verdict.segment: verdict for verdict in explain_rules("1_5", values)}
    assert [name for name, verdict in verdicts.items() if verdict.matched] == ["Seg1_5_7"]
    assert verdicts["Seg1_5_1"].failed == ("unique_cat_base_count <= 2.5 (is 3)",)
    assert verdicts["Seg1_5_6"].failed == ("Premium_price_flag = 1 (is 0)",)
