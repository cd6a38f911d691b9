"""The history: one row per customer and run date, equal to the outputs; a date that runs again replaces itself alone."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare
from blitz.cli.main import main
from blitz.config import load_config
from blitz.errors import ConfigError, PublishError
from blitz.pipelines.history import write_history

pytestmark = [pytest.mark.engines, pytest.mark.usefixtures("interpreted")]
JUNE, JULY = "2025-06-01", "2025-07-01"


def with_history(sample_config: dict[str, Any], path: Path | str) -> dict[str, Any]:
    body = copy.deepcopy({name: value for name, value in sample_config.items() if name != "path"})
    body["run"] = {**body.get("run", {}), "history_path": str(path)}
    return body


def expected(body: dict[str, Any], day: str) -> pd.DataFrame:
    """The rows of a date, from the published outputs."""
    paths = compare.output_paths(body)
    segments = compare.read(paths["segments"]).rename(columns={"Segment": "segment"})
    micro = compare.read(paths["microsegments"])
    texts = (
        (micro["Segment"] + ":" + micro["microcluster"])
        .groupby(micro["algonomy_id"])
        .agg(lambda t: "|".join(sorted(t)))
    )
    rows = segments.assign(microsegments=segments["algonomy_id"].map(texts))
    rows = rows.merge(compare.read(paths["scores"]), on="algonomy_id", how="outer")
    rows.insert(1, "run_date", pd.Timestamp(day).date())
    return rows


def of_date(path: Path, day: str) -> pd.DataFrame:
    rows = compare.read(str(path))
    return rows[rows["run_date"].astype(str) == day].reset_index(drop=True)


def files(path: Path, day: str) -> dict[str, bytes]:
    return {each.name[:10]: each.read_bytes() for each in path.glob(f"{day}*.parquet")}


@pytest.mark.usefixtures("sample_run")
def test_a_date_that_runs_again_replaces_itself_alone(spark, sample_config, tmp_path) -> None:
    path, body = tmp_path / "history", with_history(sample_config, tmp_path / "history")
    for day in (JUNE, JULY):
        write_history(load_config(body, as_of=day), spark, f"r{day}")
    for day in (JUNE, JULY):
        rows = of_date(path, day)
        assert not rows.duplicated("algonomy_id").any()
        assert compare.differences(expected(body, day), rows, ["algonomy_id"], ordered_columns=True) == []
    july = files(path, JULY)
    other = copy.deepcopy(body)
    other["segmentation"]["output_segments_path"] = f"{tmp_path}/segments"
    changed = compare.read(compare.output_paths(body)["segments"]).assign(Segment="X").iloc[5:]
    Path(f"{tmp_path}/segments").mkdir()
    changed.to_parquet(f"{tmp_path}/segments/part.parquet", index=False)
    published = write_history(load_config(other, as_of=JUNE), spark, "again")
    assert published is not None and published.rows == len(compare.read(str(path)))
    assert compare.differences(expected(other, JUNE), of_date(path, JUNE), ["algonomy_id"], ordered_columns=True) == []
    assert set(of_date(path, JUNE)["segment"].dropna()) == {"X"}
    assert files(path, JULY) == july


@pytest.mark.usefixtures("sample_run")
def test_a_folder_of_other_files_stays_as_it_is(spark, sample_config, tmp_path) -> None:
    path, body = tmp_path / "mine", with_history(sample_config, tmp_path / "mine")
    path.mkdir()
    pd.DataFrame({"x": [1]}).to_parquet(path / "part.parquet")
    before = (path / "part.parquet").read_bytes()
    with pytest.raises(PublishError, match=r"contains part\.parquet, which is no file of a history"):
        write_history(load_config(body), spark, "r1")
    assert [(each.name, each.read_bytes()) for each in path.iterdir()] == [("part.parquet", before)]


def test_without_scores_their_columns_are_null(spark, sample_config, sample_run, tmp_path) -> None:
    body = with_history(sample_config, tmp_path / "history")
    body["feature_pipeline"]["customer"]["output_scores_path"] = f"{tmp_path}/nowhere"
    write_history(load_config(body), spark, "r1")
    rows = compare.read(f"{tmp_path}/history")
    assert len(rows) == len(compare.read(compare.output_paths(body)["segments"]))
    assert rows[["lifecycle", "r_score"]].isna().all(axis=None) and rows["segment"].notna().all()


@pytest.mark.usefixtures("sample_run")
def test_a_run_of_the_last_step_writes_it_and_the_manifest_names_it(sample_config, tmp_path) -> None:
    body = with_history(sample_config, tmp_path / "history")
    paths = compare.output_paths(sample_config)
    shutil.copytree(paths["segments"], tmp_path / "out/segments")
    body["segmentation"] |= {f"output_{name}_path": f"{tmp_path}/out/{name}" for name in ("segments", "microsegments")}
    (tmp_path / "conf.json").write_text(json.dumps(body))
    assert main("microsegments", ["--conf", f"{tmp_path}/conf.json"]) == 0
    day = sample_config["feature_pipeline"]["common"]["current_run_date"]
    rows = of_date(tmp_path / "history", day)
    assert len(rows) == len(compare.read(paths["customers"]))
    manifest = json.loads((tmp_path / "out/manifest.microsegments.json").read_text())
    assert manifest["steps"]["microsegments"]["history"]["rows"] == len(rows)


def test_one_path_for_all_dates(sample_config) -> None:
    with pytest.raises(ConfigError, match=r"run\.history_path: must be the same path for each run date, without"):
        load_config(with_history(sample_config, "out/history_{as_of}"))
    with pytest.raises(ConfigError, match=r"run\.history_path: needs a run date"):
        load_config({"segmentation": sample_config["segmentation"], "run": {"history_path": "out/history"}})
    with pytest.raises(ConfigError, match=r"run\.history_path: must be a path, not a table"):
        load_config(with_history(sample_config, "table:a.b.c"))
