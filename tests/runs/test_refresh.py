"""Refreshed order features: the same tables as a full computation's, and the files of months that did not change."""

import copy
import csv
import datetime as dt
import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare
from blitz.cli.main import main
from blitz.config import load_config
from blitz.errors import InputError
from blitz.pipelines import OrderFeaturePipeline
from blitz.pipelines.context import RunContext
from blitz.raw import channels
from blitz.raw.files import RawTable, resolve
from blitz.raw.specs import CUSTOMER_MAPPING
from blitz.refresh import mapping as refresh_mapping
from blitz.refresh.mapping import KeptMapping, mapping_copy
from blitz.refresh.run import refresh
from blitz.refresh.state import ChannelState, MappingCopy, changes, why_full
from blitz.run.preflight import preflight
from blitz.run.steps import chosen_steps
from blitz.storage import FileInfo
from world import INSTORE_LINE, INSTORE_ORDER, LINE, ORDER, World

CHANNELS = ("ownapp", "swiggy", "instore")
INSTORE = ("instore",)


def refreshed(
    spark, body: dict[str, Any], as_of: str, since: str | None = None, channels: tuple[str, ...] = CHANNELS
) -> dict[str, dict[str, Any]]:
    """What a refresh of the channels says it did."""
    config = load_config(conf=body, as_of=as_of)
    ready = preflight(config, chosen_steps(",".join(channels)))
    day = dt.date.fromisoformat(since) if since else None
    results = refresh(config, spark, ready, RunContext.of(config), day)
    assert all(account.adds_up for result in results for account in result.accounts)
    return {result.step: result.details["refresh"] for result in results}


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
    World._parquet(raw / "ownapp/orders/june", orders, ORDER)
    World._parquet(raw / "ownapp/lines/june", lines, LINE)
    World._parquet(raw / "queries/june", [{"order_id": 3}, {"order_id": 2}], {"order_id": 1})
    World._parquet(raw / "swiggy/orders/june", [ORDER | {"id": 19, "order_placed_datetime": "2025-06-20"}], ORDER)
    bill = INSTORE_ORDER | {"InvoiceNo": "19", "BussTime": "2024-11-30 09:00:00"}
    World._csv(raw / "instore/orders_june.csv", [bill.values()], list(bill))
    line = INSTORE_LINE | {"InvoiceNo": "19", "OrderDatetime": "2024-11-30 09:00:00"}
    World._csv(raw / "instore/lines_june.csv", [line.values()], list(line))
    world.customers += [("0008", "6", None, None), ("0007", "7", None, None), ("0007", "5", None, None)]
    world.customers += [("0008", "19", None, None), ("0007", "19", "2024-11-30", "7040")]
    columns = ["customer_code_ty", "invoice_no", "invoice_date", "store_code"]
    World._csv(raw / "maps/customers.csv", world.customers, columns)


@pytest.mark.slow
def test_a_refresh_gives_the_table_of_a_full_run(spark, tmp_path):
    world = first_world(tmp_path)
    body = world.config()
    first = refreshed(spark, body, "2025-06-01")
    assert {each["reason"] for each in first.values()} == {"there is no state of a refresh before"}
    output = Path(body["feature_pipeline"]["ownapp"]["output_path"])
    months = {path.name[:7]: path.stat().st_ino for path in output.glob("*.parquet")}
    assert sorted(months) == ["2023-03", "2024-10", "2025-05"]
    add_files(tmp_path, world)
    second = refreshed(spark, body, "2025-07-01")
    assert {each["computed"] for each in second.values()} == {"changed"}
    # Of own app, 1 (corrected), 2 (a late line and query) and 3 (out of the window) lose their rows; all months change.
    assert second["ownapp"]["months_rewritten"] == ["2023-03", "2024-10", "2025-05"]
    assert second["swiggy"]["months_rewritten"] == ["2025-02"]  # 0009 is no user any more
    assert differences(spark, body, "2025-07-01", tmp_path / "alone") == []
    rows = {row["order_id"]: row for row in compare.read(str(output)).to_dict("records")}
    assert sorted(rows) == [1, 2, 4, 5, 6, 7]
    assert (rows[1]["total_price"], rows[2]["item_count"], rows[2]["has_query"]) == (2.0, 42.0, True)
    assert sorted(compare.read(body["feature_pipeline"]["swiggy"]["output_path"])["order_id"]) == [11, 12, 19]
    assert sorted(compare.read(body["feature_pipeline"]["instore"]["output_path"])["order_id"]) == ["11", "12", "19"]
    rejected = compare.read(f"{tmp_path}/out/quarantine/ownapp_new_files")
    assert list(rejected["reason"]) == ["bad_record"] and "june" in rejected["file"][0]

    inodes = {path.stat().st_ino for path in output.glob("*.parquet")}
    third = refreshed(spark, body, "2025-07-01")  # nothing new: all files are kept, as they are
    assert {each["computed"] for each in third.values()} == {"nothing"}
    assert {path.stat().st_ino for path in output.glob("*.parquet")} == inodes

    path = tmp_path / "raw/ownapp/orders/part.parquet"  # an export that writes the same file again
    World._parquet(path.parent, [*world.ownapp, ORDER | {"id": 8, "order_placed_datetime": "2025-06-22"}], ORDER)
    since = refreshed(spark, body, "2025-07-01", since="2025-06-01")
    assert since["ownapp"]["computed"] == "changed" and since["ownapp"]["months_rewritten"] == ["2025-06"]
    kept = {path.name[:7] for path in output.glob("*.parquet") if path.stat().st_ino in inodes}
    assert kept == {"2024-10", "2024-12", "2025-01"}
    assert differences(spark, body, "2025-07-01", tmp_path / "alone") == []


@pytest.mark.slow
def test_csv_files_are_copied_once(spark, tmp_path):
    world = first_world(tmp_path)
    body = world.config()
    refreshed(spark, body, "2025-06-01", channels=("ownapp", "instore"))
    raw, state = tmp_path / "raw/instore", tmp_path / "out/_refresh/instore/state.json"
    first = json.loads(state.read_text())["copies"]
    assert {name: len(copies) for name, copies in first.items()} == {"orders": 1, "lines": 1}
    line = INSTORE_LINE | {"InvoiceNo": "11", "OrderDatetime": "2024-11-30 20:00:00", "Qty": "3"}
    unreadable = line | {"Qty": "three"}
    World._csv(raw / "lines_late.csv", [line.values(), unreadable.values()], list(line))
    found = refreshed(spark, body, "2025-06-01", channels=INSTORE)
    assert found["instore"]["changed_keys"] == 1
    again = json.loads(state.read_text())["copies"]
    assert again["orders"] == first["orders"] and again["lines"][0] == first["lines"][0] and len(again["lines"]) == 2
    assert len(compare.read(again["lines"][1]["folder"])) == 1
    assert list(compare.read(f"{tmp_path}/out/quarantine/instore_new_files")["reason"]) == ["bad_record"]
    assert differences(spark, body, "2025-06-01", tmp_path / "alone", INSTORE) == []

    bill = INSTORE_ORDER | {"InvoiceNo": "11", "BussTime": "2024-11-30 23:59:59", "GrossAmount": "7"}
    World._csv(raw / "orders.csv", [bill.values()], list(bill))  # written again: its copy must not be read any more
    found = refreshed(spark, body, "2025-06-01", since="2024-11-01", channels=INSTORE)
    assert found["instore"]["computed"] == "changed"
    assert json.loads(state.read_text())["copies"]["orders"] != first["orders"]
    copies = json.loads(state.read_text())["copies"]
    folders = {Path(copy["folder"]).name for each in copies.values() for copy in each}
    assert {path.name for path in state.parent.iterdir() if not path.name.startswith("users-")} == {
        "state.json",
        *folders,
    }
    assert differences(spark, body, "2025-06-01", tmp_path / "alone", INSTORE) == []


@pytest.mark.slow
def test_copies_of_another_time_zone_are_not_read(spark, tmp_path):
    world = first_world(tmp_path)
    # In Kolkata of 1 December, in Dubai of 30 November, where the late line below belongs to it.
    world.bill(InvoiceNo="21", BussTime="2024-11-30T19:00:00Z")
    world.customers.append(("0007", "21", "2024-12-01", "7040"))
    body = world.config()
    refreshed(spark, body, "2025-06-01", channels=("ownapp", "instore"))
    body["feature_pipeline"]["common"]["timezone"] = "Asia/Dubai"
    found = refreshed(spark, body, "2025-06-01", channels=INSTORE)
    assert found["instore"]["reason"] == "the settings changed"
    line = INSTORE_LINE | {"InvoiceNo": "21", "OrderDatetime": "2024-11-30 10:00:00", "Qty": "5"}
    World._csv(tmp_path / "raw/instore/lines_late.csv", [line.values()], list(line))
    assert refreshed(spark, body, "2025-06-01", channels=INSTORE)["instore"]["changed_keys"] == 1
    assert differences(spark, body, "2025-06-01", tmp_path / "alone", INSTORE) == []
    rows = compare.read(body["feature_pipeline"]["instore"]["output_path"]).set_index("order_id")
    assert rows.loc["21", "item_count"] == 5.0


MAPPING_ROWS: list[tuple[str | None, ...]] = [
    ("a", "1", "2025-01-01", "7040"),
    ("a", "1", "2025-01-01", "7040"),
    ("b", "2.0", "2025-01-31 23:59:59", None),
    ("d", "4", "not a day", "7041"),
    ("e", "one", None, None),
    (None, "6", "2025-01-01", "7040"),
    ('c "x, y"', "3", "2025-03-01", "7041"),
]
NEW_ROWS: list[tuple[str | None, ...]] = [
    MAPPING_ROWS[1],
    ("ü", "8", "2025-06-02", None),
    ("g", "7", "2025-06-01", "7040"),
]


def keyed_by_hand(rows: list[tuple[str | None, ...]]) -> Counter[tuple[str, int | None, str]]:
    """Customer, app key and in-store key of the rows that have a customer, in plain Python."""
    found = []
    for customer, invoice, day, store in rows:
        code = (invoice or "").removesuffix(".0")
        local = day[:10] if day and day[:2] == "20" else None
        key = "\x1f".join(part for part in (code, store, local) if part)
        if customer:
            found.append((customer, int(code) if code.isdigit() else None, key))
    return Counter(found)


def mapping_text(rows: list[tuple[str | None, ...]]) -> str:
    """The rows as CSV lines, without a header."""
    return pd.DataFrame(rows).to_csv(index=False, header=False, quoting=csv.QUOTE_ALL)


HEAD = "customer_code_ty,invoice_no,invoice_date,store_code"
TURNED = ",".join(HEAD.split(",")[::-1])  # the columns of the second file stand in another order


class RawMapping:
    """A customer mapping of several files of which some are compressed, or Parquet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def write(self, name: str, rows: list[tuple[str | None, ...]], end: str = "\n") -> None:
        path = self.folder / name
        if name.endswith(".parquet"):
            pd.DataFrame(rows, columns=HEAD.split(",")).to_parquet(path)
            return
        is_turned = name == "b.csv"
        text = f"{TURNED if is_turned else HEAD}\n" + mapping_text([row[::-1] for row in rows] if is_turned else rows)
        text = text.replace("\n", "\r\n") if end == "\r\n" else text
        data = (text.rstrip("\r\n") + end).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    def table(self) -> RawTable:
        return resolve([(CUSTOMER_MAPPING, str(self.folder))])[0]


@pytest.mark.parametrize(
    ("name", "end", "later", "parsed"),
    [
        pytest.param("a.csv", "\n", [*MAPPING_ROWS, *NEW_ROWS], NEW_ROWS, id="grown"),
        pytest.param("a.csv", "", [*MAPPING_ROWS, *NEW_ROWS], None, id="grown behind a line that had no end"),
        pytest.param("a.csv", "", MAPPING_ROWS, [], id="written again, the last line without an end"),
        pytest.param("a.csv", "\r\n", [*MAPPING_ROWS, *NEW_ROWS], NEW_ROWS, id="grown, lines of Windows"),
        pytest.param("a.csv", "\n", [*MAPPING_ROWS[1:], *NEW_ROWS], None, id="changed at its beginning"),
        pytest.param("a.csv", "\n", MAPPING_ROWS[:4], None, id="cut off"),
        pytest.param("a.csv", "\n", MAPPING_ROWS, [], id="written again"),
        pytest.param("b.csv", "\n", [*MAPPING_ROWS, *NEW_ROWS], NEW_ROWS, id="grown, columns in another order"),
        pytest.param("a.csv.gz", "\n", [*MAPPING_ROWS, *NEW_ROWS], None, id="compressed"),
        pytest.param("a.parquet", "\n", [*MAPPING_ROWS, *NEW_ROWS], None, id="Parquet"),
    ],
)
def test_a_copy_of_the_mapping_keeps_parts_and_tells_what_differs(
    spark, tmp_path, monkeypatch, name, end, later, parsed
):
    """``parsed``: the rows of the second copy's own part; None where all is read again. Expected by counts in Python."""
    monkeypatch.setattr(refresh_mapping, "CHUNK", 64)  # so that small files have several
    other = ("z", "9", "2024-01-01", "7040")
    raw, place = RawMapping(tmp_path / "raw"), f"{tmp_path}/_refresh/customer_mapping"
    raw.write("other.csv", [other])
    raw.write(name, MAPPING_ROWS, end)
    first = mapping_copy(spark, raw.table(), "Asia/Kolkata", [], f"{place}/1")
    raw.write(name, later, end)
    os.utime(raw.folder / name, (1e9, 1e9))
    second = mapping_copy(spark, raw.table(), "Asia/Kolkata", [first], f"{place}/2")
    assert mapping_copy(spark, raw.table(), "Asia/Kolkata", [first, second], f"{place}/3") == second
    assert not [path for path in Path(place).iterdir() if path.name.endswith("-lines")]
    own = [part for part in second.parts if part not in first.parts]
    found = Counter(row for part in own for row in rows_of(part.folder))
    assert found == keyed_by_hand([other, *later] if parsed is None else parsed)
    counts = [keyed_by_hand([other, *rows]) for rows in (MAPPING_ROWS, later)]
    for copied, rows in zip((first, second), counts, strict=True):
        mapping = KeptMapping(spark, copied, place)
        for channel, at in (("ownapp", 1), ("instore", 2)):
            keyed = Counter(tuple(row) for row in mapping.keyed(channels.CHANNELS[channel]).collect())
            assert keyed == Counter((row[at], row[0]) for row in rows.elements())
    mapping = KeptMapping(spark, second, f"{place}/2")
    changed = mapping.changes(first)
    differing = {row for row in {*counts[0], *counts[1]} if counts[0][row] != counts[1][row]}
    assert {tuple(row) for row in changed.collect()} == differing if changed else not differing
    assert mapping.changes(second) is None


def rows_of(folder: str) -> list[tuple[str | None, int | None, str]]:
    """The rows of a part's Parquet files."""
    table = compare.read(folder).astype(object)
    return [tuple(None if pd.isna(value) else value for value in row) for row in table.itertuples(index=False)]


class GrowingMapping(RawMapping):
    """A mapping that is copied again and again, each time beside the copy before."""

    def __init__(self, spark, root: Path) -> None:
        super().__init__(root / "raw")
        self.spark, self.root, self.copies, self.number = spark, root, [], 0

    def copied(self) -> list[Counter[tuple[str | None, int | None, str]]]:
        """The rows of each part of the next copy."""
        self.number += 1
        place = f"{self.root}/_refresh/customer_mapping/{self.number}"
        self.copies = [mapping_copy(self.spark, self.table(), "Asia/Kolkata", self.copies, place)]
        return [Counter(rows_of(part.folder)) for part in self.copies[0].parts]


def test_files_of_a_mapping_grow_change_come_and_go(spark, tmp_path):
    raw, rows = GrowingMapping(spark, tmp_path), MAPPING_ROWS
    raw.write("a.csv", rows[:2])
    raw.write("c.csv", rows[2:3])
    assert raw.copied() == [keyed_by_hand(rows[:3])]
    raw.write("a.csv", rows[:4])
    raw.write("d.csv", NEW_ROWS)
    assert raw.copied() == [keyed_by_hand(rows[:3]), keyed_by_hand([*rows[2:4], *NEW_ROWS])]
    raw.write("c.csv", [rows[6], rows[4]])  # with it the first part is lost, and so the beginning of a.csv
    assert sum(raw.copied(), Counter()) == keyed_by_hand([*rows[:4], rows[6], rows[4], *NEW_ROWS])
    (raw.folder / "d.csv").unlink()
    assert sum(raw.copied(), Counter()) == keyed_by_hand([*rows[:4], rows[6], rows[4]])


def test_a_tail_of_a_mapping_is_read_as_in_its_file(spark, tmp_path, monkeypatch):
    raw = GrowingMapping(spark, tmp_path)
    raw.write("a.csv", MAPPING_ROWS)
    raw.copied()
    with (raw.folder / "a.csv").open("ab") as file:
        file.write("\ufeffh,8,,\n\nk,9,,".encode())  # a mark of UTF-8, an empty line, a last line without an end
    found = raw.copied()
    assert found[1] == {("\ufeffh", 8, "8"): 1, ("k", 9, "9"): 1}
    raw.copies = []
    assert raw.copied() == [sum(found, Counter())]
    monkeypatch.setattr(refresh_mapping, "MOST_TAIL", 10)
    raw.write("a.csv", [*MAPPING_ROWS, *NEW_ROWS])
    assert raw.copied() == [keyed_by_hand([*MAPPING_ROWS, *NEW_ROWS])]


def test_a_mapping_that_is_written_while_it_is_read_is_refused(spark, tmp_path, monkeypatch):
    raw, write = GrowingMapping(spark, tmp_path), refresh_mapping._write

    def write_while_it_changes(*arguments: Any) -> None:
        write(*arguments)
        raw.write("a.csv", [*MAPPING_ROWS, *NEW_ROWS])

    raw.write("a.csv", MAPPING_ROWS)
    monkeypatch.setattr(refresh_mapping, "_write", write_while_it_changes)
    with pytest.raises(InputError, match=f"^{raw.folder}: was written while it was read; run again"):
        raw.copied()


def test_a_mapping_of_many_parts_is_parsed_as_one_again(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(refresh_mapping, "MOST_PARTS", 2)
    raw = GrowingMapping(spark, tmp_path)
    for number, parts in enumerate((1, 2, 1, 2), start=1):
        raw.write("a.csv", MAPPING_ROWS[:number])
        found = raw.copied()
        assert sum(found, Counter()) == keyed_by_hand(MAPPING_ROWS[:number]) and len(found) == parts


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


STATE = ChannelState(
    made_by={"the settings": "a", "the category file": "b"}, start="2023-03-01", end="2025-06-01",
    inputs={"orders": [["/x/a", 5, 1.0], ["/x/b", 6, 2.0]]}, output=[["p", 3]], mapping=MappingCopy([], "", []), users=None,
    copies={},
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"now": {"the settings": "a", "the category file": "c"}}, "the category file changed"),
        ({"window": ("2023-02-28", "2025-06-01")}, "the window moved back, from 2023-03-01"),
        ({"window": ("2023-03-01", "2025-05-31")}, "the window moved back"),
        ({"output": [["p", 4]]}, "the output is not the one that the refresh before left"),
        ({"lost": {"orders": frozenset({"/x/a", "/x/b"})}}, "/x/a and 1 more was written again or removed"),
        ({"before": None}, "there is no state"),
        ({}, None),
        ({"window": ("2023-04-01", "2025-07-01")}, None),
        ({"lost": {"orders": frozenset({"/x/a"})}, "has_since": True}, None),
    ],
)
def test_reasons_to_compute_everything(tmp_path, change, reason):
    usual = {
        "before": STATE, "now": STATE.made_by,
        "window": (STATE.start, STATE.end), "output": STATE.output, "lost": {}, "has_since": False,
    }  # fmt: skip
    found = why_full(**(usual | change))
    assert found is None if reason is None else found.startswith(reason)


def test_files_that_came_changed_and_went():
    def table(*files: FileInfo) -> Any:
        return type("Table", (), {"files": files})

    found = changes(STATE, {"orders": table(FileInfo("/x/a", 5, 1.0), FileInfo("/x/c", 1, 9.0))})
    assert (found.added["orders"], found.rewritten["orders"], found.lost["orders"]) == ({"/x/c"}, set(), {"/x/b"})
    found = changes(STATE, {"orders": table(FileInfo("/x/a", 5, 1.5), FileInfo("/x/b", 6, 2.0))})
    assert (found.added["orders"], found.rewritten["orders"], found.lost["orders"]) == (set(), {"/x/a"}, {"/x/a"})
