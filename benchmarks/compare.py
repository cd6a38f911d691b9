"""Two sets of outputs, value by value: exact for counts, text and times, 1e-9 relative for other numbers.

Usage: python benchmarks/compare.py --conf conf/local.json DIR   (DIR as a peer of this folder fills it)
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

KEYS = {
    "ownapp": ["order_id"],
    "swiggy": ["order_id"],
    "instore": ["order_id", "StoreCode", "BussTime"],
    "customers": ["algonomy_id"],
    "segments": ["algonomy_id"],
    "microsegments": ["algonomy_id", "Segment"],
}
RELATIVE = 1e-9


def output_paths(config: dict[str, Any]) -> dict[str, str]:
    """Where each step of a config publishes."""
    features, seg = config["feature_pipeline"], config["segmentation"]
    return {
        **{name: features[name]["output_path"] for name in ("ownapp", "swiggy", "instore")},
        "customers": features["customer"]["output_path"],
        "segments": seg["output_segments_path"],
        "microsegments": seg["output_microsegments_path"],
    }


def differences(expected: pd.DataFrame, actual: pd.DataFrame, keys: list[str]) -> list[str]:
    """What differs between two tables, a line per problem, no ids; empty where they are equal."""
    problems = []
    missing, extra = set(expected) - set(actual), set(actual) - set(expected)
    if missing or extra:
        problems.append(f"columns missing: {sorted(missing)}, too many: {sorted(extra)}")
    if len(expected) != len(actual):
        return [*problems, f"{len(actual):,} rows instead of {len(expected):,}"]
    expected, actual = (frame.sort_values(keys, kind="stable").reset_index(drop=True) for frame in (expected, actual))
    for name in [column for column in expected if column in actual]:
        unequal = _unequal(expected[name], actual[name])
        if unequal.any():
            at = int(np.flatnonzero(unequal)[0])
            shown = (
                "" if name == "algonomy_id" else f", first {expected[name].iat[at]!r} became {actual[name].iat[at]!r}"
            )
            problems.append(f"{name}: {int(unequal.sum()):,} of {len(unequal):,} rows differ{shown}")
    return problems


def _unequal(expected: pd.Series, actual: pd.Series) -> np.ndarray:
    a, b = (_plain(series) for series in (expected, actual))
    if a.dtype.kind == "f" and b.dtype.kind == "f":
        is_close = np.abs(a - b) <= RELATIVE * np.maximum(np.abs(a), np.abs(b))
        return ~(is_close | (np.isnan(a) & np.isnan(b)))
    nulls = [np.asarray(pd.isna(series)) for series in (expected, actual)]
    return np.where(nulls[0] | nulls[1], nulls[0] != nulls[1], a != b)


def _plain(series: pd.Series) -> np.ndarray:
    """Numbers as double, times as microseconds, lists as tuples; counts stay exact below 2 ** 53."""
    kind = series.dtype
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
        return series.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(kind):
        naive = series.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(kind, "tz", None) else series
        return naive.astype("datetime64[us]").astype(object).to_numpy()
    values = series.to_numpy(dtype=object)
    if any(isinstance(value, list | tuple | np.ndarray) for value in values[:100]):
        listed = np.empty(len(values), dtype=object)
        listed[:] = [tuple(value) for value in values]
        return listed
    if all(isinstance(value, bool) or value is None for value in values[:1000]) and len(values):
        return series.astype("boolean").astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    return values


def read(path: str) -> pd.DataFrame:
    return pq.read_table(path).to_pandas()


def compare_outputs(expected: dict[str, pd.DataFrame], config: dict[str, Any]) -> dict[str, list[str]]:
    """Per step what differs between a peer's tables and the outputs of a config."""
    paths = output_paths(config)
    return {name: differences(frame, read(paths[name]), KEYS[name]) for name, frame in expected.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conf", required=True)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    config = json.loads(Path(arguments.conf).read_text())
    bad = 0
    for name, path in output_paths(config).items():
        problems = differences(read(str(arguments.folder / f"{name}.parquet")), read(path), KEYS[name])
        bad += bool(problems)
        print(f"{name}: {'equal, every column' if not problems else ''}", *problems, sep="\n  " if problems else "")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
