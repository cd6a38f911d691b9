"""Training: planted clusters are found, and prediction on the training rows gives the training labels."""

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from blitz import config as configs
from blitz.cli.main import main
from blitz.errors import ConfigError, InputError
from blitz.pipelines import SegmentRunner
from blitz.training.microsegments import TrainingOptions, choose_plans, model_paths, train, write

A, B = "omnichannel_categ_base_product_coke_count", "omnichannel_weekend_order_count"
FEATURES = [
    "ownapp_order_count",
    "unique_dri_category_count",
    "channel_count",
    "base_coke_count",
    "weekend_order_count",
]
# Planted: centre of (coke, weekend), customers; far apart, in no order of size.
PLANTED = [((5, 5), 60), ((60, 5), 150), ((5, 60), 90)]
NULLS = 4  # of the clusters with little coke, the first customers have no coke count at all


def people() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    group = np.repeat(range(3), [size for _, size in PLANTED])
    centre = np.array([centre for centre, _ in PLANTED])[group]
    values = centre + rng.integers(-2, 3, (len(group), 2))
    frame = pd.DataFrame(
        {
            "algonomy_id": [f"{at:05d}" for at in range(len(group))],
            "ownapp_order_count": 3,
            "unique_dri_category_count": 2,
            "channel_count": 2,
            A: pd.array(values[:, 0], dtype="Int64"),
            B: values[:, 1],
            "planted": group,
        }
    )
    frame.loc[(frame.groupby("planted").cumcount() < NULLS) & (frame["planted"] != 1), A] = pd.NA
    frame.loc[70, A] = 5_000  # in the largest cluster; the capped plan clips it, the plain one must live with it
    return frame.sample(frac=1, random_state=3)


def body(folder: Path) -> dict:
    plan = [
        {"name": "capped", "source_segments": ["Seg1_5_6"], "model_key": "segment_capped_model"},
        {"name": "plain", "source_segments": ["Seg1_5_5"], "model_key": "segment_plain_model"},
        {"name": "off", "source_segments": ["Seg1_5_1"], "model_key": "segment_plain_model", "enabled": False},
    ]
    return {
        "segmentation": {
            "input_path": f"{folder}/customers.parquet", "output_segments_path": f"{folder}/segments.par",
            "output_microsegments_path": f"{folder}/micro.par",
            "segment_capped_model": f"{folder}/models/capped.pkl", "segment_plain_model": f"{folder}/models/plain.pkl",
            "cols_to_keep": ["algonomy_id", "ownapp_order_count", "unique_dri_category_count", "channel_count"],
            "convert_to_flag": [A, B], "rename_dict_microsegments": {"categ_base_product_coke_count": "base_coke_count"},
            "micro_plan": plan,
        }
    }  # fmt: skip


@pytest.fixture(scope="module")
def world(spark, tmp_path_factory):
    """Customers twice: those of the capped plan, and the same without the outlier for the plain one."""
    folder = tmp_path_factory.mktemp("training")
    capped = people()
    plain = capped.assign(algonomy_id="p" + capped["algonomy_id"])
    plain[A] = plain[A].clip(upper=60)
    every = pd.concat([capped, plain])
    every.drop(columns="planted").to_parquet(folder / "customers.parquet", index=False)
    is_plain = every["algonomy_id"].str.startswith("p")
    segment = np.where(is_plain, "Seg1_5_5", "Seg1_5_6")
    pd.DataFrame({"algonomy_id": every["algonomy_id"], "Segment": segment}).to_parquet(
        folder / "segments.par", index=False
    )
    (folder / "conf.json").write_text(json.dumps(body(folder)))
    config = configs.load_config(conf=str(folder / "conf.json"))
    return folder, config, every


@pytest.fixture(scope="module")
def trained(spark, world):
    _, config, _ = world
    models = train(config, spark, TrainingOptions(ks=(2, 3, 4, 5), seed=1))
    write(models)
    return {model.plan: model for model in models}


@pytest.fixture(scope="module")
def scored(spark, world, trained) -> pd.DataFrame:
    """What the pipeline makes of the customers with the new models."""
    return SegmentRunner(world[1], spark).run_microsegments_from_config().toPandas()


def test_the_planted_clusters_are_found_and_numbered_by_size(world, trained, scored):
    _, _, every = world
    assert Counter(scored["Segment"]) == {"capped": 300, "plain": 300}
    both = scored.merge(every[["algonomy_id", "planted"]], on="algonomy_id")
    # sizes 150, 90, 60: the second planted cluster is 0, the third 1, the first 2
    assert both["microcluster"].tolist() == [{1: "0", 2: "1", 0: "2"}[each] for each in both["planted"]]
    for model in trained.values():
        assert model.card["k"] == 3 and model.card["k_chosen_by"] == "silhouette"
        assert max(model.card["silhouette"], key=model.card["silhouette"].get) == "3"
        assert [each["size"] for each in model.card["clusters"]] == [150, 90, 60]


def test_prediction_by_the_pipeline_gives_the_labels_of_the_training(world, scored):
    folder, _, _ = world
    for plan in ("capped", "plain"):
        with open(folder / f"models/{plan}.pkl", "rb") as file:
            payload = pickle.load(file)
        assert payload["features"] == FEATURES
        found = scored.loc[scored["Segment"] == plan, "microcluster"]
        assert Counter(found) == Counter(payload["kmeans"].labels_.astype(str))


def test_what_the_model_saw_is_capped_and_null_is_0(world, trained):
    """Scaler and profile against numpy: the percentiles of 5.1's counts, over the plan's customers."""
    folder, _, every = world
    mine = every[~every["algonomy_id"].str.startswith("p")]
    coke = mine[A].astype("float64").to_numpy()
    coke = np.clip(coke, *np.percentile(coke[~np.isnan(coke)], [1, 99]))  # a null stays out of the percentiles
    coke = np.where(np.isnan(coke), 0, coke)
    with open(folder / "models/capped.pkl", "rb") as file:
        scaler = pickle.load(file)["scaler"]
    assert scaler.mean_[3] == pytest.approx(coke.mean())
    assert scaler.scale_[3] == pytest.approx(coke.std())
    assert scaler.mean_[2] == 2
    profile = trained["capped"].card["clusters"][0]["profile"]
    assert list(profile) == FEATURES
    assert profile["base_coke_count"] == pytest.approx(coke[mine["planted"] == 1].mean())
    assert profile["channel_count"] == 2


def test_the_card_and_the_hash(world, trained):
    import hashlib

    import sklearn

    folder, config, _ = world
    card = json.loads((folder / "models/plain.card.json").read_text())
    assert card == trained["plain"].card
    assert card["sha256"] == hashlib.sha256((folder / "models/plain.pkl").read_bytes()).hexdigest()
    assert (card["rows"], card["sampled_rows"], card["capped_to"]) == (300, 300, None)
    assert trained["capped"].card["capped_to"] == [0.01, 0.99]
    assert card["versions"]["scikit-learn"] == sklearn.__version__
    assert card["config_hash"] == config.config_hash
    assert card["data_window"] is None  # this config has no feature pipeline
    assert "0000" not in json.dumps(card["clusters"])


def test_the_sample_is_bounded_seeded_and_the_same_on_other_partitions(spark, world, tmp_path):
    _, config, every = world
    few = TrainingOptions(max_rows=101, ks=(3,), seed=5)
    first = train(config, spark, few)
    assert [model.card["sampled_rows"] for model in first] == [50, 51]
    every.drop(columns="planted").iloc[::-1].to_parquet(tmp_path / "customers.parquet", index=False)
    segmentation = config.segmentation.model_copy(update={"input_path": f"{tmp_path}/customers.parquet"})
    moved = config.model_copy(update={"segmentation_body": segmentation})
    again = train(moved, spark, few)
    assert [model.sha256 for model in first] == [model.sha256 for model in again]
    other = train(config, spark, TrainingOptions(max_rows=101, ks=(3,), seed=6))
    assert [model.sha256 for model in other] != [model.sha256 for model in first]


def test_too_few_customers_are_refused_before_anything_is_written(spark, world, tmp_path):
    _, config, _ = world
    with pytest.raises(InputError) as caught:
        train(config, spark, TrainingOptions(ks=(3,)), ["capped", "off"], str(tmp_path))
    assert "off: 0 customers" in str(caught.value) and "capped" not in str(caught.value)
    with pytest.raises(InputError, match="k up to 40 needs 400"):
        train(config, spark, TrainingOptions(ks=(40,)), ["capped"], str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_plans_and_paths(world):
    folder, config, _ = world
    assert [item.name for item in choose_plans(config, None)] == ["capped", "plain"]
    with pytest.raises(ConfigError, match="unknown plan 'plane'; did you mean \"plain\""):
        choose_plans(config, ["plane"])
    with pytest.raises(ConfigError, match="plain and off share segment_plain_model"):
        choose_plans(config, ["plain", "off"])
    items = choose_plans(config, ["plain"])
    assert model_paths(config, items, None) == {"plain": f"{folder}/models/plain.pkl"}
    assert model_paths(config, items, "s3://models/new/") == {"plain": "s3://models/new/plain.pkl"}


def test_the_job_prints_scores_sizes_and_hash(spark, world, tmp_path, capsys):
    folder, _, _ = world
    out = tmp_path / "new"
    arguments = ["--conf", str(folder / "conf.json"), "--plan", "plain", "--k-range", "3:4", "--out", str(out)]
    assert main("train_microsegments", arguments) == 0
    printed = capsys.readouterr().out
    card = json.loads((out / "plain.card.json").read_text())
    for expected in ("plain: 300 customers, 300 sampled, 5 features", "k = 3 (silhouette)", "0: 150  1: 90  2: 60",
                     card["sha256"], f"{card['silhouette']['4']:.3f}"):  # fmt: skip
        assert expected in printed
    assert sorted(path.name for path in out.iterdir()) == ["plain.card.json", "plain.pkl"]


@pytest.mark.parametrize("wrong", [["--k", "1"], ["--k-range", "5:2"], ["--k", "3", "--k-range", "2:3"], ["--max-rows", "0"]])  # fmt: skip
def test_wrong_arguments_are_refused(world, wrong):
    with pytest.raises(SystemExit) as caught:
        main("train_microsegments", ["--conf", str(world[0] / "conf.json"), *wrong])
    assert caught.value.code == 2
