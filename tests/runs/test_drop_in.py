"""The users' notebook code, as docs/contract.md prints it, in a folder with their two config files."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from blitz.pipelines import CustomerFeaturePipeline, OrderFeaturePipeline, SegmentRunner
from places import CHECKOUT


def printed_block() -> str:
    """The code block of section 5 of the contract."""
    section = (CHECKOUT / "docs/contract.md").read_text().split("## 5. Rule segments")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return block


def output(body: dict[str, Any], *keys: str) -> Path:
    for key in keys:
        body = body[key]
    return Path(str(body))


@pytest.fixture
def folder(sample_config: dict[str, Any], sample_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the two configs of the sample, whose outputs go below it, and the other channels' orders."""
    bodies = {name: json.dumps(sample_config[name]) for name in ("feature_pipeline", "segmentation")}
    before = str(Path(sample_config["path"]).parent / "out")
    for name, text in bodies.items():
        (tmp_path / f"{name}_config.json").write_text(text.replace(before, f"{tmp_path}/out"))
    features = json.loads((tmp_path / "feature_pipeline_config.json").read_text())
    for channel in ("swiggy", "instore"):
        source = output(sample_config, "feature_pipeline", channel, "output_path")
        shutil.copytree(source, output(features, channel, "output_path"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path: Path, *keys: str) -> pd.DataFrame:
    return pd.read_parquet(path).sort_values(list(keys), ignore_index=True)


@pytest.mark.usefixtures("spark")
def test_the_block_of_the_contract_runs_as_printed(folder: Path, sample_config: dict[str, Any]) -> None:
    """It computes what the run of the command line computed."""
    features, segmentation = (
        json.loads((folder / f"{name}_config.json").read_text()) for name in ("feature_pipeline", "segmentation")
    )
    classes = (OrderFeaturePipeline, CustomerFeaturePipeline, SegmentRunner)
    names: dict[str, Any] = {each.__name__: each for each in classes}
    exec(printed_block(), names)

    expected = {
        name: output(sample_config, "segmentation", f"output_{name}_path") for name in ("segments", "microsegments")
    }
    found = {name: Path(segmentation[f"output_{name}_path"]) for name in expected}
    pd.testing.assert_frame_equal(rows(found["segments"], "algonomy_id"), rows(expected["segments"], "algonomy_id"))
    keys = ("algonomy_id", "Segment")
    pd.testing.assert_frame_equal(rows(found["microsegments"], *keys), rows(expected["microsegments"], *keys))
    customers = pd.read_parquet(output(features, "customer", "output_path"))
    assert set(customers["algonomy_id"]) == set(
        pd.read_parquet(output(sample_config, "feature_pipeline", "customer", "output_path"))["algonomy_id"]
    )

    original, combined = names["original_df"], names["combined_segments_df"]
    loaded = [*segmentation["cols_to_keep"], *segmentation["convert_to_flag"]]
    assert set(original.columns) == {"algonomy_id", *loaded} & {*customers.columns}
    assert combined.columns == ["algonomy_id", "Segment"]
    micro = names["microsegments_df"]
    assert micro.columns[:3] == ["algonomy_id", "microcluster", "Segment"]
    assert micro.count() == len(pd.read_parquet(found["microsegments"]))
    result = names["result"]
    segments = rows(found["segments"], "algonomy_id")
    assert list(result) == ["1_5", "6_15", "15_plus"]
    assert sum(band["assignments"].count() for band in result.values()) == len(segments)
    summaries = [row for band in result.values() for row in band["summary"].collect()]
    sizes = segments["Segment"].value_counts()
    assert {row["Segment"]: row["Customer Count"] for row in summaries if row["Customer Count"]} == sizes.to_dict()


def test_in_store_orders_by_the_method_of_the_users(spark, folder: Path, sample_config: dict[str, Any]) -> None:
    features = json.loads((folder / "feature_pipeline_config.json").read_text())
    shutil.copytree(
        output(sample_config, "feature_pipeline", "ownapp", "output_path"), output(features, "ownapp", "output_path")
    )
    expected = output(sample_config, "feature_pipeline", "instore", "output_path")
    shutil.rmtree(output(features, "instore", "output_path"))
    published = OrderFeaturePipeline(features, "ownapp", spark).run_instore()
    assert published.count() == len(pd.read_parquet(expected))
    assert published.columns == list(pd.read_parquet(expected).columns)


def test_a_session_of_the_configs_engine_where_none_is_active(
    sample_config: dict[str, Any], sample_run, tmp_path: Path
) -> None:
    """In a process of its own, as a notebook starts."""
    pytest.importorskip("pysail")
    segmentation = sample_config["segmentation"] | {"output_segments_path": f"{tmp_path}/segments.par"}
    body = {"segmentation": segmentation, "run": {"engine": "sail"}}
    (tmp_path / "conf.json").write_text(json.dumps(body))
    code = (
        "from blitz.pipelines import SegmentRunner\n"
        "_, combined = SegmentRunner('conf.json').run_rule_pipeline()\n"
        "print(SegmentRunner('conf.json').save_segments(combined).rows)\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK", "PYSPARK"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(CHECKOUT / "lib")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    expected = rows(output(sample_config, "segmentation", "output_segments_path"), "algonomy_id")
    assert done.stdout == f"{len(expected)}\n", done.stderr
    pd.testing.assert_frame_equal(rows(tmp_path / "segments.par", "algonomy_id"), expected)
