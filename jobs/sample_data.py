"""Write sample raw data in the users' layout, and a model for every plan item of their config."""

import argparse
import sys
import time
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package is in lib/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz_sample.generate import FEWEST_ORDERS, write_sample


def main() -> None:
    parser = argparse.ArgumentParser(prog="sample_data", description=__doc__, allow_abbrev=False)
    parser.add_argument("--orders", type=int, default=100_000, help="raw orders over the three channels")
    parser.add_argument("--seed", type=int, default=7, help="equal seeds give equal data")
    parser.add_argument("--out", default="data/sample", help="folder to write to")
    parser.add_argument("--no-models", action="store_true", help="raw data alone, without the plans' models")
    parser.add_argument("--skew", action="store_true", help="half of all orders in one store, 200,000 by one customer")
    arguments = parser.parse_args()
    if arguments.orders < FEWEST_ORDERS:
        parser.error(f"--orders: at least {FEWEST_ORDERS:,}; fewer would leave segments empty")
    started = time.monotonic()
    models = not arguments.no_models
    write_sample(arguments.orders, arguments.seed, arguments.out, with_models=models, skewed=arguments.skew)
    print(f"{arguments.orders:,} orders in {arguments.out}, {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
