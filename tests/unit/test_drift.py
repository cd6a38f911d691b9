"""Drift without an engine: levels of the index, and which runs and configs can be compared."""

import json

import numpy as np
import pytest

from blitz.drift.numbers import level, psi
from blitz.drift.runs import read_run
from blitz.errors import InputError

LUNCH, COKE = "omnichannel_Lunch_order_count", "omnichannel_categ_base_product_coke_count"


def test_levels_and_empty_bins():
    assert [level(value) for value in (0.0999, 0.1, 0.2499, 0.25)] == ["stable", "moderate", "moderate", "large"]
    assert psi({0: 10}, {0: 10}) == {"psi": 0.0, "level": "stable"}
    assert psi({0: 10}, {1: 10})["psi"] == pytest.approx(2 * (1 - 1e-4) * np.log(1e4))


def test_a_config_names_flags_and_the_variables_of_the_rules(tmp_path):
    (tmp_path / "m.pkl").write_bytes(b"model")
    segmentation = {
        "input_path": f"{tmp_path}/c.par", "output_segments_path": f"{tmp_path}/s.par",
        "output_microsegments_path": f"{tmp_path}/m.par", "segment_a_model": f"{tmp_path}/m.pkl",
        "cols_to_keep": ["algonomy_id", "ownapp_order_count", "channel_count"], "convert_to_flag": [LUNCH, COKE],
        "rename_dict": {"Lunch_order_flag": "Lunch_flag"},
        "micro_plan": [{"name": "P", "source_segments": ["Seg1_5_1"], "model_key": "segment_a_model"}],
    }  # fmt: skip
    path = tmp_path / "conf.json"
    path.write_text(json.dumps({"segmentation": segmentation}))
    run = read_run(str(path))
    assert run.models == {"segment_a_model": "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"}
    found = [run.variable(name) for name in (LUNCH, COKE, "channel_count", "unique_dri_category_count")]
    assert [(each.label, each.is_flag, each.in_rules) for each in found] == [
        ("Lunch_flag", True, True),
        ("categ_base_product_coke_flag", True, False),
        ("channel_count", False, True),
        ("unique_dri_category_count", False, False),
    ]


def test_files_that_are_no_run_are_refused(tmp_path):
    path = tmp_path / "x.json"
    for text, message in (
        ("[", "not JSON"),
        ("{}", "neither a manifest"),
        ('{"steps": {"customers": {"output": "x"}}}', "the run did not include segments, microsegments"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_run(str(path))
