"""Paths, listings, reads and conditional writes on S3 (moto's server); every failure is one clear line."""

import os
import time
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blitz import storage
from blitz.errors import InputError
from blitz.storage.s3 import Conflict
from s3_fixtures import Calls, failing, free_port
from storage_cases import GLOBS, check_listing, check_reads, check_writes, write_tree


@pytest.fixture(scope="module")
def s3_tree(moto_server: str) -> str:
    boto3.client("s3", endpoint_url=moto_server).create_bucket(Bucket="tree")
    write_tree("s3://tree/in")
    storage.write_bytes("s3://tree/in-other/z.csv", b"z")
    return "s3://tree/in"


@pytest.mark.parametrize(("pattern", "expected"), GLOBS)
def test_list_files(s3_tree: str, pattern: str, expected: list[str]) -> None:
    check_listing(s3_tree, pattern, expected)


def test_reads_and_exists(s3_tree: str) -> None:
    check_reads(s3_tree)


def test_write_replaces_and_delete_is_recursive(bucket: str) -> None:
    check_writes(f"s3://{bucket}/r")


def test_roots_are_never_deleted(bucket: str) -> None:
    for path in ("/", f"s3://{bucket}", f"s3://{bucket}/"):
        with pytest.raises(InputError, match="refusing to delete"):
            storage.delete(path)


def test_s3_reads_ranges(bucket: str, calls: Calls) -> None:
    path = f"s3a://{bucket}/big.bin"
    data = os.urandom(6 * 1024 * 1024)
    storage.write_bytes(path, data)
    found: list[str] = []
    with calls.before(lambda call, _: found.append(call)), storage.open_input(path) as source:
        assert source.seek(0, os.SEEK_END) == len(data)
        source.seek(-8, os.SEEK_END)
        assert source.read() == data[-8:]
        assert len(found) == 1
        source.seek(1000)
        assert source.read(2_000_000) == data[1000:2_001_000]
        assert source.read(1_000_000) == data[2_001_000:3_001_000]
        assert len(found) == 2
        source.seek(0)
        assert source.read() == data
    assert len(found) <= 5


def test_parquet_footer_is_one_request(bucket: str, calls: Calls) -> None:
    path = f"s3://{bucket}/t.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": list(range(1000)), "b c": ["x"] * 1000}), sink)
    storage.write_bytes(path, sink.getvalue().to_pybytes())
    found: list[str] = []
    with (
        calls.before(lambda call, _: found.append(call)),
        storage.open_input(path) as source,
        pq.ParquetFile(source) as file,
    ):
        assert file.metadata.num_rows == 1000 and file.schema_arrow.names == ["a", "b c"]
        assert file.read().num_rows == 1000
    assert found == ["GetObject"]


def test_object_that_changes_while_read(bucket: str) -> None:
    path = f"s3://{bucket}/big.bin"
    storage.write_bytes(path, b"a" * 1_000_000)
    with storage.open_input(path) as source:
        storage.write_bytes(path, b"b" * 1_000_000)
        with pytest.raises(InputError, match="changed while it was being read"):
            source.read(10)


def test_conditional_writes(bucket: str) -> None:
    path = f"s3://{bucket}/lock"
    tag = storage.s3_files().put(path, b"1", if_absent=True)
    with pytest.raises(Conflict):
        storage.s3_files().put(path, b"2", if_absent=True)
    assert storage.s3_files().put(path, b"3", if_etag=tag)
    with pytest.raises(Conflict):
        storage.s3_files().put(path, b"4", if_etag=tag)
    assert storage.read_bytes(path) == b"3"


def test_s3_errors_are_one_line(moto_server: str) -> None:
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
    ("code", "expected"),
    [
        ("AccessDenied", "access denied; the role of this run needs"),
        ("InvalidAccessKeyId", "credentials were refused"),
        ("ExpiredToken", "credentials were refused"),
        ("PermanentRedirect", "in another region"),
        ("InternalError", "answered InternalError"),
    ],
)
def test_s3_refusals(code: str, expected: str, bucket: str, calls: Calls) -> None:
    with calls.before(failing("GetObject", code)), pytest.raises(InputError, match=f"^s3://{bucket}/x: .*{expected}"):
        storage.read_bytes(f"s3://{bucket}/x")


def test_unreachable_endpoint_fails_soon(moto_server: str) -> None:
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


def test_no_credentials(moto_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
