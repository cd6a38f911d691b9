"""The state of a refresh: what the output of a channel was computed from, stored as JSON next to the output."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date

from pydantic import TypeAdapter, ValidationError

import blitz
from blitz import storage
from blitz.raw.channels import KEY_FORM
from blitz.raw.tables import RawTable
from blitz.storage import FileInfo


@dataclass(frozen=True, order=True)
class OutputFile:
    """A data file of a folder that blitz wrote: its name and its size in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Window:
    """The order window: from the local day ``start`` until before ``end``."""

    start: date
    end: date


@dataclass(frozen=True)
class TableCopy:
    """A typed Parquet copy of some raw files of a table.

    ``sources`` are the raw files in it, ``output`` the files of ``folder``, and ``typed_by`` is the ``typing_hash``
    under which its rows were typed.
    """

    folder: str
    sources: tuple[FileInfo, ...]
    output: tuple[OutputFile, ...]
    typed_by: str

    def is_intact(self) -> bool:
        """Return whether the folder still has the files that were written."""
        return output_files(self.folder) == self.output


@dataclass(frozen=True)
class ByteRange:
    """The bytes of a raw file from ``start`` until before ``end``."""

    path: str
    start: int
    end: int


@dataclass(frozen=True)
class Digest:
    """SHA-256 over the bytes of a range, and whether they end with a line; empty for a file that is not hashed."""

    sha256: str = ""
    ends_line: bool = False


@dataclass(frozen=True)
class HashedRange:
    """A byte range and the digest of its bytes when they were read."""

    range: ByteRange
    digest: Digest


@dataclass(frozen=True)
class MappingPart:
    """The typed rows of some byte ranges of the customer mapping, with the files (``output``) of its ``folder``."""

    ranges: tuple[HashedRange, ...]
    folder: str
    output: tuple[OutputFile, ...]


@dataclass(frozen=True)
class MappingCopy:
    """A copy of the customer mapping: its raw files (``sources``), how they were typed, and its parts."""

    sources: tuple[FileInfo, ...]
    typed_by: str
    parts: tuple[MappingPart, ...]

    def is_intact(self) -> bool:
        """Return whether the folders of all parts still have the files that were written."""
        return all(output_files(part.folder) == part.output for part in self.parts)


@dataclass(frozen=True)
class UsersCopy:
    """A copy of the own-app users: the files of the own-app output it was made from (``source``), and its own."""

    folder: str
    source: tuple[OutputFile, ...]
    output: tuple[OutputFile, ...]

    def is_intact(self) -> bool:
        """Return whether the folder still has the files that were written."""
        return output_files(self.folder) == self.output


@dataclass(frozen=True)
class ChannelState:
    """What the output of a channel was computed from, and what the next refresh needs of it.

    ``fingerprints`` has a hash for each thing that every row depends on; ``inputs`` are the raw files by table,
    ``output`` the files of the output, ``copies`` the copies of CSV tables. ``users`` is None for own app.
    """

    fingerprints: dict[str, str]
    window: Window
    inputs: dict[str, tuple[FileInfo, ...]]
    output: tuple[OutputFile, ...]
    mapping: MappingCopy
    users: UsersCopy | None
    copies: dict[str, tuple[TableCopy, ...]]

    def write(self, path: str) -> None:
        """Write the state to ``path`` as JSON."""
        storage.write_bytes(path, _STATE.dump_json(self, indent=1) + b"\n")


_STATE = TypeAdapter(ChannelState)


def read_state(path: str) -> ChannelState | None:
    """Return the state that a refresh left at ``path``; None where there is none that this version can read."""
    if not storage.exists(path):
        return None
    try:
        return _STATE.validate_json(storage.read_bytes(path))
    except ValidationError:
        return None


def state_folder(output_path: str, name: str) -> str:
    """Return the folder for the refresh data of an output: next to the output, hidden from readers of its parent."""
    return f"{output_path.rstrip('/').rpartition('/')[0]}/_refresh/{name}"


def output_files(path: str) -> tuple[OutputFile, ...]:
    """Return the data files of a folder, sorted by name; none where there is no such folder."""
    found = storage.list_files(path) if storage.exists(path) else []
    return tuple(sorted(OutputFile(info.path.rpartition("/")[2], info.size) for info in found))


def typing_hash(table: RawTable, timezone: str, *more: str) -> str:
    """Return a hash of what the typed rows of raw files depend on apart from the files."""
    settings = (blitz.__version__, KEY_FORM, timezone, table.spec, table.options, *more)
    return hashlib.sha256(repr(settings).encode()).hexdigest()


def folder_name(folder: str) -> str:
    """Return the last part of a folder's path."""
    return folder.rpartition("/")[2]


def keep_only(folder: str, names: Collection[str]) -> None:
    """Remove everything with another name from a folder of refresh data (``state_folder``)."""
    remove(folder, lambda name: name not in names)


def remove(folder: str, is_unwanted: Callable[[str], bool]) -> None:
    """Remove what has an unwanted name from a folder of refresh data (``state_folder``)."""
    mark = f"{folder[folder.rindex('/_refresh/') :]}/"  # listed paths may have lost their scheme
    found = {info.path.partition(mark)[2].split("/")[0] for info in storage.list_files(folder)}
    for name in found - {""}:
        if is_unwanted(name):
            storage.delete(f"{folder}/{name}")
