"""Explanations of hand-made customers: failing conditions worked out by hand, caps and distances by numpy."""

import json
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from blitz.cli.main import main
from blitz.config import load_config
from blitz.errors import InputError
from blitz.explain.lookup import explain
from blitz.explain.text import format_explanation
from world import World

FLAGS = ["weekend", "weekday", "Breakfast", "Lunch", "Evening", "Late Night"]
COUNTS = [f"omnichannel_{name}_order_count" for name in FLAGS]
PREMIUM, COKE = "omnichannel_order_count_with_Premium_price_range_items", "omnichannel_categ_base_product_coke_count"
KEPT = [
    "algonomy_id",
    "ownapp_order_count",
    "unique_category_base_products_count",
    "unique_dri_category_count",
    "channel_count",
]
RENAMES = {f"{name}_order_flag": f"{name.capitalize()}_flag" for name in FLAGS} | {
    "Late Night_order_flag": "Late_Night_flag",
    "order_flag_with_Premium_price_range_items": "Premium_price_flag",
    "unique_category_base_products_count": "unique_cat_base_count",
}
FEATURES = ["base_coke_count", "ownapp_order_count", "weekend_order_count"]
SOURCES = [COKE, "ownapp_order_count", COUNTS[0]]
ME = "0007"


def people() -> pd.DataFrame:
    """Thirty customers of Seg_6_15_10; the first has the most coke, and no evening orders at all (null)."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"algonomy_id": [ME, *(f"p{at:03}" for at in range(29))]})
    frame["ownapp_order_count"] = rng.integers(6, 16, 30)
    frame["unique_category_base_products_count"] = 8
    frame["unique_dri_category_count"] = 3
    frame["channel_count"] = 2
    for name in COUNTS:
        frame[name] = rng.integers(1, 9, 30)
    frame["omnichannel_Lunch_order_count"] = 0
    frame["omnichannel_Evening_order_count"] = pd.array([None, *[2] * 29], dtype="Int64")
    frame[PREMIUM] = 1
    frame[COKE] = [500, *rng.integers(0, 20, 29)]
    frame.loc[0, "ownapp_order_count"] = 9
    dropped = frame.iloc[[1, 1, 1]].assign(algonomy_id=["over", "bare", "few"])
    dropped["ownapp_order_count"], dropped["unique_dri_category_count"] = [101, 9, 3], [3, 0, 3]
    dropped["omnichannel_weekend_order_count"] = [1, 1, 0]
    return pd.concat([frame, dropped], ignore_index=True)


def payload() -> dict:
    rows = np.random.default_rng(1).gamma(2.0, 4.0, (200, 3))
    scaler = StandardScaler().fit(rows)
    return {"kmeans": KMeans(4, n_init=2, random_state=0).fit(scaler.transform(rows)), "scaler": scaler,
            "features": FEATURES}  # fmt: skip


def orders(folder: Path) -> None:
    """Own app: two orders of ours, one a minute before the cutoff (local midnight is 18:30 UTC), one of somebody else.

    In-store: one; Swiggy: none.
    """
    rows = [
        (ME, "11", "2025-01-06 07:00:00", 100.0, 3, "Lunch", 0, ["Coke"]),
        (ME, "10", "2024-12-31 20:00:00", 50.5, 0, "Late Night", 1, []),
        (ME, "9", "2024-06-30 18:29:00", 1.0, 1, "Dinner", 0, ["Fries"]),
        ("p001", "12", "2025-01-06 07:00:00", 1.0, 1, "Lunch", 0, ["Fries"]),
    ]
    columns = ["algonomy_id", "order_id", "order_placed_datetime", "total_price", "item_count", "order_time_of_day"]
    frame = pd.DataFrame(rows, columns=[*columns, "is_weekend", "unique_base_products_in_order"])
    frame["order_placed_datetime"] = pd.to_datetime(frame["order_placed_datetime"], utc=True).astype(
        "datetime64[us, UTC]"
    )
    folder.mkdir()
    frame.to_parquet(folder / "ownapp.parquet", index=False)
    frame.iloc[[3]].to_parquet(folder / "swiggy.parquet", index=False)
    frame.iloc[[0, 3]].assign(order_id="900").to_parquet(folder / "instore.parquet", index=False)


@pytest.fixture(scope="module")
def conf(tmp_path_factory) -> str:
    """The path of a config whose outputs are written by hand."""
    folder = tmp_path_factory.mktemp("explain")
    orders(folder / "out")
    frame, model = people(), payload()
    frame.to_parquet(folder / "out/customers.parquet", index=False)
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    chosen = frame.iloc[:30]
    pd.DataFrame({"algonomy_id": chosen["algonomy_id"], "Segment": "Seg_6_15_10"}).to_parquet(folder / "segments.par")
    mine = {"algonomy_id": [ME, ME], "microcluster": ["9", "9"], "Segment": ["wide", "elsewhere"]}
    pd.DataFrame(mine).to_parquet(folder / "micro.par")
    scores = {
        "algonomy_id": [ME, "other"],
        "total_spend": [150.5, 1.0],
        "lifecycle": ["due", "new"],
        "missed_visits": [1.5, None],
    }
    pd.DataFrame(scores).to_parquet(folder / "out/users_scores.parquet")
    key, segment = "segment_a_model", "Seg_6_15_10"
    plan = [
        {"name": "other", "source_segments": ["Seg1_5_1"], "model_key": key},
        {"name": "tight", "source_segments": [segment, "Seg1_5_2"], "model_key": key},
        {"name": "off", "source_segments": [segment], "model_key": key, "enabled": False},
    ]
    body = World(folder).config() | {
        "segmentation": {
            "input_path": f"{folder}/out/customers.parquet", "output_segments_path": f"{folder}/segments.par",
            "output_microsegments_path": f"{folder}/micro.par", key: f"{folder}/model.pkl", "cols_to_keep": KEPT,
            "convert_to_flag": [*COUNTS, PREMIUM, COKE], "rename_dict": RENAMES,
            "rename_dict_microsegments": {"categ_base_product_coke_count": "base_coke_count"}, "micro_plan": plan,
        }
    }  # fmt: skip
    path = folder / "conf.json"
    path.write_text(json.dumps(body))
    return str(path)


@pytest.fixture(scope="module")
def mine(spark, conf) -> dict:
    return explain(load_config(conf=conf), spark, ME)


def test_every_rule_names_the_conditions_that_fail(mine):
    u, premium, lunch = "unique_cat_base_count <= 6.5 (is 8)", "Premium_price_flag = 0 (is 1)", "Lunch_flag = 1 (is 0)"
    night, channels = "Late_Night_flag = 0 (is 1)", "channel_count <= 1.5 (is 2)"
    assert {each["segment"]: each["failed"] for each in mine["rules"]} == {
        "Seg_6_15_01": [u, "Weekend_flag = 0 (is 1)"],
        "Seg_6_15_02": [u],
        "Seg_6_15_03": [u, lunch],
        "Seg_6_15_04": [premium],
        "Seg_6_15_05": [premium, lunch, night],
        "Seg_6_15_06": [premium, lunch],
        "Seg_6_15_07": [channels],
        "Seg_6_15_08": [channels, lunch],
        "Seg_6_15_09": [night],
        "Seg_6_15_10": [],
    }
    assert [each["segment"] for each in mine["rules"] if each["matched"]] == ["Seg_6_15_10"]
    assert (mine["band"], mine["dropped"]) == ("6_15", None)
    name = "6–15 orders, 7+ products, several channels, premium prices, late night"
    assert mine["segment"] == {"computed": "Seg_6_15_10", "published": "Seg_6_15_10", "agrees": True, "name": name}
    assert mine["rules"][-1]["name"] == name
    assert mine["scores"] == {"total_spend": 150.5, "lifecycle": "due", "missed_visits": 1.5}
    assert mine["rule_variables"] == {
        "ownapp_order_count": 9, "unique_cat_base_count": 8, "Weekend_flag": 1, "Lunch_flag": 0,
        "Premium_price_flag": 1, "Late_Night_flag": 1, "channel_count": 2,
    }  # fmt: skip
    assert (mine["flags"]["Evening_flag"], mine["flags"]["Breakfast_flag"]) == (0, 1)  # a null count raises no flag
    assert mine["counts"]["omnichannel_Evening_order_count"] is None


def test_orders_in_the_window_by_channel_in_local_time(mine):
    assert mine["window"] == {"from": "2024-07-01", "to": "2025-07-01", "timezone": "Asia/Kolkata"}
    own = [(each["order_id"], each["at"], each["total_price"], each["weekend"]) for each in mine["orders"]["ownapp"]]
    assert own == [("10", "2025-01-01 01:30:00", 50.5, True), ("11", "2025-01-06 12:30:00", 100.0, False)]
    assert [each["order_id"] for each in mine["orders"]["instore"]] == ["900"]
    assert mine["orders"]["swiggy"] == []


def test_caps_distances_and_pulls_are_those_of_numpy(mine):
    model = payload()
    rows = people().iloc[:30][SOURCES].astype(float).to_numpy()
    low, high = np.percentile(rows, [1, 99], axis=0)
    x = rows[0].copy()
    for at in (0, 2):  # not the order count, which decides the band
        x[at] = np.clip(x[at], low[at], high[at])
    z = (x - model["scaler"].mean_) / model["scaler"].scale_
    distances = np.linalg.norm(model["kmeans"].cluster_centers_ - z, axis=1)
    first, second = np.argsort(distances)[:2]
    (plan,) = mine["plans"]
    assert (plan["plan"], plan["model"], plan["is_capped"]) == ("tight", "segment_a_model", True)
    assert [plan["distances"][str(at)] for at in range(4)] == pytest.approx(distances.tolist())
    assert (plan["microcluster"], plan["runner_up"]) == (str(first), str(second))
    assert (plan["published"], plan["agrees"]) == (None, False)
    coke = plan["capped"][0]
    assert (coke["feature"], coke["value"]) == ("base_coke_count", 500)
    assert coke["capped_to"] == coke["high"] == pytest.approx(high[0])
    assert (coke["by"], coke["low"]) == (pytest.approx(high[0] - 500), pytest.approx(low[0]))
    centres = model["kmeans"].cluster_centers_
    pulls = (z - centres[second]) ** 2 - (z - centres[first]) ** 2
    assert {each["feature"]: each["pull"] for each in plan["pulls"]} == pytest.approx(
        dict(zip(FEATURES, pulls.tolist(), strict=True))
    )
    assert [each["pull"] for each in plan["pulls"]] == pytest.approx(sorted(pulls.tolist(), reverse=True))
    assert sum(pulls) == pytest.approx(distances[second] ** 2 - distances[first] ** 2)


def test_customers_without_a_published_segment(spark, conf):
    config = load_config(conf=conf)
    over, bare, few = (explain(config, spark, name) for name in ("over", "bare", "few"))
    assert (over["dropped"], bare["dropped"], few["dropped"]) == ("over_100_orders", "no_category", None)
    assert (over["band"], over["rules"], over["plans"], over["segment"]["computed"]) == (None, [], [], None)
    assert {name: few["segment"][name] for name in ("computed", "published", "agrees")} == {
        "computed": "Seg1_5_6", "published": None, "agrees": False,
    }  # fmt: skip
    assert few["scores"] is None
    assert "drops this customer (over_100_orders)" in format_explanation(over)
    assert "the rules give Seg1_5_6, published is none; run the segments job again" in format_explanation(few)


def test_an_unknown_id_is_one_clear_message(spark, conf):
    with pytest.raises(
        InputError, match=r"no customer with that id in .*customers\.parquet; ids are text, so leading zeros"
    ):
        explain(load_config(conf=conf), spark, "7")


def test_text_and_json_of_the_job_say_the_same(spark, conf, mine, capsys):
    assert main("explain", ["--conf", conf, "--customer", ME, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(mine))
    assert main("explain", ["--conf", conf, "--customer", "70707070"]) == 1
    assert capsys.readouterr().err.count("explain: failed: no customer with that id") == 1
    assert "70707070" not in (Path(tempfile.gettempdir()) / "blitz-explain.debug.log").read_text()
    text = format_explanation(mine)
    for part in (
        "ownapp: 2",
        "swiggy: none",
        "lifecycle      due",
        "  6–15 orders, 7+ products, several",
        "Segment Seg_6_15_10, as published",
        "runner-up",
        "Pulls to",
    ):
        assert part in text
    matched = next(line for line in text.splitlines() if line.startswith("  Seg_6_15_10"))
    assert matched.split()[1] == "matches" and "Late_Night_flag = 1" in matched
