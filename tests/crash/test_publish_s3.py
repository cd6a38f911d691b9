"""Publishing on S3 (moto's server): whichever call is the last of a dying run, the next run finds a complete table."""

import json
from typing import Any

import boto3
import pytest

from blitz import storage
from blitz.errors import PublishError
from blitz.publish import s3 as publish_s3
from blitz.publish.files import recover
from blitz.storage.s3 import split
from publish_cases import check_publishing
from publish_helpers import NEW, OLD, Death, Machine, Rows, bury, put, seen, write_rows
from s3_fixtures import Calls, failing


def keys(path: str, below: str = "") -> list[str]:
    """The keys of the bucket, hidden ones too; with ``below``, those with this prefix."""
    return [item.key for item in storage.s3_files().objects(split(path)[0], below, path)]


def uploads(path: str) -> list[Any]:
    return storage.s3_files().client.list_multipart_uploads(Bucket=split(path)[0]).get("Uploads", [])


def table_keys(tag: str) -> list[str]:
    return ["out/t/_SUCCESS"] + [f"out/t/part-{part:05}-{tag}.snappy.parquet" for part in range(3)]


def test_publishing_on_s3(bucket: str) -> None:
    check_publishing(f"s3://{bucket}/out")


def test_publish_and_replace(bucket: str) -> None:
    path = f"s3://{bucket}/out/t/"
    first = put("old", path)
    assert (first.path, first.rows, first.files) == (path, 30, 3) and first.bytes > 500
    assert keys(path) == table_keys("old")
    put("new", path, "r2")
    assert keys(path) == table_keys("new") and seen(path) == NEW and uploads(path) == []


def test_large_objects_are_copied_in_parts(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_s3, "PART_BYTES", 5 * 1024 * 1024)
    data = bytes(range(256)) * 4096 * 11 + b"end"

    def write_more(df: Any, folder: str) -> None:
        write_rows(df, folder)
        storage.write_bytes(f"{folder}/part-big.bin", data)

    put("new", f"s3://{bucket}/out/t", write=write_more)
    assert storage.read_bytes(f"s3://{bucket}/out/t/part-big.bin") == data
    assert storage.s3_files().head(bucket, "out/t/part-big.bin", "s3://x").etag.endswith('-3"')  # type: ignore[union-attr]


def test_replaces_the_single_file_of_pandas(bucket: str) -> None:
    path = f"s3://{bucket}/out/t"
    storage.write_bytes(path, b"PAR1....PAR1")
    put("new", path)
    assert keys(path) == table_keys("new")


def test_replaces_a_delta_table_with_parquet(bucket: str) -> None:
    path = f"s3://{bucket}/out/t"
    for name in ("_delta_log/00000000000000000000.json", "aB/part-0.parquet", "part-1.parquet"):
        storage.write_bytes(f"{path}/{name}", b"x")
    put("new", path)
    assert keys(path) == table_keys("new")


def test_other_files_are_never_overwritten(bucket: str) -> None:
    storage.write_bytes(f"s3://{bucket}/a/notes.txt", b"x")
    storage.write_bytes(f"s3://{bucket}/b/deep/part-0.parquet", b"x")
    for path, message in {"a/notes.txt": "not Parquet", "a": "notes.txt", "b": "deep"}.items():
        with pytest.raises(PublishError, match=f"^s3://{bucket}/{path}: .*{message}.*; refusing to overwrite, move"):
            put("new", f"s3://{bucket}/{path}")
    assert keys(f"s3://{bucket}/x") == ["a/notes.txt", "b/deep/part-0.parquet"]
    with pytest.raises(PublishError, match="a whole bucket cannot be an output"):
        put("new", f"s3://{bucket}/")


def test_a_missing_bucket_is_one_line(moto_server: str) -> None:
    with pytest.raises(
        PublishError, match="^s3://none/t: could not be published: .*there is no bucket 'none'"
    ) as caught:
        put("new", "s3://none/t")
    assert "\n" not in str(caught.value)


def visible(path: str) -> dict[str, int]:
    return seen(path) if storage.exists(path) else {}


@pytest.mark.parametrize(("before", "after"), [("table", "publish"), ("table", "recover"), ("nothing", "recover")])
def test_death_at_every_call(
    before: str, after: str, bucket: str, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_s3, "THREADS", 1)
    parts = 2  # the calls grow with the files, the tests with their square
    outcomes, gaps = [], 0
    first = OLD if before == "table" else {}
    for last in range(1, 1000):
        path = f"s3://{bucket}/{last}/t"
        if before == "table":
            write_rows(Rows("old", parts=parts), path)
        machine = Machine(last)
        try:
            with calls.before(machine.tick):
                put("new", path, "r2", parts=parts)
            break
        except Death:
            bury(path)
        if visible(path) not in (first, NEW):
            gaps += 1
            assert storage.exists(f"s3://{bucket}/{last}/.t.blitz.journal")  # the documented gap, on record
        if after == "publish":
            assert put("third", path, "r3", parts=parts).rows == 30
            assert seen(path) == {"third": 30}
        else:
            recover(path)
            outcomes.append(visible(path))
            assert outcomes[-1] in (first, NEW)
        assert keys(path, f"{last}/.") == [] and uploads(path) == []
    assert machine.calls > 20 and 0 < gaps < 12
    if after == "recover":
        assert first in outcomes and NEW in outcomes and outcomes == sorted(outcomes, key=lambda found: found == NEW)


@pytest.mark.parametrize(("call", "expected"), [("UploadPartCopy", OLD), ("CompleteMultipartUpload", NEW)])
def test_a_broken_network_rolls_back_or_forward(
    call: str,
    expected: dict[str, int],
    bucket: str,
    calls: Calls,
) -> None:
    """An error in one call, the others working: the run itself cleans up before it ends."""
    path = f"s3://{bucket}/out/t"
    put("old", path)
    with calls.before(failing(call, "InternalError", at=2)), pytest.raises(PublishError, match="answered InternalErr"):
        put("new", path, "r2")
    assert seen(path) == expected and uploads(path) == []
    assert keys(path) == table_keys(next(iter(expected)))


def test_expired_copies_are_reported(bucket: str, calls: Calls) -> None:
    path = f"s3://{bucket}/out/t"
    put("old", path)
    journal = f"s3://{bucket}/out/.t.blitz.journal"
    expired = {"key": "out/t/x", "upload_id": "gone", "parts": ["e"]}
    storage.write_bytes(journal, json.dumps({"old": [], "uploads": [expired]}).encode())
    no_upload = failing("CompleteMultipartUpload", "NoSuchUpload", at=1)  # moto answers 500 here, AWS this
    with (
        calls.before(no_upload),
        pytest.raises(PublishError, match=f"its copies have expired; delete {journal} and run again"),
    ):
        put("new", path, "r2")


def test_a_run_that_lost_its_lock_publishes_nothing(bucket: str) -> None:
    path = f"s3://{bucket}/out/t"
    put("old", path)

    def write_and_lose(df: Any, folder: str) -> None:
        write_rows(df, folder)
        storage.write_bytes(f"s3://{bucket}/out/.t.blitz.lock", b"{}")

    with pytest.raises(PublishError, match="another run took over this run's lock .*; nothing was published"):
        put("new", path, "r2", write=write_and_lose)
    assert seen(path) == OLD
    boto3.client("s3").delete_object(Bucket=bucket, Key="out/.t.blitz.lock")
    put("new", path, "r3")
    assert seen(path) == NEW
