"""The rule table: proven, and equal to a hand-written if/else of the contract on every side of every cut."""

from itertools import product

from pyspark.sql import functions as F

from blitz.segmentation.rules import default_rules, segment_names
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
