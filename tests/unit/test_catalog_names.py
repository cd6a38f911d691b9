"""Names of tables of a catalog, outputs next to one another, and columns in snake case."""

from dataclasses import dataclass, field

import pytest

from blitz import storage
from blitz.catalog.names import below, sibling, table_name
from blitz.catalog.spelling import Spelling, found_as, snake_case
from blitz.config import load_config
from blitz.errors import InputError, PublishError
from blitz.pipelines.meanings import comment_of
from blitz.pipelines.spelling import spelling_of, with_original_names
from blitz.segmentation.microsegments import feature_columns
from blitz.segmentation.segments import short_name
from places import CHECKOUT


def test_a_name_has_two_or_three_parts() -> None:
    full, short = table_name("table:lake.gold.users-1"), table_name("table:gold.users")
    assert (full.catalog, full.schema, full.table, full.sql) == ("lake", "gold", "users-1", "`lake`.`gold`.`users-1`")
    assert (short.catalog, short.sql, str(short)) == (None, "`gold`.`users`", "table:gold.users")


@pytest.mark.parametrize(
    "name", ["table:", "table:users", "table:a.b.c.d", "table:a. b.c", "table:a.`b`.c", "table:.b.c"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="table"):
        table_name(name)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("s3://b/out/users.parquet", "s3://b/out/quarantine"),
        ("users.parquet", "quarantine"),
        ("table:lake.gold.users", "table:lake.gold.quarantine"),
        ("table:gold.users", "table:gold.quarantine"),
    ],
)
def test_an_output_next_to_another(output: str, expected: str) -> None:
    assert sibling(output, "quarantine") == expected
    assert sibling("table:a.b.users_{as_of}", "users_scores_{as_of}.parquet") == "table:a.b.users_scores_{as_of}"


def test_an_output_below_another() -> None:
    assert below("s3://b/rejected/", "ownapp") == "s3://b/rejected/ownapp"
    assert below("table:a.b.rejected", "ownapp") == "table:a.b.rejected_ownapp"


@pytest.mark.parametrize("call", [storage.list_files, storage.exists, storage.read_bytes, storage.delete])
def test_a_table_is_no_file(call) -> None:
    with pytest.raises(InputError, match="^table:a.b.c: a table of a catalog, where a file or folder is needed"):
        call("table:a.b.c")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("omnichannel_Late Night_order_count", "omnichannel_late_night_order_count"),
        ("ownapp_order_count_with_Mid_Tier_price_range_items", "ownapp_order_count_with_mid_tier_price_range_items"),
        ("BussTime", "buss_time"),
        ("StoreCode", "store_code"),
        ("Segment", "segment"),
        ("dri_categ_käse_count", "dri_categ_käse_count"),
        ("algonomy_id", "algonomy_id"),
        ("Add-ons.x_items_count", "add_ons_x_items_count"),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected == snake_case(expected)


def test_names_are_found_in_either_spelling_where_that_is_unambiguous() -> None:
    names = ["Late_Night_flag", "Lunch flag", "lunch_flag", "a b", "A_b"]
    wanted = ["late_night_flag", "Lunch flag", "lunch_flag", "a_b", "missing"]
    assert found_as(wanted, names) == {
        "Lunch flag": "Lunch flag",
        "lunch_flag": "lunch_flag",
        "late_night_flag": "Late_Night_flag",
    }


@dataclass
class Columns:
    """As much of a frame as a collision needs."""

    columns: list[str] = field(default_factory=lambda: ["a B", "x", "A b"])


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(PublishError, match="^out: run.snake_case_columns: 'a B' and 'A b' would be a_b; rename one"):
        Spelling(is_snake_case=True).written(Columns(), "out")  # type: ignore[arg-type]


def test_lists_of_columns_are_read_in_either_spelling() -> None:
    given = load_config(f"{CHECKOUT}/conf/local.json")
    body = given.segmentation
    spelled = body.model_copy(update={"convert_to_flag": [snake_case(name) for name in body.convert_to_flag]})
    assert spelled.convert_to_flag != body.convert_to_flag
    found = with_original_names(given.model_copy(update={"segmentation_body": spelled}))
    assert found.segmentation.convert_to_flag == body.convert_to_flag
    assert with_original_names(given) == given
    assert spelling_of(given).original("omnichannel_lunch_late_night_order_count") == (
        "omnichannel_Lunch_Late Night_order_count"
    )


def test_renames_and_models_match_either_spelling() -> None:
    assert short_name("omnichannel_Late Night_order_flag", {"late_night_order_flag": "LN"}) == "LN"
    assert short_name("omnichannel_Late Night_order_flag", {"Late Night_order_flag": "LN"}) == "LN"
    loaded = ["algonomy_id", "omnichannel_Late Night_order_count", "channel_count"]
    assert feature_columns(["channel_count", "late_night_order_count"], loaded, {}, "plan") == [loaded[2], loaded[1]]


def test_comments_are_unit_and_meaning_without_markup() -> None:
    assert comment_of("customers")("omnichannel_aov") == "rupees: mean total_price"
    assert comment_of("segments")("algonomy_id") == "the customer; one row each"
    assert comment_of("segments")("nobody") is None and comment_of("quarantine")("raw") is None
