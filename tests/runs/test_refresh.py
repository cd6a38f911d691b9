"""Refreshed order features: the same tables as a full computation's, and the files of months that did not change."""

import copy
import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare
from blitz.cli.main import main
from blitz.config import load_config
from blitz.errors import StepError
from blitz.pipelines import OrderFeaturePipeline
from blitz.pipelines.context import RunContext, StepResult
from blitz.refresh.run import refresh
from blitz.run.preflight import preflight
from blitz.run.steps import chosen_steps
from world import INSTORE_LINE, INSTORE_ORDER, LINE, ORDER, World

pytestmark = pytest.mark.usefixtures("interpreted")
CHANNELS = ("ownapp", "swiggy", "instore")
INSTORE = ("instore",)


def results_of(
    spark, body: dict[str, Any], as_of: str, since: str | None = None, channels: tuple[str, ...] = CHANNELS
) -> list[StepResult]:
    """The results of a refresh of the channels."""
    config = load_config(conf=body, as_of=as_of)
    ready = preflight(config, chosen_steps(",".join(channels)))
    day = dt.date.fromisoformat(since) if since else None
    results = refresh(config, spark, ready, RunContext.of(config), day)
    assert all(account.adds_up for result in results for account in result.accounts)
    return results


def refreshed(spark, body: dict[str, Any], as_of: str, **options: Any) -> dict[str, dict[str, Any]]:
    """What a refresh of the channels says it did."""
    return {result.step: result.details["refresh"] for result in results_of(spark, body, as_of, **options)}


def differences(
    spark, body: dict[str, Any], as_of: str, folder: Path, channels: tuple[str, ...] = CHANNELS
) -> list[str]:
    """Where the outputs differ from those of a full run, which goes to another folder."""
    alone = copy.deepcopy(body)
    for name in channels:
        alone["feature_pipeline"][name]["output_path"] = f"{folder}/{name}.parquet"
    config, found = load_config(conf=alone, as_of=as_of), []
    for name in channels:
        OrderFeaturePipeline(config, name, spark).run()
        tables = [compare.read(each["feature_pipeline"][name]["output_path"]) for each in (alone, body)]
        assert len(tables[0]) > 0
        found += [f"{name}: {each}" for each in compare.differences(*tables, compare.KEYS[name], True)]
    return found


def first_world(root: Path) -> World:
    """Own-app users 0007 and 0009 as of 2025-06-01; 0008 has ordered elsewhere only."""
    world = World(root)
    world.order(id=1, order_placed_datetime="2025-05-10 10:00:00", total_price=1.0)
    world.order(id=2, order_placed_datetime="2024-10-10 10:00:00")
    world.order(id=3, customer="0009", order_placed_datetime="2023-03-10 10:00:00")
    world.order(id=4, order_placed_datetime="2025-06-03 10:00:00")  # in the files before the window opens for it
    world.order(id=5, customer=None, order_placed_datetime="2024-12-10 10:00:00")
    for number in (1, 2, 3, 4, 5):
        world.line(sales_id=number, quantity=number)
    for number, customer in enumerate(["0007", "0008", "0009"], start=11):
        world.order("swiggy", id=number, customer=customer, order_placed_datetime="2025-02-01 10:00:00")
        world.line("swiggy", sales_id=number)
        world.bill(customer, InvoiceNo=str(number), BussTime="2024-11-30 23:59:59")
        world.bill_line(InvoiceNo=str(number), OrderDatetime="2024-11-30 12:00:00")
    return world


def add_files(root: Path, world: World) -> None:
    """A month later: new files of every table, and a customer mapping that has grown."""
    raw = root / "raw"
    orders = [
        ORDER
        | {"id": 1, "order_placed_datetime": "2025-06-05 10:00:00", "total_price": 2.0},  # corrected, moves to June
        ORDER
        | {"id": 6, "order_placed_datetime": "2025-06-20 10:00:00"},  # of 0008, who is an own-app user from now on
        ORDER | {"id": 7, "order_placed_datetime": "2025-01-20 10:00:00"},  # late
        ORDER | {"id": None, "order_placed_datetime": "2025-06-21 10:00:00"},  # no record
    ]
    lines = [LINE | {"sales_id": 2, "quantity": 40}, LINE | {"sales_id": 6}, LINE | {"sales_id": 7}]
    World.write_parquet(raw / "ownapp/orders/june", orders, ORDER)
    World.write_parquet(raw / "ownapp/lines/june", lines, LINE)
    World.write_parquet(raw / "queries/june", [{"order_id": 3}, {"order_id": 2}], {"order_id": 1})
    World.write_parquet(raw / "swiggy/orders/june", [ORDER | {"id": 19, "order_placed_datetime": "2025-06-20"}], ORDER)
    bill = INSTORE_ORDER | {"InvoiceNo": "19", "BussTime": "2024-11-30 09:00:00"}
    World.write_csv(raw / "instore/orders_june.csv", [bill.values()], list(bill))
    line = INSTORE_LINE | {"InvoiceNo": "19", "OrderDatetime": "2024-11-30 09:00:00"}
    World.write_csv(raw / "instore/lines_june.csv", [line.values()], list(line))
    world.customers += [("0008", "6", None, None), ("0007", "7", None, None), ("0007", "5", None, None)]
    world.customers += [("0008", "19", None, None), ("0007", "19", "2024-11-30", "7040")]
    world.customers += [("0007", "20", "not a day", "7040"), (None, "20", None, None)]
    columns = ["customer_code_ty", "invoice_no", "invoice_date", "store_code"]
    World.write_csv(raw / "maps/customers.csv", world.customers, columns)


@dataclass(frozen=True)
class Refreshed:
    """A world that was refreshed as of June, got the files of a month, and was refreshed as of July, twice."""

    world: World
    body: dict[str, Any]
    june: dict[str, dict[str, Any]]
    june_months: list[str]
    july: dict[str, dict[str, Any]]
    accounts: dict[str, dict[str, Any]]
    july_inodes: set[int]
    states: list[dict[str, Any]]
    again: dict[str, dict[str, Any]]
    again_inodes: set[int]

    @property
    def output(self) -> Path:
        return self.world.root / "out/ownapp.parquet"


@pytest.fixture(scope="module")
def world_in_july(spark, tmp_path_factory) -> Refreshed:
    root = tmp_path_factory.mktemp("july")
    world = first_world(root)
    body, output = world.config(), root / "out/ownapp.parquet"
    states = []

    def keep_state() -> None:
        states.append({name: json.loads((root / f"out/_refresh/{name}/state.json").read_text()) for name in CHANNELS})

    june = refreshed(spark, body, "2025-06-01")
    months = sorted(path.name[:7] for path in output.glob("*.parquet"))
    add_files(root, world)
    results = results_of(spark, body, "2025-07-01")
    july = {result.step: result.details["refresh"] for result in results}
    accounts = {f"{result.step} {each.table}": each.as_json() for result in results for each in result.accounts}
    keep_state()
    inodes = inodes_of(output)
    again = refreshed(spark, body, "2025-07-01")
    keep_state()
    return Refreshed(world, body, june, months, july, accounts, inodes, states, again, inodes_of(output))


def inodes_of(folder: Path) -> set[int]:
    return {path.stat().st_ino for path in folder.glob("*.parquet")}


def test_the_first_refresh_computes_all_orders_as_files_of_one_month(world_in_july):
    assert {each["reason"] for each in world_in_july.june.values()} == {"there is no state of an earlier refresh"}
    assert world_in_july.june_months == ["2023-03", "2024-10", "2025-05"]


@pytest.mark.engines
def test_a_refresh_gives_the_tables_of_a_full_run(spark, world_in_july, tmp_path):
    assert {each["computed"] for each in world_in_july.july.values()} == {"changed"}
    assert differences(spark, world_in_july.body, "2025-07-01", tmp_path) == []
    rows = {row["order_id"]: row for row in compare.read(str(world_in_july.output)).to_dict("records")}
    assert sorted(rows) == [1, 2, 4, 5, 6, 7]
    assert (rows[1]["total_price"], rows[2]["item_count"], rows[2]["has_query"]) == (2.0, 42.0, True)
    for name, orders in (("swiggy", [11, 12, 19]), ("instore", ["11", "12", "19"])):
        assert sorted(compare.read(world_in_july.body["feature_pipeline"][name]["output_path"])["order_id"]) == orders


def test_a_refresh_says_what_it_computed(world_in_july):
    # Of own app, 1 (corrected), 2 (a late line and query) and 3 (out of the window) lose their rows; all months change.
    assert world_in_july.july["ownapp"]["months_rewritten"] == ["2023-03", "2024-10", "2025-05"]
    assert world_in_july.july["ownapp"]["changed_keys"] == 8  # 1 to 7, and 19, which the mapping names
    assert world_in_july.july["swiggy"]["months_rewritten"] == ["2025-02"]  # 0009 is no user any more
    counts = world_in_july.accounts["ownapp orders of new files"]
    assert (counts["read"], counts["kept"], counts["dropped"]) == (4, 3, {"bad_record": 1, "bad_timestamp": 0})
    counts = world_in_july.accounts["ownapp lines of new files"]
    assert (counts["read"], counts["kept"], counts["dropped"]) == (3, 3, {"bad_record": 0, "bad_timestamp": 0})
    # Of all rows of the mapping, those that an earlier refresh parsed too; it is with the first channel alone.
    counts = world_in_july.accounts["ownapp customer mapping"]
    assert (counts["read"], counts["kept"]) == (17, 15)
    assert counts["dropped"] == {"bad_record": 1, "no_customer_code": 1, "no_key": 0}
    assert sum("customer mapping" in name for name in world_in_july.accounts) == 1


def test_rejected_rows_of_new_files_have_a_quarantine_of_their_own(world_in_july):
    rejected = compare.read(f"{world_in_july.world.root}/out/quarantine/ownapp_new_files")
    files = dict(zip(rejected["table"], rejected["file"], strict=True))
    assert list(rejected["reason"]) == ["bad_record"] * 2 and files["orders"].endswith("june/part.parquet")
    assert files["customer mapping"] == f"{world_in_july.world.root}/raw/maps/customers.csv"  # appended to this file


def test_a_refresh_without_changes_leaves_the_output_and_the_copies(world_in_july):
    assert {each["computed"] for each in world_in_july.again.values()} == {"nothing"}
    assert world_in_july.again_inodes == world_in_july.july_inodes
    assert world_in_july.states[0] == world_in_july.states[1]


def test_since_limits_what_a_rewritten_file_can_change(spark, world_in_july, tmp_path):
    world, body = world_in_july.world, world_in_july.body
    path = world.root / "raw/ownapp/orders/part.parquet"  # an export that writes the same file again
    World.write_parquet(
        path.parent, [*world.orders["ownapp"], ORDER | {"id": 8, "order_placed_datetime": "2025-06-22"}], ORDER
    )
    since = refreshed(spark, body, "2025-07-01", since="2025-06-01")
    assert since["ownapp"]["computed"] == "changed" and since["ownapp"]["months_rewritten"] == ["2025-06"]
    kept = {
        path.name[:7]
        for path in world_in_july.output.glob("*.parquet")
        if path.stat().st_ino in world_in_july.july_inodes
    }
    assert kept == {"2024-10", "2024-12", "2025-01"}
    assert differences(spark, body, "2025-07-01", tmp_path) == []


def test_rows_of_the_mapping_that_cannot_be_read_stop_a_refresh_that_changes_nothing(spark, tmp_path):
    world = first_world(tmp_path)
    body = world.config()
    refreshed(spark, body, "2025-06-01", channels=("ownapp",))
    with (tmp_path / "raw/maps/customers.csv").open("a") as file:
        file.write("0007,90,1.2.2025,7040\n")
    result = results_of(spark, body, "2025-06-01", channels=("ownapp",))[0]
    assert result.details["refresh"] == {"computed": "nothing"}
    assert [(each.table, each.rejected) for each in result.accounts] == [("customer mapping", {"bad_record": 1})]
    assert list(compare.read(result.quarantine)["table"]) == ["customer mapping"]
    with (tmp_path / "raw/maps/customers.csv").open("a") as file:
        file.write("0007,91,1.2.2025,7040\n")
    body["run"]["max_rejected_fraction"] = 0.1
    with pytest.raises(StepError, match="common.mapping_date_format") as caught:
        refreshed(spark, body, "2025-06-01", channels=("ownapp",))
    assert "ownapp customer mapping: 16.67% of 12 rows cannot be read (bad_record 2)" in str(caught.value)


def with_users(world: World, *customers: str) -> dict[str, Any]:
    """The world's config, with an own-app output that has orders of these customers."""
    body = world.config()
    output = Path(body["feature_pipeline"]["ownapp"]["output_path"])
    output.mkdir(parents=True)
    pd.DataFrame({"algonomy_id": customers}).to_parquet(output / "part-0.parquet", index=False)
    return body


def test_csv_files_are_copied_once(spark, tmp_path):
    body = with_users(first_world(tmp_path), "0007", "0009")
    refreshed(spark, body, "2025-06-01", channels=INSTORE)
    raw, state = tmp_path / "raw/instore", tmp_path / "out/_refresh/instore/state.json"
    first = json.loads(state.read_text())["copies"]
    assert {name: len(copies) for name, copies in first.items()} == {"orders": 1, "lines": 1}
    line = INSTORE_LINE | {"InvoiceNo": "11", "OrderDatetime": "2024-11-30 20:00:00", "Qty": "3"}
    unreadable = line | {"Qty": "three"}
    World.write_csv(raw / "lines_late.csv", [line.values(), unreadable.values()], list(line))
    found = refreshed(spark, body, "2025-06-01", channels=INSTORE)
    assert found["instore"]["changed_keys"] == 1
    again = json.loads(state.read_text())["copies"]
    assert again["orders"] == first["orders"] and again["lines"][0] == first["lines"][0] and len(again["lines"]) == 2
    assert len(compare.read(again["lines"][1]["folder"])) == 1
    assert list(compare.read(f"{tmp_path}/out/quarantine/instore_new_files")["reason"]) == ["bad_record"]
    assert differences(spark, body, "2025-06-01", tmp_path / "full", INSTORE) == []

    bill = INSTORE_ORDER | {"InvoiceNo": "11", "BussTime": "2024-11-30 23:59:59", "GrossAmount": "7"}
    World.write_csv(raw / "orders.csv", [bill.values()], list(bill))  # rewritten: its copy must not be read any more
    found = refreshed(spark, body, "2025-06-01", since="2024-11-01", channels=INSTORE)
    assert found["instore"]["computed"] == "changed"
    copies = json.loads(state.read_text())["copies"]
    assert copies["orders"] != first["orders"]
    folders = {Path(copy["folder"]).name for each in copies.values() for copy in each}
    assert {path.name for path in state.parent.iterdir()} == {"state.json", *folders}
    assert differences(spark, body, "2025-06-01", tmp_path / "full", INSTORE) == []


def test_copies_of_another_time_zone_are_not_read(spark, tmp_path):
    world = first_world(tmp_path)
    # In Kolkata of 1 December, in Dubai of 30 November, where the late line below belongs to it.
    world.bill(InvoiceNo="21", BussTime="2024-11-30T19:00:00Z")
    world.customers.append(("0007", "21", "2024-12-01", "7040"))
    body = with_users(world, "0007", "0009")
    refreshed(spark, body, "2025-06-01", channels=INSTORE)
    body["feature_pipeline"]["common"]["timezone"] = "Asia/Dubai"
    found = refreshed(spark, body, "2025-06-01", channels=INSTORE)
    assert found["instore"]["reason"] == "the settings changed"
    line = INSTORE_LINE | {"InvoiceNo": "21", "OrderDatetime": "2024-11-30 10:00:00", "Qty": "5"}
    World.write_csv(tmp_path / "raw/instore/lines_late.csv", [line.values()], list(line))
    assert refreshed(spark, body, "2025-06-01", channels=INSTORE)["instore"]["changed_keys"] == 1
    assert differences(spark, body, "2025-06-01", tmp_path / "full", INSTORE) == []
    rows = compare.read(body["feature_pipeline"]["instore"]["output_path"]).set_index("order_id")
    assert rows.loc["21", "item_count"] == 5.0


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        ({"format": "delta"}, [], "run.format: a refresh needs Parquet outputs; set parquet, or use run_all for Delta"),
        ({}, ["--since", "june"], "--since: "),
        ({}, ["--steps", "swigy"], "swigy"),
    ],
)
def test_what_a_refresh_refuses(sample_config, tmp_path, capsys, run, arguments, message):
    path = tmp_path / "conf.json"
    body = {name: value for name, value in sample_config.items() if name != "path"}
    path.write_text(json.dumps(body | {"run": body.get("run", {}) | run}))
    assert main("refresh", ["--conf", str(path), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("**/_refresh"))
