"""Whichever call of a publishing run is its last, and whoever reads meanwhile: the old table or the new, complete."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from blitz import storage
from blitz.errors import PublishError
from blitz.publish.files import recover
from blitz.publish.local import LocalTree, local_store
from publish_helpers import NEW, OLD, Death, Machine, Watched, put, seen, write_rows

TREE_CALLS = ("exists", "entries", "read_bytes", "write_bytes", "rename", "exchange", "remove", "fsync_table")
TREE_CALLS += ("fsync_names",)


class TreeWithoutExchange(LocalTree):
    def exchange(self, one: str, other: str) -> bool:
        return False


def complete(path: str) -> dict[str, int]:
    found = seen(path)
    assert found in (OLD, NEW), found
    return found


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("after", ["publish", "recover"])
def test_death_at_every_step(exchange: bool, after: str, tmp_path: Path) -> None:
    """The machine dies at the first, second, … call that touches the disk: the next run finds a complete table."""
    tree = LocalTree() if exchange else TreeWithoutExchange()
    outcomes = []
    for last in range(1, 1000):
        path = str(tmp_path / f"{last}" / "t")
        put("old", path)
        machine = Machine(last)
        store = local_store(path, Watched(tree, TREE_CALLS, machine.tick))
        try:
            put("new", path, "r2", write=partial(write_rows, before=machine.tick), store=store)
            break
        except Death:
            pass
        if exchange:
            outcomes.append(complete(path))  # a reader sees no difference, even before anyone cleans up
        if after == "publish":
            put("new", path, "r2")
            assert seen(path) == NEW
        else:
            recover(path)
            outcomes.append(complete(path))
        assert os.listdir(os.path.dirname(path)) == ["t"]
    assert machine.calls > 10
    if exchange or after == "recover":
        assert OLD in outcomes and NEW in outcomes and outcomes == sorted(outcomes, key=lambda o: o == NEW)


def write_damaged(df: Any, folder: str) -> None:
    write_rows(df, folder)
    part = storage.list_files(folder)[1].path
    os.truncate(part, os.path.getsize(part) - 10)


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize(
    "step", ["write", "inspect", "swap", "rename", "exchange", "fsync_table", "fsync_names", "clean"]
)
def test_an_exception_at_every_step(step: str, exchange: bool, tmp_path: Path) -> None:
    """An exception rolls back at once: old or new is in place, nothing next to it, and the next run succeeds."""
    path = str(tmp_path / "t")
    put("old", path)
    calls: list[str] = []

    def fail(name: str, *_: object) -> None:
        if name != step:
            return
        calls.append(name)
        # Of the renames, only the second fails: the old table has been moved away, and is moved back by the third.
        if step != "rename" or len(calls) == 2:
            raise OSError(5, "the disk is gone")

    def write(df: Any, folder: str) -> None:
        fail("write")
        (write_damaged if step == "inspect" else write_rows)(df, folder)

    tree = Watched(LocalTree() if exchange else TreeWithoutExchange(), TREE_CALLS, fail)
    store: Any = Watched(local_store(path, tree), ("swap", "clean"), fail)
    if step == "clean" or (step == "rename" and exchange):
        put("new", path, "r2", write=write, store=store)
        assert seen(path) == NEW
    else:
        with pytest.raises((PublishError, OSError), match="the disk is gone|the file is incomplete"):
            put("new", path, "r2", write=write, store=store)
        assert seen(path) == (NEW if step == "fsync_names" else OLD)
    if step != "clean":
        assert os.listdir(tmp_path) == ["t"]
    assert put("new", path, "r3").rows == 30
    assert seen(path) == NEW and os.listdir(tmp_path) == ["t"]
