"""A rule file that is tried gives what a real run with it gives; the counts are recomputed in pandas."""

import copy
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from blitz.cli.main import main
from blitz.segmentation.rules import default_rules
from pandas_segments import load, renamed

pytestmark = [pytest.mark.engines, pytest.mark.usefixtures("interpreted")]


@pytest.fixture(scope="module")
def tried(sample_config, sample_run, tmp_path_factory) -> dict[str, Any]:
    """The trial of other rules, and the tables of a real run with them."""
    folder = tmp_path_factory.mktemp("tried")
    rules = json.loads(default_rules().model_dump_json(exclude_none=True))
    for rule in rules["bands"][0]["rules"]:
        del rule["name"]
        for condition in rule["conditions"]:
            condition.update({key: 4.5 for key in ("at_most", "greater_than") if condition.get(key) == 2.5})
    (folder / "new.json").write_text(json.dumps(rules))
    body = copy.deepcopy({name: value for name, value in sample_config.items() if name != "path"})
    before = dict(body["segmentation"])
    body["segmentation"] |= {
        "rules_path": f"{folder}/new.json",
        "output_segments_path": f"{folder}/out/segments.par",
        "output_microsegments_path": f"{folder}/out/micro.par",
    }
    (folder / "conf.json").write_text(json.dumps(body))
    assert (
        main("run_all", argv=["--conf", f"{folder}/conf.json", "--steps", "segments,microsegments", "--no-report"]) == 0
    )
    return {
        "rules": f"{folder}/new.json",
        "now": pd.read_parquet(before["output_segments_path"]),
        "then": pd.read_parquet(f"{folder}/out/segments.par"),
        "micro": pd.read_parquet(f"{folder}/out/micro.par"),
        "features": pd.read_parquet(before["input_path"]),
        "config": body,
    }


@pytest.fixture(scope="module")
def trial(spark, tried, sample_config) -> dict[str, Any]:
    from blitz.config import load_config
    from blitz.drift.trial import try_rules
    from blitz.segmentation.rules import load_rules

    return try_rules(load_config(conf=sample_config["path"]), spark, load_rules(tried["rules"]))


def test_who_would_move_is_who_moves_in_a_run(trial, tried) -> None:
    both = tried["now"].merge(tried["then"], on="algonomy_id", how="outer", suffixes=("_now", "_then"))
    expected = both.groupby(["Segment_now", "Segment_then"]).size().to_dict()
    found = {(each["from"], each["to"]): each["customers"] for each in trial["segments"]["migration"]}
    assert found == expected
    assert sum(count for (old, new), count in found.items() if old != new) > 20
    totals = trial["segments"]["totals"]
    assert {name: each["after"] for name, each in totals.items() if each["after"]} == dict(
        tried["then"]["Segment"].value_counts()
    )
    assert (trial["now_from"], trial["problems"]) == ("published", [])


def test_the_plans_have_the_members_of_a_run(trial, tried) -> None:
    sizes = tried["micro"]["Segment"].value_counts().to_dict()
    assert {each["plan"]: each["then"] for each in trial["plans"]} == sizes
    before = dict(zip(tried["now"]["algonomy_id"], tried["now"]["Segment"], strict=True))
    after = dict(zip(tried["then"]["algonomy_id"], tried["then"]["Segment"], strict=True))
    sources = {each["name"]: set(each["source_segments"]) for each in tried["config"]["segmentation"]["micro_plan"]}
    for each in trial["plans"]:
        mine = sources[each["plan"]]
        old, new = ({name for name, segment in side.items() if segment in mine} for side in (before, after))
        assert (each["now"], each["lost"], each["gained"]) == (len(old), len(old - new), len(new - old))
    assert sum(each["lost"] for each in trial["plans"]) > 0


def test_conditions_keep_and_drop_what_pandas_counts(trial, tried) -> None:
    seg = tried["config"]["segmentation"]
    table = load(seg, tried["features"])
    flags = [name for name in seg["convert_to_flag"] if name in table]
    table = table.assign(**{name: (table[name] > 0).astype(int) for name in flags})
    table = renamed(table.rename(columns={name: name.replace("_count", "_flag") for name in flags}), seg["rename_dict"])
    rules = json.loads(Path(tried["rules"]).read_text())
    for band, found in zip(rules["bands"], trial["conditions"], strict=True):
        orders = table["ownapp_order_count"]
        inside = table[(orders > band.get("greater_than", -1)) & (orders <= band.get("at_most", 1e9))]
        assert (found["band"], found["customers"]) == (band["name"], len(inside))
        for rule, counted in zip(band["rules"], found["rules"], strict=True):
            left = inside
            for condition, step in zip(rule["conditions"], counted["conditions"], strict=True):
                values = left[condition["column"]]
                if "equals" in condition:
                    kept = left[values == condition["equals"]]
                else:
                    low, high = condition.get("greater_than", -1), condition.get("at_most", 1e9)
                    kept = left[(values > low) & (values <= high)]
                assert (step["kept"], step["dropped"]) == (len(kept), len(left) - len(kept))
                left = kept
            assert counted["customers"] == len(left)


def test_the_command_shows_it_and_names_what_would_stop_a_run(tried, trial, sample_config, tmp_path, capsys) -> None:
    assert main("try_rules", [tried["rules"], "--conf", sample_config["path"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == trial
    text = Path(tried["rules"]).read_text().replace('"Seg1_5_1"', '"Few"')
    (tmp_path / "other.json").write_text(text)
    assert main("try_rules", [f"{tmp_path}/other.json", "--conf", sample_config["path"]]) == 0
    said = capsys.readouterr().out
    assert 'unknown segment "Seg1_5_1"' in said and "Before: the published segments" in said
    (tmp_path / "gap.json").write_text(
        text.replace('"equals": 0', '"equals": 1', 1).replace('"equals":0', '"equals":1', 1)
    )
    assert main("try_rules", [f"{tmp_path}/gap.json", "--conf", sample_config["path"]]) == 2
    assert "do not give every customer exactly one segment" in capsys.readouterr().err
    assert main("try_rules", [f"{tmp_path}/none.json", "--conf", sample_config["path"]]) == 2
