"""What a refresh remembers of the run before: input files, window, settings, output files; and what follows from it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import blitz
from blitz import storage
from blitz.config import FeaturePipeline
from blitz.features.orders import OrderSettings
from blitz.raw.files import RawTable
from blitz.raw.inputs import RawInputs
from blitz.raw.mappings import Mappings
from blitz.raw.specs import TableSpec
from blitz.storage import FileInfo

Files = dict[str, list[list[Any]]]  # table → [path, size, modified] of each file


@dataclass(frozen=True)
class Copy:
    """A typed copy of some raw files of a table.

    ``folder``: where it stands; ``files``: path, size and time of each raw file in it; ``output``: name and size of its
    own files; ``typed_by``: hash of what its rows depend on beside the raw files (``typed_by``).
    """

    folder: str
    files: list[list[Any]]
    output: list[list[Any]]
    typed_by: str

    def is_whole(self) -> bool:
        """Whether its files are as they were written."""
        return _is_whole(self.folder, self.output)


@dataclass(frozen=True)
class Piece:
    """Bytes of a raw file, from ``start`` until before ``end``.

    ``digest``: of these bytes, empty for a file that is not looked into; ``ends_line``: whether lines may follow them.
    """

    path: str
    start: int
    end: int
    digest: str
    ends_line: bool


@dataclass(frozen=True)
class Part:
    """A part of a copy of the customer mapping: the typed rows of some pieces of its files; ``folder`` and ``output``,
    where they stand, and name and size of the files there."""

    pieces: list[Piece]
    folder: str
    output: list[list[Any]]


@dataclass(frozen=True)
class MappingCopy:
    """A copy of the customer mapping, in parts: see refresh_mapping.py. ``files`` and ``typed_by`` as in ``Copy``."""

    files: list[list[Any]]
    typed_by: str
    parts: list[Part]

    def is_whole(self) -> bool:
        """Whether the files of all parts are as they were written."""
        return all(_is_whole(part.folder, part.output) for part in self.parts)


def _is_whole(folder: str, output: list[list[Any]]) -> bool:
    return sorted(output_files(folder)) == sorted(output)


@dataclass(frozen=True)
class ChannelState:
    """The state of one channel's output, as JSON beside it.

    ``made_by``: hash per thing that every row depends on; ``start``, ``end``: the window (ISO dates);
    ``inputs``: its raw files; ``output``: name and size of its files; ``mapping``: a copy of the customer mapping;
    ``users``: a copy of the own-app users, None for own app; ``copies``: copies of its CSV tables, by table.
    """

    made_by: dict[str, str]
    start: str
    end: str
    inputs: Files
    output: list[list[Any]]
    mapping: MappingCopy
    users: str | None
    copies: dict[str, list[Copy]]

    def write(self, path: str) -> None:
        """Write it as JSON."""
        storage.write_bytes(path, (json.dumps(asdict(self), indent=1) + "\n").encode())


def read_state(path: str) -> ChannelState | None:
    """The state that a refresh left at ``path``; None where there is none that this version can read."""
    if not storage.exists(path):
        return None
    try:
        body = json.loads(storage.read_bytes(path))
        body["copies"] = {name: [Copy(**copy) for copy in copies] for name, copies in body["copies"].items()}
        parts = [
            Part([Piece(**piece) for piece in part["pieces"]], part["folder"], part["output"])
            for part in body["mapping"]["parts"]
        ]
        body["mapping"] = MappingCopy(**{**body["mapping"], "parts": parts})
        return ChannelState(**body)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def raw_tables(inputs: RawInputs, channel: str) -> dict[str, RawTable]:
    """The raw tables of a channel by name: ``orders``, ``lines``, and ``queries`` where it has any."""
    tables = {"orders": inputs.orders[channel], "lines": inputs.lines[channel]}
    return tables | ({"queries": inputs.queries[channel]} if channel in inputs.queries else {})


def described(files: Sequence[FileInfo]) -> list[list[Any]]:
    """Path, size and time of files, as the state keeps them."""
    return [[info.path, info.size, info.modified] for info in files]


def typed_by(spec: TableSpec, timezone: str) -> str:
    """A hash of what the typed rows of raw files depend on."""
    return hashlib.sha256(repr((blitz.__version__, timezone, spec)).encode()).hexdigest()


def copy_of(table: RawTable, folder: str, timezone: str) -> Copy:
    """The record of a copy of all files of a table that was just written to ``folder``."""
    return Copy(folder, described(table.files), output_files(folder), typed_by(table.spec, timezone))


def output_files(path: str) -> list[list[Any]]:
    """Name and size of an output's files; empty where there is no output."""
    found = storage.list_files(path) if storage.exists(path) else []
    return [[info.path.rpartition("/")[2], info.size] for info in found]


def made_by(config: FeaturePipeline, settings: OrderSettings, channel: str, mappings: Mappings) -> dict[str, str]:
    """A hash for each thing that every order of a channel depends on."""
    has_query = channel != "instore" and getattr(config, channel).has_query
    own = [settings.timezone, settings.price_bins, settings.bucket_labels, settings.excluded_stores, has_query]
    frames = {
        "the store files": [mappings.stores, mappings.store_codes],
        "the category file": [mappings.categories],
        "the choice file": [mappings.choices],
    }
    texts = {what: "".join(frame.to_csv(index=False) for frame in group) for what, group in frames.items()}
    texts |= {"the settings": json.dumps(own), "the version of blitz": blitz.__version__}
    return {what: hashlib.sha256(text.encode()).hexdigest() for what, text in texts.items()}


@dataclass(frozen=True)
class Changes:
    """Raw files per table: those that are new, those that were written again, and these with those that went."""

    added: dict[str, frozenset[str]]
    rewritten: dict[str, frozenset[str]]
    lost: dict[str, frozenset[str]]


def changes(before: ChannelState, tables: Mapping[str, RawTable]) -> Changes:
    """How the raw files of a channel differ from those of the run before."""
    added, rewritten, lost = {}, {}, {}
    for name, table in tables.items():
        old = {path: [size, modified] for path, size, modified in before.inputs.get(name, [])}
        new = {path: [size, modified] for path, size, modified in described(table.files)}
        lost[name] = frozenset(path for path in old if new.get(path) != old[path])
        rewritten[name] = lost[name] & new.keys()
        added[name] = frozenset(path for path in new if path not in old)
    return Changes(added, rewritten, lost)


def why_full(
    before: ChannelState | None,
    now: Mapping[str, str],
    window: tuple[str, str],
    output: list[list[Any]],
    lost: Mapping[str, frozenset[str]],
    has_since: bool,
) -> str | None:
    """Why an output must be computed from all its inputs; None where it can be refreshed."""
    if before is None:
        return "there is no state of a refresh before"
    if sorted(before.output) != sorted(output):
        return "the output is not the one that the refresh before left"
    changed = [what for what, value in now.items() if before.made_by.get(what) != value]
    if changed:
        return f"{', '.join(changed)} changed"
    if window[0] < before.start or window[1] < before.end:
        return f"the window moved back, from {before.start} - {before.end} to {window[0]} - {window[1]}"
    if not before.mapping.is_whole() or (before.users and not storage.exists(before.users)):
        return "what the refresh before kept beside its state is gone"
    gone = sorted(path for paths in lost.values() for path in paths)
    if gone and not has_since:
        more = f" and {len(gone) - 1:,} more" if len(gone) > 1 else ""
        return f"{gone[0]}{more} was written again or removed (--since DATE tells which orders that can concern)"
    return None
