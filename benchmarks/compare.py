"""Two sets of outputs, value by value: 1e-9 relative for fractions, exact for everything else, kinds of values too.

Usage: python benchmarks/compare.py --conf conf/local.json DIR   (DIR as a peer of this folder fills it)
       python benchmarks/compare.py --conf spark.json sail.json  (the outputs of two configs)
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

KEYS = {
    "ownapp": ["order_id"],
    "swiggy": ["order_id"],
    "instore": ["order_id", "StoreCode", "BussTime"],
    "customers": ["algonomy_id"],
    "scores": ["algonomy_id"],
    "segments": ["algonomy_id"],
    "microsegments": ["algonomy_id", "Segment"],
}
UNORDERED = ("customers",)  # the contract lists these columns by meaning, and says nothing of their order
AT_ONCE = 8  # columns of two files that are held in memory together
RELATIVE = 1e-9
EXACT = 2.0**53  # whole numbers below it are exact as doubles
_INTEGERS = {kind: pd.Int64Dtype() for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())}


def output_paths(config: dict[str, Any]) -> dict[str, str]:
    """Where each step of a config publishes."""
    features, seg = config["feature_pipeline"], config["segmentation"]
    customers = features["customer"]["output_path"]
    return {
        **{name: features[name]["output_path"] for name, key in KEYS.items() if key[0] == "order_id"},
        "customers": customers,
        "scores": features["customer"].get("output_scores_path")
        or str(Path(customers).parent / "users_scores.parquet"),
        "segments": seg["output_segments_path"],
        "microsegments": seg["output_microsegments_path"],
    }


def differences(
    expected: pd.DataFrame, actual: pd.DataFrame, keys: list[str], ordered_columns: bool = False
) -> list[str]:
    """What differs between two tables whatever their rows' order, a line per column; empty where they are equal.

    A line says how many rows differ and never shows a value: any column may hold what names a customer.
    """
    problems = name_problems(list(expected), list(actual), ordered_columns)
    if len(expected) != len(actual):
        return [*problems, f"{len(actual):,} rows instead of {len(expected):,}"]
    if not set(keys) <= set(actual):
        return problems
    if repeated := _repeated_keys(expected, actual, keys):
        return [*problems, repeated]
    expected, actual = expected.take(_order(expected, keys)), actual.take(_order(actual, keys))
    return problems + _column_problems(expected, actual, [name for name in expected if name in actual])


def file_differences(expected: str, actual: str, keys: list[str], ordered_columns: bool = False) -> list[str]:
    """``differences`` of two Parquet tables, a few columns at a time: never a whole table in memory."""
    names, others = (pq.ParquetDataset(path).schema.names for path in (expected, actual))
    problems = name_problems(names, others, ordered_columns)
    if not set(keys) <= set(names) & set(others):
        return problems
    heads = read(expected, keys), read(actual, keys)
    if found := differences(*heads, keys):
        return [*problems, *found]
    orders = [_order(head, keys) for head in heads]
    del heads
    shared = [name for name in names if name in others and name not in keys]
    for at in range(0, len(shared), AT_ONCE):
        some = shared[at : at + AT_ONCE]
        left, right = (read(path, some).take(order) for path, order in zip((expected, actual), orders, strict=True))
        problems += _column_problems(left, right, some)
    return problems


def name_problems(expected: list[str], actual: list[str], ordered: bool) -> list[str]:
    """What differs between the columns' names, and if it counts their order."""
    missing, extra = set(expected) - set(actual), set(actual) - set(expected)
    if missing or extra:
        return [f"columns missing: {sorted(missing)}, too many: {sorted(extra)}"]
    return ["columns in another order"] if ordered and expected != actual else []


def _repeated_keys(expected: pd.DataFrame, actual: pd.DataFrame, keys: list[str]) -> str:
    repeated = [int(frame.duplicated(keys).sum()) for frame in (expected, actual)]
    text = f"{'+'.join(keys)}: repeated in {repeated[1]:,} rows, {repeated[0]:,} of them expected"
    return text if any(repeated) else ""


def _order(frame: pd.DataFrame, keys: list[str]) -> NDArray[Any]:
    """The places of a frame's rows in the order of their keys."""
    ordered = frame[keys].reset_index(drop=True).sort_values(keys, kind="stable")
    return np.asarray(ordered.index)


def _column_problems(expected: pd.DataFrame, actual: pd.DataFrame, names: list[str]) -> list[str]:
    """What differs between equally long frames, row by row, a line per column."""
    expected, actual = expected.reset_index(drop=True), actual.reset_index(drop=True)
    return [text for name in names if (text := _column(expected[name], actual[name]))]


def _column(expected: pd.Series, actual: pd.Series) -> str | None:
    kinds = [_kind(expected), _kind(actual)]
    for one, other in ((0, 1), (1, 0)):
        if kinds[one] == "whole number":
            kinds[one] = "integer" if kinds[other] == "integer" else "number"
    if "null" not in kinds and kinds[0] != kinds[1]:
        return f"{expected.name}: {kinds[1]} instead of {kinds[0]}"
    unequal = _unequal(expected, actual, next((kind for kind in kinds if kind != "null"), "null"))
    return f"{expected.name}: {int(unequal.sum()):,} of {len(unequal):,} rows differ" if unequal.any() else None


def _kind(series: pd.Series) -> str:
    """What a column holds. "whole number": doubles with nulls and no fraction, as pandas reads nullable integers."""
    kind = series.dtype
    if series.isna().all():
        return "null"
    if isinstance(kind, pd.DatetimeTZDtype):
        return "instant"
    if pd.api.types.is_datetime64_any_dtype(kind):
        return "local time"
    if pd.api.types.is_bool_dtype(kind):
        return "flag"
    if pd.api.types.is_integer_dtype(kind):
        return "integer"
    if pd.api.types.is_float_dtype(kind):
        known = series.dropna()
        is_whole = len(known) < len(series) and bool(((known % 1 == 0) & (known.abs() < EXACT)).all())
        return "whole number" if is_whole else "number"
    inferred = str(pd.api.types.infer_dtype(series, skipna=True))
    return {"string": "text", "boolean": "flag", "mixed": "list"}.get(inferred, inferred)


def _unequal(expected: pd.Series, actual: pd.Series, kind: str) -> NDArray[Any]:
    nulls = np.asarray(expected.isna()), np.asarray(actual.isna())
    known = ~nulls[0] & ~nulls[1]
    unequal: NDArray[np.bool_] = nulls[0] != nulls[1]
    a, b = expected[known], actual[known]
    if kind == "number":
        a, b = a.to_numpy(dtype=float), b.to_numpy(dtype=float)
        unequal[known] = (a != b) & ~(np.abs(a - b) <= RELATIVE * np.maximum(np.abs(a), np.abs(b)))
    elif kind == "list":
        unequal[known] = [list(left) != list(right) for left, right in zip(a, b, strict=True)]
    else:
        target = {"integer": "int64", "flag": "bool"}.get(kind, object)
        unequal[known] = a.astype(target).to_numpy() != b.astype(target).to_numpy()
    return unequal


def read(path: str, columns: list[str] | None = None) -> pd.DataFrame:
    """A Parquet file or folder, or some of its columns; integers with nulls stay integers."""
    return pq.read_table(path, columns=columns).to_pandas(types_mapper=_INTEGERS.get)


def compare_outputs(expected: dict[str, pd.DataFrame], config: dict[str, Any]) -> list[str]:
    """What differs between a peer's tables and the Parquet outputs of a config, a line per table and column."""
    paths = output_paths(config)
    return [
        f"{name}: {problem}"
        for name, frame in expected.items()
        for problem in differences(frame, read(paths[name]), KEYS[name], ordered_columns=name not in UNORDERED)
    ]


def peer_paths(place: Path) -> dict[str, str]:
    """The tables of a peer's folder, or those of another config of this project."""
    if place.suffix == ".json":
        return output_paths(json.loads(place.read_text()))
    return {name: str(place / f"{name}.parquet") for name in KEYS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conf", required=True)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    bad = 0
    expected_paths = peer_paths(arguments.folder)
    for name, path in output_paths(json.loads(Path(arguments.conf).read_text())).items():
        expected = expected_paths[name]
        problems = file_differences(expected, path, KEYS[name], ordered_columns=name not in UNORDERED)
        bad += bool(problems)
        print(
            *([f"{name}: {problem}" for problem in problems] or [f"{name}: equal, every column"]), sep="\n", flush=True
        )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
