"""Contract: configuration. What loads, what as-of moves, and what is refused with which words."""

import copy
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from blitz.config import (
    Config,
    add_months,
    config_of,
    load_config,
    nearest,
    validate_segments,
)
from blitz.config.paths import location, tables_of
from blitz.errors import ConfigError, InputError

CONF = Path(__file__).resolve().parents[2] / "conf"
LOCAL = json.loads((CONF / "local.json").read_text(encoding="utf-8"))
GONE = object()


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """conf/local.json with some values set (or, by GONE, removed), named by dotted paths; [n] is a list index."""
    tree = copy.deepcopy(LOCAL)
    for path, value in changes:
        *parents, last = [
            int(key) if key.isdigit() else key for key in path.replace("[", ".").replace("]", "").split(".")
        ]
        node = tree
        for key in parents:
            node = node[key]
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    return tree


def problems_of(*args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(*args, **kwargs)
    return caught.value.problems


def test_prod_is_the_users_own_config() -> None:
    config = load_config(str(CONF / "prod.json"))
    pipeline, segmentation = config.feature_pipeline, config.segmentation
    assert pipeline.ownapp.orders_data_path == "s3://data-mcdelivery/sales/"
    assert pipeline.ownapp.has_query and pipeline.ownapp.orderqueries_path == "s3://data-mcdelivery/orderqueries/"
    assert not pipeline.swiggy.has_query and pipeline.swiggy.orderqueries_path == ""
    assert len(pipeline.ownapp.orders_columns) == 31 and len(pipeline.ownapp.order_items_columns) == 12
    assert pipeline.swiggy.orders_columns == [*pipeline.ownapp.orders_columns, "external_order_id"]
    assert pipeline.instore.orders_file_pattern == "s3://data-mcdelivery/instore_data/order_level_v2/*.csv"
    assert pipeline.instore.exclude_store_codes == ["9993"]
    assert pipeline.common.current_run_date == date(2025, 7, 1) and pipeline.customer.cutoff_date == date(2024, 7, 1)
    assert (pipeline.common.months_offset, pipeline.common.timezone) == (27, "Asia/Kolkata")
    assert pipeline.common.price_config.price_bins == [0, 35, 100, 175, 250, 325, 400, 600, 100000]
    assert pipeline.common.price_config.bucket_labels[:4] == ["Add_ons", "Economy", "Value", "Mid_Tier"]
    assert pipeline.customer.dri_categ_names is None
    assert segmentation.input_path == pipeline.customer.output_path
    assert segmentation.output_segments_path == "s3://blitz-mcdelivery/Modelling/output/segments.par"
    assert len(segmentation.models) == len(segmentation.micro_plan) == 11
    assert segmentation.models["segment_1_5_1_2_model"].endswith("/kmeans_segmentation_1_5_1_2.pkl")
    assert segmentation.micro_plan[0].source_segments == ["Seg1_5_1", "Seg1_5_2"]
    assert all(item.enabled for item in segmentation.micro_plan)
    assert (len(segmentation.cols_to_keep), len(segmentation.convert_to_flag)) == (5, 43)
    assert (len(segmentation.rename_dict), len(segmentation.rename_dict_microsegments)) == (45, 28)
    assert segmentation.rename_dict["Late Night_order_flag"] == "Late_Night_flag"
    assert segmentation.cap_segments == ["Seg1_5_6", "Seg_6_15_10", "Seg15_plus_9"]
    assert (segmentation.lower_q, segmentation.upper_q, segmentation.rules_path) == (0.01, 0.99, None)


def test_local_reads_the_sample_and_writes_beside_it() -> None:
    config = load_config(CONF / "local.json")
    pipeline = config.feature_pipeline
    assert pipeline.ownapp.orders_data_path == "data/sample/sales/"
    assert pipeline.common.mapping_file == "data/sample/received_over_email/customer_invoice_mapping.csv"
    assert config.segmentation.models["segment_15_plus_9_model"] == (
        "data/sample/models/kmeans_segmentation_15_plus_9.pkl"
    )
    assert all(path.startswith("data/out/") for path in (pipeline.customer.output_path, config.segmentation.input_path))
    prod = load_config(CONF / "prod.json")
    assert config.segmentation.micro_plan == prod.segmentation.micro_plan
    assert config.segmentation.rename_dict == prod.segmentation.rename_dict
    assert pipeline.common.price_config == prod.feature_pipeline.common.price_config


def test_defaults() -> None:
    tree = changed(
        ("feature_pipeline.common.price_config", GONE),
        ("segmentation.micro_plan", GONE),
        ("segmentation.input_path", GONE),
        ("spark", GONE),
        ("run", GONE),
    )
    config = load_config(tree)
    assert config.feature_pipeline.common.price_config.bucket_labels[-1] == "Group"
    assert config.segmentation.micro_plan == []
    assert config.segmentation.input_path == config.feature_pipeline.customer.output_path
    assert config.spark == {}
    assert config.run.model_dump() == {
        "engine": "spark",
        "memory": None,
        "format": "parquet",
        "catalog": None,
        "schema_name": None,
        "snake_case_columns": False,
        "max_rejected_fraction": 0.01,
        "allow_repeated_files": False,
        "gates": {
            "empty_channel": True,
            "freshness_days": 7,
            "no_customer_rise": 0.2,
            "fewer_customers": 0.5,
            "missing_days": "warning",
        },
        "strict_models": False,
        "model_sha256": {},
        "quarantine_path": None,
        "manifest_path": None,
        "debug_log": None,
        "report_path": None,
        "suppression_path": None,
        "history_path": None,
        "s3_endpoint": None,
        "s3_region": None,
    }


def test_spark_values_become_text_and_store_codes_canonical() -> None:
    settings = {"spark.a": 4, "spark.b": True, "spark.c": False, "spark.d": "x y", "spark.e": 0.6}
    tree = changed(
        ("spark", settings),
        ("feature_pipeline.instore.exclude_store_codes", [9993, "9993", 9993.0, " 9994.0 ", "0071", "AB-1"]),
    )
    config = load_config(tree)
    assert config.spark == {"spark.a": "4", "spark.b": "true", "spark.c": "false", "spark.d": "x y", "spark.e": "0.6"}
    assert config.feature_pipeline.instore.exclude_store_codes == ["9993", "9993", "9993", "9994", "0071", "AB-1"]


FP, COMMON, SEG = "feature_pipeline", "feature_pipeline.common", "segmentation"
OWN_OUT = LOCAL[FP]["ownapp"]["output_path"]
BINS, LABELS = f"{COMMON}.price_config.price_bins", f"{COMMON}.price_config.bucket_labels"
BROKEN: list[tuple[str, Any, str]] = [
    # unknown and missing keys
    (f"{COMMON}.timezon", "x", f'{COMMON}.timezon: unknown key; did you mean "timezone"?'),
    (f"{FP}.Swigy", {}, f'{FP}.Swigy: unknown key; did you mean "swiggy"?'),
    (f"{SEG}.segment_1_5_3_modl", "x", f'{SEG}.segment_1_5_3_modl: unknown key; did you mean "segment_1_5_3_model"?'),
    (f"{SEG}.models", {}, f"{SEG}.models: unknown key"),
    ("rnu", {}, 'rnu: unknown key; did you mean "run"?'),
    (f"{SEG}.micro_plan[0].enable", True, '.enable: unknown key; did you mean "enabled"?'),
    (f"{COMMON}.mapping_file", GONE, f"{COMMON}.mapping_file: this key is required"),
    (f"{FP}.customer", GONE, f"{FP}.customer: this key is required"),
    # types
    (f"{COMMON}.months_offset", "27", f'{COMMON}.months_offset: must be a whole number, not "27"'),
    (f"{COMMON}.months_offset", True, "must be a whole number, not true"),
    (f"{COMMON}.months_offset", 27.0, "must be a whole number, not 27.0"),
    (f"{COMMON}.months_offset", 0, "must be greater than or equal to 1, not 0"),
    (f"{COMMON}.months_offset", 10**5000, "not a number of more than 20 digits"),
    (f"{COMMON}.timezone", None, f"{COMMON}.timezone: must be text, not null"),
    (f"{FP}.ownapp.has_query", 1, f"{FP}.ownapp.has_query: must be true or false, not 1"),
    (f"{FP}.ownapp", [], f"{FP}.ownapp: must be an object, not a list"),
    (FP, 5, f"{FP}: must be an object, not 5"),
    (f"{SEG}.rename_dict", [], f"{SEG}.rename_dict: must be an object, not a list"),
    (f"{SEG}.cols_to_keep", "algonomy_id", f'{SEG}.cols_to_keep: must be a list, not "algonomy_id"'),
    (f"{SEG}.cols_to_keep[1]", 7, f"{SEG}.cols_to_keep[1]: must be text, not 7"),
    (f"{SEG}.segment_1_5_3_model", None, f"{SEG}.segment_1_5_3_model: must be text, not null"),
    (f"{FP}.instore.exclude_store_codes", [True], "exclude_store_codes[0]: must be a store code"),
    (f"{FP}.instore.exclude_store_codes", [9993.5], "not 9993.5"),
    # dates and zones
    (f"{COMMON}.current_run_date", "01-07-2025", 'must be a date such as "2025-07-01", not "01-07-2025"'),
    (f"{COMMON}.current_run_date", "20250701", "must be a date such as"),
    (f"{COMMON}.current_run_date", "2025-02-30", "no such day"),
    (f"{COMMON}.current_run_date", "2025-07-01T10:00:00", "must be a date"),
    (f"{COMMON}.current_run_date", 20250701, "must be a date"),
    (f"{COMMON}.current_run_date", "0001-01-01", "between 1900 and 2200"),
    (f"{FP}.customer.cutoff_date", "2025-07-01", "2025-07-01 must be before"),
    (f"{COMMON}.timezone", "Asia/Kolkatta", 'unknown time zone "Asia/Kolkatta"; did you mean "Asia/Kolkata"?'),
    (f"{COMMON}.timezone", "Asia", "unknown time zone"),
    (f"{COMMON}.timezone", "../../etc/passwd", "unknown time zone"),
    # lists
    (f"{FP}.ownapp.orders_columns", [], f"{FP}.ownapp.orders_columns: must not be empty"),
    (f"{FP}.ownapp.orders_columns[1]", "oder_no", 'unknown column "oder_no"; did you mean "order_no"?'),
    (f"{FP}.ownapp.orders_columns[1]", "id", '"id" appears twice, first at [0]'),
    (f"{FP}.customer.dri_categ_names", [], "dri_categ_names: must not be empty"),
    (f"{SEG}.cols_to_keep[4]", "ownapp_order_count", f"{SEG}.cols_to_keep[4]: "),
    (f"{SEG}.cols_to_keep[0]", "", f"{SEG}.cols_to_keep[0]: must not be empty"),
    (f"{SEG}.convert_to_flag", [], "convert_to_flag: must not be empty: the built-in rules need flags"),
    (f"{SEG}.convert_to_flag[0]", "channel_count", "is also in cols_to_keep"),
    # prices
    (f"{BINS}[3]", 100, f"{BINS}[3]: 100 must be greater than the bin before it, 100"),
    (f"{BINS}[3]", "175", f'{BINS}[3]: must be a finite number, not "175"'),
    (f"{BINS}[8]", float("inf"), f"{BINS}[8]: must be a finite number"),
    (f"{BINS}[8]", float("nan"), f"{BINS}[8]: must be a finite number"),
    (f"{BINS}[8]", 10**400, f"{BINS}[8]: must be a finite number"),
    (BINS, [0], "needs at least 2 values"),
    (LABELS, ["a", "b"], f"{LABELS}: 9 price_bins need 8 labels, not 2"),
    (f"{LABELS}[1]", "ADD_ONS", f'{LABELS}[1]: "ADD_ONS" appears twice, first at [0]'),
    # paths
    (f"{COMMON}.mapping_file", "", f"{COMMON}.mapping_file: must not be empty"),
    (f"{COMMON}.mapping_file", "s4://b/x.csv", 'unknown scheme "s4"'),
    (f"{COMMON}.mapping_file", "https://b/x.csv", 'unknown scheme "https"'),
    (f"{COMMON}.mapping_file", "s3:/b/x.csv", "must look like s3://bucket/folder"),
    (f"{COMMON}.mapping_file", "dbfs:x", "must have a / after dbfs:"),
    (f"{COMMON}.mapping_file", "data/x\n.csv", "control characters"),
    (f"{COMMON}.mapping_file", "data/\0.csv", "control characters"),
    (f"{COMMON}.mapping_file", "\ud800", "control characters"),
    (f"{COMMON}.mapping_file", "data/{as_of}.csv", "{as_of} is allowed in output paths only"),
    (f"{SEG}.segment_1_5_3_model", "m/{as_of}.pkl", "segment_1_5_3_model: {as_of} is allowed in output paths only"),
    (f"{FP}.ownapp.output_path", "data/out/{asof}", "unknown placeholder or brace"),
    (f"{FP}.ownapp.output_path", "s3://bucket/", "needs a folder of its own"),
    (f"{FP}.ownapp.output_path", "/", "needs a folder of its own"),
    (f"{FP}.ownapp.output_path", "data/out/*", "cannot contain * ? [ or ]"),
    (f"{FP}.ownapp.orderqueries_path", "", "must not be empty where has_query is true"),
    (f"{FP}.swiggy.output_path", OWN_OUT, f"{FP}.swiggy.output_path: the same path as {FP}.ownapp.output_path"),
    (f"{FP}.swiggy.output_path", f"./{OWN_OUT}/", "the same path as"),
    (f"{FP}.swiggy.output_path", f"{OWN_OUT}/swiggy", f"is inside {FP}.ownapp.output_path, which every run replaces"),
    (f"{FP}.swiggy.output_path", "data/sample/sales/out", f"is inside the input {FP}.ownapp.orders_data_path"),
    (f"{FP}.swiggy.output_path", "data/sample/instore_data/item_level/out", "is inside the input"),
    (f"{FP}.swiggy.output_path", "data/sample", f"the input {FP}.ownapp.orders_data_path is inside it"),
    (f"{SEG}.output_segments_path", f"{LOCAL[SEG]['input_path']}/x", "is inside"),
    # tables of a catalog
    (f"{COMMON}.mapping_file", "table:mapping", 'must look like "table:catalog.schema.name"'),
    (f"{COMMON}.mapping_file", "table:a.b.c.d", 'must look like "table:catalog.schema.name"'),
    (f"{COMMON}.mapping_file", "table:a..c", "each part of a table name is of letters"),
    (f"{COMMON}.mapping_file", "table:a.b.c*", 'not "c*"'),
    (f"{COMMON}.mapping_file", "table:a.b.c_{as_of}", "{as_of} is allowed in output paths only"),
    (f"{FP}.swiggy.output_path", "table:a.b.c_{run}", "unknown placeholder or brace"),
    (f"{FP}.ownapp.output_path", "table:{catalog}.b.c", "{catalog} needs a value: run.catalog or --catalog"),
    ("run.schema", "a b", 'run.schema: must be letters, digits, _ and -, not "a b"'),
    (f"{SEG}.segment_1_5_3_model", "table:a.b.c", "must be a path, not a table of a catalog"),
    (f"{SEG}.rules_path", "table:a.b.c", f"{SEG}.rules_path: must be a path, not a table of a catalog"),
    ("run.manifest_path", "table:a.b.c", "run.manifest_path: must be a path, not a table of a catalog"),
    ("run.report_path", "table:a.b.c", "run.report_path: must be a path, not a table of a catalog"),
    ("run.debug_log", "table:a.b.c", "run.debug_log: must be a path, not a table of a catalog"),
    (f"{FP}.customer.output_path", "table:a.b.c", "run.manifest_path: must name a file: feature_pipeline.customer."),
    (f"{SEG}.output_segments_path", "table:a.b.c", "run.manifest_path: must name a file: segmentation.output_segm"),
    ("run.format", "iceberg", f'{FP}.ownapp.output_path: must be a table, such as "table:catalog.schema.name"'),
    # segmentation
    (f"{SEG}.micro_plan[1].name", "Seg1_5_1_and_2", '"Seg1_5_1_and_2" is already the name of micro_plan[0]'),
    (f"{SEG}.micro_plan[1].model_key", "segment_1_5_9_model", 'unknown model key "segment_1_5_9_model"; did you mean'),
    (f"{SEG}.micro_plan[1].source_segments[0]", "Seg_1_5_3", 'unknown segment "Seg_1_5_3"; did you mean "Seg1_5_3"?'),
    (f"{SEG}.micro_plan[0].source_segments[1]", "Seg1_5_1", "source_segments[1]: "),
    (f"{SEG}.micro_plan[0].source_segments", [], "source_segments: must not be empty"),
    (f"{SEG}.cap_segments", ["Seg15_plus_99"], 'cap_segments[0]: unknown segment "Seg15_plus_99"; did you mean'),
    (f"{SEG}.lower_q", -0.1, "lower_q: must be greater than or equal to 0"),
    (f"{SEG}.lower_q", 0.99, f"{SEG}.lower_q: 0.99 must be less than upper_q, 0.99"),
    (f"{SEG}.upper_q", 99, "upper_q: must be less than or equal to 1"),
    (f"{SEG}.rename_dict.Lunch_order_flag", "Dinner_flag", 'the new name "Dinner_flag" is also that of'),
    (f"{SEG}.rename_dict.Lunch_order_flag", "CHANNEL_COUNT", "is also that of"),
    # our own sections
    ("run.format", "detla", 'did you mean "delta"?'),
    ("run.max_rejected_fraction", 1.5, "run.max_rejected_fraction: must be less than or equal to 1, not 1.5"),
    ("run.strict_models", "yes", 'run.strict_models: must be true or false, not "yes"'),
    (
        "run.model_sha256",
        {"segment_1_5_3_model": "abc"},
        "run.model_sha256.segment_1_5_3_model: must be the 64 hex digits",
    ),
    ("run.model_sha256", {"segment_1_5_33_model": "a" * 64}, 'did you mean "segment_1_5_3_model"?'),
    ("run.quarantine_path", OWN_OUT, f"run.quarantine_path: the same path as {FP}.ownapp.output_path"),
    ("run.s3_endpoint", "localhost:9000", "run.s3_endpoint: must be a URL such as"),
    (
        "spark",
        {"spark.x": []},
        'spark["spark.x"]: must be text, a number of at most 64 bits, true or false, not a list',
    ),
    ("run.s3_region", "ap south", "run.s3_region: must be a region such as"),
    ("run.format", "\ud800", "must be valid Unicode text"),
    ("run.model_sha256", {"\ud800": "x"}, "unknown model key"),
    ("spark", {"spark.x": None}, "not null"),
    ("spark", {"spark.x": 10**400}, "not a number of more than 20 digits"),
    ("spark", {"spark.master": "nonsense"}, 'spark["spark.master"]: must be local[*], yarn,'),
    ("spark", {"spark.driver.memory": "lots"}, 'spark["spark.driver.memory"]: must be a size such as 4g'),
    ("spark", {"sql.x": "1"}, 'spark["sql.x"]: a Spark setting must start with spark.'),
]


@pytest.mark.parametrize(
    ("path", "value", "fragment"),
    BROKEN,
    ids=lambda value: value[:60].encode("ascii", "replace").decode() if isinstance(value, str) else "",
)
def test_a_broken_config_is_one_problem_in_clear_words(path: str, value: Any, fragment: str) -> None:
    found = problems_of(changed((path, value)))
    assert any(fragment in problem for problem in found), found
    assert all("\n" not in problem and len(problem) < 400 for problem in found)


@pytest.mark.parametrize(
    ("path", "table", "other", "same", "words"),
    [
        ("ownapp.output_path", "table:a.b.c", "swiggy.output_path", "table:A.b.C", "the same table as"),
        ("ownapp.output_path", "table:b.c", "swiggy.output_path", "table:any.b.c", "the same table as"),
        ("common.mapping_file", "table:a.b.c", "swiggy.output_path", "table:a.b.c", "is the table of the input"),
        ("common.mapping_file", "table:a.b.c", "swiggy.output_path", "table:b.c", "is the table of the input"),
    ],
)
def test_a_table_is_written_once_and_not_over_an_input(
    path: str, table: str, other: str, same: str, words: str
) -> None:
    found = problems_of(changed((f"{FP}.{path}", table), (f"{FP}.{other}", same)))
    assert found == [f"{FP}.{other}: {words} {FP}.{path}"]


def test_tables_and_paths_may_be_mixed() -> None:
    config = load_config(
        changed(
            (f"{COMMON}.mapping_file", "table:lake.raw-data.mapping"),
            (f"{FP}.ownapp.output_path", "table:blitz.orders_{as_of}"),
            (f"{FP}.swiggy.output_path", "table:other.blitz.swiggy"),
            ("run.quarantine_path", "table:lake.blitz.rejected"),
        )
    )
    assert config.feature_pipeline.ownapp.output_path == "table:blitz.orders_20250701"
    assert [name for _, name in tables_of(config)] == [
        "table:lake.raw-data.mapping",
        "table:blitz.orders_20250701",
        "table:other.blitz.swiggy",
        "table:lake.blitz.rejected",
    ]


def test_catalog_and_schema_come_from_the_config_or_from_outside() -> None:
    tree = changed((f"{FP}.ownapp.output_path", "table:{catalog}.{schema}.orders"), ("run.catalog", "main"))
    tree["run"]["schema"] = "blitz"
    assert load_config(tree).feature_pipeline.ownapp.output_path == "table:main.blitz.orders"
    config = load_config(tree, catalog="", schema="blitz_me")  # an empty job parameter names nothing
    assert config.feature_pipeline.ownapp.output_path == "table:main.blitz_me.orders"
    assert (config.run.catalog, config.run.schema_name) == ("main", "blitz_me")
    assert tree["feature_pipeline"]["ownapp"]["output_path"] == "table:{catalog}.{schema}.orders"


def test_names_that_are_one_in_snake_case() -> None:
    same = changed((f"{LABELS}[1]", "add ons"), ("run.snake_case_columns", True))
    assert problems_of(same) == [f'{LABELS}: "Add_ons" and "add ons" are both add_ons with run.snake_case_columns']
    load_config(changed((f"{LABELS}[1]", "add ons")))


def test_a_misspelt_key_is_not_also_a_missing_one() -> None:
    tree = changed((f"{COMMON}.mapping_file", GONE), (f"{COMMON}.maping_file", "x.csv"))
    assert problems_of(tree) == [f'{COMMON}.maping_file: unknown key; did you mean "mapping_file"?']


def test_a_misspelt_rename_names_the_column() -> None:
    tree = changed(
        (f"{SEG}.rename_dict.weekend_order_flag", GONE), (f"{SEG}.rename_dict.weeknd_order_flag", "Weekend_flag")
    )
    assert problems_of(tree) == [
        f'{SEG}.rename_dict.weeknd_order_flag: unknown column "weeknd_order_flag"; did you mean "weekend_order_flag"?'
    ]


def test_every_problem_comes_in_one_message() -> None:
    tree = changed(
        (f"{COMMON}.months_offset", "27"),
        (f"{COMMON}.timezone", "Mars"),
        (f"{FP}.customer.cutoff_date", "2026-01-01"),
        (f"{BINS}[3]", 1),
        (f"{SEG}.micro_plan[2].model_key", "nope"),
        (f"{SEG}.micro_plan[3].source_segments[0]", "nope"),
        (f"{SEG}.cols_to_keep", 5),
        ("run.format", "csv"),
    )
    with pytest.raises(ConfigError) as caught:
        load_config(tree, as_of="yesterday")
    message = str(caught.value)
    assert message.startswith("9 problems in the config:\n")
    for part in (
        "--as-of",
        "months_offset",
        "timezone",
        "cutoff_date",
        "price_bins[3]",
        "[2].model_key",
        "[0]",
        "format",
    ):
        assert part in message


def test_a_default_input_repeats_no_problem() -> None:
    tree = changed((f"{SEG}.input_path", GONE), (f"{FP}.customer.output_path", "s4://b/x"))
    assert [problem.split(":")[0] for problem in problems_of(tree)] == [f"{FP}.customer.output_path"]


@pytest.mark.parametrize("name", [FP, SEG])
def test_a_body_that_is_given_as_the_whole_config_is_told_where_to_go(name) -> None:
    assert problems_of(changed()[name]) == [f"--conf: this is the body of {name}; give it as --{name}_config"]


def test_an_unreadable_body_hides_no_problem_of_the_other() -> None:
    found = problems_of(feature_pipeline="nowhere.json", segmentation=changed((f"{SEG}.input_path", "s4://b/x"))[SEG])
    assert [problem.split(":")[0] for problem in found] == ["nowhere.json", f"{SEG}.input_path"]
    found = problems_of(feature_pipeline="nowhere.json", segmentation=changed((f"{SEG}.input_path", GONE))[SEG])
    assert [problem.split(":")[0] for problem in found] == ["nowhere.json"]


@pytest.mark.parametrize(
    ("run_date", "cutoff", "as_of", "moved"),
    [
        ("2025-07-01", "2024-07-01", "2025-07-01", "2024-07-01"),
        ("2025-07-01", "2024-07-01", "2025-08-15", "2024-08-01"),
        ("2025-07-01", "2024-07-01", "2023-12-31", "2022-12-01"),
        ("2024-02-29", "2023-02-28", "2025-02-28", "2024-02-28"),
        ("2025-02-28", "2024-02-29", "2026-02-28", "2025-02-28"),
        ("2025-01-31", "2024-01-31", "2025-02-28", "2024-02-29"),
        ("2025-07-01T00:00:00", "2024-07-01 00:00", "2025-09-01", "2024-09-01"),
    ],
)
def test_as_of_moves_the_cutoff_by_whole_months(run_date: str, cutoff: str, as_of: str, moved: str) -> None:
    tree = changed((f"{COMMON}.current_run_date", run_date), (f"{FP}.customer.cutoff_date", cutoff))
    before = copy.deepcopy(tree)
    pipeline = load_config(tree, as_of=as_of).feature_pipeline
    assert (pipeline.common.current_run_date, pipeline.customer.cutoff_date) == (
        date.fromisoformat(as_of),
        date.fromisoformat(moved),
    )
    assert tree == before, "the caller's dict was changed"


@pytest.mark.parametrize(
    "as_of", ["2025-02-30", "tomorrow", "", "2025-07-01T09:00", 20250701, "9999-12-31", "1899-12-31"]
)
def test_a_bad_as_of_is_a_problem(as_of: Any) -> None:
    found = problems_of(changed(), as_of=as_of)
    assert len(found) == 1 and found[0].startswith("--as-of: ")


def test_as_of_that_moves_the_cutoff_past_it_is_refused() -> None:
    tree = changed((f"{COMMON}.current_run_date", "2025-07-31"), (f"{FP}.customer.cutoff_date", "2025-07-30"))
    assert "2025-08-30 must be before" in problems_of(tree, as_of=date(2025, 8, 1))[0]


def test_as_of_fills_output_paths() -> None:
    tree = changed(
        (f"{FP}.customer.output_path", "data/out/{as_of}/users"),
        (f"{SEG}.input_path", "data/out/{as_of}/users"),
        ("run.manifest_path", "data/out/{as_of}/manifest"),
    )
    config = load_config(tree)
    assert config.feature_pipeline.customer.output_path == "data/out/20250701/users"
    assert config.segmentation.input_path == config.feature_pipeline.customer.output_path
    moved = load_config(tree, as_of=datetime(2025, 8, 1))
    assert moved.run.manifest_path == "data/out/20250801/manifest"
    assert moved.config_hash != config.config_hash
    clash = changed((f"{FP}.swiggy.output_path", "o/{as_of}"), (f"{FP}.instore.output_path", "o/20250701"))
    assert "the same path as" in problems_of(clash)[0]


def test_as_of_placeholder_needs_a_run_date() -> None:
    body = {**LOCAL[SEG], "output_segments_path": "out/{as_of}"}
    assert "needs a run date" in problems_of(segmentation=body)[0]
    assert load_config(segmentation=body, as_of="2025-01-02").segmentation.output_segments_path == "out/20250102"


def test_config_hash_is_of_the_content() -> None:
    one = load_config(changed()).config_hash
    assert len(one) == 64 and int(one, 16)
    assert load_config(CONF / "local.json").config_hash == one
    assert load_config(dict(reversed(changed().items()))).config_hash == one
    assert load_config(changed(("run.strict_models", True))).config_hash != one


def test_a_section_reads_like_the_dict_that_it_came_from() -> None:
    config = load_config(changed())
    models = {key: path for key, path in LOCAL[SEG].items() if key.endswith("_model")}
    assert models and {key: config.segmentation[key] for key in models} == models
    assert config.segmentation["output_segments_path"] == LOCAL[SEG]["output_segments_path"]
    assert config.segmentation["micro_plan"][0]["name"] == LOCAL[SEG]["micro_plan"][0]["name"]
    assert config.segmentation.get("upper_q") == 0.99 and config.segmentation.get("no_such_key", 7) == 7
    assert "rename_dict" in config.segmentation and "segment_none_model" not in config.segmentation
    with pytest.raises(KeyError, match="no_such_key"):
        config.feature_pipeline["no_such_key"]


def test_channels_of_a_config_by_name() -> None:
    features = load_config(changed((f"{FP}.ownapp.has_query", False))).feature_pipeline
    assert features.channel("ownapp").orders_path == LOCAL[FP]["ownapp"]["orders_data_path"]
    assert features.channel("instore").lines_path == LOCAL[FP]["instore"]["order_items_file_pattern"]
    assert [features.channel(name).queries_path for name in ("ownapp", "instore")] == [None, None]
    assert features.window_start == date(2023, 4, 1)  # 27 months before 2025-07-01
    for name in ("common", "delivery"):
        with pytest.raises(KeyError):
            features.channel(name)


def test_bodies_alone_whole_or_in_files(tmp_path: Path) -> None:
    whole = load_config(changed())
    assert config_of(whole, FP) is whole
    assert config_of(LOCAL, FP) == config_of(CONF / "local.json", SEG) == whole
    for body in (FP, SEG):
        (tmp_path / f"{body}_config.json").write_text(json.dumps(LOCAL[body]))
        expected = getattr(whole, body)
        for source in (expected, LOCAL[body], f"{tmp_path}/{body}_config.json"):
            assert getattr(config_of(source, body), body) == expected
    assert load_config(feature_pipeline=LOCAL[FP], segmentation=LOCAL[SEG]).segmentation == whole.segmentation
    with pytest.raises(ConfigError, match="feature_pipeline: this step needs it"):
        _ = config_of(LOCAL[SEG], SEG).feature_pipeline
    with pytest.raises(ConfigError, match="this key is required"):
        config_of({}, SEG)
    with pytest.raises(ConfigError, match=r"no_such_config\.json: cannot be read"):
        config_of(f"{tmp_path}/no_such_config.json", SEG)
    assert "input_path: this key is required" in problems_of(segmentation=changed((f"{SEG}.input_path", GONE))[SEG])[0]


def test_conf_refers_to_files_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "fp.json").write_text(json.dumps(LOCAL[FP]), encoding="utf-8-sig")
    seg = tmp_path / "seg.json"
    seg.write_text(json.dumps(LOCAL[SEG]))
    conf = tmp_path / "conf.json"
    conf.write_text(json.dumps({"feature_pipeline": "users/fp.json", "segmentation": str(seg)}))
    assert load_config(str(conf)).segmentation == load_config(changed()).segmentation
    monkeypatch.chdir(tmp_path)
    assert load_config("conf.json").feature_pipeline == load_config(changed()).feature_pipeline
    seg.write_text(json.dumps({**LOCAL[SEG], "lower_q": 2}))
    assert problems_of(str(conf))[0].endswith(f"(in {seg})")
    assert load_config(str(conf), segmentation=LOCAL[SEG]).segmentation.lower_q == 0.01
    seg.unlink()
    assert f"{seg}: cannot be read: No such file" in problems_of(str(conf))[0]


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "line 1, column 1: not JSON"),
        (b'{"spark": {},\n  "run": {x}}', "line 2, column 11: not JSON"),
        (b"[1]", "must contain a JSON object, not a list"),
        (b'{"spark": {"a": NaN}}', "NaN is not a JSON number"),
        (b'{"spark": {"a": ' + b"9" * 5000 + b"}}", "cannot be read"),
        (b"[" * 200_000, "nested too deep"),
        (b"\xff\xfe{\x00", "byte 0 is not UTF-8"),
        (b'{"run": {"format": "delta", "format": "parquet"}}', "run.format: duplicate key"),
        (b'{"run": {}, "run": {}}', "run: duplicate key"),
        (b'{"spark": {"s": [{"a b": 1, "a b": 2}]}}', 'spark.s[0]["a b"]: duplicate key'),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, fragment: str) -> None:
    path = tmp_path / "conf.json"
    path.write_bytes(content)
    (problem,) = problems_of(str(path))
    assert fragment in problem and str(path) in problem


@pytest.mark.parametrize("path", ["", " ", "nowhere/conf.json", "x\0y", ".", "s5://bucket/conf.json"])
def test_unreadable_paths(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, limit: int | None = None) -> bytes:
        raise InputError(f"cannot read {path}")

    monkeypatch.setattr("blitz.storage.read_bytes", refuse)
    (problem,) = problems_of(path)
    assert "cannot be read" in problem or "the path is empty" in problem


def test_a_bucket_is_read_through_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "s3://b/c/conf.json": json.dumps({**LOCAL, SEG: "seg.json"}).encode(),
        "s3://b/c/seg.json": json.dumps(LOCAL[SEG]).encode(),
    }
    monkeypatch.setattr("blitz.storage.read_bytes", lambda path, limit=None: files[path])
    assert load_config("s3://b/c/conf.json").config_hash == load_config(changed()).config_hash


def test_nothing_to_load() -> None:
    for found in (problems_of(), problems_of({"spark": {}}), problems_of(7)):
        assert len(found) == 1 and "--conf" in found[0]


@pytest.mark.parametrize(
    "path", ["data/o'r\"d;ers $(rm -rf ~)/`x`", "data/ünï/日本", "/Volumes/a/b/c", "dbfs:/x", "file:///x"]
)
def test_odd_but_legal_paths_stay_as_they_are(path: str) -> None:
    tree = changed((f"{COMMON}.mapping_file", path), ("run.debug_log", path + ".log"))
    config = load_config(tree)
    assert (config.feature_pipeline.common.mapping_file, config.run.debug_log) == (path, path + ".log")


def nested() -> Any:
    value: Any = []
    for _ in range(20_000):
        value = [value]
    return value


def cyclic() -> Any:
    value: dict[Any, Any] = {}
    value[7] = value
    return value


@pytest.mark.parametrize("make", [nested, cyclic, object, set, lambda: b"x", lambda: "x" * 10**6, lambda: None])
@pytest.mark.parametrize(
    "path", [f"{COMMON}.price_config", BINS, f"{SEG}.micro_plan", f"{SEG}.rename_dict", "spark", "run"]
)
def test_hostile_values_end_in_a_short_message(make: Callable[[], Any], path: str) -> None:
    tree = changed()
    *parents, last = path.split(".")
    node = tree
    for key in parents:
        node = node[key]
    node[last] = make()
    for problem in problems_of(tree):
        assert len(problem) < 400


def test_segments_of_a_rule_file_are_checked_later() -> None:
    tree = changed((f"{SEG}.rules_path", "rules.json"), (f"{SEG}.micro_plan[0].source_segments", ["Gold", "Silver"]))
    config = load_config(tree)
    names = {name for item in config.segmentation.micro_plan for name in item.source_segments}
    validate_segments(config, names)
    with pytest.raises(ConfigError) as caught:
        validate_segments(config, names - {"Silver"} | {"Silber"})
    assert caught.value.problems == [
        f'{SEG}.micro_plan[0].source_segments[1]: unknown segment "Silver"; did you mean "Silber"?'
    ]
    capped = load_config({**tree, SEG: {**tree[SEG], "cap_segments": ["Seg1_5_6"]}})
    with pytest.raises(ConfigError, match=r"cap_segments\[0\]"):
        validate_segments(capped, names - {"Seg1_5_6"} | {"Gold"})


def test_models_are_frozen() -> None:
    config = load_config(changed())
    with pytest.raises(ValueError, match="frozen"):
        config.run.format = "delta"  # type: ignore[misc]
    assert isinstance(config, Config)


def test_add_months_and_nearest() -> None:
    assert add_months(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert add_months(date(2024, 2, 29), 12) == date(2025, 2, 28)
    assert add_months(date(2025, 3, 31), -1) == date(2025, 2, 28)
    assert add_months(date(2025, 7, 1), -27) == date(2023, 4, 1)
    assert nearest("seg1_5_1", ["Seg1_5_1", "Seg1_5_2"]) == "Seg1_5_1"
    assert nearest("zzz", ["Seg1_5_1"]) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://b/x/", "s3a://b//x"),
        ("dbfs:/x", "/dbfs/x"),
        ("file:///x/y", "/x/./y/"),
        ("dbfs:/Volumes/c/s/v", "/Volumes/c/s/v"),
    ],
)
def test_locations_are_compared_not_spellings(one: str, other: str) -> None:
    assert location(one) == location(other)
