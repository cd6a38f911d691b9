"""Learned rules: planted splits are found, and Spark gives every row the leaf that scikit-learn gives it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from blitz import config as configs
from blitz.cli.main import main
from blitz.errors import BlitzError, InputError
from blitz.segmentation.proof import prove
from blitz.segmentation.rules import Band, Condition, Rule, RuleSet, load_rules, segment_column
from blitz.training import trees
from blitz.training.rules import learn
from blitz.training.trees import LearningOptions, compile_tree

ROWS = 600


def customers() -> pd.DataFrame:
    """Planted: below 6 orders the value is told apart by price > 37.3 and weekends; from 6 on by categories > 4."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "algonomy_id": [f"{at:05d}" for at in range(ROWS)],
            "ownapp_order_count": rng.choice([1, 5, 6, 30], ROWS),
            "unique_dri_category_count": rng.integers(1, 9, ROWS),
            "omnichannel_aov": rng.choice([12.1, 37.2, 37.4, 80.7], ROWS),
            "omnichannel_weekend_order_count": pd.array(rng.integers(0, 3, ROWS), dtype="Int64"),
        }
    )
    frame.loc[::9, "omnichannel_weekend_order_count"] = pd.NA  # no weekend order: the flag is 0
    few = frame["ownapp_order_count"] < 6
    weekend = frame["omnichannel_weekend_order_count"].fillna(0) > 0
    first = np.where(frame["omnichannel_aov"] > 37.3, 50, np.where(weekend, 30, 10))
    frame["spent"] = np.where(few, first, np.where(frame["unique_dri_category_count"] > 4, 9.0, 4.0))
    frame["kind"] = np.where(frame["spent"] > 20, "big", "small")
    frame.loc[::11, "omnichannel_aov"] = np.nan  # nothing is planted there: no segment where a rule asks for it
    frame.loc[5, "spent"] = np.nan
    return frame


def body(folder: Path) -> dict:
    return {
        "segmentation": {
            "input_path": f"{folder}/customers.parquet", "output_segments_path": f"{folder}/segments.par",
            "output_microsegments_path": f"{folder}/micro.par", "rules_path": f"{folder}/old.json",
            "cols_to_keep": ["algonomy_id", "ownapp_order_count", "unique_dri_category_count", "omnichannel_aov"],
            "convert_to_flag": ["omnichannel_weekend_order_count"], "rename_dict": {"weekend_order_flag": "Weekend_flag"},
        }
    }  # fmt: skip


def old_rules() -> dict:
    """The bands and their variables; the rules themselves are to be learned anew."""
    first = [
        {"segment": "a", "conditions": [{"column": "aov", "at_most": 1}, {"column": "Weekend_flag", "equals": 0}]},
        {"segment": "b", "conditions": [{"column": "aov", "at_most": 1}, {"column": "Weekend_flag", "equals": 1}]},
        {"segment": "c", "conditions": [{"column": "aov", "greater_than": 1}]},
    ]
    second = [
        {"segment": "d", "conditions": [{"column": "unique_dri_category_count", "at_most": 2}]},
        {"segment": "e", "conditions": [{"column": "unique_dri_category_count", "greater_than": 2}]},
    ]
    return {
        "bands": [
            {"name": "few", "at_most": 5.5, "rules": first},
            {"name": "many", "greater_than": 5.5, "rules": second},
        ]
    }


@pytest.fixture(scope="module")
def world(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning")
    frame = customers()
    frame.to_parquet(folder / "customers.parquet", index=False)
    (folder / "old.json").write_text(json.dumps(old_rules()))
    (folder / "conf.json").write_text(json.dumps(body(folder)))
    return folder, configs.load_config(conf=str(folder / "conf.json")), frame


HOW = LearningOptions(min_leaf=10, max_leaves=3)


@pytest.fixture(scope="module")
def learned(spark, world):
    return learn(world[1], spark, "spent", HOW)


def words(band: Band) -> list[str]:
    return [rule.in_words() for rule in band.rules]


def test_the_planted_splits_are_found(learned):
    few, many = learned.rules.bands
    # scikit-learn cuts in the middle of 37.2 and 37.4, and of 4 and 5; the other band's leaves are pure after one cut
    assert words(few) == [
        "aov <= 37.3 and Weekend_flag = 0", "aov <= 37.3 and Weekend_flag = 1", "aov > 37.3",
    ]  # fmt: skip
    assert words(many) == ["unique_dri_category_count <= 4.5", "unique_dri_category_count > 4.5"]
    assert [leaf.target for leaf in learned.bands[0].leaves] == ["mean 10", "mean 30", "mean 50"]
    assert (few.at_most, many.greater_than) == (5.5, 5.5)
    assert prove(learned.rules).holds


def test_counts_and_rows_left_out(world, learned):
    frame = world[2]
    few = frame["ownapp_order_count"] < 6
    nulls = frame["omnichannel_aov"].isna() | frame["spent"].isna()
    assert [done.rows for done in learned.bands] == [few.sum(), (~few).sum()]
    assert [done.checked for done in learned.bands] == [few.sum(), (~few).sum()]
    # the second band does not read aov: only a null target leaves a row out
    assert [done.left_out for done in learned.bands] == [(few & nulls).sum(), (~few & frame["spent"].isna()).sum()]
    assert sum(leaf.rows for leaf in learned.bands[0].leaves) == (few & ~nulls).sum()


def test_the_pipeline_gives_every_row_its_leaf(spark, world, learned, tmp_path):
    from blitz.pipelines import SegmentRunner

    folder, config, frame = world
    (tmp_path / "rules.json").write_bytes(learned.as_json())
    assert load_rules(f"{tmp_path}/rules.json") == learned.rules
    segmentation = config.segmentation.model_copy(update={"rules_path": f"{tmp_path}/rules.json"})
    runner = SegmentRunner(config.model_copy(update={"segmentation_body": segmentation}), spark)
    found = dict(runner.run_rule_pipeline()[1].toPandas()[["algonomy_id", "Segment"]].itertuples(index=False))
    assert len(found) == ROWS

    def by_hand(row) -> str | None:
        if row.ownapp_order_count >= 6:
            return "Learned_many_02" if row.unique_dri_category_count > 4 else "Learned_many_01"
        if pd.isna(row.omnichannel_aov):
            return None  # every rule of the band reads it
        weekend = not pd.isna(row.omnichannel_weekend_order_count) and row.omnichannel_weekend_order_count > 0
        return "Learned_few_03" if row.omnichannel_aov > 37.3 else "Learned_few_02" if weekend else "Learned_few_01"

    assert found == {row.algonomy_id: by_hand(row) for row in frame.itertuples()}


def test_a_text_is_classified(spark, world):
    done = learn(world[1], spark, "kind", HOW)
    assert [leaf.target for leaf in done.bands[0].leaves] == ["small 100%", "big 100%", "big 100%"]
    assert words(done.rules.bands[1]) == ["everyone"]  # all small: one leaf


def test_the_sample_is_bounded_and_seeded(spark, world):
    how = LearningOptions(max_rows=201, min_leaf=10, max_leaves=3, seed=4)
    done = learn(world[1], spark, "spent", how)
    assert sorted(each.sampled for each in done.bands) == [100, 101]
    assert done == learn(world[1], spark, "spent", how)


def wide_band() -> Band:
    columns = ["a", "b", "c_flag"]
    conditions = tuple(Condition(column=name, equals=0) for name in columns)
    return Band(name="all", rules=(Rule(segment="x", conditions=conditions),))


@pytest.mark.parametrize("kind", [DecisionTreeClassifier, DecisionTreeRegressor])
def test_compiled_trees_agree_with_scikit_learn_on_each_row(spark, kind):
    """Random trees on numbers that 32 bits cannot tell apart, against scikit-learn's own apply."""
    rng = np.random.default_rng(8)
    rows = np.column_stack([rng.normal(0, 1, 800), rng.integers(0, 9, 800), rng.integers(0, 2, 800)])
    rows[:200, 0] = 0.1 + np.arange(200) * 1e-9  # closer than 32 bits
    tree = kind(max_leaf_nodes=25, min_samples_leaf=3, random_state=0).fit(rows, rng.integers(0, 2, 800))
    band, leaves = compile_tree(tree, wide_band(), ["a", "b", "c_flag"], frozenset(["b"]))
    assert len(band.rules) == 25
    assert prove(RuleSet(bands=(band,))).holds
    cuts = tree.tree_.threshold[(tree.tree_.feature == 0)]
    at_cuts = [[v, 3, f] for t in cuts for v in (t, np.nextafter(t, 9), np.nextafter(t, -9)) for f in (0, 1)]
    every = np.vstack([rows, np.array(at_cuts)])
    frame = spark.createDataFrame([(float(a), int(b), int(c)) for a, b, c in every], "a double, b int, c_flag int")
    rules = RuleSet(bands=(band,))
    found = [row[0] for row in frame.select(segment_column("all", rules)).collect()]
    assert found == [leaves[node] for node in tree.apply(every)]


def test_a_disagreement_is_an_error_that_names_no_customer(spark, world, monkeypatch):
    monkeypatch.setattr(trees, "cut_of", lambda threshold, is_whole: threshold + 1)
    with pytest.raises(BlitzError, match=r"the tree and Spark disagree on \d+ of \d+ rows in the sample") as caught:
        learn(world[1], spark, "spent", HOW)
    assert "0000" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("spend", 'no column spend; did you mean "spent"'),
        ("omnichannel_aov", "is itself a variable of the rules"),
        ("omnichannel_weekend_order_count", "is itself a variable of the rules"),
    ],
)
def test_targets_that_cannot_be_used(spark, world, target, message):
    with pytest.raises(InputError, match=message):
        learn(world[1], spark, target, HOW)


def test_a_band_without_customers_is_refused(spark, world, tmp_path):
    frame = world[2]
    frame[frame["ownapp_order_count"] > 5].to_parquet(tmp_path / "many.parquet", index=False)
    segmentation = world[1].segmentation.model_copy(update={"input_path": f"{tmp_path}/many.parquet"})
    with pytest.raises(InputError, match="band few has no customer"):
        learn(world[1].model_copy(update={"segmentation_body": segmentation}), spark, "spent", HOW)


def test_the_job_writes_a_rule_file(spark, world, learned, tmp_path, capsys):
    conf, out = str(world[0] / "conf.json"), tmp_path / "rules.json"
    arguments = ["--conf", conf, "--target", "spent", "--min-leaf", "10", "--max-leaves", "3", "--out", str(out)]
    assert main("learn_rules", arguments) == 0
    assert out.read_bytes() == learned.as_json()
    printed = capsys.readouterr().out
    for expected in ("Learned_few_03", "spent mean 50", "aov > 37.3", "each matched by one rule"):
        assert expected in printed
    assert main("learn_rules", [*arguments[:-1], str(tmp_path / "no.json"), "--target", "algonomy"]) == 1
    assert not (tmp_path / "no.json").exists()
