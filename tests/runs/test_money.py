"""Two runs in money: every amount equals pandas, every split the mean over all orders of change, worked out here."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from blitz.drift.compare import compare
from blitz.drift.money import Amount, split
from blitz.drift.runs import read_run
from blitz.drift.tables import format_comparison, tables, write

pytestmark = pytest.mark.engines
CHANNELS = ("ownapp", "swiggy", "instore")
ENDS = (pd.Timestamp("2025-06-01"), pd.Timestamp("2025-07-01"))
CUTOFFS = (pd.Timestamp("2024-06-01"), pd.Timestamp("2024-07-01"))
ZONE = "Asia/Kolkata"


def orders_of(rng: np.random.Generator) -> pd.DataFrame:
    """Orders of 50 customers in both channels' years, a tenth without a price, at local times."""
    count = 900
    frame = pd.DataFrame({"algonomy_id": [f"{at:04}" for at in rng.integers(0, 50, count)]})
    frame["channel"] = rng.choice(CHANNELS, count, p=[0.6, 0.25, 0.15])
    frame["local"] = pd.Timestamp("2024-05-20") + pd.to_timedelta(rng.integers(0, 406 * 24 * 60, count), unit="min")
    frame["total_price"] = np.where(rng.random(count) < 0.1, np.nan, rng.integers(50, 90_000, count) / 100)
    return frame


def write_orders(folder: Path, orders: pd.DataFrame) -> None:
    for name in CHANNELS:
        mine = orders[orders["channel"] == name]
        instants = mine["local"].dt.tz_localize(ZONE).dt.tz_convert("UTC")
        columns = {"algonomy_id": mine["algonomy_id"], "order_placed_datetime": instants.astype("datetime64[us, UTC]")}
        columns |= {"BussTime": mine["local"].astype("datetime64[us]"), "total_price": mine["total_price"]}
        (folder / name).mkdir()
        pd.DataFrame(columns).to_parquet(folder / name / "part.parquet", index=False)


def write_run(folder: Path, at: int, orders: pd.DataFrame, segments: pd.Series) -> None:
    folder.mkdir()
    mine = orders[(orders["local"] < ENDS[at]) & (orders["local"] >= pd.Timestamp("2023-01-01"))]
    write_orders(folder, mine)
    table = pd.DataFrame({"algonomy_id": segments.index, "Segment": segments.to_numpy()})
    table.to_parquet(folder / "segments.parquet", index=False)
    table[["algonomy_id"]].assign(n=range(len(table))).to_parquet(folder / "customers.parquet", index=False)
    micro = table.assign(microcluster="0", n=1.0)[["algonomy_id", "microcluster", "Segment", "n"]]
    micro.to_parquet(folder / "microsegments.parquet", index=False)
    lives = np.random.default_rng(at).choice(["active", "due", "lapsed"], len(table))
    scores = table[["algonomy_id"]].assign(lifecycle=lives, total_spend=1.0 * np.arange(len(table)), clv_t_days=at)
    scores.to_parquet(folder / "scores.parquet", index=False)
    steps = {name: {"output": f"{folder}/{name}"} for name in CHANNELS}
    steps["scores"] = {"output": f"{folder}/scores.parquet"}
    steps |= {name: {"output": f"{folder}/{name}.parquet"} for name in ("customers", "segments", "microsegments")}
    dates = {"run_date": ENDS[at], "cutoff_date": CUTOFFS[at], "order_window_start": pd.Timestamp("2023-01-01")}
    body = {"steps": steps, "timezone": ZONE, **{name: f"{day:%Y-%m-%d}" for name, day in dates.items()}}
    (folder / "manifest.json").write_text(json.dumps(body))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Any]:
    folder, rng = tmp_path_factory.mktemp("money"), np.random.default_rng(3)
    orders = orders_of(rng)
    ids = [f"{at:04}" for at in range(50)]
    before = pd.Series(rng.choice(["A", "B", "C"], 50), index=ids)
    after = before.where(rng.random(50) < 0.6, rng.choice(["A", "B", "D"], 50))
    sides = before.iloc[:45], after.iloc[3:]  # three leave, five enter
    for at, name in enumerate(("one", "two")):
        write_run(folder / name, at, orders, sides[at])
    return {"folder": folder, "orders": orders, "sides": sides}


@pytest.fixture(scope="module")
def body(spark, runs) -> dict[str, Any]:
    return compare(spark, *[read_run(f"{runs['folder']}/{name}/manifest.json") for name in ("one", "two")], bins=4)


def amounts(runs: dict[str, Any], at: int) -> pd.DataFrame:
    """Priced orders of the customer window of one side, with the customers' segments."""
    orders = runs["orders"]
    inside = orders[orders["local"].between(CUTOFFS[at], ENDS[at], inclusive="left") & orders["total_price"].notna()]
    return inside.assign(segment=inside["algonomy_id"].map(runs["sides"][at])).dropna(subset="segment")


def shapley(old: list[float], new: list[float]) -> list[float]:
    parts = [0.0, 0.0, 0.0]
    for order in permutations(range(3)):
        now = list(old)
        for at in order:
            was = np.prod(now)
            now[at] = new[at]
            parts[at] += (np.prod(now) - was) / 6
    return parts


def test_every_segment_and_channel_equals_pandas(body, runs) -> None:
    sides = [amounts(runs, at) for at in (0, 1)]
    seen = set()
    for row in body["money"]["segments"]:
        seen.add((row["segment"], row["channel"]))
        factors = []
        for rows, key in zip(sides, ("before", "after"), strict=True):
            mine = rows[((rows["segment"] == row["segment"]) | (row["segment"] == "all"))]
            mine = mine[(mine["channel"] == row["channel"]) | (row["channel"] == "all")]
            number, spend = mine["algonomy_id"].nunique(), mine["total_price"].sum()
            assert row[key] == {"customers": number, "orders": len(mine), "spend": pytest.approx(spend, abs=1e-6)}
            factors.append([number, len(mine) / number, spend / len(mine)] if number else None)
        old, new = factors
        if old is None or new is None:  # a segment of one run alone: all of the change is in the customers
            known = new or old
            old, new = (each or [0, *known[1:]] for each in factors)
        parts = [row[f"by_{name}"] for name in ("customers", "orders_per_customer", "value_per_order")]
        assert parts == pytest.approx(shapley(old, new), rel=1e-9, abs=1e-6)
        assert sum(parts) == pytest.approx(row["change"], abs=1e-6)
        assert row["change"] == pytest.approx(row["after"]["spend"] - row["before"]["spend"], abs=1e-6)
    assert seen == {(s, c) for s in ("all", "A", "B", "C", "D") for c in ("all", *CHANNELS)}
    assert "Shapley" in body["money"]["method"]


def test_moves_and_groups_equal_pandas(body, runs) -> None:
    spent = [amounts(runs, at).groupby("algonomy_id")["total_price"].sum() for at in (0, 1)]
    table = pd.concat([side.rename(name) for side, name in zip(runs["sides"], ("from", "to"), strict=True)], axis=1)
    table["before"] = spent[0].reindex(table.index).fillna(0.0).where(table["from"].notna(), 0.0)
    table["after"] = spent[1].reindex(table.index).fillna(0.0).where(table["to"].notna(), 0.0)
    expected = table.fillna({"from": "-", "to": "-"}).groupby(["from", "to"])[["before", "after"]].agg(["size", "sum"])
    assert len(body["money"]["moves"]) == len(expected)
    for each in body["money"]["moves"]:
        row = expected.loc[(each["from"] or "-", each["to"] or "-")]
        assert each["customers"] == row[("before", "size")]
        assert [each["before"], each["after"]] == pytest.approx(
            [row[("before", "sum")], row[("after", "sum")]], abs=1e-6
        )
    kind = np.select(
        [table["from"].isna(), table["to"].isna(), table["from"] == table["to"]], ["entered", "left", "stayed"], "moved"
    )
    for name, rows in table.groupby(kind):
        found = body["money"]["groups"][name]
        assert found["customers"] == len(rows) > 0
        assert [found["before"], found["after"]] == pytest.approx([rows["before"].sum(), rows["after"].sum()], abs=1e-6)


def test_lifecycles_and_scores_are_compared(body, runs) -> None:
    sides = [pd.read_parquet(runs["folder"] / name / "scores.parquet") for name in ("one", "two")]
    both = sides[0].merge(sides[1], on="algonomy_id", how="outer", suffixes=("_from", "_to")).fillna("-")
    expected = both.groupby(["lifecycle_from", "lifecycle_to"]).size().to_dict()
    moves = body["lifecycles"]["migration"]
    assert {(each["from"] or "-", each["to"] or "-"): each["customers"] for each in moves} == expected
    assert {each["feature"] for each in body["psi"]["features"]} == {"n", "total_spend"}


def test_it_is_printed_and_published(body, spark, tmp_path) -> None:
    text = format_comparison(body)
    assert (
        "Lifecycle" in text and "Spend of segment" in text and "Largest moves of spend" in text and "by Shapley" in text
    )
    written = write(spark, body, str(tmp_path))
    assert f"{tmp_path}/money.parquet" in written
    rows = pd.read_parquet(tmp_path / "money.parquet")
    assert len(rows) == 20 and rows["change"].sum() != 0
    assert len(pd.read_parquet(tmp_path / "money_moves.parquet")) == len(body["money"]["moves"])


def test_a_run_without_its_orders_is_said_clearly(spark, runs, tmp_path) -> None:
    paths = [runs["folder"] / name / "manifest.json" for name in ("one", "two")]
    old = json.loads(paths[0].read_text())
    del old["timezone"]
    gone = json.loads(paths[1].read_text())
    gone["steps"]["swiggy"]["output"] = f"{tmp_path}/nowhere"
    for name, content in (("old", old), ("gone", gone)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    found = compare(spark, read_run(f"{tmp_path}/old.json"), read_run(f"{tmp_path}/gone.json"))
    assert found["money"] == {
        "unknown": [
            f"{tmp_path}/old.json: says nothing of the windows of its orders; give the run's config",
            f"{tmp_path}/nowhere: the swiggy order features of the run are not there any more",
        ]
    }
    assert "Spend is unknown:" in format_comparison(found) and "money" not in tables(found)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((10, 20, 1000.0), (10, 20, 1500.0), (0, 0, 500)),
        ((10, 20, 1000.0), (12, 24, 1200.0), (200, 0, 0)),
        ((10, 20, 1000.0), (10, 30, 1500.0), (0, 500, 0)),
        ((0, 0, 0.0), (3, 6, 90.0), (90, 0, 0)),
        ((3, 6, 90.0), (0, 0, 0.0), (-90, 0, 0)),
        ((0, 0, 0.0), (0, 0, 0.0), (0, 0, 0)),
        # 2 x 1 x 1 to 4 x 2 x 1: by customers first 2 and 4, by orders first 4 and 2
        ((2, 2, 2.0), (4, 8, 8.0), (3, 3, 0)),
    ],
)
def test_a_split_by_hand(before, after, expected) -> None:
    assert tuple(split(Amount(*before), Amount(*after)).values()) == pytest.approx(expected)
