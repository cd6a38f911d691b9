"""Readers see complete tables while others publish; one run at a time publishes to an output."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blitz.errors import InputError, PublishError
from blitz.publish.local import LocalTree, local_store
from blitz.publish.lock import LEASE_SECONDS, LeaseConflict, LeaseState, lease
from publish_helpers import NEW, OLD, put, seen, write_rows

# -- readers and other writers


def test_readers_see_complete_tables_only(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    put("old", path)
    stop, results = threading.Event(), []

    def read_on() -> None:
        while not stop.is_set():
            try:
                found = seen(path)
            except InputError as error:  # listed before the swap, opened after it
                results.append(str(error))
            else:  # the folder was listed when the last file of the old table had just been removed
                results.append(found or "no such file: none at all")

    reader = threading.Thread(target=read_on)
    reader.start()
    for number in range(60):
        tag = "new" if number % 2 else "old"
        put(tag, path, f"r{number}", job=f"job{number}")  # no two tables have files of the same names
    stop.set()
    reader.join()
    tables = [found for found in results if isinstance(found, dict)]
    assert len(tables) > 10 and all(found in (OLD, NEW) for found in tables)
    assert all("no such file" in found for found in results if isinstance(found, str))


HOLD = """
import sys, time
from blitz.publish.local import LocalTree, local_store
from publish_helpers import put, write_rows
def hold(df, folder):
    write_rows(df, folder)
    print("held", flush=True)
    time.sleep(600)
path, kind = sys.argv[1:]
put("new", path, "held", write=hold, store=local_store(path, LocalTree(use_flock=kind == "flock")))
"""


@pytest.fixture
def holder() -> Iterator[Any]:
    """Starts a process that holds an output's lock, its new table staged."""
    running: list[subprocess.Popen[str]] = []

    def start(path: str, kind: str) -> subprocess.Popen[str]:
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
        command = [sys.executable, "-c", HOLD, path, kind]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["flock", "lease"])
def test_the_lock_of_a_killed_process_is_free(kind: str, tmp_path: Path, holder: Any) -> None:
    path = str(tmp_path / "t")
    store = local_store(path, LocalTree(use_flock=kind == "flock"))
    put("old", path, store=store)
    process = holder(path, kind)
    with pytest.raises(PublishError, match="run held .*is publishing to this output.*; wait until it ends"):
        put("new", path, store=store)
    process.kill()
    process.wait()
    assert seen(path) == OLD
    put("new", path, store=store)
    assert seen(path) == NEW and os.listdir(tmp_path) == ["t"]


# -- leases


class SharedLease:
    """A lease in memory."""

    path = "memory"

    def __init__(self) -> None:
        self.data, self.tag, self.age = b"", "", 0.0

    def create(self, data: bytes) -> str:
        if self.tag:
            raise LeaseConflict
        return self._set(data)

    def _set(self, data: bytes) -> str:
        self.data, self.tag = data, os.urandom(8).hex()
        return self.tag

    def read(self) -> LeaseState | None:
        return LeaseState(self.data, self.tag, self.age) if self.tag else None

    def replace(self, data: bytes, tag: str) -> str:
        if tag != self.tag:
            raise LeaseConflict
        return self._set(data)

    def remove(self) -> None:
        self.tag = ""


def test_a_lease_of_another_machine_expires() -> None:
    file = SharedLease()
    file.create(b'{"run_id": "r0", "host": "elsewhere", "pid": 1, "machine": "other"}')
    with (
        pytest.raises(
            PublishError, match="^out: run r0 on elsewhere is publishing.*expires after 5 minutes.*delete memory"
        ),
        lease(file, "out", "r1"),
    ):
        pass
    file.age = LEASE_SECONDS + 1
    with lease(file, "out", "r1") as guard:
        guard.assert_held()
    assert file.read() is None


def test_who_lost_the_lock_leaves_the_other_run_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    put("old", path)

    def write_and_lose(df: Any, folder: str) -> None:
        write_rows(df, folder)
        (tmp_path / ".t.blitz.lock").write_text("{}")
        write_rows(df, f"{tmp_path}/.t.blitz-other")

    with pytest.raises(PublishError, match="another run took over this run's lock"):
        put("new", path, "r2", write=write_and_lose, store=local_store(path, LocalTree(use_flock=False)))
    assert seen(path) == OLD and seen(f"{tmp_path}/.t.blitz-other") == NEW


def test_a_lease_sends_heartbeats_and_notices_its_loss() -> None:
    file = SharedLease()
    with lease(file, "out", "r1", beat_seconds=0.01) as guard:
        first = file.tag
        for _ in range(500):
            if file.tag != first:
                break
            threading.Event().wait(0.01)
        assert file.tag != first
        guard.assert_held()
        file.tag, file.data = "stolen", b"{}"
        with pytest.raises(PublishError, match="another run took over this run's lock memory; nothing was published"):
            guard.assert_held()
    assert file.tag == "stolen"
