"""Delta tables by their logs, without an engine."""

import json
from pathlib import Path
from typing import Any

import pandas as pd


def log_of(table: str) -> list[list[dict[str, Any]]]:
    """The actions of every transaction of a Delta table, in order."""
    entries = sorted(Path(table, "_delta_log").glob("*.json"))
    return [[json.loads(line) for line in entry.read_text().splitlines()] for entry in entries]


def rows_of(table: str) -> pd.DataFrame:
    """The rows of a Delta table by its log, under the names of its column mapping."""
    alive: set[str] = set()
    names: dict[str, str] = {}
    for action in (action for entry in log_of(table) for action in entry):
        if "add" in action:
            alive.add(action["add"]["path"])
        if "remove" in action:
            alive.discard(action["remove"]["path"])
        if "metaData" in action:
            fields = json.loads(action["metaData"]["schemaString"])["fields"]
            names = {field["metadata"]["delta.columnMapping.physicalName"]: field["name"] for field in fields}
    rows = pd.concat([pd.read_parquet(f"{table}/{path}") for path in alive], ignore_index=True)
    return rows.rename(columns=names)[list(names.values())]
