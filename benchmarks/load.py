"""The whole run under load: many orders with little memory, and the same many with a skew.

Usage: python benchmarks/load.py [ORDERS] [--memory 3g]    (default: 5,000,000 orders)

Skewed, one store has half of all orders and one customer 200,000. Exit code 1 where a run fails, its accounts do not
add up, or the skew costs more than half again. The table goes to the terminal and to RESULTS.md.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from measure import Measured, machine_memory, measure
from report import CHECKOUT, circumstances, gib, markdown_table, put
from run import MOST, environment, raw_data, spark_command, warm, write_config

MOST_RATIO = 1.5
HEAD = ("", "seconds", "ratio", "peak memory", "orders/s", "CPU seconds", "others' load")
KINDS = {"even": [], "skewed": ["--skew"]}


def run_kind(kind: str, orders: int, memory: str) -> tuple[Measured, str]:
    """Run over even or skewed data; what it took, and what is wrong with it, if anything."""
    data = raw_data(orders, *KINDS[kind], name=f"bench-{orders}" + ("" if kind == "even" else f"-{kind}"))
    out = CHECKOUT / "data" / f"load-out-{orders}-{kind}"
    shutil.rmtree(out, ignore_errors=True)
    config = write_config(data, out)
    warm(data)
    print(f"{orders:,} orders, {kind}, {memory} …", file=sys.stderr, flush=True)
    log = out / "run.log"
    took = measure(spark_command(config, memory), log, int(machine_memory() * MOST), environment(), CHECKOUT)
    if took.out_of_memory:
        return took, "out of memory"
    if took.code:
        return took, f"failed, see {log.relative_to(CHECKOUT)}"
    return took, unbalanced(next(out.rglob("manifest.json")))


def unbalanced(manifest: Path) -> str:
    """The tables of a manifest whose rows are not all kept or dropped for a reason; empty where all add up."""
    steps = json.loads(manifest.read_text())["steps"]
    accounts = [account for step in steps.values() for account in step["accounts"]]
    wrong = [each["table"] for each in accounts if each["read"] != each["kept"] + sum(each["dropped"].values())]
    return f"rows do not add up: {', '.join(wrong)}" if wrong or not accounts else ""


def rows(orders: int, results: dict[str, tuple[Measured, str]]) -> list[list[str]]:
    """The table's rows; a time that does not count is not shown."""
    even, verdict = results["even"]
    found = []
    for kind, (took, wrong) in results.items():
        label = f"{orders:,} orders, {kind}"
        if wrong:
            found.append([label, wrong, "", gib(took.peak), "", "", ""])
            continue
        ratio = "" if verdict else f"{took.seconds / even.seconds:.2f}"
        found.append([
            label, f"{took.seconds:.1f}", ratio, gib(took.peak), f"{orders / took.seconds:,.0f}", f"{took.cpu:.0f}",
            f"{took.load:.0%}",
        ])  # fmt: skip
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", nargs="?", type=int, default=5_000_000)
    parser.add_argument("--memory", default="3g", help="spark.driver.memory")
    arguments = parser.parse_args()
    results = {kind: run_kind(kind, arguments.orders, arguments.memory) for kind in KINDS}
    text = markdown_table(HEAD, rows(arguments.orders, results))
    print(text)
    put("load.py", f"{circumstances()} spark.driver.memory={arguments.memory}.\n\n{text}")
    ratio = results["skewed"][0].seconds / results["even"][0].seconds
    return int(any(wrong for _, wrong in results.values()) or ratio > MOST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
