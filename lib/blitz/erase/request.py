"""Who is to be erased: the ids of a file, and the suppression list that they are added to."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from blitz import storage
from blitz.errors import InputError
from blitz.raw.headers import decoded
from blitz.raw.suppression import Suppression, hashes_of
from blitz.raw.suppression_list import SALT_VARIABLE, read_suppression, salt_of_environment, write_suppression
from blitz.raw.values import UnreadableError, clean_word, code, strip

ID_COLUMNS = ("algonomy_id", "customer_code_ty")


@dataclass(frozen=True)
class Request:
    """The customers of one erasure: their ids, as the customer mapping's codes are read, and the hashes of them."""

    customers: frozenset[str] = field(repr=False)
    suppression: Suppression


def read_request(path: str) -> Request:
    """The request of a file with one id per line; a first line that names a column is skipped.

    Raises InputError where the salt is not set, for a file without an id, and naming the line (never the id) that
    cannot be one.
    """
    salt = salt_of_environment()
    if salt is None:
        raise InputError(
            f"{SALT_VARIABLE} is not set; set it to a secret salt, the same for each erasure and each run, else the "
            "erased customers would come back with the next run"
        )
    customers = frozenset(_ids(path))
    if not customers:
        raise InputError("contains no customer id; write one id a line", path=path)
    return Request(customers, Suppression(hashes_of(sorted(customers), salt), salt))


def _ids(path: str) -> Iterator[str]:
    try:
        text = decoded(storage.read_bytes(path))
    except UnicodeError as error:
        raise InputError(str(error), path=path) from error
    for number, row in enumerate(csv.reader(io.StringIO(text, newline="")), start=1):
        cells = [cell for cell in row if strip(cell)]
        if not cells or (number == 1 and strip(cells[0]).lower() in ID_COLUMNS):
            continue
        if len(cells) > 1:
            raise InputError(f"line {number} has several values; write one id a line", path=path)
        yield _id(cells[0], number, path)


def _id(cell: str, number: int, path: str) -> str:
    try:
        found = code(cell)
    except UnreadableError as error:
        raise InputError(f"line {number}: the id lost digits in a spreadsheet; export it as text", path=path) from error
    if found is None or clean_word(found) is None:
        raise InputError(f"line {number} is a word for a missing value, and no id", path=path)
    return found


def suppress(request: Request, path: str) -> int:
    """Add the hashes of a request to the suppression list; returns how many entries it has then.

    Raises InputError for a list with another salt.
    """
    listed = read_suppression(path)
    hashes = listed.hashes | request.suppression.hashes
    if hashes != listed.hashes or not storage.exists(path):
        write_suppression(path, Suppression(hashes, request.suppression.salt))
    return len(hashes)
