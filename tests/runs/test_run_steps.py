"""Steps that run side by side: both errors are reported, and a run that fails before it publishes changes nothing."""

import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from blitz.cli.main import main
from world import World


@pytest.fixture
def world(tmp_path) -> World:
    world = World(tmp_path)
    world.run |= {"max_rejected_fraction": 0}
    world.order(id=1)
    world.order("swiggy", id=11)
    world.bill()
    return world


def run(world: World) -> tuple[int, dict]:
    body = world.config()
    path = world.root / "conf.json"
    path.write_text(json.dumps(body))
    return main("run_all", argv=["--conf", str(path), "--steps", "ownapp,swiggy,instore"]), body


@pytest.mark.usefixtures("spark")
def test_two_steps_that_fail_are_both_told(world, capsys):
    world.order("swiggy", id=12, order_placed_datetime=None)
    world.bill(None, InvoiceNo="901", BussTime="soon")
    code, _ = run(world)
    said = capsys.readouterr().err
    assert code == 1
    assert "run_all: failed: swiggy: swiggy orders: 50.00% of 2 rows cannot be read" in said
    assert "also failed: instore: instore orders: 50.00% of 2 rows cannot be read" in said
    assert "resume with" not in said  # nothing was published


@pytest.mark.usefixtures("spark")
def test_a_step_that_fails_keeps_what_the_others_published_before(world, capsys):
    assert run(world)[0] == 0
    world.order(id=2)
    world.order("swiggy", id=12, order_placed_datetime=None)
    code, body = run(world)
    said = capsys.readouterr().err
    assert code == 1 and "failed: swiggy" in said and "also failed" not in said
    assert "resume with" not in said
    paths = {name: body["feature_pipeline"][name]["output_path"] for name in ("ownapp", "instore")}
    assert {name: list(pd.read_parquet(path)["order_id"]) for name, path in paths.items()} == {
        "ownapp": [1],
        "instore": ["900"],
    }
    left = [path.name for path in Path(paths["ownapp"]).parent.iterdir() if path.name.startswith(".")]
    assert left == []


@pytest.mark.usefixtures("spark")
def test_no_temporary_files_are_left_after_a_failure(world, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    world.bill(None, InvoiceNo="901", BussTime="soon")
    code, _ = run(world)
    assert code == 1
    assert list(folder.glob("blitz-staging-*")) == []
