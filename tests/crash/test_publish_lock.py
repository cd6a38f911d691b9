"""Readers see whole tables while others publish; one run at a time publishes to an output."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blitz.errors import InputError, PublishError
from blitz.publish import lock as publish_lock
from blitz.publish import tables as publish
from blitz.publish import tree as publish_tree
from publish_helpers import NEW, OLD, Rows, no_spark, put, seen  # noqa: F401  (a fixture among them)

# -- readers and other writers


@pytest.mark.usefixtures("no_spark")
def test_readers_see_whole_tables_only(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    put("old", path)
    stop, results = threading.Event(), []

    def read_on() -> None:
        while not stop.is_set():
            try:
                found = seen(path)
            except InputError as error:  # listed before the swap, opened after it
                results.append(str(error))
            else:  # the folder listed when the last file of the old table was just removed: without a file, no columns
                results.append(found or "no such file: none at all")

    reader = threading.Thread(target=read_on)
    reader.start()
    for number in range(60):
        rows = Rows("new" if number % 2 else "old", job=f"job{number}")  # no two tables have files of the same names
        publish.publish(rows, path, run_id=f"r{number}")  # type: ignore[arg-type]
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
from blitz.publish import tables as publish
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
