"""Backfills: run dates, refusals, and outputs equal to those of a run of its own as of every date."""

import copy
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare
import pandas_pipeline
import plans
from blitz.cli.main import main
from blitz.config import load_config
from blitz.run import backfill as backfills
from blitz.run.preflight import preflight
from blitz.run.steps import chosen_steps
from blitz.spark.engine import is_connect
from world import World

CHANNELS = ("ownapp", "swiggy", "instore")
RAW = ("sales", "salesdetail", "swiggy_sales", "swiggy_salesdetail", "instore_data", "orderqueries", "customers")


def per_date(body: dict[str, Any], folder: str) -> dict[str, Any]:
    """A config whose outputs go to a folder per run date below ``folder``."""
    body = copy.deepcopy({name: body[name] for name in body if name != "path"})
    features, seg = body["feature_pipeline"], body.get("segmentation", {})
    for name in CHANNELS:
        features[name]["output_path"] = f"{folder}/{{as_of}}/{name}.parquet"
    features["customer"]["output_path"] = f"{folder}/{{as_of}}/customers.parquet"
    if seg:
        seg.pop("input_path", None)
        seg |= {f"output_{name}_path": f"{folder}/{{as_of}}/{name}.parquet" for name in ("segments", "microsegments")}
    return body


def test_dates_that_would_overwrite_each_other_are_refused(sample_config, tmp_path, capsys):
    body = {name: value for name, value in sample_config.items() if name != "path"}
    path = tmp_path / "conf.json"
    arguments = ["--conf", str(path), "--from", "2025-05-01", "--to", "2025-06-01"]
    path.write_text(json.dumps(body))
    assert main("backfill", arguments) == 2
    error = capsys.readouterr().err
    assert "feature_pipeline.swiggy.output_path: the same path for each date; put {as_of} into it" in error
    assert "segmentation.input_path: the same path" in error
    body = per_date(body, str(tmp_path))
    body["feature_pipeline"]["customer"]["output_path"] = f"{tmp_path}/users_{{as_of}}.parquet"
    path.write_text(json.dumps(body))
    assert main("backfill", arguments) == 2
    assert "run.manifest_path: the manifest would be" in capsys.readouterr().err
    assert main("backfill", [*arguments[:-1], "2025-05-31", "--dry-run"]) == 0  # one date alone harms none


def two_dates(world: World, folder: Path, spark) -> dict[str, dict[str, Any]]:
    """Order features as of 2025-06-01 and 2025-07-01: {run date: {channel: (rows by key, accounts)}}."""
    body = per_date(world.config(), str(folder))
    configs = [load_config(conf=body, as_of=day) for day in ("2025-06-01", "2025-07-01")]
    ready = preflight(configs[0], chosen_steps(",".join(CHANNELS)))
    done = backfills.backfill(configs, spark, ready, "r1")
    assert not [path for path in folder.rglob(".*") if "backfill" in path.name]
    return {
        str(as_of): {result.step: (spark.read.parquet(result.output.path), result.accounts) for result in results}
        for as_of, results in done.items()
    }


def test_repeated_orders_users_and_accounts_as_of_each_date(spark, tmp_path):
    world = World(tmp_path)
    world.order(id=1, order_placed_datetime="2025-05-10 10:00:00", total_price=1.0)
    world.order(id=1, order_placed_datetime="2025-06-10 10:00:00", total_price=2.0)  # corrected within June
    world.order(id=2, customer="0008", order_placed_datetime="2025-06-11 10:00:00")  # a user from July on
    world.order(id=3, customer="0009", order_placed_datetime="2023-03-10 10:00:00")  # a user until June's window ends
    world.order(id=4, order_placed_datetime="2025-05-31 18:30:00")  # 2025-06-01 00:00 in India
    world.order(id=5, customer=None)
    world.line(sales_id=1, quantity=3)
    world.line(sales_id=2, quantity=2, promo_item=True)
    world.line(sales_id=77)
    for number, customer in enumerate(["0007", "0008", "0009"], start=1):
        world.order("swiggy", id=number + 10, customer=customer, order_placed_datetime="2025-02-01 10:00:00")
        world.bill(customer, InvoiceNo=str(number), BussTime="2025-05-31 23:59:59")
    world.bill("0007", InvoiceNo="9", BussTime="not a time")
    found = two_dates(world, tmp_path / "out2", spark)

    def ids(day: str, channel: str) -> list[Any]:
        return sorted(row["order_id"] for row in found[day][channel][0].collect())

    assert ids("2025-06-01", "ownapp") == [1, 3]
    assert ids("2025-07-01", "ownapp") == [1, 2, 4]
    assert [ids(day, "swiggy") for day in found] == [[11, 13], [11, 12]]
    assert [ids(day, "instore") for day in found] == [["1", "3"], ["1", "2"]]
    prices = [row["total_price"] for day in found for row in found[day]["ownapp"][0].where("order_id = 1").collect()]
    assert prices == [1.0, 2.0]
    orders, lines, mapping = found["2025-06-01"]["ownapp"][1]
    assert orders.dropped["outside_window"] == 3 and orders.dropped["no_customer"] == 1 and orders.kept == 2
    assert (lines.read, lines.dropped["no_order"], lines.dropped["promo"]) == (3, 2, 0)
    assert (mapping.table, mapping.read, mapping.kept) == ("customer mapping", 12, 11)
    assert mapping.dropped == {"bad_record": 1, "no_customer_code": 0, "no_key": 0} and mapping.adds_up
    assert [len(found["2025-07-01"][channel][1]) for channel in CHANNELS] == [3, 2, 2]  # one account of the mapping
    unmapped = spark.read.parquet(f"{tmp_path}/out2/20250701/quarantine/ownapp").collect()
    assert [(row["table"], row["reason"]) for row in unmapped] == [("customer mapping", "bad_record")]
    assert "not a time" in unmapped[0]["raw"] and unmapped[0]["file"].endswith("maps/customers.csv")
    rejected = spark.read.parquet(f"{tmp_path}/out2/20250601/quarantine/instore").collect()
    assert [(row["table"], row["reason"]) for row in rejected] == [("orders", "bad_timestamp")]
    assert "not a time" in rejected[0]["raw"] and "orders.csv" in rejected[0]["file"]


def test_every_output_of_every_date_is_that_of_a_run_of_its_own(
    spark, sample_config, sample_run, tmp_path, monkeypatch
):
    check_every_date(spark, sample_config, sample_run, tmp_path, monkeypatch)


@pytest.mark.spark
@pytest.mark.usefixtures("interpreted")
def test_the_same_on_spark_where_staging_scans_every_file_once(spark, sample_config, sample_run, tmp_path, monkeypatch):
    check_every_date(spark, sample_config, sample_run, tmp_path, monkeypatch)


def check_every_date(spark, sample_config, sample_run, tmp_path, monkeypatch) -> None:
    """Against pandas as of each date. All raw files are gone when they are staged; on Spark each was scanned once."""
    body = per_date(sample_config, f"{tmp_path}/out")
    raw = Path(sample_config["feature_pipeline"]["ownapp"]["orders_data_path"]).parent
    mine = tmp_path / "sample"
    shutil.copytree(raw, mine)
    body = json.loads(json.dumps(body).replace(f"{raw}/", f"{mine}/"))
    body["run"]["history_path"] = f"{tmp_path}/history"
    (mine / "customers").mkdir()
    mapping = mine / "customers/mapping.csv"
    shutil.move(body["feature_pipeline"]["common"]["mapping_file"], mapping)
    body["feature_pipeline"]["common"]["mapping_file"] = str(mapping)
    expected = {}
    for day, cutoff in (("2025-06-01", "2024-06-01"), ("2025-07-01", "2024-07-01")):
        moved = copy.deepcopy(body)
        moved["feature_pipeline"]["common"]["current_run_date"] = day
        moved["feature_pipeline"]["customer"]["cutoff_date"] = cutoff
        expected[day] = pandas_pipeline.run(moved)
    stage = backfills.stage

    def scanned_once(*arguments):
        plans.list_all_paths(spark)
        before = plans.last_query(spark)
        reader = stage(*arguments)
        scans = sum((plan.scans for plan in plans.plans_after(spark, before)), Counter())
        files = [str(path) for gone in RAW for path in (mine / gone).rglob("*.*") if path.is_file()]
        assert {path: count for path, count in scans.items() if str(mine) in path} == dict.fromkeys(files, 1)
        return reader

    def stage_and_lose(*arguments):
        """Stage all raw files and delete them: no date may need them again."""
        reader = stage(*arguments) if is_connect(spark) else scanned_once(*arguments)
        for gone in RAW:
            shutil.rmtree(mine / gone)
        return reader

    monkeypatch.setattr(backfills, "stage", stage_and_lose)
    configs = [load_config(conf=body, as_of=day) for day in expected]
    backfills.backfill(configs, spark, preflight(configs[0], chosen_steps(None)), "r2")
    for day, tables in expected.items():
        text = json.dumps(body).replace("{as_of}", day.replace("-", ""))
        assert compare.compare_outputs(tables, json.loads(text)) == []
    history = pd.read_parquet(tmp_path / "history")
    assert history["run_date"].astype(str).value_counts().to_dict() == {
        day: len(tables["customers"]) for day, tables in expected.items()
    }
    manifest = json.loads((tmp_path / "out/20250701/manifest.json").read_text())
    for step, alone in sample_run["steps"].items():
        assert manifest["steps"][step]["accounts"] == alone["accounts"]
        assert manifest["steps"][step]["rows"] == alone["rows"]
