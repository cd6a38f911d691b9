"""Paths, globs, listings and reads on local disk and on S3; every failure is one clear line."""

import os
import time
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blitz import storage
from blitz.errors import InputError
from blitz.storage import base as fs_base
from blitz.storage import local as fs_local
from blitz.storage import s3 as fs_s3
from s3_fixtures import bucket, free_port, moto_server  # noqa: F401  (fixtures)

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
    for name in TREE:
        storage.write_bytes(f"{root}/{name}", b"" if name == "_SUCCESS" else name.encode())
    storage.write_bytes(f"{root}/empty.csv", b"")


@pytest.fixture(scope="module")
def local_tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("tree"))
    write_tree(root)
    return root


@pytest.fixture(scope="module")
def s3_tree(moto_server: str) -> str:  # noqa: F811
    boto3.client("s3", endpoint_url=moto_server).create_bucket(Bucket="tree")
    write_tree("s3://tree/in")
    storage.write_bytes("s3://tree/in-other/z.csv", b"z")
    return "s3://tree/in"


@pytest.mark.parametrize("where", ["local_tree", "s3_tree"])
@pytest.mark.parametrize(("pattern", "expected"), GLOBS)
def test_list_files(where: str, pattern: str, expected: list[str], request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(where)
    found = storage.list_files(f"{root}/{pattern}" if pattern else root)
    assert [info.path for info in found] == [f"{root}/{name}" for name in expected]
    assert all(info.size == len(info.path) - len(root) - 1 and abs(info.modified - time.time()) < 600 for info in found)


@pytest.mark.parametrize("where", ["local_tree", "s3_tree"])
def test_reads_and_exists(where: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(where)
    assert storage.read_bytes(f"{root}/sub/c.csv") == b"sub/c.csv"
    assert storage.read_bytes(f"{root}/sub/c.csv", limit=3) == b"sub"
    assert storage.read_bytes(f"{root}/empty.csv", limit=3) == b""
    assert storage.open_input(f"{root}/empty.csv").read() == b""
    assert storage.exists(root) and storage.exists(f"{root}/sub") and storage.exists(f"{root}/a.csv")
    assert not storage.exists(f"{root}/su") and not storage.exists(f"{root}/none")
    with pytest.raises(InputError, match=f"^{root}/none.csv: no such"):
        storage.read_bytes(f"{root}/none.csv")


@pytest.mark.parametrize("where", ["tmp", "s3"])
def test_write_replaces_and_delete_is_recursive(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path) if where == "tmp" else f"s3://{request.getfixturevalue('bucket')}/r"
    write_tree(f"{root}/x")
    storage.write_bytes(f"{root}/xy.csv", b"one")
    storage.write_bytes(f"{root}/xy.csv", b"two")
    storage.delete(f"{root}/x")
    storage.delete(f"{root}/x")
    assert not storage.exists(f"{root}/x")
    assert [(i.path, storage.read_bytes(i.path)) for i in storage.list_files(root)] == [(f"{root}/xy.csv", b"two")]
    storage.delete(f"{root}/xy.csv")
    assert not storage.exists(f"{root}/xy.csv")
    if where == "tmp":
        assert os.listdir(tmp_path) == []


def test_roots_are_never_deleted(bucket: str) -> None:  # noqa: F811
    for path in ("/", f"s3://{bucket}", f"s3://{bucket}/"):
        with pytest.raises(InputError, match="refusing to delete"):
            storage.delete(path)


def test_s3_reads_ranges(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    path = f"s3a://{bucket}/big.bin"
    data = os.urandom(6 * 1024 * 1024)
    storage.write_bytes(path, data)
    calls: list[str | None] = []
    original = fs_s3.S3Files.get

    def counted(self: fs_s3.S3Files, path: str, byte_range: str | None = None, etag: str | None = None) -> object:
        calls.append(byte_range)
        return original(self, path, byte_range, etag)

    monkeypatch.setattr(fs_s3.S3Files, "get", counted)
    with storage.open_input(path) as source:
        assert source.seek(0, os.SEEK_END) == len(data)
        source.seek(-8, os.SEEK_END)
        assert source.read() == data[-8:]
        assert len(calls) == 1
        source.seek(1000)
        assert source.read(2_000_000) == data[1000:2_001_000]
        assert source.read(1_000_000) == data[2_001_000:3_001_000]
        assert len(calls) == 2
        source.seek(0)
        assert source.read() == data
    assert len(calls) <= 5


def test_parquet_footer_is_one_request(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    path = f"s3://{bucket}/t.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": list(range(1000)), "b c": ["x"] * 1000}), sink)
    storage.write_bytes(path, sink.getvalue().to_pybytes())
    calls: list[object] = []
    client = storage.s3().client
    original = client.get_object
    monkeypatch.setattr(client, "get_object", lambda **given: (calls.append(given), original(**given))[1])
    with storage.open_input(path) as source, pq.ParquetFile(source) as file:
        assert file.metadata.num_rows == 1000 and file.schema_arrow.names == ["a", "b c"]
        assert file.read().num_rows == 1000
    assert len(calls) == 1


def test_object_that_changes_while_read(bucket: str) -> None:  # noqa: F811
    path = f"s3://{bucket}/big.bin"
    storage.write_bytes(path, b"a" * 1_000_000)
    with storage.open_input(path) as source:
        storage.write_bytes(path, b"b" * 1_000_000)
        with pytest.raises(InputError, match="changed while it was being read"):
            source.read(10)


def test_conditional_writes(bucket: str) -> None:  # noqa: F811
    path = f"s3://{bucket}/lock"
    tag = storage.s3().put(path, b"1", if_absent=True)
    with pytest.raises(fs_s3.Conflict):
        storage.s3().put(path, b"2", if_absent=True)
    assert storage.s3().put(path, b"3", if_etag=tag)
    with pytest.raises(fs_s3.Conflict):
        storage.s3().put(path, b"4", if_etag=tag)
    assert storage.read_bytes(path) == b"3"


def test_s3_errors_are_one_line(moto_server: str) -> None:  # noqa: F811
    for call in (storage.list_files, storage.exists, storage.read_bytes, storage.open_input, storage.delete):
        with pytest.raises(InputError, match="^s3://no-such-bucket/x: there is no bucket 'no-such-bucket'") as caught:
            call("s3://no-such-bucket/x")
        assert "\n" not in str(caught.value)
    for path in ("s3://", "s3:///x", "s3://b*/x"):
        with pytest.raises(InputError, match="no bucket in the path"):
            storage.list_files(path)
    with pytest.raises(InputError, match="not a valid bucket"):
        storage.list_files("s3://Not A Bucket!/x")


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("AccessDenied", 403, "access denied; the role of this run needs"),
        ("InvalidAccessKeyId", 403, "credentials were refused"),
        ("ExpiredToken", 400, "credentials were refused"),
        ("PermanentRedirect", 301, "in another region"),
        ("InternalError", 500, "answered InternalError"),
    ],
)
def test_s3_refusals(code: str, status: int, expected: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def refuse(*_: object, **__: object) -> None:
        raise fs_s3.ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")

    monkeypatch.setattr(storage.s3().client, "get_object", refuse)
    with pytest.raises(InputError, match=f"^s3://{bucket}/x: .*{expected}"):
        storage.read_bytes(f"s3://{bucket}/x")


def test_unreachable_endpoint_fails_soon(moto_server: str) -> None:  # noqa: F811
    storage.configure(endpoint=f"http://user:secret@127.0.0.1:{free_port()}")
    try:
        start = time.monotonic()
        with pytest.raises(InputError, match=r"^s3://b/x: S3 at 127.0.0.1:\d+ cannot be reached") as caught:
            storage.read_bytes("s3://b/x")
        for _ in range(20):
            with pytest.raises(InputError, match="cannot be reached"):
                storage.list_files("s3://b/x")
        assert time.monotonic() - start < 60
        assert "secret" not in str(caught.value)
    finally:
        storage.configure()


def test_no_credentials(moto_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    storage.configure(boto3_session=boto3.Session())
    try:
        with pytest.raises(InputError, match="^s3://b/x: no AWS credentials found; set AWS_PROFILE"):
            storage.read_bytes("s3://b/x")
    finally:
        storage.configure()


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
    info = fs_base.FileInfo("/dbfs/mnt/a.csv", 1, 0.0)
    monkeypatch.setattr(fs_local, "_walk", lambda root: iter([info]))
    assert storage.list_files("dbfs:/mnt") == [fs_base.FileInfo("dbfs:/mnt/a.csv", 1, 0.0)]


def test_local_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/x: no such file or folder; the /dbfs mount is not there"):
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
    from pyspark.sql import SparkSession

    monkeypatch.setattr(SparkSession, "getActiveSession", classmethod(lambda cls: None))
    monkeypatch.setattr(SparkSession, "_instantiatedSession", None)
    with pytest.raises(
        InputError, match="^abfss://c@a.dfs.core.windows.net/x: this scheme needs a classic SparkSession"
    ):
        storage.list_files("abfss://c@a.dfs.core.windows.net/x")
