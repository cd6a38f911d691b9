"""Whatever call of a publishing run is its last, and whoever reads meanwhile: the old table or the new, whole."""

import os
from pathlib import Path
from typing import Any

import pytest

from blitz import storage
from blitz.errors import PublishError
from blitz.publish import tables as publish
from blitz.publish import tree as publish_tree
from publish_helpers import NEW, OLD, Death, Machine, no_spark, put, seen  # noqa: F401  (a fixture among them)


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
    "step", ["_write", "inspect", "swap", "rename", "exchange", "settle_table", "settle_names", "clean"]
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
            if step in ("_write", "inspect")
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
