"""The file of the suppression list: a hash a line, read before a run and written by an erasure (docs/contract.md,
section 12)."""

import os
import re

from blitz import storage
from blitz.errors import InputError
from blitz.raw.suppression import NOBODY, Suppression, hash_of

SALT_VARIABLE = "BLITZ_SUPPRESSION_SALT"
_HASH = re.compile("[0-9a-f]{64}")
_TITLE = "# Customers whose orders are left out: SHA-256 of salt and id. Do not edit; jobs/erase.py adds lines."
_CHECK = "# salt check: "
_CHECKED_TEXT = "blitz suppression list"  # hashed like an id, so that a list shows whether a salt is its own


def salt_of_environment() -> str | None:
    """The salt from the environment; None where there is none."""
    return os.environ.get(SALT_VARIABLE) or None


def read_suppression(path: str | None) -> Suppression:
    """The suppression list of a config; an empty one where there is no path or no file.

    Raises InputError where a list with entries lacks its salt, for the salt of another list, and for a file that is no
    suppression list.
    """
    if path is None or not storage.exists(path):
        return NOBODY
    hashes, check = _parse(path, storage.read_bytes(path))
    salt = salt_of_environment()
    if salt is None:
        if hashes:
            raise InputError(
                f"the suppression list has {len(hashes):,} entries, and {SALT_VARIABLE} is not set; set it to the salt "
                "of the list, else the erased customers would come back",
                path=path,
            )
        return NOBODY
    if check is not None and check != hash_of(_CHECKED_TEXT, salt):
        raise InputError(f"the suppression list was made with another salt than that in {SALT_VARIABLE}", path=path)
    return Suppression(hashes, salt)


def write_suppression(path: str, suppression: Suppression) -> None:
    """Write the list; a reader sees the old one or the new one."""
    check = f"{_CHECK}{hash_of(_CHECKED_TEXT, suppression.salt)}"
    storage.write_bytes(path, "".join(f"{line}\n" for line in (_TITLE, check, *sorted(suppression.hashes))).encode())


def _parse(path: str, data: bytes) -> tuple[frozenset[str], str | None]:
    """The hashes of a list, and its salt check where it has one."""
    hashes, check = set(), None
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), start=1):
        text = line.strip().lower()
        if text.startswith(_CHECK):
            check = text.removeprefix(_CHECK)
        elif _HASH.fullmatch(text):
            hashes.add(text)
        elif text and not text.startswith("#"):
            raise InputError(f"line {number} is not the hex of a SHA-256; is this a suppression list?", path=path)
    return frozenset(hashes), check
