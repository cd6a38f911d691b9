"""What a refresh with one new month costs beside a full run on the same data, and that both give the same tables.

Usage: python benchmarks/refresh.py [ORDERS]    (default: 8,000,000 orders)

Sample data is split at the local midnight that begins June 2025: what was there before as eight files a table, June as
one more file a table, and a customer mapping that grows at its end. More than 8 million orders are those several times
over, with other ids and customers. Measured are processes, from start to end, of order features alone. Exit code 1
where a table differs or the refresh costs more than a fifth. The table goes to the terminal and to RESULTS.md.
"""

import argparse
import csv
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

import compare
from exact import exact_differences
from measure import Measured, machine_memory, measure
from report import CHECKOUT, circumstances, gib, markdown_table, put
from run import DRIVER_MEMORY, MOST, environment, raw_data, warm, write_config

CHANNELS = "ownapp,swiggy,instore"
NEW_MONTH = pd.Timestamp("2025-06-01", tz="Asia/Kolkata")
BASE_FILES = 8
MOST_SAMPLE = 8_000_000  # orders; more would not fit into memory while they are made: the sample is taken several times
APP_STEP, INSTORE_STEP, SHORTEST_ID = 10**11, 10**5, 10**6
MOST_RATIO = 0.2
HEAD = ("", "seconds", "ratio", "CPU seconds", "peak memory", "others' load")
APP = {"ownapp": ("sales", "salesdetail"), "swiggy": ("swiggy_sales", "swiggy_salesdetail")}


def split_sample(sample: Path, raw: Path, later: Path, times: int = 1) -> None:
    """The sample as it was before the new month below ``raw``, and what came with the month below ``later``; ``times``
    over, each time with other orders of other customers."""
    for orders, lines in APP.values():
        heads = pq.read_table(sample / orders)
        is_new = pc.greater_equal(heads["order_placed_datetime"].cast(pa.int64()), NEW_MONTH.value)
        ids = heads.filter(is_new)["id"]
        _write_parts(heads, is_new, raw / orders, later / orders, times)
        items = pq.read_table(sample / lines)
        _write_parts(items, pc.is_in(items["sales_id"], ids), raw / lines, later / lines, times)
        if orders == "sales":
            asked = pq.read_table(sample / "orderqueries")
            is_new = pc.is_in(asked["order_id"], ids)
            _write_parts(asked, is_new, raw / "orderqueries", later / "orderqueries", times)
    for name, time_column in (("order_level_v2", "BussTime"), ("item_level", "OrderDatetime")):
        folder = f"instore_data/{name}"
        rows = pa.concat_tables([_read_csv(path) for path in sorted((sample / folder).glob("*.csv"))])
        is_new = pc.and_(pc.greater_equal(rows[time_column], "2025-06-01"), pc.less(rows[time_column], "a"))
        _write_parts(rows, is_new, raw / folder, later / folder, times)
    mail = "received_over_email"
    shutil.copytree(sample / mail, raw / mail)
    (later / mail).mkdir(parents=True)
    name = f"{mail}/customer_invoice_mapping.csv"
    mapping = _read_csv(sample / name)
    is_old = pc.less(mapping["invoice_date"], "2025-06-01")
    old = [(mapping.filter(is_old), time) for time in range(times)]
    _write(raw / name, old)
    _write(later / name, [*old, *((mapping.filter(pc.invert(is_old)), time) for time in range(times))])


def _read_csv(path: Path) -> pa.Table:
    """A CSV file as text, its columns sorted by name."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = sorted(next(csv.reader(file)))
    kinds = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
    return pa.csv.read_csv(path, convert_options=kinds)


def _write_parts(rows: pa.Table, is_new: Any, base: Path, later: Path, times: int) -> None:
    """Old rows as BASE_FILES files each time over, new ones as one file; CSV where the table is text alone."""
    base.mkdir(parents=True)
    later.mkdir(parents=True)
    old, ending = rows.filter(pc.invert(is_new)), "csv" if set(rows.schema.types) == {pa.string()} else "parquet"
    size = -(-len(old) // BASE_FILES)
    for time in range(times):
        for at in range(BASE_FILES):
            _write(base / f"part-{time}-{at}.{ending}", [(old.slice(at * size, size), time)])
    _write(later / f"june.{ending}", [(rows.filter(is_new), time) for time in range(times)])


def _write(path: Path, parts: Sequence[tuple[pa.Table, int]]) -> None:
    """Write rows as one file, each part as the others of its time."""
    schema = parts[0][0].schema
    if path.suffix == ".csv":
        writer = pa.csv.CSVWriter(path, schema)
    else:
        writer = pq.ParquetWriter(path, schema, version="2.6")
    with writer:
        for rows, time in parts:
            writer.write_table(_others(rows, time), 250_000)


def _others(rows: pa.Table, time: int) -> pa.Table:
    """The rows as other orders of other customers; for 0 as they are. In-store invoices are short numbers."""
    for at, name in enumerate(rows.schema.names if time else []):
        column = rows[name]
        if name in ("id", "sales_id", "order_id"):
            column = pc.add(column, time * APP_STEP)
        elif name == "user_id":
            column = pc.add(column, time * 10**9)
        elif name in ("InvoiceNo", "invoice_no"):
            number = column.cast(pa.int64())
            is_short = pc.less(number, SHORTEST_ID)
            column = pc.add(number, pc.if_else(is_short, time * INSTORE_STEP, time * APP_STEP)).cast(pa.string())
        elif name == "customer_code_ty":
            column = pc.utf8_replace_slice(column, 0, 1, str(time))
        rows = rows.set_column(at, rows.schema.field(name), column)
    return rows


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
    times = max(1, orders // MOST_SAMPLE)
    split_sample(raw_data(orders // times), raw, later, times)
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
        problems = exact_differences(paths[0][name], paths[1][name], compare.KEYS[name])
        differ |= bool(problems)
        print(*(problems or [f"{name}: equal, every column"]), sep="\n", flush=True)
    if not differ:
        put(
            f"refresh.py {orders}",
            f"{circumstances()} {orders:,} orders, spark.driver.memory={DRIVER_MEMORY}.\n\n{text}",
        )
    return int(differ or results["refresh with June"].seconds > MOST_RATIO * results["full run"].seconds)


if __name__ == "__main__":
    sys.exit(main())
