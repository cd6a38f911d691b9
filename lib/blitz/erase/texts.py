"""Manifests, reports and logs: they should hold no id; searched word by word."""

import re
from collections.abc import Collection

from blitz import storage

_WORD = re.compile(r"\w+")


def ids_in(path: str, customers: Collection[str]) -> int:
    """How many of the customers' ids are words of a text file."""
    text = storage.read_bytes(path).decode("utf-8", "replace")
    words = set(_WORD.findall(text))
    return sum(customer in words or (not _WORD.fullmatch(customer) and customer in text) for customer in customers)
