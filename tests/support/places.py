"""Where the checkout is, and the size of the sample that tests share."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
ORDERS = int(os.environ.get("BLITZ_TEST_ORDERS", "10000"))
