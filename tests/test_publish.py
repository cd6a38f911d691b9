"""Publishing on a local disk and on Hadoop's file systems: old or new, whole, whatever goes wrong."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import publish, publish_lock, publish_tree, storage
from blitz.errors import InputError, PublishError
from publish_helpers import Death, Machine, Rows, seen, write_rows

OLD, NEW = {"old": 30}, {"new": 30}


def frame(spark: SparkSession, tag: str, rows: int = 30) -> DataFrame:
    return spark.range(rows).select("id", F.lit(tag).alias("which one"), F.array("id").alias("list of ids"))


@pytest.fixture
def no_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_write", write_rows)


def put(tag: str, path: object, run_id: str = "r1", **named: Any) -> publish.Published:
    return publish.publish(Rows(tag), str(path), run_id=run_id, **named)  # type: ignore[arg-type]


# -- with Spark


def test_publish_and_replace(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "out table.parquet")
    first = publish.publish(frame(spark, "old"), path, run_id="r1", check=lambda rows: None)
    assert (first.path, first.rows) == (path, 30)
    assert first.files == len(storage.list_files(path)) and first.bytes == sum(i.size for i in storage.list_files(path))
    assert publish.publish(frame(spark, "new", 7), path, run_id="r2").rows == 7
    assert seen(path) == {"new": 7}
    back = publish.read_output(spark, path)
    assert back.columns == ["id", "which one", "list of ids"]
    assert sorted(map(tuple, back.collect())) == [(i, "new", [i]) for i in range(7)]
    assert os.listdir(tmp_path / "deep") == ["out table.parquet"]


def test_a_table_may_be_replaced_by_what_is_computed_from_it(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    publish.publish(frame(spark, "old"), path, run_id="r1")
    smaller = publish.read_output(spark, path).where("id < 5")
    assert publish.publish(smaller, path, run_id="r2").rows == 5
    assert seen(path) == {"old": 5}


def test_an_empty_table_keeps_its_schema(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    for empty in (
        frame(spark, "x", 0),
        frame(spark, "x").where("id < 0"),
        spark.createDataFrame([], "a int, `b c` string"),
    ):
        assert publish.publish(empty, path, run_id="r").rows == 0
        assert publish.read_output(spark, path).schema.names == empty.columns


ODD_NAMES = [
    "a b.parquet",
    "quote'\"`",
    "semi;$(touch hacked)",
    "per%20cent%",
    "brace{x}[1]*?",
    "back\\slash",
    "ünïcode",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_path_names(name: str, spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    for tag in ("old", "new"):
        publish.publish(frame(spark, tag), path, run_id="r")
    assert os.listdir(tmp_path) == [name]
    assert seen(path) == NEW
    assert publish.read_output(spark, path).count() == 30


def test_spark_fails_while_it_writes(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    publish.publish(frame(spark, "old"), path, run_id="r1")
    failing = frame(spark, "new").withColumn("id", F.expr("if(id < 29, id, raise_error('no such row'))"))
    with pytest.raises(Exception, match="no such row"):
        publish.publish(failing, path, run_id="r2")
    assert seen(path) == OLD and os.listdir(tmp_path) == ["t"]


def test_read_output_without_a_table(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}/none: no table there; run the step that makes it first"):
        publish.read_output(spark, f"{tmp_path}/none")


def test_delta_without_delta_lake(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="t: run.format is delta, but this Spark session has no Delta Lake; add"):
        publish.publish(frame(spark, "x"), str(tmp_path / "t"), fmt="delta", run_id="r")
    assert os.listdir(tmp_path) == []


# -- checks and refusals


@pytest.mark.usefixtures("no_spark")
def test_a_failed_check_leaves_the_old_table(tmp_path: Path) -> None:
    put("old", tmp_path / "t")
    counted = []

    def refuse(rows: int) -> None:
        counted.append(rows)
        raise InputError("too many rejected rows")

    with pytest.raises(InputError, match="^too many rejected rows$"):
        put("new", tmp_path / "t", check=refuse)
    assert counted == [30] and seen(str(tmp_path / "t")) == OLD and os.listdir(tmp_path) == ["t"]


@pytest.mark.usefixtures("no_spark")
@pytest.mark.parametrize("damage", ["truncated", "columns", "nothing"])
def test_a_damaged_write_is_not_published(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("old", tmp_path / "t")

    def write_damaged(df: Rows, staging: str, fmt: str, path: str) -> None:
        if damage == "nothing":
            return os.makedirs(staging)
        df.write_parts(staging)
        part = storage.list_files(staging)[1].path
        if damage == "truncated":
            os.truncate(part, os.path.getsize(part) - 10)
        else:
            pq.write_table(pq.read_table(part).rename_columns(["id", "other"]), part)

    monkeypatch.setattr(publish, "_write", write_damaged)
    expected = {
        "truncated": "not written whole",
        "columns": "other columns",
        "nothing": "no file that this machine sees",
    }
    with pytest.raises(PublishError, match=expected[damage]):
        put("new", tmp_path / "t")
    assert seen(str(tmp_path / "t")) == OLD and os.listdir(tmp_path) == ["t"]


@pytest.mark.usefixtures("no_spark")
def test_foreign_content_is_never_replaced(tmp_path: Path) -> None:
    for name, content in {
        "notes.txt": "x",
        "git/.git/config": "x",
        "sub/part-0.parquet": "x",
        "dir/_SUCCESS/x": "x",
    }.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(content)
    refused = {
        "out/notes.txt": "a file that is not Parquet",
        "out/git": r"\.git",
        "out": "git, notes.txt",
        "out/dir": "_SUCC",
    }
    for path, message in refused.items():
        with pytest.raises(PublishError, match=f"^{tmp_path}/{path}: .*{message}.* would be lost; move it"):
            put("new", tmp_path / path)
    assert (tmp_path / "out/notes.txt").read_text() == "x"


@pytest.mark.usefixtures("no_spark")
@pytest.mark.parametrize("before", ["empty", "dask", "spark", "pandas", "partitions", "delta", "link"])
def test_tables_of_others_are_replaced(before: str, tmp_path: Path) -> None:
    target = tmp_path / "t.parquet"
    real = tmp_path / "real"
    if before == "pandas":  # one file under the name of the output
        pq.write_table(pa.table({"which one": ["x"]}), target)
    elif before == "link":
        real.mkdir()
        target.symlink_to(real)
    else:
        target.mkdir()
    made = {
        "dask": ["part.0.parquet", "_metadata", "_common_metadata"],
        "spark": ["part-00000-x.snappy.parquet", ".part-00000-x.snappy.parquet.crc", "_SUCCESS", "._SUCCESS.crc"],
        "partitions": ["day=1/part-0.parquet", "_temporary/0/x"],
        "delta": ["_delta_log/00000000000000000000.json", "aB/part-0.parquet"],
    }
    for name in made.get(before, []):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("x")
    put("new", target)
    assert seen(str(target)) == NEW
    assert sorted(os.listdir(tmp_path)) == (["real", "t.parquet"] if before == "link" else ["t.parquet"])
    assert target.is_symlink() == (before == "link")


@pytest.mark.usefixtures("no_spark")
def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="run id 'a/b' may hold"):
        put("new", tmp_path / "t", run_id="a/b")
    with pytest.raises(PublishError, match="run.format is 'csv'"):
        put("new", tmp_path / "t", fmt="csv")
    with pytest.raises(PublishError, match="root of a file system"):
        put("new", "/")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PublishError, match="could not be published"):
        put("new", tmp_path / "file" / "t")
    assert os.listdir(tmp_path) == ["file"]


# -- death at every step


def whole(path: str) -> dict[str, int]:
    found = seen(path)
    assert found in (OLD, NEW), found
    return found


@pytest.mark.usefixtures("no_spark")
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("after", ["publish", "recover"])
def test_death_at_every_step(exchange: bool, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine dies at the first, second, … call that touches the disk: the next run finds a whole table."""
    outcomes = []
    for last in range(1, 1000):
        path = str(tmp_path / f"{last}" / "t")
        put("old", path)
        machine = Machine(last)
        with monkeypatch.context() as patch:
            for name in ("exists", "entries", "rename", "exchange", "remove", "settle_table", "settle_names"):
                call = getattr(publish_tree.LocalTree, name) if name != "exchange" or exchange else lambda *_: False
                patch.setattr(publish_tree.LocalTree, name, machine.watched(call))
            patch.setattr(storage, "write_bytes", machine.watched(storage.write_bytes))
            try:
                put("new", path, "r2")
                break
            except Death:
                pass
        if exchange:
            outcomes.append(whole(path))  # a reader sees no difference, even before anyone tidies
        if after == "publish":
            put("new", path, "r2")
            assert seen(path) == NEW
        else:
            publish.recover(path)
            outcomes.append(whole(path))
        assert os.listdir(os.path.dirname(path)) == ["t"]
    assert machine.calls > 10
    if exchange or after == "recover":
        assert OLD in outcomes and NEW in outcomes and outcomes == sorted(outcomes, key=lambda o: o == NEW)


@pytest.mark.usefixtures("no_spark")
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize(
    "step", ["_write", "_inspect", "swap", "rename", "exchange", "settle_table", "settle_names", "clean"]
)
def test_an_exception_at_every_step(step: str, exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception rolls back at once: old or new is in place, nothing beside it, and the next run succeeds."""
    path = str(tmp_path / "t")
    put("old", path)
    calls: list[str] = []

    def fail(*args: Any, **_: object) -> None:
        calls.append(step)
        if step == "rename" and len(calls) == 1:  # the old table has been moved aside
            return os.rename(*args[1:])
        if step == "rename" and len(calls) > 2:
            return os.rename(*args[1:])
        raise OSError(5, "the disk is gone")

    with monkeypatch.context() as patch:
        if not exchange:
            patch.setattr(publish_tree.LocalTree, "exchange", lambda *_: False)
        owner = (
            publish
            if step[0] == "_"
            else publish_tree.TreeStore
            if step in ("swap", "clean")
            else publish_tree.LocalTree
        )
        patch.setattr(owner, step, fail)
        if step == "clean" or (step == "rename" and exchange):
            put("new", path, "r2")
            assert seen(path) == NEW
        else:
            with pytest.raises((PublishError, OSError), match="the disk is gone"):
                put("new", path, "r2")
            assert seen(path) == (NEW if step == "settle_names" else OLD)
    if step != "clean":
        assert os.listdir(tmp_path) == ["t"]
    assert put("new", path, "r3").rows == 30
    assert seen(path) == NEW and os.listdir(tmp_path) == ["t"]


# -- readers and other writers


@pytest.mark.usefixtures("no_spark")
def test_readers_see_whole_tables_only(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    put("old", path)
    stop, results = threading.Event(), []

    def read_on() -> None:
        while not stop.is_set():
            try:
                results.append(seen(path))
            except InputError as error:  # listed before the swap, opened after it
                results.append(str(error))

    reader = threading.Thread(target=read_on)
    reader.start()
    for number in range(60):
        put("new" if number % 2 else "old", path, f"r{number}")
    stop.set()
    reader.join()
    tables = [found for found in results if isinstance(found, dict)]
    assert len(tables) > 10 and all(found in (OLD, NEW) for found in tables)
    assert all("no such file" in found for found in results if isinstance(found, str))


@pytest.mark.usefixtures("no_spark")
def test_of_two_runs_at_once_one_fails_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "t")

    def write_and_meet(df: Rows, staging: str, fmt: str, path: str) -> None:
        expected = f"^{path}: run first \\(process {os.getpid()}\\) is publishing to this output; wait until it ends"
        with pytest.raises(PublishError, match=expected):
            put("new", path, "second")
        with pytest.raises(PublishError, match=expected):
            publish.recover(path)
        df.write_parts(staging)

    monkeypatch.setattr(publish, "_write", write_and_meet)
    assert put("old", path, "first").rows == 30
    assert seen(path) == OLD and os.listdir(tmp_path) == ["t"]


HOLD = """
import sys, time
from blitz import publish
from publish_helpers import Rows
def hold(df, staging, fmt, path):
    df.write_parts(staging)
    print("held", flush=True)
    time.sleep(600)
publish._write = hold
publish.publish(Rows("new"), sys.argv[1], run_id="held")
"""


@pytest.fixture
def holder() -> Iterator[Any]:
    """Starts a process that holds an output's lock, its new table half written."""
    running: list[subprocess.Popen[str]] = []

    def start(path: str) -> subprocess.Popen[str]:
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
        process = subprocess.Popen([sys.executable, "-c", HOLD, path], env=env, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("no_spark")
@pytest.mark.parametrize("with_flock", [True, False])
def test_a_killed_process_lets_go(
    with_flock: bool, tmp_path: Path, holder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "t")
    put("old", path)
    if not with_flock:
        lock = publish_lock.LocalLeaseFile(str(tmp_path / ".t.blitz.lock"))
        monkeypatch.setattr(publish_tree, "flock_works", lambda folder: False)
    process = holder(path)
    if not with_flock:  # the lease of that process, as it would stand there
        lock.remove()
        owner = publish_lock._owner("held") | {
            "pid": process.pid,
            "born": publish_lock._born(process.pid),
            "token": "x",
        }
        lock.create(publish_lock.json.dumps(owner).encode())
    with pytest.raises(PublishError, match="run held .*is publishing to this output.*; wait until it ends"):
        put("new", path)
    process.kill()
    process.wait()
    assert seen(path) == OLD
    put("new", path)
    assert seen(path) == NEW and os.listdir(tmp_path) == ["t"]


# -- leases


class SharedLease:
    """A lease in memory."""

    path = "memory"

    def __init__(self) -> None:
        self.data, self.tag, self.age = b"", "", 0.0

    def create(self, data: bytes) -> str:
        if self.tag:
            raise publish_lock.LeaseConflict
        return self._set(data)

    def _set(self, data: bytes) -> str:
        self.data, self.tag = data, os.urandom(8).hex()
        return self.tag

    def read(self) -> publish_lock.LeaseState | None:
        return publish_lock.LeaseState(self.data, self.tag, self.age) if self.tag else None

    def replace(self, data: bytes, tag: str) -> str:
        if tag != self.tag:
            raise publish_lock.LeaseConflict
        return self._set(data)

    def remove(self) -> None:
        self.tag = ""


def test_a_lease_of_another_machine_lapses(monkeypatch: pytest.MonkeyPatch) -> None:
    file = SharedLease()
    file.create(b'{"run_id": "r0", "host": "elsewhere", "pid": 1, "machine": "other"}')
    with (
        pytest.raises(
            PublishError, match="^out: run r0 on elsewhere is publishing.*lapses after 5 minutes.*delete memory"
        ),
        publish_lock.lease(file, "out", "r1"),
    ):
        pass
    file.age = publish_lock.LEASE_SECONDS + 1
    with publish_lock.lease(file, "out", "r1") as held:
        held()
    assert file.read() is None


@pytest.mark.usefixtures("no_spark")
def test_who_lost_the_lock_leaves_the_other_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_tree, "flock_works", lambda folder: False)
    put("old", tmp_path / "t")

    def write_and_lose(df: Rows, staging: str, fmt: str, path: str) -> None:
        df.write_parts(staging)
        (tmp_path / ".t.blitz.lock").write_text("{}")
        df.write_parts(f"{tmp_path}/.t.blitz-other")

    monkeypatch.setattr(publish, "_write", write_and_lose)
    with pytest.raises(PublishError, match="another run took this run's lock"):
        put("new", tmp_path / "t", "r2")
    assert seen(str(tmp_path / "t")) == OLD and seen(f"{tmp_path}/.t.blitz-other") == NEW


def test_a_lease_beats_and_notices_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_lock, "BEAT_SECONDS", 0.01)
    file = SharedLease()
    with publish_lock.lease(file, "out", "r1") as held:
        first = file.tag
        for _ in range(500):
            if file.tag != first:
                break
            threading.Event().wait(0.01)
        assert file.tag != first
        held()
        file.tag, file.data = "stolen", b"{}"
        with pytest.raises(PublishError, match="another run took this run's lock memory over; nothing was published"):
            held()
    assert file.tag == "stolen"


# -- Hadoop's file systems


@pytest.fixture
def viewfs(spark: SparkSession, tmp_path: Path) -> str:
    """A folder as only Hadoop knows it: a mount of Hadoop's own ViewFileSystem."""
    if not hasattr(spark, "_jsparkSession"):
        pytest.skip("classic Spark only")
    table = f"t{time.time_ns()}"  # Hadoop keeps a file system with its first settings
    spark.conf.set(f"fs.viewfs.mounttable.{table}.link./m", f"file://{tmp_path}")
    return f"viewfs://{table}/m"


def test_hadoop_storage(viewfs: str, tmp_path: Path) -> None:
    for name in ("a.csv", "sub/b.csv", "_SUCCESS", ".x/y.csv"):
        storage.write_bytes(f"{viewfs}/in/{name}", name.encode())
    storage.write_bytes(f"{viewfs}/in/empty", b"")
    names = [info.path.rpartition("/in/")[2] for info in storage.list_files(f"{viewfs}/in")]
    assert names == ["a.csv", "sub/b.csv"]
    assert [i.size for i in storage.list_files(f"{viewfs}/in/{{a,z}}.cs?")] == [5]
    assert storage.list_files(f"{viewfs}/none") == [] and not storage.exists(f"{viewfs}/none")
    assert storage.read_bytes(f"{viewfs}/in/a.csv", limit=3) == b"a.c"
    assert storage.open_input(f"{viewfs}/in/sub/b.csv").read() == b"sub/b.csv"
    with pytest.raises(InputError, match=f"^{viewfs}/none: no such file or folder"):
        storage.read_bytes(f"{viewfs}/none")
    storage.delete(f"{viewfs}/in")
    assert not (tmp_path / "in").exists()
    with pytest.raises(InputError, match="nosuch://x/y: "):
        storage.list_files("nosuch://x/y")


def test_hadoop_publish(viewfs: str, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{viewfs}/deep/t"
    for tag in ("old", "new"):
        assert publish.publish(frame(spark, tag), path, run_id=tag).rows == 30
        assert seen(path) == {tag: 30}
        assert {name for name in os.listdir(tmp_path / "deep") if not name.endswith(".crc")} == {"t"}
    assert publish.read_output(spark, path).count() == 30

    def meet(*_: object, **__: object) -> None:
        with pytest.raises(PublishError, match="run first on .* is publishing to this output"):
            put("new", path, "second")
        raise OSError(5, "the disk is gone")

    monkeypatch.setattr(publish, "_inspect", meet)
    with pytest.raises(OSError, match="gone"):
        publish.publish(frame(spark, "third"), path, run_id="first")
    assert seen(path) == NEW


@pytest.mark.parametrize("after", ["publish", "recover"])
def test_death_between_two_renames_on_hadoop(
    after: str, viewfs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_spark: None
) -> None:
    from blitz.publish_hadoop import HadoopTree

    path = f"{viewfs}/t"
    put("old", path)
    rename, moved = HadoopTree.rename, []

    def die_in_between(self: HadoopTree, source: str, target: str) -> None:
        moved.append(source)
        if len(moved) > 1:
            raise Death
        rename(self, source, target)

    with monkeypatch.context() as patch:
        patch.setattr(HadoopTree, "rename", die_in_between)
        with pytest.raises(Death):
            put("new", path, "r2")
    assert not (tmp_path / "t").exists()  # the documented gap
    if after == "publish":
        put("new", path, "r3")
    else:
        publish.recover(path)
    assert seen(path) == NEW
    assert {name for name in os.listdir(tmp_path) if not name.endswith(".crc")} == {"t"}
