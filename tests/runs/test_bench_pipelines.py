"""The benchmark's pipeline in DuckDB computes the same tables as the pipeline under test."""

from pathlib import Path

import pytest

import compare
import duckdb_pipeline


@pytest.mark.usefixtures("sample_run")
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("step", list(compare.KEYS))
def test_the_pipeline_in_duckdb_gives_the_same_tables(step, sample_config, duckdb_tables):
    expected, actual = f"{duckdb_tables}/{step}.parquet", compare.output_paths(sample_config)[step]
    is_ordered = step not in compare.UNORDERED
    assert compare.file_differences(expected, actual, compare.KEYS[step], ordered_columns=is_ordered) == []


@pytest.fixture(scope="module")
def duckdb_tables(sample_config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("duckdb")
    duckdb_pipeline.run(duckdb_pipeline.connect("2GB", 2, folder / "spill"), sample_config, folder)
    return folder
