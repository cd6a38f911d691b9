"""This project on Spark and on Sail against the same job in pandas and DuckDB: same data, equal outputs before a time
counts.

Usage: python benchmarks/run.py [ORDERS ...] [--only sail,duckdb]    (default: 500000 2000000 8000000)

Each of the four is a process of its own, from its start to its end: on Spark through spark-submit.sh with its start of
a JVM. All outputs are compared with those on Spark, or without it with those on Sail. One that outgrows the machine is
"out of memory", a result like any other. The table goes to the terminal and to RESULTS.md. Exit code 1 where a run
failed or outputs differ. Raw data is kept under data/bench-N.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from measure import Measured, machine_memory, measure
from report import CHECKOUT, circumstances, gib, markdown_table, put

SIZES = (500_000, 2_000_000, 8_000_000)
DRIVER_MEMORY = "4g"  # the same at every size
MOST = 0.75  # of the machine's memory may one of the four use
SEED = 7
NAMES = {"spark": "this project on Spark", "sail": "this project on Sail", "pandas": "pandas", "duckdb": "DuckDB"}
OURS = ("spark", "sail")
HEAD = ("", "seconds", "to DuckDB", "peak memory", "orders/s", "CPU seconds", "others' load")


@dataclass(frozen=True)
class Result:
    """One run of one of the four. ``verdict``: empty, or why its time does not count."""

    name: str
    orders: int
    measured: Measured
    verdict: str


def raw_data(orders: int, *options: str, name: str | None = None) -> Path:
    """The folder with raw data of this size, made where it is not there yet."""
    folder = CHECKOUT / "data" / (name or f"bench-{orders}")
    if not folder.exists():
        half = folder.with_name(folder.name + ".part")
        shutil.rmtree(half, ignore_errors=True)
        command = [sys.executable, "jobs/sample_data.py", "--orders", str(orders), "--seed", str(SEED), *options]
        subprocess.run([*command, "--out", str(half)], check=True, cwd=CHECKOUT)
        half.rename(folder)
    return folder


def write_config(data: Path, out: Path, engine: str = "spark") -> Path:
    """conf/local.json on this data, with outputs under a folder of ``out`` named as the engine."""
    text = (CHECKOUT / "conf/local.json").read_text().replace("data/sample/", f"{data}/")
    path = out / f"{engine}.json"
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("data/out/", f"{out}/{engine}/"))
    return path


def warm(data: Path) -> None:
    """Read every raw file once: the first of the four must not pay for the disk alone."""
    for path in data.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def spark_command(config: Path, memory: str = DRIVER_MEMORY) -> list[str]:
    """The whole run as a user would start it; without the report, which the others do not make."""
    start = ["./spark-submit.sh", "--conf", f"spark.driver.memory={memory}", "jobs/run_all.py"]
    return [*start, "--conf", str(config), "--no-report"]


def environment() -> dict[str, str]:
    """This process's environment without any Spark of somebody else, and with this virtual environment's."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK", "PYSPARK"))}
    return bare | {"BLITZ_VENV": str(Path(sys.executable).parents[1])}


def run_one(name: str, config: Path, orders: int) -> Result:
    """Run one of the four over the raw data of a config."""
    target = config.parent / name
    shutil.rmtree(target, ignore_errors=True)
    if name == "spark":
        command = spark_command(config)
    elif name == "sail":
        command = [sys.executable, "jobs/run_all.py", "--conf", str(config), "--no-report", "--engine", "sail"]
    else:
        command = [sys.executable, f"benchmarks/{name}_pipeline.py", "--conf", str(config), "--out", str(target)]
        command += ["--threads", str(os.cpu_count())] if name == "duckdb" else []
    log = config.parent / f"{name}.log"
    print(f"{orders:,} orders, {NAMES[name]} …", file=sys.stderr, flush=True)
    measured = measure(command, log, int(machine_memory() * MOST), environment(), CHECKOUT)
    verdict = ""
    if measured.out_of_memory:
        verdict = "out of memory"
    elif measured.code:
        verdict = f"failed, see {log.relative_to(CHECKOUT)}"
    return Result(name, orders, measured, verdict)


def compared(results: list[Result], configs: Mapping[str, Path]) -> list[Result]:
    """The results with a verdict where the outputs differ from this project's, or cannot be compared with them.

    ``configs`` of this project by engine; the first engine that ended well is what the others are compared with.
    """
    base = next((result for result in results if result.name in configs and not result.verdict), None)
    checked = []
    for result in results:
        verdict = result.verdict
        if not verdict and base is None:
            verdict = "not compared"
        elif not verdict and base is not None and result is not base:
            peer = configs.get(result.name) or configs[base.name].parent / result.name
            verdict = _difference(configs[base.name], peer)
        checked.append(Result(result.name, result.orders, result.measured, verdict))
    differs = [result for result in checked if result.verdict == "differs"]
    return [
        Result(each.name, each.orders, each.measured, "differs")
        if differs and base is not None and each.name == base.name
        else each
        for each in checked
    ]


def _difference(config: Path, peer: Path) -> str:
    command = [sys.executable, "benchmarks/compare.py", "--conf", str(config), str(peer)]
    done = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, file=sys.stderr, flush=True)
    return "differs" if done.returncode else ""


def rows(results: list[Result]) -> list[list[str]]:
    """The table's rows; a time that does not count is not shown."""
    peer = {
        result.orders: result.measured.seconds for result in results if result.name == "duckdb" and not result.verdict
    }
    found = []
    for result in results:
        took, label = result.measured, f"{result.orders:,}, {NAMES[result.name]}"
        if result.verdict:
            found.append([label, result.verdict, "", gib(took.peak), "", "", ""])
            continue
        ratio = f"{took.seconds / peer[result.orders]:.2f}" if result.orders in peer else ""
        found.append([
            label, f"{took.seconds:.1f}", ratio, gib(took.peak), f"{result.orders / took.seconds:,.0f}",
            f"{took.cpu:.0f}", f"{took.load:.0%}",
        ])  # fmt: skip
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", nargs="*", type=int, default=SIZES)
    parser.add_argument("--only", default=",".join(NAMES), help=f"of {', '.join(NAMES)}; RESULTS.md stays as it is")
    arguments = parser.parse_args()
    chosen = [name for name in NAMES if name in arguments.only.split(",")]
    results: list[Result] = []
    for orders in arguments.orders or SIZES:
        data = raw_data(orders)
        out = CHECKOUT / "data" / f"bench-out-{orders}"
        configs = {engine: write_config(data, out, engine) for engine in OURS}
        warm(data)
        ran = [run_one(name, configs.get(name, configs["spark"]), orders) for name in chosen]
        of_size = compared(ran, configs)
        shutil.rmtree(out / "duckdb" / "spill", ignore_errors=True)
        if len(chosen) == len(NAMES):  # a section per size: one of them can be measured again
            put(f"run.py {orders}", f"{circumstances()}\n\n{markdown_table(HEAD, rows(of_size))}")
        results += of_size
    print(markdown_table(HEAD, rows(results)))
    return int(any(result.verdict not in ("", "out of memory") for result in results))


if __name__ == "__main__":
    sys.exit(main())
