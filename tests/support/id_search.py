"""Every byte below a folder, searched for ids: Parquet decoded and as it is, everything else as it is."""

import datetime
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

_WORD = re.compile(r"\w+")
_DIGITS = re.compile(rb"[0-9]+")  # whole runs: compression may join the digits of two other ids to one of these


def files_with(folder: Path, ids: Collection[str]) -> dict[str, set[str]]:
    """The files below a folder, hidden ones too, that contain any of the ids, and which."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if hits := ids_in(path, ids):
            found[str(path.relative_to(folder))] = hits
    return found


def ids_in(path: Path, ids: Collection[str]) -> set[str]:
    """The ids that a file contains."""
    data = path.read_bytes()
    if data[:4] != b"PAR1":
        return set(_WORD.findall(data.decode("utf-8", "replace"))) & set(ids)  # 0.30000000000000004 is no id
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") :]
    hits = {each for each in ids if each.encode() in footer} | {each.decode() for each in _DIGITS.findall(data)} & set(
        ids
    )
    joined = "\n".join(set(_texts(pq.ParquetFile(path).read().to_pydict())))
    return hits | {each for each in ids if each in joined}


def _texts(value: Any) -> Iterator[str]:
    """Every text and number in nested values."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif not isinstance(value, float | bool | datetime.datetime | None):
        yield str(value)
