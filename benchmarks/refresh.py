"""What a refresh with one new month costs beside a full run on the same data, and that both give the same tables.

Usage: python benchmarks/refresh.py --sample DIR --work DIR [--memory 6g]   (DIR as jobs/sample_data.py fills it)

The sample is split at the local midnight that begins June 2025: what was there before as eight files a table, June as
one more file a table, and a customer mapping that grows. Measured are processes, from start to end, of order features.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

import compare

CHECKOUT = Path(__file__).resolve().parents[1]
CHANNELS = "ownapp,swiggy,instore"
NEW_MONTH = pd.Timestamp("2025-06-01", tz="Asia/Kolkata")
BASE_FILES = 8
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


def config(raw: Path, out: Path, memory: str) -> dict[str, Any]:
    """conf/local.json on these folders."""
    text = (CHECKOUT / "conf/local.json").read_text()
    body = json.loads(text.replace("data/sample/", f"{raw}/").replace("data/out/", f"{out}/"))
    body["spark"] |= {"spark.driver.memory": memory}
    return body


def measured(job: str, conf: Path, *arguments: str) -> float:
    """Seconds of one job's process."""
    command = [sys.executable, str(CHECKOUT / f"jobs/{job}.py"), "--conf", str(conf), "--steps", CHANNELS, *arguments]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    if done.returncode:
        raise SystemExit(f"{job} failed:\n{done.stderr[-3000:]}")
    return time.monotonic() - started


def step_seconds(out: Path) -> float:
    """The seconds of the order features alone, from the manifest of the last run."""
    (manifest,) = out.rglob(f"manifest.{CHANNELS.replace(',', '_')}.json")
    return sum(step["seconds"] for step in json.loads(manifest.read_text())["steps"].values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path, help="an empty folder, for raw files and outputs")
    parser.add_argument("--memory", default="6g")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    raw, later = work / "raw", work / "later"
    split_sample(arguments.sample, raw, later)
    bodies = {name: config(raw, work / name, arguments.memory) for name in ("full", "refreshed")}
    for name, body in bodies.items():
        (work / f"{name}.json").write_text(json.dumps(body))
    seconds = {"first refresh, of all but June": measured("refresh", work / "refreshed.json", "--as-of", "2025-06-01")}
    steps = {"first refresh, of all but June": step_seconds(work / "refreshed")}
    shutil.copytree(later, raw, dirs_exist_ok=True)
    for what, job, name in (("full run", "run_all", "full"), ("refresh with June", "refresh", "refreshed")):
        seconds[what] = measured(job, work / f"{name}.json", "--as-of", "2025-07-01")
        steps[what] = step_seconds(work / name)
    for what, value in seconds.items():
        print(f"{what}: {value:.1f} s the process, {steps[what]:.1f} s the three steps")
    for kind, found in (("process", seconds), ("steps", steps)):
        print(f"refresh / full run, {kind}: {found['refresh with June'] / found['full run']:.3f}")
    paths = {name: compare.output_paths(body) for name, body in bodies.items()}
    for channel in CHANNELS.split(","):
        tables = [compare.read(paths[name][channel]) for name in ("full", "refreshed")]
        problems = compare.differences(*tables, compare.KEYS[channel], True)
        print(*(problems or [f"{channel}: {len(tables[0]):,} rows, equal in every column"]), sep="\n")


if __name__ == "__main__":
    main()
