"""The customer mapping as a refresh copies it: typed rows by part, and how the rows of two copies differ."""

import csv
import gzip
import os
from collections import Counter
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

import compare
from blitz.errors import InputError
from blitz.raw.channels import CHANNELS
from blitz.raw.files import resolve
from blitz.raw.specs import CUSTOMER_MAPPING
from blitz.raw.tables import RawTable
from blitz.refresh.mapping import MappingLimits, MappingRows, copy_mapping, plan_mapping
from blitz.refresh.state import MappingCopy

Row = tuple[str | None, ...]
Keyed = Counter[tuple[str, int | None, str]]
ROWS: list[Row] = [
    ("a", "1", "2025-01-01", "7040"),
    ("a", "1", "2025-01-01", "7040"),
    ("b", "2.0", "2025-01-31 23:59:59", None),
    ("d", "4", "not a day", "7041"),
    ("e", "one", None, None),
    (None, "6", "2025-01-01", "7040"),
    ('c "x, y"', "3", "2025-03-01", "7041"),
]
NEW_ROWS: list[Row] = [
    ROWS[1],
    ("ü", "8", "2025-06-02", None),
    ("g", "7", "2025-06-01", "7040"),
]
OTHER: Row = ("z", "9", "2024-01-01", "7040")
HEAD = "customer_code_ty,invoice_no,invoice_date,store_code"
REVERSED = ",".join(HEAD.split(",")[::-1])  # the columns of b.csv


def keyed_by_hand(rows: Iterable[Row]) -> Keyed:
    """Customer, app key and in-store key of the rows that map an order, in plain Python: a row without a customer, with
    a day that cannot be read, or with neither an id nor a store and day maps nothing."""
    found = []
    for customer, invoice, day, store in rows:
        code = (invoice or "").removesuffix(".0")
        local = day[:10] if day and day[:2] == "20" else None
        days = str((date.fromisoformat(local) - date(1970, 1, 1)).days) if local else None
        key = "\x1f".join(part for part in (code, store, days) if part)
        if customer and (local or not day) and (code.isdigit() or (local and store)):
            found.append((customer, int(code) if code.isdigit() else None, key))
    return Counter(found)


class GrowingMapping:
    """A customer mapping of several files, some compressed or Parquet, that is copied again after each change."""

    def __init__(self, spark, root: Path) -> None:
        self.folder, self.place = root / "raw", root / "_refresh/customer_mapping"
        self.folder.mkdir(parents=True)
        self.spark, self.copies, self.number = spark, [], 0

    def write(self, name: str, rows: list[Row], end: str = "\n") -> None:
        path = self.folder / name
        if name.endswith(".parquet"):
            pd.DataFrame(rows, columns=HEAD.split(",")).to_parquet(path)
        else:
            is_reversed = name == "b.csv"
            values = pd.DataFrame([row[::-1] for row in rows] if is_reversed else rows)
            lines = values.to_csv(index=False, header=False, quoting=csv.QUOTE_ALL)
            text = f"{REVERSED if is_reversed else HEAD}\n{lines}"
            text = text.replace("\n", "\r\n") if end == "\r\n" else text
            data = (text.rstrip("\r\n") + end).encode()
            path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        self.number += 1
        os.utime(path, (1e9 + self.number, 1e9 + self.number))

    def table(self) -> RawTable:
        return resolve([(CUSTOMER_MAPPING, str(self.folder))])[0]

    def copy(self, **limits: int) -> MappingCopy:
        plan = plan_mapping(self.table(), "Asia/Kolkata", self.copies, MappingLimits(chunk_bytes=64, **limits))
        self.number += 1
        self.copies = [copy_mapping(self.spark, plan, f"{self.place}/{self.number}")]
        assert not [path for path in self.place.iterdir() if path.name.endswith("-lines")]
        return self.copies[0]

    def copied(self, **limits: int) -> list[Keyed]:
        """The rows of each part of the next copy."""
        return [rows_of(part.folder) for part in self.copy(**limits).parts]


def rows_of(folder: str) -> Keyed:
    """The rows of a part that map an order."""
    table = compare.read(folder).astype(object)
    table = table[table["reject_reason"].isna()][["customer", "delivery_key", "store_key"]]
    return Counter(
        tuple(None if pd.isna(value) else value for value in row) for row in table.itertuples(index=False, name=None)
    )


@pytest.mark.parametrize(
    ("name", "end", "later", "parsed"),
    [
        pytest.param("a.csv", "\n", [*ROWS, *NEW_ROWS], NEW_ROWS, id="grown"),
        pytest.param("a.csv", "", [*ROWS, *NEW_ROWS], None, id="grown after a line without an end"),
        pytest.param("a.csv", "", ROWS, [], id="written again, the last line without an end"),
        pytest.param("a.csv", "\r\n", [*ROWS, *NEW_ROWS], NEW_ROWS, id="grown, Windows line ends"),
        pytest.param("a.csv", "\n", [*ROWS[1:], *NEW_ROWS], None, id="changed at its beginning"),
        pytest.param("a.csv", "\n", ROWS[:4], None, id="cut off"),
        pytest.param("a.csv", "\n", ROWS, [], id="written again"),
        pytest.param("b.csv", "\n", [*ROWS, *NEW_ROWS], NEW_ROWS, id="grown, columns in another order"),
        pytest.param("a.csv.gz", "\n", [*ROWS, *NEW_ROWS], None, id="compressed"),
        pytest.param("a.parquet", "\n", [*ROWS, *NEW_ROWS], None, id="Parquet"),
    ],
)
def test_a_copy_keeps_parts_and_says_which_rows_differ(spark, tmp_path, name, end, later, parsed):
    """``parsed``: the rows of the second copy's new part; None where all are parsed again. Counted in plain Python."""
    raw = GrowingMapping(spark, tmp_path)
    raw.write("other.csv", [OTHER])
    raw.write(name, ROWS, end)
    first = raw.copy()
    raw.write(name, later, end)
    second = raw.copy()
    assert raw.copy() == second
    new = [rows_of(part.folder) for part in second.parts if part not in first.parts]
    assert sum(new, Counter()) == keyed_by_hand([OTHER, *later] if parsed is None else parsed)
    before, after = (keyed_by_hand([OTHER, *rows]) for rows in (ROWS, later))
    for copied, rows in ((first, before), (second, after)):
        assert sum((rows_of(part.folder) for part in copied.parts), Counter()) == rows
    changed = MappingRows(spark, second, f"{raw.place}/2").changes(first)
    differing = {row for row in {*before, *after} if before[row] != after[row]}
    assert {tuple(row) for row in changed.collect()} == differing


def test_rows_by_the_keys_of_a_channel_and_by_customer(spark, tmp_path):
    raw = GrowingMapping(spark, tmp_path)
    raw.write("a.csv", ROWS)
    rows, expected = MappingRows(spark, raw.copy(), f"{raw.place}/1"), keyed_by_hand(ROWS)
    for channel, at in (("ownapp", 1), ("swiggy", 1), ("instore", 2)):
        keyed = Counter(tuple(row) for row in rows.keyed(CHANNELS[channel]).collect())
        assert keyed == Counter((row[at], row[0]) for row in expected.elements())
    customers = spark.createDataFrame([("a",), ("x",)], "algonomy_id string")
    found = Counter(tuple(row) for row in rows.of_customers("some", customers).collect())
    assert found == {row: times for row, times in expected.items() if row[0] == "a"}


def test_files_of_a_mapping_grow_change_come_and_go(spark, tmp_path):
    raw = GrowingMapping(spark, tmp_path)
    raw.write("a.csv", ROWS[:2])
    raw.write("c.csv", ROWS[2:3])
    assert raw.copied() == [keyed_by_hand(ROWS[:3])]
    raw.write("a.csv", ROWS[:4])
    raw.write("d.csv", NEW_ROWS)
    assert raw.copied() == [keyed_by_hand(ROWS[:3]), keyed_by_hand([*ROWS[2:4], *NEW_ROWS])]
    raw.write("c.csv", [ROWS[6], ROWS[4]])  # with it the first part is lost, and so the beginning of a.csv
    assert sum(raw.copied(), Counter()) == keyed_by_hand([*ROWS[:4], ROWS[6], ROWS[4], *NEW_ROWS])
    (raw.folder / "d.csv").unlink()
    assert sum(raw.copied(), Counter()) == keyed_by_hand([*ROWS[:4], ROWS[6], ROWS[4]])


def test_appended_lines_are_read_as_in_their_file(spark, tmp_path):
    raw = GrowingMapping(spark, tmp_path)
    raw.write("a.csv", ROWS)
    raw.copied()
    with (raw.folder / "a.csv").open("ab") as file:
        file.write("\ufeffh,8,,\n\nk,9,,".encode())  # a mark of UTF-8, an empty line, a last line without an end
    found = raw.copied()
    assert found[1] == {("h", 8, "8"): 1, ("k", 9, "9"): 1}
    raw.copies = []
    assert raw.copied() == [sum(found, Counter())]
    raw.write("a.csv", [*ROWS, *NEW_ROWS])
    assert raw.copied(max_appended=10) == [keyed_by_hand([*ROWS, *NEW_ROWS])]


def test_a_mapping_that_changes_after_it_was_planned_is_refused(spark, tmp_path):
    raw = GrowingMapping(spark, tmp_path)
    raw.write("a.csv", ROWS)
    plan = plan_mapping(raw.table(), "Asia/Kolkata", [])
    raw.write("a.csv", [*ROWS, *NEW_ROWS])
    with pytest.raises(
        InputError, match=f"^{raw.folder}: was written while it was read; run again when it is complete$"
    ):
        copy_mapping(spark, plan, f"{raw.place}/1")


def test_a_mapping_of_many_parts_is_parsed_as_one_again(spark, tmp_path):
    raw = GrowingMapping(spark, tmp_path)
    for number, parts in enumerate((1, 2, 1, 2), start=1):
        raw.write("a.csv", ROWS[:number])
        found = raw.copied(max_parts=2)
        assert sum(found, Counter()) == keyed_by_hand(ROWS[:number]) and len(found) == parts
