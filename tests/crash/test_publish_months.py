"""Publishing by month, with kept files: on a local disk and on S3 (moto's server), and with a death at any call."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from blitz import storage
from blitz.errors import PublishError
from blitz.publish import s3 as publish_s3
from blitz.publish.files import recover
from blitz.publish.months import MONTH, month_of, publishing_months
from blitz.publish.tables import Published
from publish_helpers import Death, Machine, Rows, bury, seen, write_rows
from s3_fixtures import Calls


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return f"{tmp_path}/out/t"
    return f"s3://{request.getfixturevalue('bucket')}/out/t"


def put(tag: str, months: tuple[str, ...], path: str, run_id: str, keep: Collection[str] = ()) -> Published:
    """Publish ``Rows(tag)`` once for each of the months."""

    def write_folders(rows: Any, folder: str) -> None:
        for month in months:
            write_rows(rows, f"{folder}/{MONTH}={month}")
        storage.write_bytes(f"{folder}/_SUCCESS", b"")

    rows: Any = Rows(tag)
    column: Any = None  # the writer knows the months
    with publishing_months(path, column, run_id=run_id, keep=keep, write=write_folders) as output:
        assert output.stage(rows).rows == 30 * len(months) + 10 * len(keep)
        return output.commit()


def names(path: str, month: str = "") -> list[str]:
    found = [info.path.rpartition("/")[2] for info in storage.list_files(path) if info.path.endswith(".parquet")]
    return [name for name in found if name.startswith(month)]


def test_files_of_months_are_kept_next_to_new_ones(output: str) -> None:
    first = put("old", ("2025-05", "2025-06"), output, "r1")
    assert (first.rows, first.files) == (60, 6) and seen(output) == {"old": 60}
    assert {month_of(name) for name in names(output)} == {"2025-05", "2025-06"}
    assert all("/" not in info.path.partition("/out/t/")[2] for info in storage.list_files(output))  # no folder
    second = put("new", ("2025-06",), output, "r2", keep=names(output, "2025-05"))
    assert (second.rows, second.files) == (60, 6) and seen(output) == {"old": 30, "new": 30}
    third = put("new", (), output, "r3", keep=names(output))
    assert (third.rows, third.bytes) == (60, second.bytes) and seen(output) == {"old": 30, "new": 30}
    assert all(name.count("kept") == 1 for name in names(output))


def test_a_missing_file_to_keep_leaves_the_old_table(output: str) -> None:
    put("old", ("2025-05", "2025-06"), output, "r1")
    before = names(output)
    with pytest.raises(PublishError, match="could not be published.*2025-05-gone.parquet: no such "):
        put("new", ("2025-06",), output, "r2", keep=["2025-05-gone.parquet"])
    assert names(output) == before and seen(output) == {"old": 60}


def test_death_at_every_call_on_s3(bucket: str, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_s3, "THREADS", 1)
    old, new, outcomes = {"old": 60}, {"old": 30, "new": 30}, []
    for last in range(1, 1000, 7):
        path = f"s3://{bucket}/{last}/t"
        for month in ("2025-05", "2025-06"):
            write_rows(Rows("old", job=month, name=f"{month}-part"), path)
        keep, machine = names(path, "2025-05"), Machine(last)
        try:
            with calls.before(machine.tick):
                put("new", ("2025-06",), path, "r2", keep=keep)
            break
        except Death:
            bury(path)
        recover(path)
        outcomes.append(seen(path))
        assert outcomes[-1] in (old, new)
    assert old in outcomes and new in outcomes
