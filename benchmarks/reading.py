"""What the rules of values cost (docs/contract.md, section 9): reading large CSV files with them and with plain casts.

Usage: python benchmarks/reading.py [ORDERS] [--data FOLDER] [--only spark,sail]    (default: 2000000)

The customer mapping, the in-store orders and their lines are read by this package, and by the same reader of lines with
a plain cast per column: no blanks, armour, missing words, exponents, separators; no reasons. Every column is counted.
Each engine is a process of its own; processor seconds are those of it and its JVM, the least of some runs after a first
one. The table goes to the terminal and to RESULTS.md.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.config import load_config
from blitz.raw.inputs import raw_inputs
from blitz.raw.readers import cell_of, raw_cells
from blitz.raw.specs import Kind
from blitz.raw.tables import RawTable
from blitz.raw.typed_rows import read_table
from blitz.spark.engine import Engine
from blitz.spark.session import open_session
from measure import cpu_seconds
from report import CHECKOUT, circumstances, markdown_table, put
from run import environment, raw_data, warm, write_config

RUNS = 4
CHANNELS = 3
MAPPING = "customer mapping"
ENGINES = ("spark", "sail")
HEAD = ("", "with plain casts", "with the rules of values", "ratio")


def plain(spark: SparkSession, table: RawTable) -> DataFrame:
    """The cells of the table's columns, cast as they are."""
    types = {Kind.NUMBER: "double", Kind.LOCAL: "timestamp"}
    kinds = {field.name: field.kind for field in table.spec.fields}
    parts = []
    for group in table.groups:
        cells = raw_cells(spark, group)
        columns = [cell_of(each).cast(types.get(kinds[each.name], "string")).alias(each.name) for each in group.columns]
        parts.append(cells.frame.select(*columns))
    return reduce(DataFrame.unionByName, parts)


def least(read: Callable[[], DataFrame]) -> float:
    """Processor seconds of the cheapest of some runs that read every row and column."""
    found = []
    for _ in range(RUNS):
        before = cpu_seconds(os.getpid())
        rows = read()
        rows.agg(*[F.count(rows[name]) for name in rows.columns]).collect()
        found.append(cpu_seconds(os.getpid()) - before)
    return min(found[1:])


def seconds(engine: str, config: Path) -> dict[str, tuple[float, float]]:
    """By table the processor seconds with plain casts and with the rules."""
    features = load_config(json.loads(config.read_text())).feature_pipeline
    inputs = raw_inputs(features, ["instore"])
    tables = {
        MAPPING: inputs.customer_mapping,
        "in-store orders": inputs.orders["instore"],
        "in-store lines": inputs.lines["instore"],
    }
    session = open_session("reading", {"spark.master": "local[2]", "spark.driver.memory": "2g"}, engine=Engine(engine))
    try:
        spark, zone = session.spark, features.common.timezone
        return {
            name: (least(partial(plain, spark, table)), least(partial(read_table, spark, table, zone)))
            for name, table in tables.items()
        }
    finally:
        session.stop()


def section(orders: int, found: dict[str, dict[str, tuple[float, float]]]) -> str:
    """The section of RESULTS.md: by table, and in all of a run of three channels."""
    rows = []
    for engine, tables in found.items():
        name = engine.capitalize()
        rows += [_row(f"{table}, {name}", cast, rules) for table, (cast, rules) in tables.items()]
        before = sum(cast * (CHANNELS if table == MAPPING else 1) for table, (cast, _) in tables.items())
        rows.append(_row(f"a run of three channels, {name}", before, sum(rules for _, rules in tables.values())))
    return (
        f"Processor seconds to read the large CSV files of {orders:,} orders, each engine warm "
        f"(`python benchmarks/reading.py {orders}`). A run reads the mapping once; before the rules, each of "
        f"three channels read it: the rows of a run count it so.\n\n{markdown_table(HEAD, rows)}\n\n{circumstances()}"
    )


def _row(what: str, cast: float, rules: float) -> list[str]:
    return [what, f"{cast:.2f}", f"{rules:.2f}", f"{rules / cast:.2f}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", nargs="?", type=int, default=2_000_000)
    parser.add_argument("--data", type=Path, help="raw data that is there already; RESULTS.md stays as it is")
    parser.add_argument("--only", help="one engine, in this process; prints JSON; RESULTS.md stays as it is")
    arguments = parser.parse_args()
    data = arguments.data or raw_data(arguments.orders)
    config = write_config(data, CHECKOUT / "data" / "bench-reading")
    if arguments.only:
        print(json.dumps(seconds(arguments.only, config)))
        return 0
    warm(data)
    found = {}
    for engine in ENGINES:
        command = [sys.executable, __file__, "--data", str(data), "--only", engine]
        paths = environment() | {"PYTHONPATH": str(CHECKOUT / "lib")}
        done = subprocess.run(command, env=paths, stdout=subprocess.PIPE, text=True, check=True)
        found[engine] = json.loads(done.stdout.splitlines()[-1])
    text = section(arguments.orders, found)
    print(text)
    if not arguments.data:
        put("reading.py", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
