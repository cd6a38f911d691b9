"""The console scripts of the wheel, which jobs/ and Databricks' wheel tasks also call.

Each reads its arguments from ``sys.argv``, returns normally on success and otherwise exits with the command's code. On
Databricks, which takes every ``sys.exit`` for a failure, errors propagate instead (``command.exit_code_of``).
"""

import sys
from functools import partial

from blitz.cli.main import main


def _run(name: str) -> None:
    code = main(name)
    if code:
        sys.exit(code)


run_all = partial(_run, "run_all")
order_features = partial(_run, "order_features")
customer_features = partial(_run, "customer_features")
scores = partial(_run, "scores")
segments = partial(_run, "segments")
microsegments = partial(_run, "microsegments")
refresh = partial(_run, "refresh")
backfill = partial(_run, "backfill")
report = partial(_run, "report")
export = partial(_run, "export")
erase = partial(_run, "erase")
explain = partial(_run, "explain")
compare_runs = partial(_run, "compare_runs")
learn_rules = partial(_run, "learn_rules")
prove_rules = partial(_run, "prove_rules")
try_rules = partial(_run, "try_rules")
train_microsegments = partial(_run, "train_microsegments")
