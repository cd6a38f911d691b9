"""A whole run over rough raw data: right results, every row accounted for, nobody's id in a log, every input read once.

What each planted row is, and what must become of it, stands in rough.py.
"""

import contextlib
import io
import json
import logging
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from blitz.cli.main import main
from blitz.spark.engine import is_connect
from rough import KEPT, Rough, customer, plant

pytestmark = pytest.mark.engines
CHANNELS = ("ownapp", "swiggy", "instore")
MARKS = {"ownapp": ("total_price", "original_price"), "instore": ("GrossAmount", "PriceNet")}
MARKS["swiggy"] = MARKS["ownapp"]


class Ran:
    """What a run left: exit code, all that it said, its manifest, and the file scans of each of its jobs."""

    def __init__(self, rough: Rough, code: int, said: str, scans: list[list[tuple[str, int]]]) -> None:
        self.rough, self.code, self.said, self.scans = rough, code, said, scans
        self.out = rough.root / "out"
        manifest = self.out / "manifest.json"
        self.manifest: dict[str, Any] = json.loads(manifest.read_text()) if manifest.exists() else {}

    def accounts(self, step: str) -> dict[str, dict[str, Any]]:
        return {account["table"]: account for account in self.manifest["steps"][step]["accounts"]}

    def rows(self, name: str, key: str) -> dict[Any, dict[str, Any]]:
        found = pd.read_parquet(self.out / name).to_dict("records")
        assert len({row[key] for row in found}) == len(found) or key == "order_id"
        return {row[key]: row for row in found}


class Heard(logging.Handler):
    """Everything that any logger says, with its traces."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += self.format(record) + "\n"


def run(spark, rough: Rough, config: str, *arguments: str) -> Ran:
    heard, said = Heard(), io.StringIO()
    loggers = [logging.getLogger(name) for name in ("", "blitz", "py.warnings")]
    before = executions(spark)
    spark.conf.set("spark.sql.maxMetadataStringLength", "4000")  # for scans_of
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
        for logger in loggers:
            logger.addHandler(heard)
        code = main("run_all", argv=["--conf", config, *arguments])
        for logger in loggers:
            logger.removeHandler(heard)
    spark.conf.unset("spark.sql.maxMetadataStringLength")
    return Ran(
        rough, code, said.getvalue() + heard.text, [scans_of(spark, n) for n in sorted(executions(spark) - before)]
    )


def executions(spark) -> set[int]:
    """The numbers of all SQL executions so far."""
    if is_connect(spark):
        return set()
    spark._jsc.sc().listenerBus().waitUntilEmpty()
    found = spark._jsparkSession.sharedState().statusStore().executionsList()
    return {found.apply(at).executionId() for at in range(found.size())}


def scans_of(spark, execution: int) -> list[tuple[str, int]]:
    """(places, rows that came out) of every file scan of one execution, as it ran in the end."""
    store = spark._jsparkSession.sharedState().statusStore()
    nodes, values = store.planGraph(execution).allNodes(), store.executionMetrics(execution)
    found = []
    for node in (nodes.apply(at) for at in range(nodes.size())):
        places = re.search(r"Location: [^\[]*\[([^\]]*)\]", node.desc())
        if not node.name().startswith("Scan ") or not places:
            continue
        metrics = [node.metrics().apply(at) for at in range(node.metrics().size())]
        (rows,) = (m.accumulatorId() for m in metrics if m.name() == "number of output rows")
        text = values.apply(rows) if values.contains(rows) else "0"
        found.append((places.group(1), int(text.replace(",", ""))))
    return found


@pytest.fixture(scope="module")
def ran(spark, tmp_path_factory) -> Ran:
    rough = plant(tmp_path_factory.mktemp("rough"))
    return run(spark, rough, rough.write(max_rejected_fraction=0.6))


def test_every_row_has_the_fate_that_was_planted(ran):
    assert ran.code == 0, ran.said
    for (channel, table), fates in ran.rough.fates.items():
        account = ran.accounts(channel)[table]
        assert account["read"] == fates.total(), (channel, table)
        assert account["kept"] == fates[KEPT], (channel, table)
        lost = {reason: count for reason, count in account["dropped"].items() if count}
        assert lost == dict(fates - Counter({KEPT: fates[KEPT]})), (channel, table)


def test_read_is_kept_and_dropped_in_every_account(ran):
    accounts = [account for step in ran.manifest["steps"].values() for account in step["accounts"]]
    assert len(accounts) == 2 * len(CHANNELS) + 1 + 2 * len(CHANNELS) + 1
    for account in accounts:
        assert account["read"] == account["kept"] + sum(account["dropped"].values()), account
    mapping = ran.accounts("ownapp")["customer mapping"]
    assert mapping["read"] == len(ran.rough.mapping)
    assert mapping["dropped"] == {"bad_record": 0, "no_customer_code": 1, "no_key": 1}
    (customers,) = ran.accounts("segments").values()
    assert (customers["read"], customers["kept"]) == (5, 3)
    assert customers["dropped"] == {"bad_record": 0, "over_100_orders": 1, "no_category": 1}
    notes = ran.accounts("ownapp")["orders"]["notes"]
    assert notes == {
        "customer_conflicts": 1, "store_codes_conflicts": 1, "stores_conflicts": 1, "categories_conflicts": 3,
    }  # fmt: skip
    assert ran.accounts("instore")["orders"]["notes"]["customer_conflicts"] == 1


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_quarantine_holds_the_rejected_rows_and_no_others(ran, channel):
    path = ran.manifest["steps"][channel]["quarantine"]
    held = pd.read_parquet(path)
    assert list(held) == ["table", "file", "reason", "raw"]
    found: Counter[tuple[str, str, str, str | None]] = Counter()
    for row in held.itertuples(index=False):
        raw = json.loads(row.raw)
        mark = raw.get(MARKS[channel][row.table == "lines"])
        found[row.table, Path(row.file).name, row.reason, None if mark is None else str(mark)] += 1
        assert Path(row.file).parent == Path(f"file:{ran.rough.raw}/{channel}/{row.table}")
    assert found == ran.rough.rejected[channel]
    by_mark = {raw.get("total_price"): raw for raw in map(json.loads, held["raw"])}
    if channel == "ownapp":
        assert by_mark[12.25]["id"] == 12.5 and by_mark["16.25"]["order_placed_datetime"] == "yesterday"


def test_the_times_of_every_file_are_the_same_time(ran):
    rows = ran.rows("ownapp.parquet", "order_id")
    eastern = pd.Timestamp("2025-02-01 02:00:00", tz="UTC")
    assert [rows[id]["order_placed_datetime"] for id in (6, 7040)] == [eastern, eastern]
    assert rows[2]["order_placed_datetime"] == pd.Timestamp("2023-03-31 18:30:00.000001", tz="UTC")
    assert rows[5]["order_placed_datetime"] == pd.Timestamp("2025-06-30 18:29:59", tz="UTC")
    assert {rows[id]["order_time_of_day"] for id in (6, 7040)} == {"Breakfast"}
    late = ran.rows("swiggy.parquet", "order_id")
    assert {late[id]["order_placed_datetime"] for id in (20000, 20001)} == {pd.Timestamp("2025-03-01 20:00", tz="UTC")}
    assert {(late[id]["order_time_of_day"], late[id]["is_weekend"]) for id in late} == {("Late Night", 1)}
    noon = {(row["StoreCode"], str(row["BussTime"])) for row in ran.rows("instore.parquet", "BaseAmount").values()}
    assert noon == {
        ("7040", "2025-01-07 13:00:00"), ("7041", "2025-01-07 13:00:00"), ("7040", "2025-01-08 13:00:00"),
    }  # fmt: skip


def test_lines_and_customers_go_to_their_own_orders(ran):
    first = ran.rows("ownapp.parquet", "order_id")[1]
    assert (first["algonomy_id"], first["total_price"]) == (customer(1), 100.0)  # of three rows; of two customers
    assert (first["item_count"], first["promo_items"]) == (2 + 1 + 3 + 1 + 1 + 4, 3 + 1)
    assert (first["veg_count"], first["veg_indicator"], first["customization_flag"]) == (4, 0, 1)
    assert list(first["unique_base_products_in_order"]) == ["McVeggie"]
    assert (first["store_type"], first["store_geographical_city"]) == ('Mall "A"', "Mumbai")
    spaced = ran.rows("ownapp.parquet", "order_id")[7040]
    assert (spaced["store_name"], list(spaced["unique_dri_categories_in_order"])) == ("Main", ["Drinks"])

    bills = ran.rows("instore.parquet", "BaseAmount")
    assert [bills[base]["algonomy_id"] for base in (190, 290, 390)] == [customer(1), customer(2), customer(4)]
    assert [bills[base]["item_count"] for base in (190, 290, 390)] == [2 + 1 + 6 + 7, 3 + 1, 4]
    kinds = [list(bills[base]["unique_dri_categories_in_order"]) for base in (190, 290, 390)]
    assert kinds == [["Burgers"], ["Sides"], ["Sides"]]  # the first of Burgers and Sides, of Sides and Snacks
    assert bills[190]["SaleType"] == 'Eat "In", large'
    people = ran.rows("customers.parquet", "algonomy_id")
    assert {who: people[who]["channels_ordered_from"] for who in people} == {
        customer(1): "OC + Dine in + Swiggy", customer(2): "OC + Dine in", customer(3): "OC only",
        customer(4): "OC + Dine in + Swiggy", customer(6): "OC only",
    }  # fmt: skip


@pytest.mark.spark
def test_no_job_reads_an_input_twice(ran):
    """One job per step, one per quarantine and one that looks there for half records, and two over the rows that the
    scores keep; of each, every file scan is of another file, and counts its rows once. The report's jobs come after: over the outputs, and one over the raw lines
    for the items without a category."""
    steps = len(CHANNELS) * 3 + 3 + 1 + 2
    of_report = [[places for places, _ in scans] for scans in ran.scans[steps:]]
    assert len(of_report) == 5
    assert sum(any("/raw/" in places for places in job) for job in of_report) == 1
    assert not any("/orders/" in places and "/raw/" in places for job in of_report for places in job)
    for scans in ran.scans[:steps]:
        places = [place for places, _ in scans for place in places.split(", ")]
        assert places and len(places) == len(set(places)), places
    for channel in CHANNELS:
        jobs = [job for job in ran.scans[:steps] if any(f"/raw/{channel}/orders/" in places for places, _ in job)]
        assert len(jobs) == 2  # the features with all their counts, and the rejected rows for the quarantine
        features, quarantine = jobs
        for table in ("orders", "lines"):
            rows = sum(count for places, count in features if f"/raw/{channel}/{table}/" in places)
            empty_lines = int((channel, table) == ("instore", "orders"))  # one line of commas
            assert rows == ran.rough.fates[channel, table].total() + empty_lines
        assert not any("/maps/" in places or "/out/" in places for places, _ in quarantine)


def test_too_many_rejected_rows_stop_the_run(ran, spark):
    """What was published before is untouched; the message names counts, the limit and the quarantine."""

    def published() -> dict[str, int]:
        files = (path for path in ran.out.rglob("*") if "quarantine" not in path.parts)
        return {str(path): path.stat().st_mtime_ns for path in files if path.is_file()}

    before = published()
    body = ran.rough.config(max_rejected_fraction=0.08)
    path = ran.rough.root / "strict.json"
    path.write_text(json.dumps(body))
    strict = run(spark, ran.rough, str(path))
    assert strict.code == 1
    assert published() == before
    (line,) = [line for line in strict.said.splitlines() if line.startswith("run_all: failed")]
    assert "ownapp orders: 8.13% of 123 rows cannot be read (bad_record 5, bad_timestamp 5)" in line
    assert "max_rejected_fraction = 8.00%" in line and f"{ran.out}/quarantine/ownapp" in line
    assert len(pd.read_parquet(ran.out / "quarantine/ownapp")) == 14
    assert "swiggy: started" not in strict.said and "CUST-LEAK" not in strict.said


def test_no_log_and_no_message_holds_a_customer(ran):
    assert "ownapp: 106 rows" in ran.said and "microsegments: 1 rows" in ran.said
    debug = (ran.rough.root / "debug.log").read_text()
    assert "ownapp: started" in debug
    manifest = (ran.out / "manifest.json").read_text()
    for text in (ran.said, debug, manifest):
        assert "CUST" not in text and "LEAK" not in text
    assert customer(1) in pd.read_parquet(ran.out / "segments.par")["algonomy_id"].tolist()
