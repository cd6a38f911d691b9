"""Whole runs with all inputs and outputs as tables of a catalog, and the commands that read them; needs jars.

Not collected by itself: ``tests/crash/test_catalogs.py`` runs it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

import compare
import pandas_pipeline
from blitz.cli.main import main
from blitz_sample.generate import write_sample
from catalogs import catalog_session, in_catalog, outputs_as_files, sql_of
from places import CHECKOUT

ORDERS = 3000


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    session = catalog_session(str(tmp_path_factory.mktemp("catalogs")))
    yield session
    session.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The config of a sample in files."""
    folder = tmp_path_factory.mktemp("files")
    write_sample(ORDERS, 5, f"{folder}/sample")
    text = (CHECKOUT / "conf/local.json").read_text()
    return json.loads(text.replace("data/sample/", f"{folder}/sample/").replace("data/out/", f"{folder}/out/"))


@pytest.fixture(scope="module")
def expected(files: dict[str, Any]) -> dict[str, pd.DataFrame]:
    return pandas_pipeline.run(files)


@pytest.fixture(scope="module", params=["iceberg", "delta"])
def body(
    request: pytest.FixtureRequest, spark: SparkSession, files: dict[str, Any], tmp_path_factory
) -> dict[str, Any]:
    """A config with all inputs and outputs as tables; ``path`` is its file."""
    folder = tmp_path_factory.mktemp("run")
    made = in_catalog(spark, files, request.param, folder / "manifest.json")
    (folder / "conf.json").write_text(json.dumps(made))
    return made | {"path": str(folder / "conf.json")}


def manifest_of(body: dict[str, Any]) -> dict[str, Any]:
    return json.loads(Path(body["run"]["manifest_path"]).read_text())


def test_the_whole_run_and_a_rerun(spark, body, expected, tmp_path) -> None:
    """Every column of every output is that of the independent computation; a rerun is one more version each."""
    written = []
    for _ in range(2):
        assert main("run_all", argv=["--conf", body["path"], "--no-report"]) == 0
        written.append({step: made["version"] for step, made in manifest_of(body)["steps"].items()})
        assert compare.compare_outputs(expected, outputs_as_files(spark, body, tmp_path)) == []
    assert set(written[0]) == set(expected) and not set(written[0].values()) & set(written[1].values())
    customers = spark.table(sql_of(body["feature_pipeline"]["customer"]["output_path"]))
    comments = {field.name: field.metadata.get("comment") for field in customers.schema.fields}
    assert comments["omnichannel_recency"] == "days: whole days from the last order to the run date"
    assert len([text for text in comments.values() if text]) == len(comments) == 181
