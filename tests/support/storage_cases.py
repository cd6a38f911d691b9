"""What every storage must do, checked on a local disk and on S3."""

import time

import pytest

from blitz import storage
from blitz.errors import InputError

TREE = ["a.csv", "b.csv", "b.txt", "sub/c.csv", "sub/deep/d.csv", "_SUCCESS", ".hidden.csv", "_tmp/x.csv", "sub/.x.crc"]
GLOBS = [
    ("", ["a.csv", "b.csv", "b.txt", "sub/c.csv", "sub/deep/d.csv"]),
    ("*", ["a.csv", "b.csv", "b.txt", "sub/c.csv", "sub/deep/d.csv"]),
    ("*.csv", ["a.csv", "b.csv"]),
    ("?.csv", ["a.csv", "b.csv"]),
    ("[b-z].csv", ["b.csv"]),
    ("[!b].csv", ["a.csv"]),
    ("{a,b}.csv", ["a.csv", "b.csv"]),
    ("{a.csv,sub/c.csv}", ["a.csv", "sub/c.csv"]),
    ("{a,{b,c}}.*", ["a.csv", "b.csv", "b.txt"]),
    ("sub/*", ["sub/c.csv", "sub/deep/d.csv"]),
    ("*/deep", ["sub/deep/d.csv"]),
    ("sub/deep/*.csv", ["sub/deep/d.csv"]),
    ("_tmp/*", ["_tmp/x.csv"]),
    ("_*/*", ["_tmp/x.csv"]),
    ("a.csv", ["a.csv"]),
    ("none*", []),
    ("none", []),
]


def write_tree(root: str) -> None:
    """Write the files of TREE, whose content is their name, and two empty ones."""
    for name in TREE:
        storage.write_bytes(f"{root}/{name}", b"" if name == "_SUCCESS" else name.encode())
    storage.write_bytes(f"{root}/empty.csv", b"")


def check_listing(root: str, pattern: str, expected: list[str]) -> None:
    """A pattern below the root of ``write_tree`` lists the expected files, with their sizes and times."""
    found = storage.list_files(f"{root}/{pattern}" if pattern else root)
    assert [info.path for info in found] == [f"{root}/{name}" for name in expected]
    assert all(info.size == len(info.path) - len(root) - 1 and abs(info.modified - time.time()) < 600 for info in found)


def check_reads(root: str) -> None:
    """Files below the root of ``write_tree`` are read whole, in part and as streams; names are not prefixes."""
    assert storage.read_bytes(f"{root}/sub/c.csv") == b"sub/c.csv"
    assert storage.read_bytes(f"{root}/sub/c.csv", limit=3) == b"sub"
    assert storage.read_bytes(f"{root}/empty.csv", limit=3) == b""
    assert storage.open_input(f"{root}/empty.csv").read() == b""
    assert storage.exists(root) and storage.exists(f"{root}/sub") and storage.exists(f"{root}/a.csv")
    assert not storage.exists(f"{root}/su") and not storage.exists(f"{root}/none")
    with pytest.raises(InputError, match=f"^{root}/none.csv: no such"):
        storage.read_bytes(f"{root}/none.csv")


def check_writes(root: str) -> None:
    """Writing replaces a file, deleting takes a folder with all below it and nothing of a similar name."""
    write_tree(f"{root}/x")
    storage.write_bytes(f"{root}/xy.csv", b"one")
    storage.write_bytes(f"{root}/xy.csv", b"two")
    storage.delete(f"{root}/x")
    storage.delete(f"{root}/x")
    assert not storage.exists(f"{root}/x")
    assert [(i.path, storage.read_bytes(i.path)) for i in storage.list_files(root)] == [(f"{root}/xy.csv", b"two")]
    storage.delete(f"{root}/xy.csv")
    assert not storage.exists(f"{root}/xy.csv")
