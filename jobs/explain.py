"""Why one customer is in its segment and micro-segments, looked up in the published outputs."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package stands beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz.cli.main import config_arguments, guarded, read_config, use
from blitz.explain.lookup import explain
from blitz.explain.text import told
from blitz.spark.session import open_session


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="explain", description=__doc__, allow_abbrev=False)
    config_arguments(parser)
    parser.add_argument("--customer", required=True, metavar="ID", help="the algonomy_id; leading zeros count")
    parser.add_argument("--json", action="store_true", help="the same content as JSON, every feature and pull")
    arguments = parser.parse_args(argv)
    return guarded("explain", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Look the customer up and print the explanation."""
    config = use(read_config(arguments))
    session = open_session("blitz explain", config.spark, config.run.s3_endpoint)
    try:
        body = explain(config, session.spark, arguments.customer)
    finally:
        session.stop()
    print(json.dumps(body, indent=2, ensure_ascii=False) if arguments.json else told(body))


if __name__ == "__main__":
    code = main()
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
