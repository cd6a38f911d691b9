"""The certificate of an erasure: a JSON file that says what was done and what was not, with hashes instead of ids."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import blitz
from blitz import storage
from blitz.erase.retention import Expired
from blitz.erase.tables import Erased, Found
from blitz.run.manifest import code_hash

RAW_FILES = (
    "raw files (orders, lines, order queries, customer mapping): they are read, never written; the suppression list "
    "keeps these customers out of later results"
)
OTHERS = (
    "backups, snapshots and copies outside the paths of this config",
    "temporary files of the engine and of this package, which end with their run; of a killed run, with the machine",
)


@dataclass
class Certificate:
    """What an erasure did; ``write`` may be called at any time, and the file says how far it got.

    ``status`` is started, then complete or incomplete.
    """

    path: str
    run_id: str
    config_hash: str
    customers: list[str] = field(default_factory=list)
    started_at: str = field(default_factory=lambda: _now())
    status: str = "started"
    customers_found: int = 0
    suppression: dict[str, Any] | None = None
    tables: list[dict[str, Any]] = field(default_factory=list)
    quarantines: list[dict[str, Any]] = field(default_factory=list)
    lists: list[dict[str, Any]] = field(default_factory=list)
    removed: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    expired: list[dict[str, Any]] = field(default_factory=list)
    not_touched: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Write the certificate as it is now."""
        body = {key: value for key, value in asdict(self).items() if key != "path"}
        made_by = {"finished_at": _now(), "version": blitz.__version__, "code": code_hash()}
        storage.write_bytes(self.path, (json.dumps(body | made_by, indent=2) + "\n").encode())

    def add_table(self, done: Erased) -> None:
        """Add a table that was searched, and written again where it had to be."""
        found = done.found
        entry = {
            "name": found.place.name,
            "path": found.place.path,
            "format": "table of a catalog" if found.in_catalog else "delta" if found.is_delta else "parquet",
            "files_read": found.files,
            "files_rewritten": done.rewritten,
            "rows_read": found.rows,
            "rows_removed": found.hit_rows,
        }
        if found.is_delta:
            expired = found.versions if found.is_touched else 0
            entry["versions_expired"] = expired
        if done.log_until:
            entry["log_of_earlier_versions_until"] = done.log_until.isoformat()
        self.tables.append(entry)

    def add_untouched(self, found: Found) -> None:
        """Add a table without rows of the customers."""
        self.add_table(Erased(found, 0))

    def add_expired(self, each: Expired) -> None:
        """Add what was removed because it is past its retention."""
        entry = {"name": each.name, "path": each.path, "files": each.files, "day": each.day.isoformat()}
        self.expired.append(entry)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
