"""The commands that people wait for, on the sample of 100,000 orders, on Sail: from the command to its last line.

Usage: python benchmarks/commands.py

The run with its report, then an explanation, an export, and a comparison with the run of the month before. Each is a
process of its own; the middle of three runs counts. The table goes to the terminal and to RESULTS.md. Exit code 1 where
a command fails.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from measure import Measured, measure
from report import CHECKOUT, circumstances, gib, markdown_table, put
from run import environment, raw_data, warm, write_config

ORDERS, REPEATS = 100_000, 3
MEMORY = 8 << 30
LIMITS = {"run_all": 8, "explain": 4, "export": 4, "compare_runs": 4}  # seconds a person should wait at most
HEAD = ("100,000 orders, Sail", "seconds", "at most", "CPU seconds", "peak memory", "others' load")


def job(name: str, *arguments: str) -> list[str]:
    """The command of a job on Sail."""
    return [sys.executable, f"jobs/{name}.py", *arguments, "--engine", "sail"]


def middle(command: Sequence[str], log: Path) -> Measured:
    """The run in the middle, by seconds, of several runs of a command. Raises SystemExit where one fails."""
    found = [measure(command, log, MEMORY, environment(), CHECKOUT) for _ in range(REPEATS)]
    if any(each.code for each in found):
        raise SystemExit(f"{' '.join(command)}\nfailed, see {log}")
    return sorted(found, key=lambda each: each.seconds)[REPEATS // 2]


def dated(config: Path, run_date: str) -> Path:
    """The config with a run of its own per date, run once as of another date for the comparison; returns it."""
    text = config.read_text().replace(f"{config.parent}/sail/", f"{config.parent}/sail/{{as_of}}/")
    path = config.with_name("dated.json")
    path.write_text(text)
    command = job("run_all", "--conf", str(path), "--no-report", "--as-of", run_date)
    subprocess.run(command, check=True, cwd=CHECKOUT, env=environment(), stdout=subprocess.DEVNULL)
    return path


def a_customer(segments: Path) -> str:
    """The first customer of the published segments."""
    file = next(iter(sorted(segments.glob("*.parquet"))))
    return str(pq.read_table(file, columns=["algonomy_id"])["algonomy_id"][0].as_py())


def main() -> int:
    data, out = raw_data(ORDERS), CHECKOUT / "data" / "bench-commands"
    config = dated(write_config(data, out, "sail"), "2025-06-01")
    warm(data)
    log, conf = out / "commands.log", ("--conf", str(config))
    took = {"run_all": middle(job("run_all", *conf), log)}
    run_date = json.loads(config.read_text())["feature_pipeline"]["common"]["current_run_date"].replace("-", "")
    manifests = [f"{out}/sail/{date}/features/users/ownapp/manifest.json" for date in ("20250601", run_date)]
    customer = a_customer(out / "sail" / run_date / "segments.par")
    took["explain"] = middle(job("explain", *conf, "--customer", customer), log)
    took["export"] = middle(job("export", *conf, "--out", f"{out}/lists"), log)
    compared = ("--before", manifests[0], "--after", manifests[1], "--out", f"{out}/compared")
    took["compare_runs"] = middle(job("compare_runs", *compared), log)
    rows = [
        [name, f"{each.seconds:.1f}", f"{LIMITS[name]}", f"{each.cpu:.1f}", gib(each.peak), f"{each.load:.0%}"]
        for name, each in took.items()
    ]
    table = markdown_table(HEAD, rows)
    put("commands.py", f"{circumstances()}\n\n{table}")
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
