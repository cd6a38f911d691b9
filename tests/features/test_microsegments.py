"""Micro-segments against numpy and scikit-learn used by hand: capping, renames, nulls, several plans, empty plans."""

import pickle
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from blitz.config import config_of
from blitz.errors import InputError
from blitz.pipelines import SegmentRunner
from blitz.pipelines.models import load_payloads

A, B = "omnichannel_categ_base_product_coke_count", "omnichannel_weekend_order_count"
COLUMNS = ["algonomy_id", "ownapp_order_count", "unique_dri_category_count", "channel_count", A, B]
RENAMES = {"categ_base_product_coke_count": "base_coke_count"}
FEATURES = ["weekend_order_count", "base_coke_count", "channel_count", "ownapp_order_count"]  # not the table's order


def model(seed: int, features: list[str] = FEATURES, clusters: int = 3) -> dict:
    rng = np.random.default_rng(seed)
    rows = rng.gamma(2.0, 3.0, (300, len(features)))
    scaler = StandardScaler().fit(rows)
    return {
        "kmeans": KMeans(clusters, n_init=2, random_state=seed).fit(scaler.transform(rows)),
        "scaler": scaler,
        "features": features,
    }


def customers(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "algonomy_id": [f"{at:06d}" for at in range(rows)],
            "ownapp_order_count": rng.integers(1, 101, rows),
            "unique_dri_category_count": 2,
            "channel_count": rng.integers(1, 4, rows),
            A: pd.array(rng.integers(0, 60, rows), dtype="Int64"),
            B: pd.array(rng.integers(0, 40, rows), dtype="Int64"),
        }
    )
    frame.loc[::7, A] = pd.NA
    frame.loc[0, B] = 10_000  # far out: capped where the plan caps
    return frame


def body(tmp_path, plan, models):
    (tmp_path / "models").mkdir(exist_ok=True)
    paths = {}
    for key, payload in models.items():
        paths[key] = f"{tmp_path}/models/{key}.pkl"
        with open(paths[key], "wb") as file:
            pickle.dump(payload, file)
    return {
        "input_path": f"{tmp_path}/customers.parquet", "output_segments_path": f"{tmp_path}/segments.par",
        "output_microsegments_path": f"{tmp_path}/micro.par", **paths,
        "cols_to_keep": COLUMNS[:4], "convert_to_flag": [A, B], "rename_dict": {},
        "rename_dict_microsegments": RENAMES, "micro_plan": plan,
    }  # fmt: skip


def by_hand(frame: pd.DataFrame, payload: dict, is_capped: bool) -> dict[str, str]:
    """The clusters as the users compute them today."""
    numbers = frame.drop(columns="algonomy_id").astype("float64")
    if is_capped:
        for name in set(numbers.columns) - {"ownapp_order_count"}:
            values = numbers[name].to_numpy()
            low, high = np.percentile(values[~np.isnan(values)], [1, 99])
            numbers[name] = np.clip(values, low, high)
    named = numbers.rename(columns=lambda name: name.removeprefix("omnichannel_")).rename(columns=RENAMES)
    matrix = named[payload["features"]].fillna(0).to_numpy()
    clusters = payload["kmeans"].predict(payload["scaler"].transform(matrix))
    return dict(zip(frame["algonomy_id"], map(str, clusters), strict=True))


PLAN = [
    {"name": "capped", "source_segments": ["Seg1_5_6", "Seg1_5_5"], "model_key": "segment_a_model"},
    {"name": "plain", "source_segments": ["Seg1_5_5"], "model_key": "segment_b_model", "enabled": True},
    {"name": "nobody", "source_segments": ["Seg15_plus_9"], "model_key": "segment_a_model"},
    {"name": "off", "source_segments": ["Seg1_5_5"], "model_key": "segment_b_model", "enabled": False},
]


@pytest.fixture
def table(tmp_path):
    frame = customers()
    frame.to_parquet(tmp_path / "customers.parquet", index=False)
    segments = np.where(np.arange(len(frame)) % 3 == 0, "Seg1_5_6", "Seg1_5_5").astype(object)
    segments[-50:] = "Seg1_5_1"  # in no plan
    pd.DataFrame({"algonomy_id": frame["algonomy_id"], "Segment": segments}).to_parquet(tmp_path / "segments.par")
    return frame, segments


def test_plans_capping_renames_and_nulls(spark, tmp_path, table):
    frame, segments = table
    models = {"segment_a_model": model(1), "segment_b_model": model(2, FEATURES[:3], clusters=4)}
    runner = SegmentRunner(body(tmp_path, PLAN, models), spark)
    details = runner.publish_microsegments().details["clusters"]
    stored = pd.read_parquet(tmp_path / "micro.par")
    assert list(stored.columns) == ["algonomy_id", "microcluster", "Segment", *COLUMNS[1:]]
    both, one = np.isin(segments, ["Seg1_5_6", "Seg1_5_5"]), segments == "Seg1_5_5"
    expected = {
        "capped": by_hand(frame[both], models["segment_a_model"], is_capped=True),
        "plain": by_hand(frame[one], models["segment_b_model"], is_capped=False),
    }
    found = {name: dict(zip(g["algonomy_id"], g["microcluster"], strict=True)) for name, g in stored.groupby("Segment")}
    assert found == expected  # a customer of both has two rows; nobody and off have none
    assert by_hand(frame[both], models["segment_a_model"], is_capped=False) != expected["capped"]
    assert details["nobody"] == [0, 0, 0] and sum(details["capped"]) == both.sum()
    kept = stored[stored.Segment == "plain"].drop(columns=["microcluster", "Segment"]).sort_values("algonomy_id")
    original = frame[one].sort_values("algonomy_id")
    for name in COLUMNS:  # uncapped, unrenamed, nulls as they were
        assert kept[name].astype(object).where(kept[name].notna(), None).tolist() == (
            original[name].astype(object).where(original[name].notna(), None).tolist()
        )


@pytest.mark.engines
def test_models_as_public_code_makes_them_score_as_scikit_learn_does(spark, tmp_path, table):
    """A number of clusters from argmax, numpy booleans, frames of other columns, and models that give frames."""
    frame, segments = table
    rows = pd.DataFrame(np.random.default_rng(3).gamma(2.0, 3.0, (300, 4)), columns=["x0", "x1", "x2", "x3"])
    scalers = [StandardScaler(with_mean=np.bool_(False)), StandardScaler().set_output(transform="pandas")]
    chosen = frame[segments == "Seg1_5_5"]
    matrix = (
        chosen[[B, A, "channel_count", "ownapp_order_count"]].astype("float64").fillna(0).set_axis(rows.columns, axis=1)
    )
    models, expected = {}, {}
    for key, scaler in zip(("segment_a_model", "segment_b_model"), scalers, strict=True):
        kmeans = KMeans(np.argmax([0.1, 0.2, 0.3, 0.9]) + 1, n_init=2, random_state=1).fit(scaler.fit_transform(rows))
        models[key] = {"kmeans": kmeans, "scaler": scaler, "features": [np.str_(name) for name in FEATURES]}
        clusters = kmeans.predict(scaler.transform(matrix))
        expected[key] = dict(zip(chosen["algonomy_id"], map(str, clusters), strict=True))
    plan = [{"name": key, "source_segments": ["Seg1_5_5"], "model_key": key} for key in models]
    SegmentRunner(body(tmp_path, plan, models), spark).run_microsegments_from_config()
    stored = pd.read_parquet(tmp_path / "micro.par")
    found = {name: dict(zip(g["algonomy_id"], g["microcluster"], strict=True)) for name, g in stored.groupby("Segment")}
    assert found == expected


def test_cap_segments_and_quantiles_come_from_the_config(spark, tmp_path, table):
    frame, segments = table
    payload = model(1)
    config = body(tmp_path, PLAN[:2], {"segment_a_model": payload, "segment_b_model": payload})
    config |= {"cap_segments": ["Seg1_5_5"], "lower_q": 0.25, "upper_q": 0.5}
    runner = SegmentRunner(config, spark)
    runner.run_microsegments_from_config()
    stored = pd.read_parquet(tmp_path / "micro.par")
    chosen = frame[segments == "Seg1_5_5"]
    numbers = chosen.drop(columns="algonomy_id").astype("float64")
    for name in (A, B, "channel_count"):
        low, high = np.nanquantile(numbers[name], [0.25, 0.5])
        numbers[name] = numbers[name].clip(low, high)
    matrix = numbers[[B, A, "channel_count", "ownapp_order_count"]].fillna(0).to_numpy()
    expected = payload["kmeans"].predict(payload["scaler"].transform(matrix)).astype(str)
    plain = stored[stored.Segment == "plain"].sort_values("algonomy_id")
    assert plain["microcluster"].tolist() == expected.tolist()


def test_the_models_that_were_checked_are_those_that_score(spark, tmp_path, table):
    frame, segments = table
    models = {"segment_a_model": model(1), "segment_b_model": model(2, FEATURES[:3], clusters=4)}
    config = config_of(body(tmp_path, PLAN, models), "segmentation")
    hashes = {key: sha256(Path(config.segmentation[key]).read_bytes()).hexdigest() for key in models}
    payloads = load_payloads(config)
    for key in models:  # written again after the check, as by a training that runs at the same time
        Path(config.segmentation[key]).write_bytes(b"another model")
    result = SegmentRunner(config, spark, payloads=payloads).publish_microsegments()
    assert result.details["models"] == hashes
    stored = pd.read_parquet(tmp_path / "micro.par").query("Segment == 'plain'")
    expected = by_hand(frame[segments == "Seg1_5_5"], models["segment_b_model"], is_capped=False)
    assert dict(zip(stored["algonomy_id"], stored["microcluster"], strict=True)) == expected


def test_every_model_that_cannot_be_used_is_listed(tmp_path):
    config = config_of(body(tmp_path, PLAN, {"segment_a_model": model(1), "segment_b_model": model(2)}), "segmentation")
    Path(config.segmentation["segment_a_model"]).write_bytes(b"no pickle")
    Path(config.segmentation["segment_b_model"]).unlink()
    with pytest.raises(InputError) as caught:
        load_payloads(config)
    first, *problems = str(caught.value).splitlines()
    assert first == "the models cannot be used:" and len(problems) == 2
    assert [key for key in ("segment_a_model", "segment_b_model") if any(key in line for line in problems)] == [
        "segment_a_model", "segment_b_model",
    ]  # fmt: skip


def test_a_single_customer_and_a_column_of_nulls(spark, tmp_path):
    frame = customers(1).astype({A: "float64"})
    frame[A] = np.nan
    frame.to_parquet(tmp_path / "customers.parquet", index=False)
    pd.DataFrame({"algonomy_id": ["000000"], "Segment": ["Seg1_5_6"]}).to_parquet(tmp_path / "segments.par")
    payload = model(3)
    runner = SegmentRunner(body(tmp_path, PLAN[:1], {"segment_a_model": payload}), spark)
    rows = runner.run_microsegments_from_config().collect()
    matrix = [[10_000.0, 0.0, float(frame["channel_count"][0]), float(frame["ownapp_order_count"][0])]]
    expected = payload["kmeans"].predict(payload["scaler"].transform(matrix))[0]
    assert [(r["algonomy_id"], r["microcluster"]) for r in rows] == [("000000", str(expected))]


@pytest.mark.usefixtures("table")
def test_missing_features_name_feature_plan_and_renames(spark, tmp_path):
    payload = model(1, ["base_coke_count", "base_fries_count"])
    config = body(tmp_path, PLAN[:1], {"segment_a_model": payload})
    config["rename_dict_microsegments"] = {**RENAMES, "categ_base_product_fries_count": "base_fries_count"}
    with pytest.raises(InputError, match="plan capped: the model needs base_fries_count.*categ_base_product_fries"):
        SegmentRunner(config, spark).run_microsegments_from_config()
    assert not (tmp_path / "micro.par").exists()


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("key", ["kmeans", "scaler", "features"])
def test_a_payload_that_lacks_a_key_publishes_nothing(spark, tmp_path, key):
    payload = {name: value for name, value in model(1).items() if name != key}
    with pytest.raises(InputError, match=f"segment_a_model.*{key}"):
        SegmentRunner(body(tmp_path, PLAN[:1], {"segment_a_model": payload}), spark).run_microsegments_from_config()
    assert not (tmp_path / "micro.par").exists()


@pytest.mark.usefixtures("table")
def test_no_plan_gives_an_empty_table(spark, tmp_path):
    runner = SegmentRunner(body(tmp_path, [], {}), spark)
    assert runner.run_microsegments_from_config().count() == 0
    assert list(pd.read_parquet(tmp_path / "micro.par").columns)[:3] == ["algonomy_id", "microcluster", "Segment"]
