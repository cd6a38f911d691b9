"""Lines to per-order features on small frames: input and expected side by side; expected values are worked out by hand."""

import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from blitz.features.lines import bit, line_features, narrow_lines, price_bits, with_grants
from blitz.raw.channels import CHANNELS

OWNAPP = CHANNELS["ownapp"]
BINS = [0.0, 35.0, 100.0, 600.0]
LINES = (
    "sales_id bigint, item_id_id bigint, quantity double, original_price double, "
    "promo_item boolean, is_customized boolean, is_veg boolean"
)
ITEMS = (
    "item bigint, is_excluded boolean, mask_0 bigint, choice_number int, choices array<int>, allowed array<double>, "
    "places array<int>"
)


@pytest.mark.parametrize(
    ("price", "bits"),
    [
        (-0.01, 0),
        (0.0, 1),
        (34.99, 1),
        (35.0, 2),
        (99.99, 2),
        (100.0, 4),
        (599.99, 4),
        (600.0, 0),
        (float("inf"), 0),
        (None, 0),
    ],
)
def test_price_bits_are_closed_on_the_left(spark, price, bits):
    given = spark.createDataFrame([(price,)], "price double")
    expected = spark.createDataFrame([(bits,)], "bits bigint")
    assert_df_equality(given.select(price_bits(F.col("price"), BINS).alias("bits")), expected, ignore_nullable=True)


def test_narrow_lines_keep_unknown_flags_and_count_an_unknown_quantity_as_none(spark):
    given = spark.createDataFrame(
        [
            (1, 501, 2.0, 50.0, True, True, False),
            (1, None, None, None, None, None, None),
            (2, 502, 0.0, 0.0, False, False, True),
        ],
        LINES,
    )
    expected = spark.createDataFrame(
        [
            (1, 501, 2.0, True, 1, 0, 2),
            (1, None, 0.0, False, None, None, 0),
            (2, 502, 0.0, False, 0, 1, 1),
        ],
        "order_key bigint, item bigint, quantity double, is_promo boolean, customized int, veg int, price_bits bigint",
    )
    assert_df_equality(narrow_lines(given, OWNAPP, BINS), expected, ignore_nullable=True, ignore_row_order=True)


def test_a_header_grants_its_choices_unless_it_is_promo(spark):
    lines = spark.createDataFrame(
        [
            (1, 501, 1.0, 50.0, False, None, None),
            (2, 501, 0.0, 50.0, True, None, None),
            (3, None, 4.0, None, False, None, None),
        ],
        LINES,
    )
    items = spark.createDataFrame(
        [(501, True, 5, 2, [0, 1], [1.0, 0.5], [0, 1, 2]), (601, False, 8, 0, None, None, None)], ITEMS
    )
    found = with_grants(narrow_lines(lines, OWNAPP, BINS), items, masks=1)
    expected = spark.createDataFrame(
        [
            (1, 2, None, True, False, 1.0, True, 5),
            (1, 0, 1.0, False, False, 0.0, None, 0),
            (1, 1, 0.5, False, False, 0.0, None, 0),
            (2, 2, None, True, True, 0.0, True, 5),
            (3, None, None, True, False, 4.0, None, 0),
        ],
        "order_key bigint, choice_number int, allowed double, is_line boolean, is_promo boolean, quantity double, "
        "is_excluded boolean, mask_0 bigint",
    )
    assert_df_equality(found.select(expected.columns), expected, ignore_nullable=True, ignore_row_order=True)


RESULT = (
    "order_key bigint, lines bigint, promo bigint, choice bigint, unmapped bigint, excluded bigint, kept_lines bigint, "
    "item_count double, promo_items double, customization_flag int, veg_indicator int, veg_count bigint, "
    "price_bits bigint, mask_0 bigint"
)


def test_line_features_count_each_line_under_its_first_reason(spark):
    lines = spark.createDataFrame(
        [
            # order 1: a header, its choice in two lines (allowed 2), an item without category, an excluded one
            (1, 501, 9.0, 40.0, False, True, True),
            (1, 502, 1.0, 10.0, False, None, None),
            (1, 502, 1.0, 10.0, None, None, False),
            (1, 599, 1.0, 200.0, False, False, True),
            (1, 505, 1.0, 200.0, False, False, True),
            # order 2: the choice item is more than the header allows; its promo lines count as promo
            (2, 501, 1.0, 40.0, False, None, None),
            (2, 502, 3.0, 10.0, False, None, None),
            (2, 502, 7.0, 10.0, True, True, None),
            # order 3: quantity 0 of a choice item is no more than allowed, but there is no header
            (3, 502, 0.0, None, False, None, None),
            # order 4: a promo header allows nothing; a line without an item
            (4, 501, 1.0, 40.0, True, False, False),
            (4, 502, 1.0, 10.0, False, None, None),
            (4, None, None, 10.0, False, None, None),
            # order 5: quantity 0 of a choice item is within what the header allows
            (5, 501, 1.0, 40.0, False, None, None),
            (5, 502, 0.0, 10.0, False, None, None),
            # order 6: a choice item without a category, within what one of two headers allows
            (6, 501, 1.0, 40.0, False, None, None),
            (6, 598, 2.0, 10.0, False, None, None),
            # order 7: the same item without a header is unmapped; an excluded one
            (7, 598, 2.0, 10.0, False, None, None),
            (7, 505, 1.0, 10.0, False, None, None),
            # order 8: an item with promo lines alone gives no category
            (8, 501, 1.0, 40.0, True, True, False),
            (8, 501, 2.0, 40.0, True, None, True),
            # lines whose order is not known
            (None, 501, 1.0, 40.0, False, None, None),
        ],
        LINES,
    )
    items = spark.createDataFrame(
        [
            (501, False, 1, None, [0, 1], [2.0, 2.0], [0, 1, 2]),
            (502, False, 2, 0, None, None, None),
            (505, True, 4, None, None, None, None),
            (598, None, 0, 1, None, None, None),
        ],
        ITEMS,
    )
    expected = spark.createDataFrame(
        [
            (1, 5, 0, 2, 1, 1, 1, 13.0, 0.0, 1, 0, 3, 2, 1),
            (2, 3, 1, 0, 0, 0, 2, 11.0, 7.0, 1, None, None, 3, 3),
            (3, 1, 0, 0, 0, 0, 1, 0.0, 0.0, None, None, None, 0, 2),
            (4, 3, 1, 0, 1, 0, 1, 2.0, 1.0, 0, 0, 0, 1, 2),
            (5, 2, 0, 1, 0, 0, 1, 1.0, 0.0, None, None, None, 2, 1),
            (6, 2, 0, 1, 0, 0, 1, 3.0, 0.0, None, None, None, 2, 1),
            (7, 2, 0, 0, 1, 1, 0, 3.0, 0.0, None, None, None, 0, 0),
            (8, 2, 2, 0, 0, 0, 0, 3.0, 3.0, 1, 0, 1, 0, 0),
            (None, 1, 0, 0, 0, 0, 1, 1.0, 0.0, None, None, None, 2, 1),
        ],
        RESULT,
    )
    found = line_features(lines, OWNAPP, BINS, items, masks=1)
    assert_df_equality(found, expected, ignore_nullable=True, ignore_row_order=True)


def test_bit_is_0_for_a_null_mask(spark):
    given = spark.createDataFrame([(0,), (1,), (2,), (1 << 61,), (None,)], "mask bigint")
    expected = spark.createDataFrame([(0, 0), (0, 0), (1, 0), (0, 1), (0, 0)], "b1 int, b61 int")
    found = given.select(bit(F.col("mask"), 1).alias("b1"), bit(F.col("mask"), 61).alias("b61"))
    assert_df_equality(found, expected, ignore_nullable=True)
