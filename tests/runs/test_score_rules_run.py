"""Rules that read scores: the steps wait for them, and the segments are those of pandas."""

import copy
import json
from pathlib import Path

import pandas as pd
import pytest

import compare
from blitz.cli.main import main

pytestmark = [pytest.mark.engines, pytest.mark.usefixtures("interpreted")]


@pytest.mark.usefixtures("sample_run")
def test_segments_by_lifecycle_and_spend(sample_config, tmp_path: Path, capsys) -> None:
    body = copy.deepcopy({name: value for name, value in sample_config.items() if name != "path"})
    gone = [{"column": "lifecycle", "equals": name} for name in ("late", "lapsed")]
    here = [{"column": "lifecycle", "equals": name} for name in ("new", "one_time", "active", "due")]
    rich, poor = {"column": "m_score", "greater_than": 3}, {"column": "m_score", "at_most": 3}
    rules = [{"segment": "stays", "conditions": [each]} for each in here]
    rules += [{"segment": "win_back", "name": "Spent much, is leaving", "conditions": [each, rich]} for each in gone]
    rules += [{"segment": "let_go", "conditions": [each, poor]} for each in gone]
    (tmp_path / "rules.json").write_text(json.dumps({"bands": [{"name": "all", "rules": rules}]}))
    model = body["segmentation"]["micro_plan"][0]["model_key"]
    body["segmentation"] |= {
        "cols_to_keep": [*body["segmentation"]["cols_to_keep"], "lifecycle", "m_score"],
        "rules_path": f"{tmp_path}/rules.json",
        "cap_segments": ["win_back"],
        "micro_plan": [{"name": "back", "source_segments": ["win_back"], "model_key": model}],
        "output_segments_path": f"{tmp_path}/out/segments",
        "output_microsegments_path": f"{tmp_path}/out/micro",
    }
    conf = tmp_path / "conf.json"
    conf.write_text(json.dumps(body))
    assert main("run_all", ["--conf", str(conf), "--steps", "scores,segments,microsegments", "--no-report"]) == 0
    scores = compare.read(compare.output_paths(sample_config)["scores"]).set_index("algonomy_id")
    found = compare.read(f"{tmp_path}/out/segments").set_index("algonomy_id")["Segment"]
    mine = scores.loc[found.index]
    leaving = mine["lifecycle"].isin(["late", "lapsed"])
    expected = pd.Series("stays", index=found.index).mask(leaving & (mine["m_score"] > 3), "win_back")
    expected = expected.mask(leaving & (mine["m_score"] <= 3), "let_go")
    assert found.to_dict() == expected.to_dict() and found.nunique() == 3
    micro = compare.read(f"{tmp_path}/out/micro").set_index("algonomy_id")
    assert set(micro.index) == set(found.index[found == "win_back"])
    assert micro["lifecycle"].to_dict() == mine.loc[micro.index, "lifecycle"].to_dict()
    customer = str(micro.index[0])
    assert main("explain", ["--conf", str(conf), "--customer", customer]) == 0
    said = capsys.readouterr().out
    assert "Segment win_back, as published\n  Spent much, is leaving" in said
    assert "lifecycle = new (is l" in said  # late or lapsed

    body["feature_pipeline"]["customer"]["output_scores_path"] = f"{tmp_path}/nowhere"
    conf.write_text(json.dumps(body))
    assert main("segments", ["--conf", str(conf)]) == 1
    assert f"{tmp_path}/nowhere: no scores there; run the step scores first" in capsys.readouterr().err
