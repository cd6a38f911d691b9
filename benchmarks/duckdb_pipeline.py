"""The whole pipeline in DuckDB SQL, on one machine: raw files of a local config to a Parquet file per step.

Usage: python benchmarks/duckdb_pipeline.py --conf conf/local.json --out DIR [--memory 8GB] [--threads 2]
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import duckdb

from duckdb_customers import customers, microsegments, segments
from duckdb_orders import app_channel, instore_channel, open_job, read_mapping
from duckdb_scores import scores

warnings.filterwarnings("ignore", message="X does not have valid feature names")


def run(con: duckdb.DuckDBPyConnection, config: dict[str, Any], out: Path) -> dict[str, float]:
    """Write all outputs of a config; seconds per step."""
    features, seg = config["feature_pipeline"], config["segmentation"]
    seconds: dict[str, float] = {}
    job = open_job(con, features, out)

    def step(name: str, work: Any, *arguments: Any) -> None:
        began = time.perf_counter()
        work(*arguments)
        seconds[name] = time.perf_counter() - began

    step("mapping", read_mapping, job)
    step("ownapp", app_channel, job, "ownapp", False)
    step("users", con.execute, "CREATE TEMP TABLE users AS SELECT DISTINCT algonomy_id FROM ownapp_orders")
    step("swiggy", app_channel, job, "swiggy", True)
    step("instore", instore_channel, job)
    step("customers", customers, job)
    step("scores", scores, job)
    step("segments", segments, job, seg)
    step("microsegments", microsegments, job, seg)
    return seconds


def connect(memory: str, threads: int, spill: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory, as this pipeline needs it; what does not fit goes to ``spill``."""
    con = duckdb.connect(config={"memory_limit": memory, "threads": threads})
    con.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")  # no output promises an order of rows
    con.execute(f"SET temp_directory = '{spill}'")
    return con


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conf", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--memory", default="8GB")
    parser.add_argument("--threads", default=2, type=int)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    con = connect(arguments.memory, arguments.threads, arguments.out / "spill")
    for name, taken in run(con, json.loads(arguments.conf.read_text()), arguments.out).items():
        print(f"{name} {taken:.2f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
