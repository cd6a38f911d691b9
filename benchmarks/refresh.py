"""What a refresh with one new month costs beside a full run on the same data, and that both give the same tables.

Usage: python benchmarks/refresh.py [ORDERS]    (default: 8,000,000 orders)

Sample data is split at the local midnight that begins June 2025: what was there before as eight files a table, June as
one more file a table, and a customer mapping that grows. Measured are processes, from start to end, of order features
alone. Exit code 1 where a table differs or the refresh costs more than a fifth. The table goes to the terminal and to
RESULTS.md.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

import compare
from measure import Measured, machine_memory, measure
from report import CHECKOUT, circumstances, gib, markdown_table, put
from run import DRIVER_MEMORY, MOST, environment, raw_data, warm, write_config

CHANNELS = "ownapp,swiggy,instore"
NEW_MONTH = pd.Timestamp("2025-06-01", tz="Asia/Kolkata")
BASE_FILES = 8
MOST_RATIO = 0.2
HEAD = ("", "seconds", "ratio", "CPU seconds", "peak memory", "others' load")
APP = {"ownapp": ("sales", "salesdetail"), "swiggy": ("swiggy_sales", "swiggy_salesdetail")}


def split_sample(sample: Path, raw: Path, later: Path) -> None:
    """The sample as it was before the new month below ``raw``, and what came with the month below ``later``."""
    for orders, lines in APP.values():
        heads = pq.read_table(sample / orders)
        placed = heads["order_placed_datetime"].cast(pa.int64())
        is_new = pc.greater_equal(placed, NEW_MONTH.value)
        ids = heads.filter(is_new)["id"]
        _write_parts(heads, is_new, raw / orders, later / orders)
        items = pq.read_table(sample / lines)
        _write_parts(items, pc.is_in(items["sales_id"], ids), raw / lines, later / lines)
        if orders == "sales":
            asked = pq.read_table(sample / "orderqueries")
            _write_parts(asked, pc.is_in(asked["order_id"], ids), raw / "orderqueries", later / "orderqueries")
    for folder, time_column in (("order_level_v2", "BussTime"), ("item_level", "OrderDatetime")):
        rows = _read_csv(sorted((sample / "instore_data" / folder).glob("*.csv")))
        is_new = pc.and_(pc.greater_equal(rows[time_column], "2025-06-01"), pc.less(rows[time_column], "a"))
        _write_parts(rows, is_new, raw / "instore_data" / folder, later / "instore_data" / folder, csv=True)
    mail = "received_over_email"
    shutil.copytree(sample / mail, raw / mail)
    (later / mail).mkdir(parents=True)
    mapping = _read_csv([sample / mail / "customer_invoice_mapping.csv"])
    known = mapping.filter(pc.less(mapping["invoice_date"], "2025-06-01"))
    pa.csv.write_csv(known, raw / mail / "customer_invoice_mapping.csv")
    shutil.copy(sample / mail / "customer_invoice_mapping.csv", later / mail)


def _read_csv(paths: list[Path]) -> pa.Table:
    """CSV files as text, columns by name."""
    frames = [pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig") for path in paths]
    return pa.Table.from_pandas(pd.concat(frames, ignore_index=True), preserve_index=False)


def _write_parts(rows: pa.Table, is_new: Any, base: Path, later: Path, csv: bool = False) -> None:
    base.mkdir(parents=True)
    later.mkdir(parents=True)
    old, ending = rows.filter(pc.invert(is_new)), "csv" if csv else "parquet"
    size = -(-len(old) // BASE_FILES)
    parts = [(base / f"part-{at}.{ending}", old.slice(at * size, size)) for at in range(BASE_FILES)]
    for path, part in [*parts, (later / f"june.{ending}", rows.filter(is_new))]:
        if csv:
            pa.csv.write_csv(part, path)
        else:
            pq.write_table(part, path, version="2.6", row_group_size=250_000)


def run_job(job: str, conf: Path, as_of: str) -> Measured:
    """One job's process as a user starts it."""
    print(f"{job} as of {as_of} …", file=sys.stderr, flush=True)
    command = ["./spark-submit.sh", "--conf", f"spark.driver.memory={DRIVER_MEMORY}", f"jobs/{job}.py"]
    command += ["--conf", str(conf), "--steps", CHANNELS, "--as-of", as_of, "--no-report"]
    log = conf.with_name(f"{job}.{as_of}.log")
    took = measure(command, log, int(machine_memory() * MOST), environment(), CHECKOUT)
    if took.code:
        raise SystemExit(f"{job} failed, see {log}")
    return took


def rows(results: dict[str, Measured], full: Measured) -> list[list[str]]:
    """The table's rows."""
    return [
        [
            what,
            f"{took.seconds:.1f}",
            f"{took.seconds / full.seconds:.2f}",
            f"{took.cpu:.0f}",
            gib(took.peak),
            f"{took.load:.0%}",
        ]
        for what, took in results.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", nargs="?", type=int, default=8_000_000)
    orders = parser.parse_args().orders
    work = CHECKOUT / "data" / f"refresh-{orders}"
    shutil.rmtree(work, ignore_errors=True)
    raw, later = work / "raw", work / "later"
    split_sample(raw_data(orders), raw, later)
    full, refreshed = (write_config(raw, work / name) for name in ("full", "refreshed"))
    warm(raw)
    first = run_job("refresh", refreshed, "2025-06-01")
    shutil.copytree(later, raw, dirs_exist_ok=True)
    results = {
        "full run": run_job("run_all", full, "2025-07-01"),
        "refresh with June": run_job("refresh", refreshed, "2025-07-01"),
        "first refresh, of all but June": first,
    }
    text = markdown_table(HEAD, rows(results, results["full run"]))
    print(text)
    paths = [compare.output_paths(json.loads(conf.read_text())) for conf in (full, refreshed)]
    differ = False
    for name in CHANNELS.split(","):
        problems = compare.file_differences(paths[0][name], paths[1][name], compare.KEYS[name], True)
        differ |= bool(problems)
        print(*(problems or [f"{name}: equal, every column"]), sep="\n", flush=True)
    if not differ:
        put("refresh.py", f"{circumstances()} {orders:,} orders, spark.driver.memory={DRIVER_MEMORY}.\n\n{text}")
    return int(differ or results["refresh with June"].seconds > MOST_RATIO * results["full run"].seconds)


if __name__ == "__main__":
    sys.exit(main())
