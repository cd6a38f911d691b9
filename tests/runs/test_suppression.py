"""The suppression list: orders of erased customers are left out by a run, a refresh and a backfill, and nobody else's."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import compare
from blitz.config import load_config
from blitz.errors import BlitzError, InputError
from blitz.pipelines import OrderFeaturePipeline
from blitz.pipelines.context import RunContext, StepResult
from blitz.refresh.run import refresh
from blitz.run.backfill import backfill
from blitz.run.execute import run_steps
from blitz.run.manifest import manifest, manifest_path, write_manifest
from blitz.run.preflight import preflight
from blitz.run.steps import chosen_steps
from world import INSTORE_LINE, INSTORE_ORDER, ORDER, World

SALT = "pepper"
CHANNELS = ("ownapp", "swiggy", "instore")
STEPS = chosen_steps("ownapp,swiggy,instore,customers")
ERASED = "0008"


@pytest.fixture(autouse=True)
def salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLITZ_SUPPRESSION_SALT", SALT)


def world_of(root: Path) -> World:
    """0007 and 0009 stay. 0008 is erased: order 2, and the smallest of two customers of order 3; not of order 4."""
    world = World(root)
    world.order(id=1)
    world.order(id=2, customer=ERASED)
    world.order(id=3, customer=ERASED)
    world.customers.append(("0009", "3", None, None))
    world.order(id=4, customer=ERASED)
    world.customers.append(("0007", "4", None, None))
    world.order(id=5, customer="0009")
    world.order(id=6, customer=None)
    for number in range(1, 7):
        world.line(sales_id=number)
        world.order("swiggy", id=10 + number, customer=("0007", ERASED, "0009")[number % 3])
        world.line("swiggy", sales_id=10 + number)
        world.bill(("0007", ERASED, "0009")[number % 3], InvoiceNo=f"B{number}")
        world.bill_line(InvoiceNo=f"B{number}")
    return world


def with_rejected_rows(world: World) -> dict[str, Any]:
    """The config of the world, with rows in its files that cannot be read: two of 0008 in each file, one of others."""
    body = world.config()
    raw = world.root / "raw"
    orders = [ORDER | {"id": number, "order_placed_datetime": None} for number in (2, 3, 5)]
    World.write_parquet(raw / "ownapp/orders/rejected", orders, ORDER)
    bills = [INSTORE_ORDER | {"InvoiceNo": f"B{number}", "GrossAmount": "much"} for number in "143"]
    bills[1]["BussTime"] = "at noon"
    World.write_csv(raw / "instore/orders_rejected.csv", [bill.values() for bill in bills], list(INSTORE_ORDER))
    lines = [INSTORE_LINE | {"InvoiceNo": f"B{number}", "Qty": "many"} for number in "143"]
    World.write_csv(raw / "instore/lines_rejected.csv", [line.values() for line in lines], list(INSTORE_LINE))
    with (raw / "maps/customers.csv").open("a") as file:
        file.write("0008,90,1.2.2025,7040\n90,91,no day,0008\n0007,91,1.2.2025,7040\n")
    return body


def with_list(body: dict[str, Any], root: Path, *customers: str) -> dict[str, Any]:
    """The config with a suppression list of these customers, written by hand."""
    path = root / "erased.txt"
    path.write_text("".join(hashlib.sha256((SALT + each).encode()).hexdigest() + "\n" for each in customers))
    return {**body, "run": body["run"] | {"suppression_path": str(path)}}


def run(spark, body: dict[str, Any]) -> dict[str, StepResult]:
    config = load_config(conf=body)
    ready = preflight(config, STEPS)
    results = run_steps(config, spark, ready, RunContext.of(config))
    write_manifest(manifest_path(config, STEPS), manifest(config, spark, ready, results, "run"))
    assert all(account.adds_up for result in results for account in result.accounts)
    return {result.step: result for result in results}


def orders_of(body: dict[str, Any]) -> dict[str, list[Any]]:
    """The published order ids of each channel."""
    return {
        name: sorted(map(str, compare.read(body["feature_pipeline"][name]["output_path"])["order_id"]))
        for name in CHANNELS
    }


def quarantined(body: dict[str, Any]) -> dict[str, list[str]]:
    """The raw values in each quarantine."""
    folder = Path(body["feature_pipeline"]["customer"]["output_path"]).parent / "quarantine"
    return {path.name: sorted(compare.read(str(path))["raw"]) for path in folder.iterdir()}


LEFT = {"ownapp": ["1", "4", "5"], "swiggy": ["12", "13", "15", "16"], "instore": ["B2", "B3", "B5", "B6"]}


def test_a_run_leaves_out_the_orders_of_erased_customers(spark, tmp_path):
    body = with_list(with_rejected_rows(world_of(tmp_path)), tmp_path, ERASED, "no customer of these")
    results = run(spark, body)
    assert orders_of(body) == LEFT
    dropped = {name: results[name].accounts[0].dropped for name in CHANNELS}
    assert {name: (each["no_customer"], each["erased"]) for name, each in dropped.items()} == {
        "ownapp": (1, 2), "swiggy": (0, 2), "instore": (0, 2),
    }  # fmt: skip
    (mapping,) = [each for each in results["ownapp"].accounts if each.table == "customer mapping"]
    assert (mapping.read, mapping.dropped["bad_record"]) == (22, 3)
    customers = compare.read(body["feature_pipeline"]["customer"]["output_path"])
    assert sorted(customers["algonomy_id"]) == ["0007", "0009"]
    found = quarantined(body)
    assert [json.loads(raw)["id"] for raw in found["ownapp"] if "total_price" in raw] == [5]
    assert [json.loads(raw)["customer_code_ty"] for raw in found["ownapp"] if "invoice_no" in raw] == ["0007"]
    assert sorted(json.loads(raw)["InvoiceNo"] for raw in found["instore"]) == ["B3", "B3"]


def test_a_list_without_its_salt_with_another_or_lost_stops_a_run(spark, tmp_path, monkeypatch):
    body = with_list(world_of(tmp_path).config(), tmp_path, ERASED)
    run(spark, body)
    monkeypatch.delenv("BLITZ_SUPPRESSION_SALT")
    with pytest.raises(
        InputError, match=r"erased\.txt: the suppression list has 1 entries, and BLITZ_SUPPRESSION_SALT"
    ):
        preflight(load_config(conf=body), STEPS)
    with pytest.raises(BlitzError, match="BLITZ_SUPPRESSION_SALT is not set"):
        OrderFeaturePipeline(load_config(conf=body), "ownapp", spark).run()
    (tmp_path / "erased.txt").unlink()
    with pytest.raises(InputError, match="no suppression list, but the previous runs left out 6 orders"):
        preflight(load_config(conf=body), STEPS)
    without = {**body, "run": {name: each for name, each in body["run"].items() if name != "suppression_path"}}
    with pytest.raises(InputError, match=r"run\.suppression_path is not set: no suppression list"):
        preflight(load_config(conf=without), STEPS)
    (tmp_path / "erased.txt").write_text("")
    assert preflight(load_config(conf=body), STEPS).inputs.suppression.is_empty
    monkeypatch.setenv("BLITZ_SUPPRESSION_SALT", SALT)
    (tmp_path / "erased.txt").write_text("0008\n")
    with pytest.raises(InputError, match="line 1 is not the hex of a SHA-256"):
        preflight(load_config(conf=body), STEPS)


def refreshed(spark, body: dict[str, Any]) -> dict[str, Any]:
    config = load_config(conf=body)
    results = refresh(config, spark, preflight(config, STEPS), RunContext.of(config))
    assert all(account.adds_up for result in results for account in result.accounts)
    return {result.step: result.details.get("refresh") for result in results}


def copied_ids(root: Path) -> set[str]:
    """The customers in the copies of the customer mapping, and every word of the raw values there."""
    words: set[str] = set()
    for path in (root / "out/_refresh").rglob("*.parquet"):
        rows = compare.read(str(path))
        for column in {"customer", "algonomy_id", "raw"} & set(rows.columns):
            words |= {word for cell in rows[column].dropna() for word in cell.replace('"', " ").split()}
    return words


def test_a_refresh_leaves_them_out_and_keeps_no_id(spark, tmp_path):
    world = world_of(tmp_path)
    body = with_list(with_rejected_rows(world), tmp_path, ERASED)
    refreshed(spark, body)
    assert orders_of(body) == LEFT
    assert ERASED not in copied_ids(tmp_path) and {"0007", "0009"} <= copied_ids(tmp_path)
    bills = [compare.read(str(path.parent)) for path in (tmp_path / "out/_refresh/instore").glob("orders-*/*.parquet")]
    assert sorted(number for each in bills for number in each["InvoiceNo"]) == LEFT["instore"]
    with (tmp_path / "raw/maps/customers.csv").open("a") as file:
        file.write("0008,6,,\n0009,2,,\n0007,3,,\n")  # more orders of theirs, and others' for orders that are theirs
    assert refreshed(spark, body)["ownapp"]["computed"] == "changed"
    assert orders_of(body)["ownapp"] == LEFT["ownapp"] and ERASED not in copied_ids(tmp_path)
    body = with_list(body, tmp_path)
    assert refreshed(spark, body)["ownapp"]["reason"] == "the suppression list changed"
    assert orders_of(body)["ownapp"] == ["1", "2", "3", "4", "5", "6"]


def test_a_backfill_leaves_them_out(spark, tmp_path):
    body = with_list(with_rejected_rows(world_of(tmp_path)), tmp_path, ERASED)
    plain = copy.deepcopy(body)
    for name in (*CHANNELS, "customer"):
        section = body["feature_pipeline"][name]
        section["output_path"] = section["output_path"].replace("/out/", "/out/{as_of}/")
    configs = [load_config(conf=body, as_of=day) for day in ("2025-06-01", "2025-07-01")]
    backfill(configs, spark, preflight(configs[0], STEPS), "backfill")
    for stamp in ("20250601", "20250701"):
        dated = json.loads(json.dumps(plain).replace("/out/", f"/out/{stamp}/"))
        assert orders_of(dated) == LEFT
        assert not any(ERASED in raw for each in quarantined(dated).values() for raw in each)
