"""Publishing with files of months that are kept: on a local disk and on S3 (moto's server), and at any death."""

from pathlib import Path
from typing import Any

import pytest

from blitz import storage
from blitz.errors import PublishError
from blitz.publish import lock as publish_lock
from blitz.publish import months as publish_months
from blitz.publish import s3 as publish_s3
from blitz.publish import tables as publish
from publish_helpers import Death, Machine, Rows, seen
from s3_fixtures import bucket, moto_server  # noqa: F401  (fixtures)

CALLS = ("put_object", "delete_objects", "copy_object", "create_multipart_upload", "upload_part_copy",
         "complete_multipart_upload", "get_object", "head_object")  # fmt: skip


@pytest.fixture(autouse=True)
def _no_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a tag in the folder of each month that the test names in place of the column."""

    def write(rows: Rows, months: Any, staging: str) -> None:
        for month in months:
            rows.write_parts(f"{staging}/{publish_months.MONTH}={month}")
        storage.write_bytes(f"{staging}/_SUCCESS", b"")

    monkeypatch.setattr(publish_months, "_write_folders", write)


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return f"{tmp_path}/out/t"
    return f"s3://{request.getfixturevalue('bucket')}/out/t"


def put(tag: str, months: tuple[str, ...], path: str, run_id: str, **named: Any) -> publish.Published:
    return publish_months.publish_months(Rows(tag), months, path, run_id=run_id, **named)  # type: ignore[arg-type]


def names(path: str, month: str = "") -> list[str]:
    found = [info.path.rpartition("/")[2] for info in storage.list_files(path) if info.path.endswith(".parquet")]
    return [name for name in found if name.startswith(month)]


def test_files_of_months_are_kept_beside_new_ones(output: str) -> None:
    first = put("old", ("2025-05", "2025-06"), output, "r1")
    assert (first.rows, first.files) == (60, 6) and seen(output) == {"old": 60}
    assert {publish_months.month_of(name) for name in names(output)} == {"2025-05", "2025-06"}
    assert all("/" not in info.path.partition("/out/t/")[2] for info in storage.list_files(output))  # no folder
    second = put("new", ("2025-06",), output, "r2", keep=names(output, "2025-05"))
    assert (second.rows, second.files) == (60, 6) and seen(output) == {"old": 30, "new": 30}
    third = put("new", (), output, "r3", keep=names(output))
    assert (third.rows, third.bytes) == (60, second.bytes) and seen(output) == {"old": 30, "new": 30}
    assert all(name.count("kept") == 1 for name in names(output))


def test_what_is_refused_leaves_the_old_table(output: str) -> None:
    put("old", ("2025-05", "2025-06"), output, "r1")
    before = names(output)

    def refuse(rows: int) -> None:
        assert rows == 60
        raise PublishError("too many")

    with pytest.raises(PublishError, match="too many"):
        put("new", ("2025-06",), output, "r2", keep=names(output, "2025-05"), check=refuse)
    with pytest.raises(PublishError, match="could not be published"):
        put("new", ("2025-06",), output, "r2", keep=["2025-05-gone.parquet"])
    assert names(output) == before and seen(output) == {"old": 60}


@pytest.mark.usefixtures("moto_server")
def test_death_at_every_call_on_s3(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    state: dict[str, Machine] = {}
    files = storage.s3()
    for client in (files.client, files.bulk):
        for name in CALLS:
            call = getattr(client, name)

            def step(*args: Any, _call: Any = call, **named: Any) -> Any:
                if "machine" in state:
                    state["machine"].tick()
                return _call(*args, **named)

            monkeypatch.setattr(client, name, step)
    monkeypatch.setattr(publish_s3, "THREADS", 1)
    monkeypatch.setattr(publish_lock, "_is_dead_here", lambda owner: True)
    old, new, outcomes = {"old": 60}, {"old": 30, "new": 30}, []
    for last in range(1, 1000, 7):
        path = f"s3://{bucket}/{last}/t"
        put("old", ("2025-05", "2025-06"), path, "r1")
        state["machine"] = Machine(last)
        try:
            put("new", ("2025-06",), path, "r2", keep=names(path, "2025-05"))
            del state["machine"]
            break
        except Death:
            del state["machine"]
        publish.recover(path)
        outcomes.append(seen(path))
        assert outcomes[-1] in (old, new)
    assert old in outcomes and new in outcomes
