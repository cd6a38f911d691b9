"""Properties that hold for any input: line cleaning against the contract in plain Python, rule sets against trees."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blitz.pipelines import OrderFeaturePipeline
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
