"""Whole runs with all inputs and outputs as tables of a catalog, and the commands that read them; needs jars.

Not collected by itself: ``tests/crash/test_run_on_catalogs.py`` runs it.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import compare
import pandas_pipeline
from blitz.cli.main import main
from blitz_sample.generate import write_sample
from catalogs import SCHEMAS, catalog_session, in_catalog, outputs_as_files, sql_of
from places import CHECKOUT
from spelled import snake

ORDERS = 3000
Body = dict[str, Any]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    session = catalog_session(str(tmp_path_factory.mktemp("catalogs")))
    yield session
    session.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Body:
    """The config of a sample in files."""
    folder = tmp_path_factory.mktemp("files")
    write_sample(ORDERS, 5, f"{folder}/sample")
    text = (CHECKOUT / "conf/local.json").read_text()
    body: Body = json.loads(text.replace("data/sample/", f"{folder}/sample/").replace("data/out/", f"{folder}/out/"))
    return body


@pytest.fixture(scope="module")
def expected(files: Body) -> dict[str, pd.DataFrame]:
    return pandas_pipeline.run(files)


@pytest.fixture(scope="module")
def run_of(spark: SparkSession, files: Body, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Body]:
    """The config of a run with all inputs and outputs as tables of a format; Iceberg's columns in snake case."""

    @cache
    def run(fmt: str) -> Body:
        folder = tmp_path_factory.mktemp("run")
        body = in_catalog(spark, files, fmt, folder / "manifest.json")
        body["run"]["snake_case_columns"] = fmt == "iceberg"
        (folder / "conf.json").write_text(json.dumps(body))
        assert main("run_all", argv=["--conf", str(folder / "conf.json"), "--no-report"]) == 0
        return body | {"path": str(folder / "conf.json"), "folder": folder}

    return run


@pytest.fixture(scope="module")
def iceberg(run_of: Callable[[str], Body]) -> Body:
    return run_of("iceberg")


def manifest_of(body: Body, name: str = "manifest.json") -> Body:
    manifest: Body = json.loads((body["folder"] / name).read_text())
    return manifest


@pytest.mark.parametrize("fmt", list(SCHEMAS))
def test_every_column_is_that_of_the_independent_computation(spark, run_of, expected, tmp_path, fmt) -> None:
    paths = compare.output_paths(outputs_as_files(spark, run_of(fmt), tmp_path))
    found = {step: compare.read(path) for step, path in paths.items()}
    name_of = snake if fmt == "iceberg" else str
    wanted = {step: table.rename(columns=name_of) for step, table in expected.items()}
    keys = {step: [name_of(name) for name in names] for step, names in compare.KEYS.items()}
    wrong = {step: compare.differences(wanted[step], found[step], keys[step]) for step in keys}
    assert not any(wrong.values()), wrong
    late = {"iceberg": "omnichannel_late_night_order_count", "delta": "omnichannel_Late Night_order_count"}
    assert late[fmt] in found["customers"] and len(found["customers"].columns) == 181


def test_comments_come_from_the_contract(spark, iceberg) -> None:
    customers = spark.table(sql_of(iceberg["feature_pipeline"]["customer"]["output_path"]))
    comments = {field.name: field.metadata.get("comment") for field in customers.schema.fields}
    assert comments["omnichannel_recency"] == "days: whole days from the last order to the run date"
    assert len([text for text in comments.values() if text]) == len(comments) == 181


def test_a_rerun_of_a_step_is_one_more_version(spark, iceberg) -> None:
    before = manifest_of(iceberg)["steps"]
    assert main("run_all", argv=["--conf", iceberg["path"], "--no-report", "--steps", "segments"]) == 0
    after = manifest_of(iceberg, "manifest.segments.json")["steps"]["segments"]
    assert after["rows"] == before["segments"]["rows"] and after["version"] != before["segments"]["version"]
    assert all(step["version"] for step in before.values())


def test_commands_read_the_tables(spark, iceberg, expected, tmp_path, capsys) -> None:
    """Report, explain, export, compare, training and backfill on names of tables, whatever the spelling of columns."""
    named = ["--conf", iceberg["path"]]
    customer = expected["microsegments"]["algonomy_id"].min()
    segment = dict(expected["segments"].itertuples(index=False))[customer]
    assert main("explain", argv=[*named, "--customer", customer, "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert {"computed": segment, "published": segment, "agrees": True}.items() <= explained["segment"].items()
    assert all(plan["agrees"] for plan in explained["plans"])
    assert main("export", argv=[*named, "--out", str(tmp_path / "lists")]) == 0
    assert f"{len(expected['segments']):,} rows" in capsys.readouterr().out
    manifest = iceberg["run"]["manifest_path"]
    compared = ["--before", manifest, "--after", iceberg["path"], "--out", str(tmp_path / "compared"), "--bins", "4"]
    assert main("compare_runs", argv=[*compared, "--max-psi", "0.0001"]) == 0  # a run is equal to itself
    assert main("report", argv=named) == 0
    manifests = iceberg["folder"].glob("manifest*.json")
    numbers = json.loads((iceberg["folder"] / "report.json").read_text())
    assert numbers["digest"]["run_id"] in {json.loads(path.read_text())["run_id"] for path in manifests}
    plan = str(expected["microsegments"]["Segment"].value_counts().idxmax())
    trained = ["--plan", plan, "--k", "2", "--out", str(tmp_path / "models")]
    assert main("train_microsegments", argv=[*named, *trained]) == 0
    date = iceberg["feature_pipeline"]["common"]["current_run_date"]
    again = ["--from", date, "--to", date, "--steps", "ownapp", "--scratch", str(tmp_path / "scratch")]
    assert main("backfill", argv=[*named, *again]) == 0
    before, after = (
        manifest_of(iceberg, name)["steps"]["ownapp"] for name in ("manifest.json", "manifest.ownapp.json")
    )
    assert after["version"] != before["version"]
    assert (after["rows"], after["accounts"]) == (before["rows"], before["accounts"])


def test_all_problems_of_tables_and_files_come_in_one_message(spark, iceberg, tmp_path, capsys) -> None:
    fmt = iceberg["run"]["format"]
    schema = SCHEMAS[fmt]
    features = json.loads(json.dumps(iceberg["feature_pipeline"]))
    orders = spark.table(sql_of(features["ownapp"]["orders_data_path"]))
    broken = orders.drop("id").withColumn("order_placed_datetime", F.array("store_name"))
    broken.writeTo(f"{schema}.broken").using(fmt).tableProperty("delta.columnMapping.mode", "name").create()
    features["ownapp"]["orders_data_path"] = f"table:{schema}.broken"
    features["swiggy"]["orders_data_path"] = f"table:{schema}.none"
    features["instore"]["orders_file_pattern"] = f"{tmp_path}/none/*.csv"
    features["common"]["mapping_file"] = "table:nowhere.db.mapping"
    body = {name: iceberg[name] for name in ("segmentation", "spark", "run")} | {"feature_pipeline": features}
    (tmp_path / "conf.json").write_text(json.dumps(body))
    assert main("run_all", argv=["--conf", str(tmp_path / "conf.json")]) == 1
    said = capsys.readouterr().err
    for problem in (
        f"table:{schema}.broken (orders): column 'id' is missing",
        "column 'order_placed_datetime' is array<string>, which cannot be read as instant",
        f"table:{schema}.none (orders): no such table",
        f"{tmp_path}/none/*.csv: no data file found for orders",
        "table:nowhere.db.mapping (customer mapping): no such catalog: nowhere; set spark.sql.catalog.nowhere",
    ):
        assert problem in said, said
    assert len(re.findall("^  - ", said, re.MULTILINE)) == 4


def test_rejected_rows_go_to_a_table_next_to_the_output(spark, iceberg, tmp_path) -> None:
    """Text values of a table follow the rules of text in files; what cannot be read is in the quarantine."""
    fmt, schema = iceberg["run"]["format"], SCHEMAS[iceberg["run"]["format"]]
    features = json.loads(json.dumps(iceberg["feature_pipeline"]))
    source = spark.table(sql_of(features["instore"]["orders_file_pattern"]))
    key = ["invoiceno", "storecode", "busstime"]
    one = source.orderBy(*key).first()
    is_one = F.concat_ws("|", *key) == "|".join(one[name] for name in key)
    amount = F.when(is_one, "soon").otherwise(F.concat(F.lit("Rs. "), "grossamount"))
    odd = source.withColumn("grossamount", amount)
    odd.writeTo(f"{schema}.odd").using(fmt).tableProperty("delta.columnMapping.mode", "name").create()
    features["instore"] |= {"orders_file_pattern": f"table:{schema}.odd", "output_path": f"table:{schema}.odd_orders"}
    body = {name: iceberg[name] for name in ("segmentation", "spark", "run")} | {"feature_pipeline": features}
    (tmp_path / "conf.json").write_text(json.dumps(body))
    assert main("run_all", argv=["--conf", str(tmp_path / "conf.json"), "--steps", "instore"]) == 0
    made = manifest_of(iceberg, "manifest.instore.json")["steps"]["instore"]
    assert made["quarantine"] == f"table:{schema}.quarantine_instore"
    [rejected] = spark.table(sql_of(made["quarantine"])).where("raw LIKE '%soon%'").collect()
    assert (rejected["reason"], rejected["file"]) == ("bad_record", f"table:{schema}.odd")
    assert json.loads(rejected["raw"])["GrossAmount"] == "soon"
    before = manifest_of(iceberg)["steps"]["instore"]["accounts"][0]
    after = made["accounts"][0]
    assert after["read"] == before["read"]
    assert after["dropped"]["bad_record"] == before["dropped"]["bad_record"] + 1


LEFT = "20250501__blitz_20250501t000000z"  # the staging table of a run that was killed


def test_customers_are_erased_with_the_versions_that_hold_them(spark, iceberg, monkeypatch) -> None:
    """The last test: it changes the tables of all. Segments are tables of run dates, the oldest past its retention.
    Every file that a table of the catalog still has is searched."""
    monkeypatch.setenv("BLITZ_SUPPRESSION_SALT", "a secret salt")
    body = {name: json.loads(json.dumps(iceberg[name])) for name in ("feature_pipeline", "segmentation", "spark")}
    body["run"] = iceberg["run"] | {"suppression_path": f"{iceberg['folder']}/privacy/erased.txt"}
    segments = sql_of(iceberg["segmentation"]["output_segments_path"])
    for stamp in ("20250701", "20250601", "20240101", LEFT):
        spark.sql(f"CREATE TABLE {segments}_{stamp} USING iceberg AS SELECT * FROM {segments}")
    body["segmentation"]["output_segments_path"] = f"table:{segments}_{{as_of}}"
    (iceberg["folder"] / "erase.json").write_text(json.dumps(body))
    paths = compare.output_paths(body)
    tables = {step: sql_of(path).replace("{as_of}", "20250701") for step, path in paths.items()}
    tables["segments of June"] = f"{segments}_20250601"
    before = {step: spark.table(name).toPandas() for step, name in tables.items()}
    ids = sorted(before["segments"]["algonomy_id"])[:50]
    (iceberg["folder"] / "ids.txt").write_text("\n".join(ids))
    named = ["--conf", f"{iceberg['folder']}/erase.json", "--customers", f"{iceberg['folder']}/ids.txt"]
    assert main("erase", argv=[*named, "--older-than", "2025-01-01"]) == 0
    for step, name in tables.items():
        kept = before[step][~before[step]["algonomy_id"].isin(ids)]
        assert len(kept) < len(before[step]), step
        keys = [snake(key) for key in compare.KEYS[step.split()[0]]]
        assert compare.differences(kept, spark.table(name).toPandas(), keys, True) == [], step
        assert spark.sql(f"SELECT * FROM {name}.snapshots").count() == 1
        files = [row["file_path"] for row in spark.sql(f"SELECT file_path FROM {name}.all_files").collect()]
        alive = spark.read.parquet(*[path for path in files if path.endswith(".parquet")])
        assert alive.where(F.col("algonomy_id").isin(ids)).count() == 0
    left = {row["tableName"] for row in spark.sql(f"SHOW TABLES IN {SCHEMAS['iceberg']}").collect()}
    assert not left & {f"{segments.rpartition('.')[2]}_{stamp}" for stamp in ("20240101", LEFT)}
