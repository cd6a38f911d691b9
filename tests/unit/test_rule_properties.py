"""Properties of rule sets: any tree is one that is proven, and any change to it is found."""

import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blitz.errors import RuleError
from blitz.segmentation.proof import prove, require_proven
from blitz.segmentation.rules import explain_rules, load_rules

CUTS = {"a_count": st.integers(-3, 20).map(lambda n: n + 0.5), "b_share": st.floats(-1e6, 1e6).map(lambda x: x + 0.0)}


def trees(depth: int):
    leaf = st.none()
    if depth == 0:
        return leaf
    deeper = trees(depth - 1)
    split = st.sampled_from(["x_flag", "y_flag", *CUTS]).flatmap(
        lambda name: st.tuples(st.just(name), CUTS.get(name, st.just(0)), deeper, deeper)
    )
    return st.one_of(leaf, split)


def leaves(tree, path=()):
    """The (column, cut, side) of every way from the root to a leaf, without ways that no value takes."""
    if tree is None:
        yield path
        return
    column, cut, low, high = tree
    for side, subtree in (("low", low), ("high", high)):
        step = (*path, (column, cut, side))
        lows = [c for name, c, s in step if name == column and s == "high"]
        highs = [c for name, c, s in step if name == column and s == "low"]
        if not lows or not highs or max(lows) < min(highs):
            yield from leaves(subtree, step)


def rule_set(tree) -> dict:
    """A tree as a rule file with one band."""

    def condition(column, cut, side):
        if column.endswith("_flag"):
            return {"column": column, "equals": int(side == "high")}
        return {"column": column, "at_most" if side == "low" else "greater_than": cut}

    rules = [
        {"segment": f"S{at}", "conditions": [condition(*step) for step in path]} for at, path in enumerate(leaves(tree))
    ]
    return {"bands": [{"name": "all", "rules": rules}]}


def load(body: dict):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.json"
        path.write_text(json.dumps(body))
        return load_rules(str(path))


def walk(tree, values):
    """The place of the leaf that a customer's values lead to."""
    ways = list(leaves(tree))
    return [
        at
        for at, way in enumerate(ways)
        if all((values[column] > cut) == (side == "high") for column, cut, side in way)
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tree=trees(3), values=st.fixed_dictionaries({
    "x_flag": st.integers(0, 1), "y_flag": st.integers(0, 1), "a_count": st.integers(-5, 25),
    "b_share": st.floats(-1e6, 1e6)}))  # fmt: skip
def test_a_tree_is_a_rule_set_that_is_proven_and_agrees(tree, values):
    rules = load(rule_set(tree))
    require_proven(rules)
    (place,) = walk(tree, values)
    matched = [verdict.segment for verdict in explain_rules("all", values, rules) if verdict.matched]
    assert matched == [f"S{place}"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tree=trees(3).filter(lambda tree: tree is not None), data=st.data())
def test_a_rule_less_is_a_gap_and_a_rule_wider_an_overlap(tree, data):
    body = rule_set(tree)
    rules = body["bands"][0]["rules"]
    at = data.draw(st.integers(0, len(rules) - 1))
    if len(rules) > 1:
        fewer = {"bands": [{"name": "all", "rules": rules[:at] + rules[at + 1 :]}]}
        (problem,) = prove(load(fewer)).problems
        assert "matches no rule" in problem
        with pytest.raises(RuleError, match="exactly one segment"):
            require_proven(load(fewer))
        wider = [{**rule, "conditions": []} if place == at else rule for place, rule in enumerate(rules)]
        problems = prove(load({"bands": [{"name": "all", "rules": wider}]})).problems
        assert any(f"S{at}" in problem and "matches S" in problem for problem in problems)


def test_cut_points_keep_every_digit():
    cut = math.nextafter(2.5, 3)
    rules = load(rule_set(("a_count", cut, None, None)))
    for value, segment in [(2.5, "S0"), (cut, "S0"), (math.nextafter(cut, 3), "S1")]:
        assert [v.segment for v in explain_rules("all", {"a_count": value}, rules) if v.matched] == [segment]
