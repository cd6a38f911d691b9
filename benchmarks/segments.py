"""Segments and micro-segments of many customers, warm, and what Python and Arrow have of it.

Usage: PYTHONPATH=lib python benchmarks/segments.py [CUSTOMERS] [--memory 4g]    (default: 1,000,000 customers)

Customer features with the columns of conf/local.json are drawn at random; the models are the sample's. Both steps run
once cold and then warm in one session, as a user's session would; the micro-segments then with a Python function that
answers a constant (what is left are Python's start, Arrow and the copying), and with an expression of Spark's own in
its place. The table goes to the terminal and to RESULTS.md.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column
from pyspark.sql import functions as F

from blitz.config import load_config
from blitz.pipelines import SegmentRunner
from blitz.segmentation import microsegments
from blitz.spark.session import open_session
from report import CHECKOUT, circumstances, markdown_table, put
from run import raw_data, write_config

sys.path.insert(0, str(CHECKOUT / "scripts"))
from start_settings import settings

SEED = 7
REPEATS = 3
MODELS_OF = 100_000  # orders of the sample whose models are used
AT_ONCE = 250_000  # rows of a file of features


def customer_features(count: int, names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Random customers of all bands with the columns of a segmentation config."""
    own = np.minimum(rng.geometric(0.14, count), 110)
    total = own + rng.poisson(0.6, count)
    frame = pd.DataFrame({"algonomy_id": np.char.zfill(rng.permutation(count * 3)[:count].astype(str), 10)})
    for name in names:
        chance = rng.beta(0.5, 2.0) if "categ" in name else rng.uniform(0.1, 0.6)
        frame[name] = rng.binomial(total, chance)
    categories = [name for name in names if "categ_base_product" in name]
    bought = (frame[categories] > 0).sum(axis=1)
    frame["ownapp_order_count"], frame["unique_category_base_products_count"] = own, bought
    frame["unique_dri_category_count"] = -(-bought // 2)
    frame["channel_count"] = np.minimum(3, 1 + (total > own) + (total > own + 1))
    return frame


def write_features(config: dict[str, Any], count: int) -> None:
    """Write the customers to where a config's segmentation reads them, in several files as Spark would leave them."""
    seg = config["segmentation"]
    path = Path(seg["input_path"])
    path.mkdir(parents=True)
    table = pa.Table.from_pandas(customer_features(count, seg["convert_to_flag"], np.random.default_rng(SEED)))
    for at in range(0, count, AT_ONCE):
        pq.write_table(table.slice(at, AT_ONCE), path / f"part-{at}.parquet")


def constant_answer(
    models: Callable[[], Any],
) -> Callable[[Iterator[tuple[pd.Series, ...]]], Iterator[pd.Series]]:
    """A predictor that gets all values and the models, and predicts nothing."""

    def predict(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
        models()
        for plan, *_ in batches:
            yield pd.Series(np.full(len(plan), "0", dtype=object))

    return predict


def of_spark(*_: Any) -> Callable[..., Column]:
    """In place of a pandas UDF: an expression that reads all values, so that none is left out of the plan."""
    return lambda *names: F.when(F.greatest(*[F.col(name).cast("double") for name in names]) < 0, "1").otherwise("0")


VARIANTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "micro-segments, warm": nullcontext,
    "the same, the model a constant in Python": lambda: patch.object(microsegments, "_predictor", constant_answer),
    "the same, without Python": lambda: patch.object(F, "pandas_udf", of_spark),
}


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(runner: SegmentRunner) -> dict[str, float]:
    """Seconds per step: cold, then the median of warm runs."""
    found = {
        "segments, cold": seconds(runner.publish_segments),
        "micro-segments, cold": seconds(runner.publish_microsegments),
    }
    found["segments, warm"] = statistics.median(seconds(runner.publish_segments) for _ in range(REPEATS))
    for name, changed in VARIANTS.items():
        with changed():
            found[name] = statistics.median(seconds(runner.publish_microsegments) for _ in range(REPEATS))
    return found


def summary(found: dict[str, float]) -> str:
    """The sum of both steps warm, and the shares."""
    whole, constant, none = (found[name] for name in VARIANTS)
    both = found["segments, warm"] + whole
    return (
        f"Both steps warm: {both:.1f} s. Python and Arrow have {max(0.0, whole - none) / both:.0%} of it: "
        f"{max(0.0, constant - none):.1f} s to start Python and carry the rows there and back, "
        f"{max(0.0, whole - constant):.1f} s in scikit-learn."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("customers", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--memory", default="4g", help="spark.driver.memory")
    arguments = parser.parse_args()
    out = CHECKOUT / "data" / f"segments-out-{arguments.customers}"
    shutil.rmtree(out, ignore_errors=True)
    path = write_config(raw_data(MODELS_OF), out)
    write_features(json.loads(path.read_text()), arguments.customers)
    config = load_config(conf=str(path))
    start = settings(["jobs/run_all.py", "--conf", str(path)]) | {"spark.driver.memory": arguments.memory}
    session = open_session("segments benchmark", start)
    runner = SegmentRunner(config, session.spark)
    found = measure(runner)
    scored = runner.publish_microsegments().output.rows
    session.stop()
    text = markdown_table(("", "seconds"), [[name, f"{took:.1f}"] for name, took in found.items()])
    head = f"{arguments.customers:,} customers, {len(config.segmentation.micro_plan)} plans, {scored:,} rows scored"
    text = f"{head}, median of {REPEATS} where warm.\n\n{text}\n\n{summary(found)}"
    print(text)
    put("segments.py", f"{circumstances()} spark.driver.memory={arguments.memory}.\n\n{text}")


if __name__ == "__main__":
    main()
