"""Gates of whole runs: each stops one just beyond its limit and lets one pass at it (docs/contract.md, section 8)."""

import shutil
from typing import Any

import pandas as pd
import pytest

from blitz.errors import GateError
from blitz.pipelines import CustomerFeaturePipeline, OrderFeaturePipeline
from hostile import APP_ORDERS, CHANNELS, MAPPING, Folder, frame_of

pytestmark = pytest.mark.usefixtures("interpreted")
HEADER = MAPPING.partition("\n")[0] + "\n"
OFF = {"empty_channel": None, "freshness_days": None, "no_customer_rise": None, "fewer_customers": None}


@pytest.fixture(scope="module")
def last_month(spark, tmp_path_factory) -> Folder:
    """A folder whose steps have run once: 5 own-app orders, 1 of them without a customer, and 3 customers."""
    folder = Folder(tmp_path_factory.mktemp("gates"))
    plan = folder.start("run_all", "--dry-run")
    code, said = folder.start()
    assert (plan[0], code) == (0, 0), said
    assert "No previous manifest: the gates that compare with it are skipped." in plan[1]
    return folder


@pytest.fixture
def folder(last_month, tmp_path) -> Folder:
    """The raw files, outputs and manifests of ``last_month``."""
    copy = Folder(tmp_path)
    shutil.copytree(last_month.out, copy.out)
    return copy


def states(folder: Folder, step: str) -> dict[str, str]:
    return {each["gate"]: each["state"] for each in folder.manifest()["steps"][step]["gates"]}


def run(
    folder: Folder, *arguments: str, gates: dict[str, Any] | None = None, command: str = "run_all"
) -> tuple[int, str]:
    """Run a command with the limits of ``gates``; whatever stops it leaves every published file as it is."""
    folder.run = {"gates": gates} if gates else {}
    before, code, said = folder.published(), *folder.start(command, *arguments)
    assert code in (0, 3), said
    assert code == 0 or folder.published() == before
    return code, said


def test_a_first_run_has_nothing_to_compare_with(last_month):
    for channel in CHANNELS:
        assert states(last_month, channel) == {
            "empty_channel": "passed", "freshness_days": "passed", "no_customer_rise": "skipped", "missing_days": "passed",
        }  # fmt: skip
    assert states(last_month, "customers") == {"fewer_customers": "skipped"}
    messages = [each["message"] for step in last_month.manifest()["steps"].values() for each in step["gates"]]
    assert sum("no previous manifest" in text for text in messages) == 4


def test_a_dry_run_shows_the_gates_and_their_limits(folder):
    _, said = run(folder, "--dry-run", gates={"freshness_days": 30, "fewer_customers": None})
    shown = {line.split()[0]: line.strip() for line in said.splitlines() if line.strip()}
    assert shown["freshness_days"].endswith("a channel's newest order is more than 30 days old")
    assert shown["fewer_customers"].endswith("off") and "No previous manifest" not in said
    assert {"empty_channel", "no_customer_rise", "missing_days"} <= shown.keys()


def test_an_empty_mapping_does_not_replace_last_months_results(folder):
    folder.write("maps/customers.csv", HEADER)
    code, said = run(folder)
    assert code == 3
    assert "ownapp: 5 orders in the window, 0 kept (no_customer 5) (run.gates.empty_channel)" in said
    assert "ownapp: 100.0% of the orders have no customer, 20.0% in the previous manifest; the limit is 0.2" in said


def test_one_order_that_is_kept_is_enough(folder):
    folder.write("maps/customers.csv", HEADER + "0000000007,1,,\n")
    assert run(folder, "--steps", "ownapp", gates={"no_customer_rise": None})[0] == 0
    assert states(folder, "ownapp")["empty_channel"] == "passed"


@pytest.mark.parametrize(("as_of", "code"), [("2025-07-07", 0), ("2025-07-08", 3)])
def test_the_newest_order_is_at_most_seven_days_old(folder, as_of, code):
    found, said = run(folder, "--steps", "ownapp", "--as-of", as_of)
    assert found == code
    if code:
        assert (
            "ownapp: the newest order is of 2025-06-30, 8 days before the run date 2025-07-08; the limit is 7 "
            "(run.gates.freshness_days)"
        ) in said


@pytest.mark.parametrize(("lost", "code"), [(["3"], 0), (["3", "4"], 3)])
def test_a_fifth_more_orders_without_a_customer_is_the_most(folder, lost, code):
    rows = [row for row in MAPPING.splitlines() if row.split(",")[1] not in lost]
    folder.write("maps/customers.csv", "\n".join([*rows, ""]))
    found, said = run(folder, "--steps", "ownapp")
    assert found == code
    assert not code or "60.0% of the orders have no customer, 20.0% in the previous manifest; the limit is 0.2" in said
    assert not code or "(run.gates.no_customer_rise)" in said


@pytest.mark.parametrize(("limit", "code"), [(2 / 3, 0), (0.66, 3)])
def test_customers_that_are_lost(folder, limit, code):
    """The own-app output of an order of one customer is all that is left of three."""
    frame = pd.read_parquet(folder.out / "ownapp.parquet")
    shutil.rmtree(folder.out / "ownapp.parquet")
    (folder.out / "ownapp.parquet").mkdir()
    frame[frame["order_id"] == 1].to_parquet(folder.out / "ownapp.parquet/part-0.parquet", index=False)
    found, said = run(folder, "--steps", "customers", gates={"fewer_customers": limit})
    assert found == code
    text = "1 customers, 3 in the previous manifest (66.7% fewer); the limit is 0.66 (run.gates.fewer_customers)"
    assert (text in said) == (code == 3)


@pytest.mark.engines
def test_the_last_channel_stops_a_run_before_the_first_publishes(folder):
    """Own app and Swiggy have new rows; in-store has no customer for any order."""
    folder.parquet("ownapp/orders/more.parquet", frame_of([APP_ORDERS[0] | {"id": 6}]))
    kept = [row for row in MAPPING.splitlines() if not row.split(",")[1].startswith("90")]
    folder.write("maps/customers.csv", "\n".join([*kept, "0000000007,6,,", ""]))
    code, said = run(folder)
    assert code == 3
    assert "instore: 4 orders in the window, 0 kept (no_customer 4) (run.gates.empty_channel)" in said
    assert "instore: 100.0% of the orders have no customer, 0.0% in the previous manifest; the limit is 0.2" in said
    assert "resume with" not in said


@pytest.mark.engines
def test_lost_customers_stop_a_run_before_the_channels_publish(folder):
    """The customers are those of the order features that the same run has staged."""
    for name in ("ownapp/orders/part.parquet", "ownapp/lines/part.parquet"):
        frame = pd.read_parquet(folder.raw / name)
        frame[~frame.iloc[:, 0].isin([2, 3])].to_parquet(folder.raw / name, index=False)
    folder.rewrite("maps/customers.csv", ("0000000012,4,", "0000000007,4,"))
    code, said = run(folder)
    assert code == 3
    assert "1 customers, 3 in the previous manifest (66.7% fewer); the limit is 0.5 (run.gates.fewer_customers)" in said
    # Each gate at its limit: 1 of 3 orders has no customer, 1 of 5 had none; Swiggy keeps one order.
    code, said = run(folder, gates={"fewer_customers": 2 / 3, "no_customer_rise": 1 / 3 - 1 / 5})
    assert code == 0, said
    assert list(folder.tables(["customers"])["customers"]["algonomy_id"]) == ["0000000007"]
    assert folder.account("swiggy", "orders")["kept"] == 1 and states(folder, "swiggy")["empty_channel"] == "passed"
    assert states(folder, "ownapp")["no_customer_rise"] == states(folder, "customers")["fewer_customers"] == "passed"


def test_a_notebook_has_the_gates_of_a_run(spark, folder):
    """The classes compare with the manifest next to the customer features, and publish where a gate is off."""
    lost = [row for row in MAPPING.splitlines() if row.split(",")[1] not in ("3", "4")]
    folder.write("maps/customers.csv", "\n".join([*lost, ""]))
    before = folder.published()
    body = {"feature_pipeline": folder.features, "run": {}}
    with pytest.raises(GateError, match=r"60.0% of the orders have no customer, 20.0% in the previous manifest"):
        OrderFeaturePipeline(body, "ownapp", spark).run()
    assert folder.published() == before
    body["run"] = {"gates": {"no_customer_rise": None}}
    assert OrderFeaturePipeline(body, "ownapp", spark).run().count() == 2
    body["run"] = {"gates": {"fewer_customers": 0.3}}
    before = folder.published()
    with pytest.raises(GateError, match=r"2 customers, 3 in the previous manifest \(33.3% fewer\); the limit is 0.3"):
        CustomerFeaturePipeline(body, spark).run()
    assert folder.published() == before
    body["run"] = {"gates": {"fewer_customers": 0.4}}
    assert CustomerFeaturePipeline(body, spark).run().count() == 2


@pytest.mark.parametrize(("how", "code"), [("warning", 0), ("stop", 3)])
def test_a_day_without_orders_in_a_busy_channel(folder, how, code):
    days = [day for day in pd.date_range("2025-05-20", "2025-06-30") if str(day.date()) != "2025-06-15"]
    orders = [
        APP_ORDERS[0] | {"id": number * 100 + at, "order_placed_datetime": f"{day.date()} 07:00:00"}
        for number, day in enumerate(days)
        for at in range(20)
    ]
    folder.parquet("ownapp/orders/part.parquet", frame_of(orders))
    customers = "".join(f"0000000007,{order['id']},,\n" for order in orders)
    folder.write("maps/customers.csv", HEADER + customers)
    found, said = run(folder, "--steps", "ownapp", gates={"missing_days": how})
    assert found == code and "ownapp: no order on 2025-06-15; the median day has 20" in said
    assert code == 3 or states(folder, "ownapp")["missing_days"] == "warned"
    assert code == 3 or any("2025-06-15" in text for text in folder.manifest()["warnings"])


def test_a_refresh_is_stopped_as_a_run_is(folder):
    shutil.rmtree(folder.out)
    assert run(folder, command="refresh")[0] == 0
    late = APP_ORDERS[0] | {"id": 6, "order_placed_datetime": "2025-05-20 07:00:00"}
    folder.parquet("ownapp/orders/late.parquet", frame_of([late]))
    folder.write("maps/customers.csv", MAPPING + "0000000007,6,,\n")
    code, said = run(folder, "--steps", "ownapp", "--as-of", "2025-07-07", command="refresh")
    assert code == 3  # of the orders that stay, the newest is of 29 June; that of 30 June has no customer
    assert "the newest order is of 2025-06-29, 8 days before the run date 2025-07-07" in said
    code, said = run(folder, "--steps", "ownapp", "--as-of", "2025-07-06", command="refresh")
    assert code == 0
    ownapp = folder.manifest()["steps"]["ownapp"]
    assert ownapp["refresh"]["computed"] == "changed" and ownapp["rows"] == 5
    messages = {each["gate"]: each["message"] for each in ownapp["gates"]}
    assert messages["empty_channel"] == "ownapp: 5 orders in the window, 5 kept"
    assert "the newest order is of 2025-06-29, 7 days before" in messages["freshness_days"]
    folder.write("maps/customers.csv", HEADER)
    code, said = run(folder, "--as-of", "2025-07-06", command="refresh")
    assert code == 3 and "0 kept (no_customer 5) (run.gates.empty_channel)" in said


def test_each_date_of_a_backfill_is_compared_with_the_one_before(folder):
    shutil.rmtree(folder.out)
    for section in (*CHANNELS, "customer"):
        path = folder.features[section]["output_path"]
        folder.features[section]["output_path"] = path.replace("/out/", "/out/{as_of}/")
    dates = ("--from", "2025-06-30", "--to", "2025-07-30")
    folder.run = {"gates": {"no_customer_rise": None}}
    code, said = folder.start("backfill", *dates)
    assert code == 3 and "as of 2025-07-30: " in said and "30 days before the run date 2025-07-30" in said
    assert (folder.out / "20250630/customers.parquet").exists() and not [*folder.out.glob("20250730/*")]
    folder.run = {"gates": {"freshness_days": 33}}
    code, said = folder.start("backfill", *dates)
    assert code == 0, said
    manifest = folder.manifest("20250730/")
    found = {each["gate"]: each for each in manifest["steps"]["customers"]["gates"]}
    assert found["fewer_customers"]["state"] == "passed"
    assert found["fewer_customers"]["message"].startswith("3 customers, 3 in the previous manifest")
    assert {each["gate"]: each["state"] for each in manifest["steps"]["ownapp"]["gates"]}[
        "no_customer_rise"
    ] == "passed"
