"""Outputs with names without blanks and capitals: written, read back, and used in either spelling."""

import copy
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare
from blitz.cli.main import main
from spelled import snake

Body = dict[str, Any]


def with_outputs(config: Body, folder: Path) -> Body:
    """The config with all outputs in a folder, in snake case."""
    body = copy.deepcopy({name: part for name, part in config.items() if name != "path"})
    features, segmentation = body["feature_pipeline"], body["segmentation"]
    for name, section in features.items():
        if "output_path" in section:
            section["output_path"] = f"{folder}/{name}"
    segmentation |= {f"output_{name}_path": f"{folder}/{name}" for name in ("segments", "microsegments")}
    segmentation.pop("input_path", None)
    body["run"]["snake_case_columns"] = True
    return body


def written(body: Body, path: Path) -> str:
    path.write_text(json.dumps(body))
    return str(path)


@pytest.fixture(scope="module")
def config(spark, sample_config: Body, tmp_path_factory: pytest.TempPathFactory) -> Body:
    """A config whose whole run has been; ``path`` is its file."""
    folder = tmp_path_factory.mktemp("snake")
    body = with_outputs(sample_config, folder / "out")
    path = written(body, folder / "conf.json")
    assert main("run_all", argv=["--conf", path, "--no-report"]) == 0
    return body | {"path": path}


def tables_of(config: Body) -> dict[str, pd.DataFrame]:
    return {step: compare.read(path) for step, path in compare.output_paths(config).items()}


@pytest.mark.usefixtures("sample_run")
def test_only_the_names_differ(config: Body, sample_config: Body) -> None:
    plain, spelled = tables_of(sample_config), tables_of(config)
    for step, table in plain.items():
        keys = [snake(name) for name in compare.KEYS[step]]
        assert compare.differences(table.rename(columns=snake), spelled[step], keys) == [], step
        assert [name for name in spelled[step] if re.search("[A-Z ]", name)] == [], step
    assert "omnichannel_late_night_order_count" in spelled["customers"]


def test_the_manifest_has_the_original_names(config: Body) -> None:
    manifest = json.loads(
        (Path(config["feature_pipeline"]["customer"]["output_path"]).parent / "manifest.json").read_text()
    )
    assert manifest["column_names"]["omnichannel_late_night_order_count"] == "omnichannel_Late Night_order_count"


@pytest.mark.usefixtures("sample_run")
def test_runs_of_both_spellings_are_compared(config: Body, sample_config: Body, tmp_path: Path, capsys) -> None:
    """By manifest and by config; a run is equal to itself."""
    out = Path(config["feature_pipeline"]["customer"]["output_path"]).parent
    arguments = [
        "--before",
        str(out / "manifest.json"),
        "--after",
        sample_config["path"],
        "--out",
        str(tmp_path / "out"),
    ]
    assert main("compare_runs", argv=[*arguments, "--max-psi", "0.01"]) == 0
    body = json.loads((tmp_path / "out/compare.json").read_text())
    assert body["segments"]["moved_pairs"] == [] and len(body["segments"]["migration"]) > 20
    capsys.readouterr()
    customer = tables_of(config)["segments"]["algonomy_id"][0]
    assert main("explain", argv=["--conf", config["path"], "--customer", customer, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["segment"]["agrees"] is True


def test_lists_rules_and_renames_in_snake_case_give_the_same_segments(config: Body, tmp_path: Path) -> None:
    body = with_outputs(config, tmp_path)
    segmentation = body["segmentation"]
    segmentation["input_path"] = config["feature_pipeline"]["customer"]["output_path"]
    for key in ("cols_to_keep", "convert_to_flag"):
        segmentation[key] = [snake(name) for name in segmentation[key]]
    for key in ("rename_dict", "rename_dict_microsegments"):
        segmentation[key] = {snake(old): new for old, new in segmentation[key].items()}
    rules = json.loads(resources.files("blitz.segmentation").joinpath("default_rules.json").read_text())
    text = re.sub(r'("column": ")([^"]+)"', lambda found: f'{found[1]}{found[2].lower()}"', json.dumps(rules))
    assert "late_night_flag" in text
    (tmp_path / "rules.json").write_text(text)
    segmentation["rules_path"] = str(tmp_path / "rules.json")
    path = written(body, tmp_path / "conf.json")
    assert main("run_all", argv=["--conf", path, "--no-report", "--steps", "segments,microsegments"]) == 0
    before, after = (
        tables_of(config),
        {step: compare.read(f"{tmp_path}/{step}") for step in ("segments", "microsegments")},
    )
    for step, table in after.items():
        assert compare.differences(before[step], table, [snake(name) for name in compare.KEYS[step]]) == [], step
