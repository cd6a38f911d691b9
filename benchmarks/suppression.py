"""What the suppression list costs a whole run: processor seconds with and without 10,000 hashes, in turn.

Usage: python benchmarks/suppression.py [ORDERS] [--engine sail] [--rounds 3]    (default: 2,000,000 orders)

Of two lists, one has 10,000 customers of the data, whose orders a run is spared, the other 1,000 of them and 9,000
nobody has heard of. The least of the rounds counts: other work on the machine only adds. The table goes to the terminal
and to RESULTS.md. Exit code 1 where a run fails.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

import pandas as pd

from measure import Measured, machine_memory, measure
from report import CHECKOUT, circumstances, markdown_table, put
from run import MOST, environment, raw_data, spark_command, warm, write_config

ORDERS, ENTRIES = 2_000_000, 10_000
LISTS = {"no list": None, "10,000 customers, 1,000 in the data": 1_000, "10,000 customers, all in the data": ENTRIES}
SALT = "a salt"
HEAD = ("", "CPU seconds", "to no list", "each round", "seconds", "others' load")


def write_list(config: Path, known: int | None) -> Path:
    """A copy of a config with a list of which so many customers are in its mapping; None: without a list."""
    body = json.loads(config.read_text())
    target = config.with_name(f"{config.stem}-{known}.json")
    if known is not None:
        mapping = pd.read_csv(body["feature_pipeline"]["common"]["mapping_file"], dtype=str)["customer_code_ty"]
        ids = sorted(mapping.dropna().unique())
        chosen = ids[:: len(ids) // known][:known] + [f"nobody {number}" for number in range(ENTRIES - known)]
        hashes = [hashlib.sha256((SALT + each).encode()).hexdigest() for each in chosen]
        target.with_suffix(".txt").write_text("\n".join(hashes) + "\n")
        body["run"]["suppression_path"] = str(target.with_suffix(".txt"))
    target.write_text(json.dumps(body))
    return target


def run_once(config: Path, engine: str) -> Measured:
    """One whole run. Raises SystemExit where it fails."""
    shutil.rmtree(config.parent / engine, ignore_errors=True)
    on_sail = [sys.executable, "jobs/run_all.py", "--conf", str(config), "--no-report", "--engine", "sail"]
    command, log = on_sail if engine == "sail" else spark_command(config), config.with_suffix(".log")
    limit = int(machine_memory() * MOST)
    found = measure(command, log, limit, environment() | {"BLITZ_SUPPRESSION_SALT": SALT}, CHECKOUT)
    if found.code:
        raise SystemExit(f"failed, see {log}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", nargs="?", type=int, default=ORDERS)
    parser.add_argument("--engine", choices=("sail", "spark"), default="sail")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    data = raw_data(arguments.orders)
    config = write_config(data, CHECKOUT / "data" / "bench-suppression", arguments.engine)
    configs = {name: write_list(config, known) for name, known in LISTS.items()}
    warm(data)
    taken: dict[str, list[Measured]] = {name: [] for name in LISTS}
    for at in range(arguments.rounds):
        for name in list(LISTS)[:: 1 if at % 2 == 0 else -1]:
            taken[name].append(run_once(configs[name], arguments.engine))
    least = {name: min(each.cpu for each in runs) for name, runs in taken.items()}
    rows = [
        [
            name, f"{least[name]:.2f}", f"{least[name] / least['no list'] - 1:+.1%}",
            ", ".join(f"{each.cpu:.2f}" for each in runs), f"{min(each.seconds for each in runs):.1f}",
            f"{max(each.load for each in runs):.0%}",
        ]
        for name, runs in taken.items()
    ]  # fmt: skip
    text = markdown_table(HEAD, rows)
    put(f"suppression.py {arguments.orders} {arguments.engine}", f"{circumstances()}\n\n{text}")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
