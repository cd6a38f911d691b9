"""What all kinds of storage share: the interface, the record of a file, hidden names, globs.

Globs follow Hadoop's, so that a pattern means the same to Spark and to us: ``*``, ``?``, ``[ab]``, ``[!a]``, ``{a,b}``;
none of them crosses a ``/``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from blitz.storage.paths import GLOB_CHARS


@dataclass(frozen=True, order=True)
class FileInfo:
    """One data file: its path as it can be opened again, its size in bytes, its modification time (epoch seconds)."""

    path: str
    size: int
    modified: float


class Backend(Protocol):
    """One kind of storage. Paths are those of the caller; every failure is an InputError that names the path."""

    def list_files(self, path: str) -> list[FileInfo]:
        """The data files of a file, a folder (recursive) or a glob, sorted by path; an empty list where none are.

        Empty files are left out, and hidden names (``is_hidden``) below the folder or where a glob does not ask for
        them. Raises InputError where the path cannot be listed.
        """

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of exactly this path; InputError where that cannot be found out."""

    def read_bytes(self, path: str, limit: int | None) -> bytes:
        """The content of a file, or its first ``limit`` bytes; InputError where it is missing or unreadable."""

    def open_input(self, path: str) -> BinaryIO:
        """A file opened for reading: binary and seekable; InputError where it is missing or unreadable."""

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file and its parent folders; InputError where it cannot be written."""

    def copy(self, source: str, target: str) -> None:
        """Copy a file to a path of the same kind of storage; InputError where it is missing or cannot be written."""

    def delete(self, path: str) -> None:
        """Delete a file, or a folder with everything below, hidden names too; a missing one is no error.

        Raises InputError for the root of a file system or bucket, and where something cannot be deleted.
        """


def is_hidden(name: str) -> bool:
    """Whether Spark would skip a file or folder of this name (``_SUCCESS``, ``.x.crc``; ``_key=1`` is a partition)."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def is_glob(path: str) -> bool:
    """Whether the path contains a glob character."""
    return not GLOB_CHARS.isdisjoint(path)


def fixed_prefix(pattern: str) -> str:
    """The part of a pattern before its first glob character."""
    return next((pattern[:i] for i, char in enumerate(pattern) if char in GLOB_CHARS), pattern)


def expand_braces(pattern: str) -> Iterator[str]:
    """The patterns that ``{a,b}`` expands to; braces may be nested and contain ``/``. An unclosed brace is literal."""
    start = pattern.find("{")
    depth, cuts = 0, [start]
    for at in range(start, len(pattern)) if start >= 0 else ():
        char = pattern[at]
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 1:
            cuts.append(at)
        if depth == 0:
            cuts.append(at)
            for left, right in zip(cuts, cuts[1:], strict=False):
                yield from expand_braces(pattern[:start] + pattern[left + 1 : right] + pattern[at + 1 :])
            return
    yield pattern


def segment_matches(pattern: str, name: str) -> bool:
    """Whether one name of a path matches one segment of a pattern without braces; ``*`` matches no hidden name."""
    if is_hidden(name) and pattern[:1] != name[0]:
        return False
    return _regex(pattern).fullmatch(name) is not None


def below_matches(pattern: str, key: str) -> bool:
    """Whether a key, or a folder above it, matches the pattern. Below that folder, hidden names do not match."""
    wanted, names = pattern.rstrip("/").split("/"), key.split("/")
    if len(names) < len(wanted) or any(is_hidden(name) for name in names[len(wanted) :]):
        return False
    return all(
        part == name or (is_glob(part) and segment_matches(part, name))
        for part, name in zip(wanted, names, strict=False)
    )


def _regex(pattern: str) -> re.Pattern[str]:
    out, at = "", 0
    while at < len(pattern):
        char, close = pattern[at], pattern.find("]", at + 2)
        if char == "[" and close > 0:
            inner = pattern[at + 1 : close]
            negated = inner[0] in "!^"
            chars = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[1:] if negated else inner)
            out += f"[^{chars}]" if negated else f"[{chars}]"
            at = close
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
        at += 1
    return re.compile(out, re.DOTALL)
