"""The wheel's entry points: commands where it is installed, and Databricks' wheel tasks.

Each takes its arguments from ``sys.argv``, returns normally on success and fails by an exit code; on Databricks by what
``cli.guarded`` raises there.
"""

import sys

from blitz.cli import backfill as backfill_cli
from blitz.cli import refresh as refresh_cli
from blitz.cli import report as report_cli
from blitz.cli.main import main


def run_all() -> None:
    """The whole run: raw files of three channels to customer features, segments and micro-segments."""
    _end(main("run_all", str(run_all.__doc__)))


def order_features() -> None:
    """Order features of one channel; own app before the others."""
    _end(main("order_features", str(order_features.__doc__), ["ownapp", "swiggy", "instore"]))


def customer_features() -> None:
    """Customer features from the order features of the three channels."""
    _end(main("customer_features", str(customer_features.__doc__), ["customers"]))


def segments() -> None:
    """Rule segments from the customer features."""
    _end(main("segments", str(segments.__doc__), ["segments"]))


def microsegments() -> None:
    """Micro-segments from the customer features and the segments."""
    _end(main("microsegments", str(microsegments.__doc__), ["microsegments"]))


def report() -> None:
    """The run report, from the published outputs and the manifests."""
    _end(report_cli.main())


def refresh() -> None:
    """The run with refreshed order features."""
    _end(refresh_cli.main())


def backfill() -> None:
    """The run as of several dates."""
    _end(backfill_cli.main())


def _end(code: int) -> None:
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
