"""Paths, globs, listings and reads on a local disk; every failure is one clear line."""

import os
from pathlib import Path

import pytest

from blitz import storage
from blitz.errors import InputError
from blitz.storage import base as fs_base
from storage_cases import GLOBS, check_listing, check_reads, check_writes, write_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("tree"))
    write_tree(root)
    return root


@pytest.mark.parametrize(("pattern", "expected"), GLOBS)
def test_list_files(tree: str, pattern: str, expected: list[str]) -> None:
    check_listing(tree, pattern, expected)


def test_reads_and_exists(tree: str) -> None:
    check_reads(tree)


def test_write_replaces_and_delete_is_recursive(tmp_path: Path) -> None:
    check_writes(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_bad_endpoint() -> None:
    storage.configure(endpoint="not a url", region="eu-west-1")
    try:
        with pytest.raises(InputError, match="cannot be used"):
            storage.read_bytes("s3://b/x")
    finally:
        storage.configure()


@pytest.mark.parametrize(
    ("given", "local", "spark"),
    [
        ("/a/b c%20d", "/a/b c%20d", "file:///a/b c%20d"),
        ("file:///a/b", "/a/b", "file:///a/b"),
        ("file:/a/b", "/a/b", "file:///a/b"),
        ("file://localhost/a", "/a", "file:///a"),
        ("dbfs:/mnt/x", "/dbfs/mnt/x", "dbfs:/mnt/x"),
        ("dbfs:/Volumes/c/s/v", "/Volumes/c/s/v", "dbfs:/Volumes/c/s/v"),
        ("/Volumes/c/s/v", "/Volumes/c/s/v", "/Volumes/c/s/v"),
        ("s3://b/k", "s3://b/k", "s3://b/k"),
        ("s3a://b/k", "s3a://b/k", "s3a://b/k"),
        ("hdfs://h/k", "hdfs://h/k", "hdfs://h/k"),
    ],
)
def test_paths(given: str, local: str, spark: str) -> None:
    assert storage.local_path(given) == local
    assert storage.spark_path(given) == spark


def test_relative_and_literal_spark_paths() -> None:
    assert storage.spark_path("x/*.csv") == f"file://{os.getcwd()}/x/*.csv"
    assert storage.spark_path("/x/a[1].csv", literal=True) == r"file:///x/a\[1\].csv"


def test_names_with_glob_characters_and_links(tmp_path: Path) -> None:
    odd = tmp_path / "a[1]{x}.csv"
    odd.write_text("1")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [info.path for info in storage.list_files(str(odd))] == [str(odd)]
    assert [info.path for info in storage.list_files(str(tmp_path))] == [str(odd)]
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match="no such file"):
        storage.list_files(str(tmp_path))


def test_dbfs_listing_keeps_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.stat_result((0o100644, 1, 1, 1, 0, 0, 7, 0, 0, 0))  # 7 bytes, changed at the epoch
    with monkeypatch.context() as mount:
        mount.setattr(os.path, "isdir", lambda path: path == "/dbfs/mnt")
        mount.setattr(os, "walk", lambda root, **_: iter([(root, [], ["a.csv"])]))
        mount.setattr(os, "stat", lambda path: status)
        found = storage.list_files("dbfs:/mnt")
    assert found == [fs_base.FileInfo("dbfs:/mnt/a.csv", 7, 0.0)]


def test_local_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/x: no such file or folder; this machine has no /dbfs mount"):
        storage.read_bytes("dbfs:/x")
    with pytest.raises(InputError, match="is a folder"):
        storage.read_bytes(str(tmp_path))
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="a part of the path is a file"):
        storage.write_bytes(f"{tmp_path}/f/x", b"")
    with pytest.raises(InputError, match="refusing to delete"):
        storage.delete("/")


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.json"
    storage.write_bytes(str(target), b"old")

    def broken(*_: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(InputError, match="no space left"):
        storage.write_bytes(str(target), b"new")
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["x.json"]


def test_other_schemes_need_a_classic_session(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoSession:
        @staticmethod
        def getActiveSession() -> None:
            """None, as where no session was opened."""

    monkeypatch.setattr("blitz.storage.hadoop.SparkSession", NoSession)
    with pytest.raises(
        InputError, match="^abfss://c@a.dfs.core.windows.net/x: this scheme needs a classic SparkSession"
    ):
        storage.list_files("abfss://c@a.dfs.core.windows.net/x")
