"""What the folders around raw files say: tables that only their log can read, partition columns, repeated files."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import unquote

from blitz import storage
from blitz.storage import FileInfo

_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_CHUNK = 1 << 24
_MOST_FOLDERS = 20  # below the configured one, to be looked into: each is a request on S3
_WAY_OUT = (
    "its folder also has files that its log has removed, so reading them would count rows twice. Export the table as "
    "plain Parquet and give that folder"
)


def managed_table(path: str, files: Iterable[FileInfo]) -> str | None:
    """Why the files cannot be read as they are: they belong to a Delta, Iceberg or Hudi table. None: they do not."""
    for folder in _folders(path, files):
        if storage.exists(f"{folder}/_delta_log"):
            return f"{folder} is a Delta table: {_WAY_OUT}"
        if storage.exists(f"{folder}/.hoodie"):
            return f"{folder} is a Hudi table: {_WAY_OUT}"
        if storage.exists(f"{folder}/metadata") and storage.list_files(f"{folder}/metadata/*.metadata.json"):
            return f"{folder} is an Iceberg table: {_WAY_OUT}"
    return None


def _folders(path: str, files: Iterable[FileInfo]) -> list[str]:
    """The folders that can be a table's: the configured one and its parent, and those below it down to partitions."""
    paths = [info.path for info in files]
    if paths == [path]:  # a file that is given by its own name
        return []
    parts = path.rstrip("/").split("/")
    base = "/".join(parts[: next((at for at, part in enumerate(parts) if set(part) & set("*?[{")), len(parts))])
    below = set()
    for folders in {
        tuple(file.removeprefix(base).strip("/").split("/")[:-1]) for file in paths if file.startswith(base)
    }:
        unpartitioned = folders[: next((at for at, part in enumerate(folders) if "=" in part), len(folders))]
        below |= {f"{base}/{'/'.join(unpartitioned[:end])}" for end in range(1, len(unpartitioned) + 1)}
    above = [base.rsplit("/", 1)[0]] if base.count("/") > 1 else []
    return [base, *above, *sorted(below)[:_MOST_FOLDERS]]


def partition_columns(path: str, file: str) -> dict[str, str | None]:
    """The columns that the folders of a file give, by name: ``platform=android/`` below the configured path."""
    given = set(path.split("/"))
    pairs = [part.split("=", 1) for part in file.split("/")[:-1] if "=" in part and part not in given]
    return {unquote(name): None if value == _NULL_PARTITION else unquote(value) for name, value in pairs if name}


def repeated_files(files: Iterable[FileInfo]) -> list[tuple[str, str]]:
    """Pairs of files with equal content: the first of each content, and another."""
    by_size = defaultdict(list)
    for info in files:
        by_size[info.size].append(info.path)
    first: dict[str, str] = {}
    pairs = []
    for path in sorted(path for paths in by_size.values() if len(paths) > 1 for path in paths):
        known = first.setdefault(_digest(path), path)
        if known != path:
            pairs.append((known, path))
    return pairs


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with storage.open_input(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
