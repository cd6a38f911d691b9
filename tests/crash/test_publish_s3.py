"""Publishing on S3 (moto's server): whatever call is the last of a dying run, the next run finds a whole table."""

import json
from typing import Any

import boto3
import pytest

import publish_helpers
from blitz import storage
from blitz.errors import PublishError
from blitz.publish import lock as publish_lock
from blitz.publish import s3 as publish_s3
from blitz.publish import tables as publish
from blitz.storage.s3 import split
from publish_helpers import NEW, OLD, Death, Machine, Rows, no_spark, put, seen  # noqa: F401  (a fixture among them)
from s3_fixtures import bucket, moto_server  # noqa: F401  (fixtures)

CHANGES = ("put_object", "delete_objects", "create_multipart_upload", "upload_part_copy", "complete_multipart_upload")


pytestmark = pytest.mark.usefixtures("no_spark")


def keys(path: str) -> list[str]:
    """Every key of the bucket, hidden ones too."""
    return [item.key for item in storage.s3().objects(split(path)[0], "", path)]


def uploads(path: str) -> list[Any]:
    return storage.s3().client.list_multipart_uploads(Bucket=split(path)[0]).get("Uploads", [])


def table_keys(tag: str) -> list[str]:
    return ["out/t/_SUCCESS"] + [f"out/t/part-{part:05}-{tag}.snappy.parquet" for part in range(3)]


def test_publish_and_replace(bucket: str) -> None:  # noqa: F811
    path = f"s3://{bucket}/out/t/"
    first = put("old", path)
    assert (first.path, first.rows, first.files) == (path, 30, 3) and first.bytes > 500
    assert keys(path) == table_keys("old")
    put("new", path, "r2", check=lambda rows: None)
    assert keys(path) == table_keys("new") and seen(path) == NEW and uploads(path) == []


def test_large_objects_are_copied_in_parts(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(publish_s3, "PART_BYTES", 5 * 1024 * 1024)
    data = bytes(range(256)) * 4096 * 11 + b"end"

    def write_more(df: Rows, staging: str, fmt: str, path: str) -> None:
        df.write_parts(staging)
        storage.write_bytes(f"{staging}/part-big.bin", data)

    monkeypatch.setattr(publish, "_write", write_more)
    put("new", f"s3://{bucket}/out/t")
    assert storage.read_bytes(f"s3://{bucket}/out/t/part-big.bin") == data
    assert storage.s3().head(bucket, "out/t/part-big.bin", "s3://x").etag.endswith('-3"')  # type: ignore[union-attr]


def test_replaces_the_single_file_of_pandas(bucket: str) -> None:  # noqa: F811
    path = f"s3://{bucket}/out/t"
    storage.write_bytes(path, b"PAR1....PAR1")
    put("new", path)
    assert keys(path) == table_keys("new")


def test_replaces_a_delta_table_with_parquet(bucket: str) -> None:  # noqa: F811
    path = f"s3://{bucket}/out/t"
    for name in ("_delta_log/00000000000000000000.json", "aB/part-0.parquet", "part-1.parquet"):
        storage.write_bytes(f"{path}/{name}", b"x")
    put("new", path)
    assert keys(path) == table_keys("new")


def test_foreign_content_is_never_replaced(bucket: str) -> None:  # noqa: F811
    storage.write_bytes(f"s3://{bucket}/a/notes.txt", b"x")
    storage.write_bytes(f"s3://{bucket}/b/deep/part-0.parquet", b"x")
    for path, message in {"a/notes.txt": "not Parquet", "a": "notes.txt", "b": "deep"}.items():
        with pytest.raises(PublishError, match=f"^s3://{bucket}/{path}: .*{message}.*would be lost; move it"):
            put("new", f"s3://{bucket}/{path}")
    assert keys(f"s3://{bucket}/x") == ["a/notes.txt", "b/deep/part-0.parquet"]
    with pytest.raises(PublishError, match="a whole bucket cannot be an output"):
        put("new", f"s3://{bucket}/")


def test_a_missing_bucket_is_one_line(moto_server: str) -> None:  # noqa: F811
    with pytest.raises(
        PublishError, match="^s3://none/t: could not be published: .*there is no bucket 'none'"
    ) as caught:
        put("new", "s3://none/t")
    assert "\n" not in str(caught.value)


@pytest.fixture
def dying(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """Makes S3 calls of this process count, and fail from the n-th on, as those of a dead process would."""
    state: dict[str, Machine] = {}
    files = storage.s3()
    for client in (files.client, files.bulk):
        for name in (*CHANGES, "get_object", "head_object"):
            call = getattr(client, name)

            def step(*args: Any, _call: Any = call, **named: Any) -> Any:
                if "machine" in state:
                    state["machine"].tick()
                return _call(*args, **named)

            monkeypatch.setattr(client, name, step)
    monkeypatch.setattr(publish_s3, "THREADS", 1)
    monkeypatch.setattr(publish_helpers, "PARTS", 2)  # the calls grow with the files, the tests with their square
    monkeypatch.setattr(publish_lock, "_is_dead_here", lambda owner: True)
    return state


def visible(path: str) -> dict[str, int]:
    return seen(path) if storage.exists(path) else {}


@pytest.mark.parametrize(("before", "after"), [("table", "publish"), ("table", "recover"), ("nothing", "recover")])
def test_death_at_every_call(before: str, after: str, dying: dict[str, Machine], bucket: str) -> None:  # noqa: F811
    outcomes, gaps = [], 0
    first = OLD if before == "table" else {}
    for last in range(1, 1000):
        path = f"s3://{bucket}/{last}/t"
        if before == "table":
            put("old", path)
        dying["machine"] = Machine(last)
        try:
            put("new", path, "r2")
            calls = dying.pop("machine").calls
            break
        except Death:
            dying.pop("machine")
        if visible(path) not in (first, NEW):
            gaps += 1
            assert storage.exists(f"s3://{bucket}/{last}/.t.blitz.journal")  # the documented gap, on record
        if after == "publish":
            assert put("third", path, "r3").rows == 30
            assert seen(path) == {"third": 30}
        else:
            publish.recover(path)
            outcomes.append(visible(path))
            assert outcomes[-1] in (first, NEW)
        assert [key for key in keys(path) if key.startswith(f"{last}/.")] == [] and uploads(path) == []
    assert calls > 20 and 0 < gaps < 12
    if after == "recover":
        assert first in outcomes and NEW in outcomes and outcomes == sorted(outcomes, key=lambda found: found == NEW)


def test_a_broken_network_rolls_back_or_forward(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """An error in one call, the others working: the run itself tidies up before it ends."""
    path = f"s3://{bucket}/out/t"
    put("old", path)
    for name, expected in (("upload_part_copy", OLD), ("complete_multipart_upload", NEW)):
        calls = []
        call = getattr(storage.s3().bulk, name)

        def fail_once(*args: Any, _call: Any = call, _calls: list[int] = calls, **named: Any) -> Any:
            _calls.append(1)
            if len(_calls) == 2:
                raise publish_s3.ClientError({"Error": {"Code": "InternalError"}}, "x")
            return _call(*args, **named)

        with monkeypatch.context() as patch:
            patch.setattr(storage.s3().bulk, name, fail_once)
            with pytest.raises(PublishError, match="answered InternalError"):
                put("new", path, "r2")
        assert seen(path) == expected and uploads(path) == []
        assert keys(path) == table_keys(next(iter(expected)))


def test_lapsed_copies_are_reported(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    path = f"s3://{bucket}/out/t"
    put("old", path)
    journal = f"s3://{bucket}/out/.t.blitz.journal"
    lapsed = {"key": "out/t/x", "upload_id": "gone", "parts": ["e"]}
    storage.write_bytes(journal, json.dumps({"old": [], "uploads": [lapsed]}).encode())

    def no_upload(**_: object) -> None:  # moto answers 500 here, AWS this
        raise publish_s3.ClientError({"Error": {"Code": "NoSuchUpload"}}, "CompleteMultipartUpload")

    monkeypatch.setattr(storage.s3().bulk, "complete_multipart_upload", no_upload)
    with pytest.raises(PublishError, match=f"its copies have lapsed; delete {journal} and run again"):
        put("new", path, "r2")


def test_of_two_runs_at_once_one_fails_clearly(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    path = f"s3://{bucket}/out/t"

    def write_and_meet(df: Rows, staging: str, fmt: str, path: str) -> None:
        with pytest.raises(PublishError, match=f"^{path}: run first on .* is publishing to this output .*delete s3://"):
            put("new", path, "second")
        df.write_parts(staging)

    monkeypatch.setattr(publish, "_write", write_and_meet)
    put("old", path, "first")
    assert keys(path) == table_keys("old")


def test_a_run_that_lost_its_lock_publishes_nothing(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    path = f"s3://{bucket}/out/t"
    put("old", path)

    def write_and_lose(df: Rows, staging: str, fmt: str, path: str) -> None:
        df.write_parts(staging)
        storage.write_bytes(f"s3://{bucket}/out/.t.blitz.lock", b"{}")

    with monkeypatch.context() as patch:
        patch.setattr(publish, "_write", write_and_lose)
        with pytest.raises(PublishError, match="another run took this run's lock .* over; nothing was published"):
            put("new", path, "r2")
    assert seen(path) == OLD
    boto3.client("s3").delete_object(Bucket=bucket, Key="out/.t.blitz.lock")
    put("new", path, "r3")
    assert seen(path) == NEW
