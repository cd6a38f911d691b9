"""Two runs written by hand: a planted migration counted by hand, planted drift and centroids by numpy."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from blitz.cli.main import main
from blitz.drift.compare import compare
from blitz.drift.runs import Run, read_run
from blitz.drift.tables import alarms, format_comparison

LUNCH, COKE = "omnichannel_Lunch_order_count", "omnichannel_categ_base_product_coke_count"
LOADED = ["ownapp_order_count", LUNCH, COKE]
# id: (segment, own-app orders, lunches, cokes) before and after; None: not in the run.
PEOPLE = {
    "a": (("A", 3, 0, 1), ("A", 4, 0, 1)),
    "b": (("A", 3, 0, 1), ("B", 3, 2, 1)),  # had lunch
    "c": (("A", 3, 0, 1), ("B", 3, 1, 0)),  # had lunch, no coke any more
    "d": (("A", 5, 1, 1), ("C", 6, 1, 1)),  # a sixth order
    "e": (("B", 4, 1, 0), ("A", 4, 0, 0)),  # no lunch any more
    "f": (("B", 4, 1, 0), ("B", 2, 3, 0)),
    "g": (("C", 9, 1, 2), None),
    "h": (None, ("C", 7, 1, 2)),
    "i": (None, ("A", 1, 0, 0)),
}
# id: (plan, cluster) before and after; k is in two plans.
MICRO = [
    ("j", "P", "0", "0"), ("k", "P", "0", "1"), ("l", "P", "1", "1"), ("m", "P", "1", None), ("n", "P", None, "0"),
    ("k", "Q", "0", "0"),
]  # fmt: skip
SPREAD = 300


def drifting(rng: np.random.Generator, shift: float) -> pd.DataFrame:
    frame = pd.DataFrame({"algonomy_id": [f"s{at}" for at in range(SPREAD)]})
    frame["ownapp_order_count"], frame[LUNCH], frame[COKE] = rng.integers(1, 9, SPREAD), 0, 1
    frame["moved"] = rng.normal(shift, 1.0, SPREAD).round(3)
    frame["holed"] = np.where(rng.random(SPREAD) < 0.1 + shift / 5, np.nan, rng.integers(0, 3, SPREAD))
    frame["steady"] = np.arange(SPREAD) % 7
    return frame


def write_run(folder: Path, at: int, rng: np.random.Generator, models: dict) -> pd.DataFrame:
    """One side of PEOPLE and MICRO, and spread customers for the drift; returns the customer features."""
    folder.mkdir()
    people = [(name, *sides[at]) for name, sides in PEOPLE.items() if sides[at]]
    frame = pd.DataFrame(people, columns=["algonomy_id", "Segment", *LOADED])
    frame[["algonomy_id", "Segment"]].to_parquet(folder / "segments.par", index=False)
    customers = pd.concat([frame.drop(columns="Segment"), drifting(rng, 0.8 * at)], ignore_index=True)
    customers[f"only_{at}"], customers["text"] = 1, "x"
    customers.to_parquet(folder / "customers.par", index=False)
    micro = pd.DataFrame(
        [(each[0], each[2 + at], each[1]) for each in MICRO if each[2 + at]],
        columns=["algonomy_id", "microcluster", "Segment"],
    )
    for name, value in values(micro, at).items():
        micro[name] = value
    micro.to_parquet(folder / "micro.par", index=False)
    names = {"customers": "customers", "segments": "segments", "microsegments": "micro"}
    steps = {step: {"output": f"{folder}/{name}.par"} for step, name in names.items()}
    about = {"A": {"name": f"name of A in {at}"}, "B": {"owner": "Ann"}}
    body = {"about_segments": about, "run_id": f"r{at}", "rules": "0" * 64, "models": models, "steps": steps}
    (folder / "manifest.json").write_text(json.dumps(body))
    return customers


def values(micro: pd.DataFrame, at: int) -> dict[str, list]:
    """Distinct numbers per customer that grow by a third in the second run; coke is constant, one lunch is null."""
    place = [ord(name) - ord("i") for name in micro["algonomy_id"]]
    lunches = [None if name == "j" else p * (3 + at) for name, p in zip(micro["algonomy_id"], place, strict=True)]
    return {"ownapp_order_count": [p * p for p in place], LUNCH: lunches, COKE: [4] * len(place)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("drift"), np.random.default_rng(8)
    tables = [write_run(folder / name, at, rng, {"m": "1" * 64}) for at, name in enumerate(("one", "two"))]
    return folder, tables


@pytest.fixture(scope="module")
def body(spark, runs):
    folder, _ = runs
    return compare(spark, read_run(f"{folder}/one/manifest.json"), read_run(f"{folder}/two/manifest.json"))


def test_planted_migration(body):
    found = {(row["from"], row["to"]): row["customers"] for row in body["segments"]["migration"]}
    assert found == {
        ("A", "A"): 1, ("A", "B"): 2, ("A", "C"): 1, ("B", "A"): 1, ("B", "B"): 1, ("C", None): 1, (None, "C"): 1,
        (None, "A"): 1,
    }  # fmt: skip
    assert body["segments"]["totals"]["A"] == {
        "before": 4, "after": 3, "stayed": 1, "moved_out": 3, "moved_in": 1, "left": 0, "entered": 1,
    }  # fmt: skip
    assert body["segments"]["totals"]["C"] == {
        "before": 1, "after": 2, "stayed": 0, "moved_out": 0, "moved_in": 1, "left": 1, "entered": 1,
    }  # fmt: skip
    micro = {
        plan: {(row["from"], row["to"]): row["customers"] for row in each["migration"]}
        for plan, each in body["microsegments"].items()
    }
    assert micro == {
        "P": {("0", "0"): 1, ("0", "1"): 1, ("1", "1"): 1, ("1", None): 1, (None, "0"): 1},
        "Q": {("0", "0"): 1},
    }
    assert (body["rules_same"], body["models_same"]) == (True, True)


def test_segments_have_their_later_names(body):
    assert body["about_segments"] == {"A": {"name": "name of A in 1"}, "B": {"owner": "Ann"}}
    lines = [line.split() for line in format_comparison(body).splitlines()]
    assert next(line for line in lines if line[:2] == ["A", "4"])[-6:] == ["1", "name", "of", "A", "in", "1"]
    assert next(line for line in lines if line[:2] == ["B", "2"])[-1] == "-"


def test_the_flags_that_moved_customers(body):
    def changed(rows):
        return {each["variable"]: (each["up"], each["down"], each["customers"]) for each in rows}

    pairs = {(each["from"], each["to"]): changed(each["changed"]) for each in body["segments"]["moved_pairs"]}
    lunch, coke = "Lunch_order_flag", "categ_base_product_coke_flag"
    assert pairs == {
        ("A", "B"): {lunch: (2, 0, 2), coke: (0, 1, 2)},
        ("A", "C"): {"ownapp_order_count": (1, 0, 1)},
        ("B", "A"): {lunch: (0, 1, 1)},
    }
    moved = body["segments"]["moved"]["A"]
    assert changed(moved["out"]) == {lunch: (2, 0, 3), coke: (0, 1, 3), "ownapp_order_count": (1, 0, 3)}
    assert changed(moved["in"]) == {lunch: (0, 1, 1)}


def by_numpy(old: pd.Series, new: pd.Series, bins: int = 10) -> float:
    known = old.dropna().to_numpy(float)
    edges = np.unique(np.quantile(known, np.arange(1, bins) / bins))

    def shares(values):
        clean = values.dropna().to_numpy(float)
        inside = np.bincount(np.searchsorted(edges, clean, side="left"), minlength=len(edges) + 1)
        return np.append(inside, values.isna().sum()) / len(values)

    b, a = shares(old), shares(new)
    used = (b > 0) | (a > 0)
    b, a = np.maximum(b[used], 1e-4), np.maximum(a[used], 1e-4)
    return float(((a - b) * np.log(a / b)).sum())


def test_planted_drift_is_that_of_numpy(body, runs):
    _, (old, new) = runs
    found = {each["feature"]: each for each in body["psi"]["features"]}
    assert set(found) == {"ownapp_order_count", LUNCH, COKE, "moved", "holed", "steady"}
    for name, each in found.items():
        assert each["psi"] == pytest.approx(by_numpy(old[name], new[name]), abs=1e-9), name
        assert each["level"] == ("large" if each["psi"] >= 0.25 else "moderate" if each["psi"] >= 0.1 else "stable")
    assert found["moved"]["level"] == "large"
    assert found["steady"]["level"] == "stable"
    assert body["psi"]["features"][0]["feature"] == "moved"
    assert (body["only_before"], body["only_after"]) == (["only_0"], ["only_1"])
    b, a = np.array([4, 2, 1]) / 7, np.array([3, 3, 2]) / 8
    expected = (a - b) * np.log(a / b)
    assert body["psi"]["segments"]["psi"] == pytest.approx(expected.sum())
    assert list(body["psi"]["segments"]["terms"].values()) == pytest.approx(expected.tolist())


def centroids(models_same: bool) -> dict[str, tuple[str, float]]:
    """Plan P by numpy: j (1), k (2), l (3), m (4) before, j, n (6) and k, l after; order² and lunches, null as 0."""
    before = np.array([[1, 0], [4, 6], [9, 9], [16, 12]], float)
    after = {
        "0": np.array([[1, 0], [25, 20]], float).mean(axis=0),
        "1": np.array([[4, 8], [9, 12]], float).mean(axis=0),
    }
    centre, scale = before.mean(axis=0), before.std(axis=0)
    old = {"0": before[:2].mean(axis=0), "1": before[2:].mean(axis=0)}
    found = {}
    for name, mean in old.items():
        far = {k: float(np.linalg.norm((v - centre) / scale - (mean - centre) / scale)) for k, v in after.items()}
        match = name if models_same else min(far, key=far.get)
        found[name] = (match, far[match])
    return found


def test_centroids_by_number_or_by_nearness(spark, runs, body):
    folder, _ = runs
    one, two = (read_run(f"{folder}/{name}/manifest.json") for name in ("one", "two"))
    others = compare(spark, one, Run(two.source, two.outputs, {"m": "2" * 64}, two.rules))
    assert not others["models_same"]
    for report, same in ((body, True), (others, False)):
        found = {r["cluster"]: (r["matched"], r["distance"]) for r in report["centroids"] if r["plan"] == "P"}
        expected = centroids(same)
        assert {name: match for name, (match, _) in found.items()} == {n: match for n, (match, _) in expected.items()}
        for name, (_, distance) in found.items():
            assert distance == pytest.approx(expected[name][1])
    assert centroids(False)["0"][0] == "1"  # the second run's cluster 0 lies farther from it
    first = next(r for r in body["centroids"] if r["plan"] == "P" and r["cluster"] == "0")
    assert (first["customers_before"], first["customers_after"]) == (2, 2)
    assert COKE not in {each["feature"] for each in first["features"]}


def test_the_job_publishes_and_alarms(spark, runs, body, tmp_path, capsys):
    folder, _ = runs
    ends = ["--before", f"{folder}/one/manifest.json", "--after", f"{folder}/two/manifest.json"]
    assert main("compare_runs", [*ends, "--out", f"{tmp_path}/out", "--max-psi", "0.25"]) == 3
    output = capsys.readouterr()
    named = [name for name, _ in alarms(body, 0.25)]
    assert "moved" in named and "steady" not in named
    assert "above --max-psi 0.25" in output.err and "moved " in output.err and "steady" not in output.err
    assert json.loads(Path(f"{tmp_path}/out/compare.json").read_text()) == json.loads(json.dumps(body))
    matrix = pd.read_parquet(f"{tmp_path}/out/segment_migration.parquet")
    assert matrix.set_index(["from", "to"]).loc[("A", "B"), "customers"] == 2
    index = pd.read_parquet(f"{tmp_path}/out/psi.parquet").set_index("name")
    assert index.loc["moved", "level"] == "large"
    assert "A to B" in output.out and "Lunch_order_flag +2" in output.out
    assert not alarms(body, 100)
