"""Properties that hold for any input: line cleaning against the contract in plain Python, rule sets against trees."""

import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blitz.errors import RuleError
from blitz.pipelines import OrderFeaturePipeline
from blitz.segmentation.rules import explain_rules, load_rules, prove, require_proven
from world import MENU, World

# -- line cleaning

ITEMS = st.sampled_from([501, 502, 503, 504, 505, 506, 599, None])  # 505 excluded, 506 without driver, 599 unknown
LINES = st.tuples(
    ITEMS, st.sampled_from([None, 0, 1, 2, 3, 0.5]), st.sampled_from([True, False, False, None]),
    st.sampled_from([None, -1.0, 0.0, 34.99, 35.0, 100.0, 99999.0, 100000.0]),
)  # fmt: skip
ORDERS = st.lists(st.lists(LINES, max_size=6), min_size=40, max_size=60)
CHOICES = st.lists(
    st.tuples(st.sampled_from([501, 502, 503]), st.sampled_from([502, 503, 504, 501]), st.sampled_from(["", 1, 2, 3])),
    max_size=6,
)
BINS = [0, 35, 100, 175, 250, 325, 400, 600, 100000]


def cleaned(lines, choices):
    """The lines that stay, by the contract's words, and how many fell to each reason."""
    headers = {item for item, _, promo, _ in lines if not promo and item is not None}
    kept, dropped = [], dict.fromkeys(["promo", "choice", "unmapped", "excluded"], 0)
    menu = {int(item): (base, dri) for item, _, base, dri in MENU}
    for item, _quantity, promo, price in lines:
        total = sum(q or 0 for i, q, p, _ in lines if i == item and not p)
        allowed = [n for header, choice, n in choices if header in headers and choice == item and n != ""]
        base, dri = menu.get(item, (None, None))
        if promo:
            dropped["promo"] += 1
        elif any(n >= total for n in allowed):
            dropped["choice"] += 1
        elif dri is None:
            dropped["unmapped"] += 1
        elif base == "Exclude":
            dropped["excluded"] += 1
        else:
            kept.append((base, dri, price))
    return kept, dropped


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(orders=ORDERS, choices=CHOICES)
def test_line_cleaning_is_the_contract_word_by_word(spark, orders, choices):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.choices = [(str(h), str(c), "", "", str(n)) for h, c, n in choices]
        for number, lines in enumerate(orders, start=1):
            world.order(id=number)
            for item, quantity, promo, price in lines:
                world.line(sales_id=number, item_id_id=item, quantity=quantity, promo_item=promo, original_price=price)
        pipeline = OrderFeaturePipeline(world.config(), "ownapp", spark)
        result = pipeline.publish(pipeline.compute())
        found = {row["order_id"]: row for row in spark.read.parquet(result.output.path).collect()}
    totals = dict.fromkeys(["promo", "choice", "unmapped", "excluded"], 0)
    for number, lines in enumerate(orders, start=1):
        row = found[number]
        kept, dropped = cleaned(lines, choices)
        totals = {reason: totals[reason] + count for reason, count in dropped.items()}
        assert row["unique_base_products_in_order"] == sorted({base for base, _, _ in kept if base})
        assert row["unique_dri_categories_in_order"] == sorted({dri for _, dri, _ in kept})
        assert row["item_count"] == sum(quantity or 0 for _, quantity, _, _ in lines)
        assert row["promo_items"] == sum(quantity or 0 for _, quantity, promo, _ in lines if promo)
        for label, low, high in zip(["Add_ons", "Economy", "Group"], [0, 35, 600], [35, 100, 100000], strict=True):
            inside = any(price is not None and low <= price < high for *_, price in kept)
            assert row[f"{label}_items_count"] == int(inside)
    account = result.accounts[1]
    assert {reason: account.dropped[reason] for reason in totals} == totals


# -- rules

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
