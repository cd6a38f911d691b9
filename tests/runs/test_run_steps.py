"""Steps that run side by side: both errors are reported, one of them publishes completely, the hint how to resume."""

import json
import tempfile

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
    assert said.splitlines()[-1] == "resume with --steps swiggy,instore"


@pytest.mark.usefixtures("spark")
def test_a_step_ends_whole_where_the_one_beside_it_fails(world, capsys):
    world.order("swiggy", id=12, order_placed_datetime=None)
    code, body = run(world)
    said = capsys.readouterr().err
    assert code == 1 and "failed: swiggy" in said and "also failed" not in said
    assert said.splitlines()[-1] == "resume with --steps swiggy"
    rows = pd.read_parquet(body["feature_pipeline"]["instore"]["output_path"])
    assert list(rows["order_id"]) == ["900"]


@pytest.mark.usefixtures("spark")
def test_no_temporary_files_are_left_after_a_failure(world, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    world.bill(None, InvoiceNo="901", BussTime="soon")
    code, _ = run(world)
    assert code == 1
    assert list(folder.glob("blitz-staging-*")) == []
