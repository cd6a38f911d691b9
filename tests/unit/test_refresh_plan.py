"""What a refresh plans, without an engine: the state before, files, reasons to compute everything, the printed plan."""

import hashlib
import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from blitz.cli.main import main
from blitz.config import load_config
from blitz.raw.files import resolve
from blitz.raw.specs import APP_ITEMS, APP_ORDERS, CUSTOMER_MAPPING, ORDER_QUERIES
from blitz.raw.tables import RawTable
from blitz.refresh.byte_ranges import digests
from blitz.refresh.mapping import MappingLimits, MappingPlan, plan_mapping
from blitz.refresh.plan import (
    SMALL_FILE,
    Changed,
    ChannelInputs,
    FileChanges,
    Full,
    Unchanged,
    describe,
    file_changes,
    plan_channel,
    split_output,
)
from blitz.refresh.run import channel_inputs, plan_refresh
from blitz.refresh.state import (
    ByteRange,
    ChannelState,
    Digest,
    HashedRange,
    MappingCopy,
    MappingPart,
    OutputFile,
    TableCopy,
    UsersCopy,
    Window,
    output_files,
    read_state,
    state_folder,
)
from blitz.run.preflight import preflight
from blitz.run.steps import chosen_steps
from blitz.storage import FileInfo
from world import LINE, ORDER, World

WINDOW = Window(date(2023, 3, 1), date(2025, 6, 1))
A, B, C = FileInfo("/x/a", 5, 1.0), FileInfo("/x/b", 6, 2.0), FileInfo("/x/c", 1, 9.0)
LINES, MAPPING = FileInfo("/x/lines", 7, 3.0), FileInfo("/x/map", 8, 4.0)
NONE: dict[str, frozenset[str]] = {"orders": frozenset(), "lines": frozenset()}


def raw(name: str, *files: FileInfo) -> RawTable:
    spec = {"orders": APP_ORDERS, "lines": APP_ITEMS, "queries": ORDER_QUERIES, "mapping": CUSTOMER_MAPPING}[name]
    return RawTable(spec, "/x", (), files)


STATE = ChannelState(
    fingerprints={"the settings": "a", "the category file": "b"},
    window=WINDOW,
    inputs={"orders": (A, B), "lines": (LINES,)},
    output=(OutputFile("2025-05-part.parquet", 3),),
    mapping=MappingCopy((MAPPING,), "typed", ()),
    users=None,
    copies={},
)
NOW = ChannelInputs(
    fingerprints=STATE.fingerprints,
    window=WINDOW,
    tables={"orders": raw("orders", A, B), "lines": raw("lines", LINES)},
    output=STATE.output,
    mapping=MappingPlan(raw("mapping", MAPPING), "UTC", "typed", (), ()),
    users_source=None,
)


def test_nothing_changed():
    assert plan_channel(STATE, NOW) == Unchanged()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fingerprints": {"the settings": "a", "the category file": "c"}}, "the category file changed"),
        ({"fingerprints": {"the settings": "x", "the category file": "c"}}, "the settings, the category file changed"),
        ({"window": Window(date(2023, 2, 28), date(2025, 6, 1))},
         "the window moved back, from 2023-03-01 - 2025-06-01 to 2023-02-28 - 2025-06-01"),
        ({"window": Window(date(2023, 3, 1), date(2025, 5, 31))},
         "the window moved back, from 2023-03-01 - 2025-06-01 to 2023-03-01 - 2025-05-31"),
        ({"output": (OutputFile("2025-05-part.parquet", 4),)}, "the output is not the one that the last refresh published"),
        ({"output": ()}, "the output is not the one that the last refresh published"),
        ({"tables": {"orders": raw("orders", A), "lines": raw("lines", LINES)}},
         "/x/b was rewritten or removed (--since DATE names the first local day whose orders can differ)"),
        ({"tables": {"orders": raw("orders", replace(A, size=9)), "lines": raw("lines", LINES)}},
         "/x/a and 1 more were rewritten or removed (--since DATE names the first local day whose orders can differ)"),
    ],
)  # fmt: skip
def test_reasons_to_compute_all_orders(change, reason):
    assert plan_channel(STATE, replace(NOW, **change)) == Full(reason)


def test_without_a_state_all_orders_are_computed():
    assert plan_channel(None, NOW) == Full("there is no state of an earlier refresh")


def test_missing_copies_are_a_reason_to_compute_all_orders(tmp_path):
    (tmp_path / "users").mkdir()
    (tmp_path / "users/part-0.parquet").write_bytes(b"abc")
    users = UsersCopy(f"{tmp_path}/users", (), (OutputFile("part-0.parquet", 3),))
    assert plan_channel(replace(STATE, users=users), replace(NOW, users_source=())) == Unchanged()
    missing = Full("files that the last refresh kept next to its state are missing")
    (tmp_path / "users/part-0.parquet").write_bytes(b"ab")
    assert plan_channel(replace(STATE, users=users), replace(NOW, users_source=())) == missing
    part = MappingPart((), f"{tmp_path}/gone", (OutputFile("part-0.parquet", 3),))
    assert plan_channel(replace(STATE, mapping=replace(STATE.mapping, parts=(part,))), NOW) == missing


def test_files_that_are_new_rewritten_and_removed():
    tables = {
        "orders": raw("orders", A, C),
        "lines": raw("lines", replace(LINES, modified=3.5)),
        "queries": raw("queries", B),
    }
    found = file_changes(STATE.inputs, tables)
    assert found.new == {"orders": {"/x/c"}, "lines": frozenset(), "queries": {"/x/b"}}
    assert found.rewritten == {"orders": frozenset(), "lines": {"/x/lines"}, "queries": frozenset()}
    assert found.removed == {"orders": {"/x/b"}, "lines": frozenset(), "queries": frozenset()}
    assert (found.unread("orders"), found.unread("lines")) == ({"/x/c"}, {"/x/lines"})


def users_copy(*source: OutputFile) -> UsersCopy:
    return UsersCopy("/x/no-folder", source, ())


@pytest.mark.parametrize(
    ("before", "now", "since", "causes"),
    [
        pytest.param({}, {"tables": {"orders": raw("orders", A, B, C), "lines": raw("lines", LINES)}}, None,
                     ["1 new file of orders"], id="new file"),
        pytest.param({}, {"tables": {"orders": raw("orders", A, C), "lines": raw("lines", replace(LINES, size=1))}},
                     date(2025, 5, 1),
                     ["1 new file of orders", "1 rewritten file of lines", "1 removed file of orders",
                      "orders of 2025-05-01 and later can differ (--since)"], id="rewritten and removed, with --since"),
        pytest.param({}, {"window": Window(date(2023, 4, 1), date(2025, 7, 1))}, None,
                     ["orders of 2025-06-01 and later entered the window", "orders before 2023-04-01 left the window"],
                     id="window moved on"),
        pytest.param({}, {"mapping": replace(NOW.mapping, missing=(HashedRange(ByteRange("/x/map", 8, 9), Digest()),))}, None,
                     ["the customer mapping changed"], id="mapping grew"),
        pytest.param({"mapping": replace(STATE.mapping, parts=(MappingPart((), "/x/no-folder", ()),))}, {}, None,
                     ["the customer mapping changed"], id="mapping lost a part"),
        pytest.param({"users": users_copy(OutputFile("a", 1))}, {"users_source": (OutputFile("a", 1),)}, None, [], id="same users"),
        pytest.param({"users": users_copy(OutputFile("a", 1))}, {"users_source": (OutputFile("a", 2),)}, None,
                     ["the own-app users may have changed"], id="other own-app output"),
        pytest.param({"users": users_copy(OutputFile("a", 1))}, {"users_source": None}, None,
                     ["the own-app users may have changed"], id="own app is computed first"),
    ],
)  # fmt: skip
def test_causes_to_compute_changed_orders(before, now, since, causes):
    plan = plan_channel(replace(STATE, **before), replace(NOW, **now), since)
    assert (plan.causes() if isinstance(plan, Changed) else []) == causes


def test_what_a_moved_window_opens_and_drops():
    plan = plan_channel(STATE, replace(NOW, window=Window(date(2023, 3, 1), date(2025, 7, 1))))
    assert isinstance(plan, Changed)
    assert plan.opened == Window(date(2025, 6, 1), date(2025, 7, 1)) and not plan.drops_orders
    plan = plan_channel(STATE, replace(NOW, window=Window(date(2023, 3, 2), date(2025, 6, 1))))
    assert isinstance(plan, Changed)
    assert plan.opened is None and plan.drops_orders


def output(**sizes: int) -> list[OutputFile]:
    return [OutputFile(f"{name[1:5]}-{name[5:7]}-{name[8:]}.parquet", size) for name, size in sizes.items()]


def test_files_of_an_output_that_are_kept_rewritten_and_dropped():
    files = output(m202302_a=SMALL_FILE, m202303_a=SMALL_FILE, m202305_a=SMALL_FILE, m202305_b=1)
    split = split_output(files, {"2023-05-b.parquet", "2023-02-a.parquet"}, date(2023, 3, 1))
    assert split.keep == {"2023-03-a.parquet", "2023-05-a.parquet"}
    assert (split.rewrite, split.drop) == ({"2023-05-b.parquet"}, {"2023-02-a.parquet"})
    split = split_output(files, set(), date(2023, 3, 2))  # the window begins inside March
    assert (split.keep, split.rewrite) == ({"2023-05-a.parquet", "2023-05-b.parquet"}, {"2023-03-a.parquet"})


@pytest.mark.parametrize(("small", "rewritten"), [(8, 0), (9, 9)])
def test_many_small_files_of_a_month_are_merged(small, rewritten):
    files = [OutputFile(f"2023-05-{at}.parquet", SMALL_FILE - 1) for at in range(small)]
    files += output(m202305_large=SMALL_FILE, m202306_a=1)
    split = split_output(files, set(), date(2023, 3, 1))
    assert len(split.rewrite) == rewritten and {"2023-05-large.parquet", "2023-06-a.parquet"} <= split.keep


def test_a_plan_as_text():
    changed = Changed(STATE, Window(date(2023, 4, 1), date(2025, 7, 1)),
                      FileChanges({**NONE, "orders": frozenset({"/x/june"})}, NONE, NONE), mapping=True, users=False)  # fmt: skip
    text = describe({"ownapp": Full("the settings changed"), "swiggy": changed, "instore": Unchanged()})
    assert [line.strip() for line in text.splitlines()] == [
        "Refresh of  Computes        Because",
        "ownapp      all orders      the settings changed",
        "swiggy      changed orders  1 new file of orders; the customer mapping changed; orders of 2025-06-01 and later "
        "entered the window; orders before 2023-04-01 left the window",
        "instore     nothing         nothing changed",
        "",
        "Raw file of    Is   Where",
        "swiggy orders  new  /x/june",
    ]


def test_a_plan_lists_some_files_and_how_many_more():
    many = frozenset(f"/x/{at:02}" for at in range(25))
    changed = Changed(STATE, WINDOW, FileChanges({**NONE, "lines": many}, NONE, NONE), mapping=False, users=False)
    lines = describe({"ownapp": changed}).splitlines()
    assert len(lines) == 2 + 1 + 1 + 20 + 1 and lines[-2].endswith("/x/19") and lines[-1].endswith("and 5 more")


FULL_STATE = replace(
    STATE,
    users=UsersCopy("/x/users", (OutputFile("a", 1),), (OutputFile("b", 2),)),
    mapping=MappingCopy(
        (MAPPING,),
        "typed",
        (MappingPart((HashedRange(ByteRange("/x/map", 0, 8), Digest("ab", True)),), "/x/part", (OutputFile("c", 3),)),),
    ),
    copies={"orders": (TableCopy("/x/copy", (A,), (OutputFile("d", 4),), "typed"),), "lines": ()},
)


def test_a_state_is_read_as_it_was_written(tmp_path):
    path = f"{tmp_path}/_refresh/ownapp/state.json"
    assert read_state(path) is None
    FULL_STATE.write(path)
    assert read_state(path) == FULL_STATE


@pytest.mark.parametrize(
    "change", [lambda text: text[:100], lambda text: text.replace('"window"', '"windows"'), lambda text: "[]"]
)
def test_a_state_that_cannot_be_read_is_none(tmp_path, change):
    path = tmp_path / "state.json"
    FULL_STATE.write(str(path))
    path.write_text(change(path.read_text()))
    assert read_state(str(path)) is None


def test_digests_of_byte_ranges(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"abcdef\nxyz")
    ranges = [ByteRange(str(path), 0, 7), ByteRange(str(path), 7, 10), ByteRange(f"{path}.gz", 0, 3)]
    found = digests(ranges, chunk_bytes=4)
    chunked = [hashlib.sha256(part).digest() for part in (b"abcd", b"ef\n")]
    assert found[ranges[0]] == Digest(hashlib.sha256(b"".join(chunked)).hexdigest(), ends_line=True)
    assert found[ranges[1]] == Digest(hashlib.sha256(hashlib.sha256(b"xyz").digest()).hexdigest(), ends_line=False)
    assert found[ranges[2]] == Digest()


class PlannedWorld:
    """Raw files of all channels, and outputs and states as a refresh would have left them, without an engine."""

    def __init__(self, root: Path) -> None:
        self.root, self.world = root, World(root)
        self.world.order()
        self.world.line()
        self.body = self.world.config()

    def plan(self, since: date | None = None, steps: str = "ownapp,swiggy,instore", as_of: str = "2025-07-01"):
        config = load_config(conf=self.body, as_of=as_of)
        return plan_refresh(config, preflight(config, chosen_steps(steps)), since)

    def publish(self) -> None:
        """Leave outputs and states that fit the raw files."""
        config = load_config(conf=self.body)
        paths = {name: f"{self.root}/out/{name}.parquet" for name in ("ownapp", "swiggy", "instore")}
        for path in paths.values():
            Path(path).mkdir(parents=True)
            Path(path, "2025-05-part.parquet").write_bytes(b"rows")
        raw = preflight(config, chosen_steps("ownapp,swiggy,instore")).inputs
        ownapp = output_files(paths["ownapp"])
        mapping = MappingPlan(raw.customer_mapping, "Asia/Kolkata", "typed", (), ())
        for name, path in paths.items():
            now = channel_inputs(config, raw, name, mapping, ownapp)
            state = ChannelState(
                fingerprints=dict(now.fingerprints),
                window=now.window,
                inputs={table: each.files for table, each in now.tables.items()},
                output=now.output,
                mapping=MappingCopy(raw.customer_mapping.files, typing(raw.customer_mapping), ()),
                users=None if name == "ownapp" else UsersCopy(f"{self.root}/none", ownapp, ()),
                copies={},
            )
            state.write(f"{state_folder(path, name)}/state.json")


def typing(mapping: RawTable) -> str:
    return plan_mapping(mapping, "Asia/Kolkata", []).typed_by


def test_the_plan_of_a_refresh_needs_no_engine_and_writes_nothing(tmp_path):
    world = PlannedWorld(tmp_path)
    assert set(world.plan().values()) == {Full("there is no state of an earlier refresh")}
    assert not (tmp_path / "out").exists()
    world.publish()
    before = sorted(tmp_path.rglob("*"))
    assert world.plan() == dict.fromkeys(("ownapp", "swiggy", "instore"), Unchanged())
    World.write_parquet(tmp_path / "raw/swiggy/orders/june", [ORDER | {"id": 9}], ORDER)
    plans = world.plan()
    assert [plans["ownapp"], plans["instore"]] == [Unchanged(), Unchanged()]
    assert plans["swiggy"].causes() == ["1 new file of orders"]
    World.write_parquet(tmp_path / "raw/ownapp/lines/june", [LINE], LINE)
    causes = {name: plan.causes() for name, plan in world.plan().items()}
    assert causes == {
        "ownapp": ["1 new file of lines"],
        "swiggy": ["1 new file of orders", "the own-app users may have changed"],
        "instore": ["the own-app users may have changed"],
    }
    assert world.plan(steps="instore") == {"instore": Unchanged()}  # own app stays as it is published
    assert {path for path in tmp_path.rglob("*") if "june" not in str(path)} == set(before)


def test_a_dry_run_prints_the_plan(tmp_path, capsys):
    world = PlannedWorld(tmp_path)
    world.publish()
    World.write_parquet(tmp_path / "raw/swiggy/orders/june", [ORDER | {"id": 9}], ORDER)
    (tmp_path / "conf.json").write_text(json.dumps(world.body))
    arguments = ["--conf", f"{tmp_path}/conf.json", "--dry-run", "--steps", "ownapp,swiggy"]
    before = sorted(tmp_path.rglob("*"))
    assert main("refresh", arguments) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["ownapp", "nothing", "nothing", "changed"] in lines
    assert ["swiggy", "changed", "orders", "1", "new", "file", "of", "orders"] in lines
    assert ["swiggy", "orders", "new", f"{tmp_path}/raw/swiggy/orders/june/part.parquet"] in lines
    assert main("refresh", [*arguments, "--since", "2025-06-01"]) == 0
    assert "orders of 2025-06-01 and later can differ (--since)" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_the_window_moves_with_the_run_date(tmp_path):
    world = PlannedWorld(tmp_path)
    world.publish()
    plan = world.plan(as_of="2025-08-01")["ownapp"]
    assert plan.causes() == [
        "orders of 2025-07-01 and later entered the window",
        "orders before 2023-05-01 left the window",
    ]
    assert world.plan(as_of="2025-06-30")["ownapp"].reason.startswith(
        "the window moved back, from 2023-04-01 - 2025-07-01"
    )


def test_every_mapping_and_setting_is_part_of_the_plan(tmp_path):
    world = PlannedWorld(tmp_path)
    world.publish()
    maps = tmp_path / "raw/maps"
    for name, reason in (("stores.csv", "the store files changed"), ("codes.csv", "the store files changed"),
                         ("menu.csv", "the category file changed"), ("choices.csv", "the choice file changed")):  # fmt: skip
        path = maps / name
        text = path.read_text()
        path.write_text(text + "7,7,7,7,7,7\n"[: 2 * text.splitlines()[0].count(",") + 1] + "\n")
        assert set(world.plan().values()) == {Full(reason)}, name
        path.write_text(text)
    assert world.plan() == dict.fromkeys(("ownapp", "swiggy", "instore"), Unchanged())
    world.body["feature_pipeline"]["common"]["price_config"] = {"price_bins": [0, 10, 1e9], "bucket_labels": ["a", "b"]}
    assert set(world.plan().values()) == {Full("the settings changed")}


HEAD, FIRST, NEXT = "customer_code_ty,invoice_no,invoice_date,store_code\n", "a,1,,\nb,2,,\n", "c,3,,\n"


class PlannedMapping:
    """A customer mapping of CSV files and the copies that would be made of it; parts are folders without files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.time = folder, 1e9
        folder.mkdir()

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(HEAD + text)
        self.time += 1
        os.utime(path, (self.time, self.time))

    def plan(self, *before: MappingCopy, **limits: int) -> MappingPlan:
        table = resolve([(CUSTOMER_MAPPING, str(self.folder))])[0]
        return plan_mapping(table, "UTC", before, MappingLimits(chunk_bytes=16, **limits))

    def copied(self, *before: MappingCopy, folder: str = "/x/part") -> MappingCopy:
        plan = self.plan(*before)
        parts = (*plan.kept, *([MappingPart(plan.missing, folder, ())] if plan.missing else []))
        return MappingCopy(plan.table.files, plan.typed_by, parts)


def ranges(plan: MappingPlan) -> list[tuple[str, int, int]]:
    found = [each.range for each in plan.missing]
    return [(Path(each.path).name, each.start - len(HEAD) if each.start else 0, each.end - len(HEAD)) for each in found]


@pytest.mark.parametrize(
    ("later", "missing"),
    [
        pytest.param(FIRST + NEXT, [("a.csv", 12, 18)], id="grown"),
        pytest.param(FIRST, [], id="written again"),
        pytest.param(FIRST.replace("a,1", "a,9"), [("a.csv", 0, 12), ("b.csv", 0, 6)], id="changed"),
        pytest.param(FIRST[:6], [("a.csv", 0, 6), ("b.csv", 0, 6)], id="cut off"),
    ],
)
def test_byte_ranges_of_the_mapping_that_must_be_parsed(tmp_path, later, missing):
    mapping = PlannedMapping(tmp_path / "maps")
    mapping.write("a.csv", FIRST)
    mapping.write("b.csv", NEXT)
    assert ranges(mapping.plan()) == [("a.csv", 0, 12), ("b.csv", 0, 6)]
    first = mapping.copied()
    assert mapping.plan(first).missing == () and not mapping.plan(first).differs_from(first)
    mapping.write("a.csv", later)
    plan = mapping.plan(first)
    assert ranges(plan) == missing and plan.differs_from(first) == bool(missing)
    assert plan.kept == (() if ("a.csv", 0, 12) in missing or ("a.csv", 0, 6) in missing else first.parts)


def test_a_line_without_an_end_may_not_be_followed(tmp_path):
    mapping = PlannedMapping(tmp_path / "maps")
    mapping.write("a.csv", FIRST.rstrip())
    first = mapping.copied()
    mapping.write("a.csv", FIRST.rstrip() + "5,,\n")  # b,2,, becomes b,2,,5,,
    assert ranges(mapping.plan(first)) == [("a.csv", 0, 15)]


def test_a_lost_part_loses_what_follows_its_ranges(tmp_path):
    mapping = PlannedMapping(tmp_path / "maps")
    mapping.write("a.csv", FIRST)
    mapping.write("b.csv", NEXT)
    first = mapping.copied(folder="/x/1")
    mapping.write("a.csv", FIRST + NEXT)
    second = mapping.copied(first, folder="/x/2")
    assert len(second.parts) == 2
    mapping.write("b.csv", "d,4,,\n")  # the first part is lost, and so the beginning of a.csv
    assert mapping.plan(second).kept == () and ranges(mapping.plan(second)) == [("a.csv", 0, 18), ("b.csv", 0, 6)]


def test_a_mapping_of_many_parts_or_a_long_end_is_parsed_as_one(tmp_path):
    mapping = PlannedMapping(tmp_path / "maps")
    mapping.write("a.csv", FIRST)
    first = mapping.copied()
    mapping.write("a.csv", FIRST + NEXT)
    assert ranges(mapping.plan(first, max_parts=2, max_appended=6)) == [("a.csv", 12, 18)]
    assert ranges(mapping.plan(first, max_parts=1)) == [("a.csv", 0, 18)]
    assert ranges(mapping.plan(first, max_appended=5)) == [("a.csv", 0, 18)]


def test_of_several_copies_the_one_with_most_rows_is_kept(tmp_path):
    mapping = PlannedMapping(tmp_path / "maps")
    mapping.write("a.csv", FIRST)
    first = mapping.copied(folder="/x/1")
    mapping.write("a.csv", FIRST + NEXT)
    second = mapping.copied(first, folder="/x/2")
    mapping.write("a.csv", FIRST + NEXT + NEXT)
    assert mapping.plan(first, second).kept == mapping.plan(second, first).kept == second.parts


def test_a_copy_that_was_typed_otherwise_or_lost_files_is_not_used(tmp_path):
    mapping = PlannedMapping(tmp_path / "maps")
    mapping.write("a.csv", FIRST)
    first = mapping.copied()
    assert mapping.plan(replace(first, typed_by="other")).kept == ()
    lost = tuple(replace(part, output=(OutputFile("part-0.parquet", 3),)) for part in first.parts)
    assert mapping.plan(replace(first, parts=lost)).kept == ()
