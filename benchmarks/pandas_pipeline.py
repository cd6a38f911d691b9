"""The whole pipeline in pandas, on one machine: raw files of a local config to a Parquet file per step.

Usage: python benchmarks/pandas_pipeline.py --conf conf/local.json --out DIR
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_customers import customer_features
from pandas_orders import app_channel, instore_channel
from pandas_scores import scores
from pandas_segments import load, microsegments, segments

warnings.filterwarnings("ignore", message="X does not have valid feature names")


_COMPUTED = ("cutoff_date", "output_path", "output_scores_path", "scores")


def run(config: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """All outputs of a config by step name. Raises ValueError for what this peer does not compute."""
    features, seg = config["feature_pipeline"], config["segmentation"]
    if beyond := sorted(set(features["customer"]) - set(_COMPUTED)):
        raise ValueError(f"feature_pipeline.customer: {', '.join(beyond)}: category lists are not computed here")
    orders = {"ownapp": app_channel(features, "ownapp", None)}
    users = pd.Series(orders["ownapp"]["algonomy_id"].unique())
    orders["swiggy"] = app_channel(features, "swiggy", users)
    orders["instore"] = instore_channel(features, users)
    customers = customer_features(features, orders)
    table = load(seg, customers)
    assigned = segments(seg, table)
    return {
        **orders,
        "customers": customers,
        "scores": scores(features, orders, customers),
        "segments": assigned,
        "microsegments": microsegments(seg, table, assigned),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conf", required=True)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, frame in run(json.loads(Path(arguments.conf).read_text())).items():
        frame.to_parquet(arguments.out / f"{name}.parquet", index=False)


if __name__ == "__main__":
    main()
