"""The rule table: proven, and equal to a hand-written if/else of the contract on every side of every cut."""

import json
from itertools import product

import pytest
from pyspark.sql import functions as F

from blitz.errors import RuleError
from blitz.segmentation.rules import default_rules, explain_rules, load_rules, prove, require_proven, segment_names
from blitz.segmentation.segments import assign

FLAGS = ["Weekend_flag", "Weekday_flag", "Premium_price_flag", "Lunch_flag", "Late_Night_flag", "Breakfast_flag",
         "Evening_flag"]  # fmt: skip


def by_hand(n, u, c, we, wd, pr, lu, ln, bf, ev):
    if n < 6:
        if u <= 2.5:
            return "Seg1_5_1" if not we else "Seg1_5_3" if wd else "Seg1_5_2"
        if c <= 1.5:
            return "Seg1_5_5" if wd else "Seg1_5_4"
        return "Seg1_5_6" if pr else "Seg1_5_8" if we else "Seg1_5_7"
    if n <= 15:
        if u <= 6.5:
            return "Seg_6_15_01" if not we else "Seg_6_15_03" if lu else "Seg_6_15_02"
        if not pr:
            return "Seg_6_15_04" if not lu else "Seg_6_15_06" if ln else "Seg_6_15_05"
        if c <= 1.5:
            return "Seg_6_15_08" if lu else "Seg_6_15_07"
        return "Seg_6_15_10" if ln else "Seg_6_15_09"
    if bf:
        return "Seg15_plus_5" if u <= 11.5 else "Seg15_plus_9"
    if not ln:
        return "Seg15_plus_1" if u <= 11.5 else "Seg15_plus_6" if u <= 16.5 else "Seg15_plus_7"
    if u > 11.5:
        return "Seg15_plus_8"
    return "Seg15_plus_2" if not ev else "Seg15_plus_3" if u > 8.5 else "Seg15_plus_4"


def test_every_side_of_every_cut(spark):
    counts = [1, 5, 6, 15, 16, 100]
    categories = [1, 2, 3, 6, 7, 8, 9, 11, 12, 16, 17]
    flags = " ".join(f"lateral view explode(array(0, 1)) as {name}" for name in FLAGS)
    rows = spark.sql(
        f"select uuid() as algonomy_id, * from (select explode(array({str(counts)[1:-1]})) as ownapp_order_count) "
        f"lateral view explode(array({str(categories)[1:-1]})) as unique_cat_base_count "
        f"lateral view explode(array(1, 2, 3)) as channel_count {flags}"
    )
    names = ["ownapp_order_count", "unique_cat_base_count", "channel_count", *FLAGS]
    assigned = assign(rows.withColumn("algonomy_id", F.concat_ws("|", *names)), default_rules())
    found = {row["algonomy_id"]: row["Segment"] for row in assigned.collect()}
    expected = {
        "|".join(map(str, cell)): by_hand(*cell)
        for cell in product(counts, categories, [1, 2, 3], *[[0, 1]] * len(FLAGS))
    }
    assert found == expected
    assert set(expected.values()) == set(segment_names(default_rules()))


def test_a_null_variable_matches_no_rule(spark):
    columns = ", ".join(f"1 as {name}" for name in FLAGS)
    rows = spark.sql(
        "select 'a' as algonomy_id, 3 as ownapp_order_count, cast(null as int) as unique_cat_base_count, "
        f"1 as channel_count, {columns}"
    )
    assert assign(rows, default_rules()).first()["Segment"] is None


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
