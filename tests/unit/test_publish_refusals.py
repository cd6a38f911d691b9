"""Publishing to a local disk, without an engine: what is checked before, and what is never replaced."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blitz import storage
from blitz.errors import PublishError
from blitz.publish.base import Published
from blitz.publish.tables import publish, publishing
from publish_cases import check_publishing
from publish_helpers import NEW, OLD, Rows, put, seen, write_rows


def test_publishing_on_a_local_disk(tmp_path: Path) -> None:
    check_publishing(str(tmp_path))


class Refused(Exception):
    """What a check of the caller raises."""


def test_the_steps_of_publishing(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    put("old", path)
    rows: Any = Rows("new", rows=7)
    with publishing(path, run_id="r2", write=write_rows) as output:
        staged = output.stage(rows)
        assert staged == Published(path, 7, 3, staged.bytes) and staged.bytes > 500
        assert seen(path) == OLD
        assert output.commit() == staged
        assert seen(path) == {"new": 7}
    assert os.listdir(tmp_path) == ["t"]


def stage_and_refuse(path: str) -> None:
    rows: Any = Rows("new")
    with publishing(path, run_id="r2", write=write_rows) as output:
        output.stage(rows)
        raise Refused("too many")


def stage_and_leave(path: str) -> None:
    rows: Any = Rows("new")
    with publishing(path, run_id="r2", write=write_rows) as output:
        output.stage(rows)


def commit_nothing(path: str) -> None:
    with publishing(path, run_id="r2", write=write_rows) as output:
        output.commit()


def test_without_a_commit_the_old_table_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    put("old", path)
    with pytest.raises(Refused, match="too many"):
        stage_and_refuse(path)
    stage_and_leave(path)
    with pytest.raises(PublishError, match=f"^{path}: nothing was staged, nothing was published"):
        commit_nothing(path)
    assert seen(path) == OLD and os.listdir(tmp_path) == ["t"]


@pytest.mark.parametrize("damage", ["truncated", "columns", "nothing"])
def test_a_damaged_write_is_not_published(damage: str, tmp_path: Path) -> None:
    put("old", tmp_path / "t")

    def write_damaged(df: Any, folder: str) -> None:
        if damage == "nothing":
            return os.makedirs(folder)
        write_rows(df, folder)
        part = storage.list_files(folder)[1].path
        if damage == "truncated":
            os.truncate(part, os.path.getsize(part) - 10)
        else:
            pq.write_table(pq.read_table(part).rename_columns(["id", "other"]), part)

    expected = {
        "truncated": "the file is incomplete",
        "columns": "the columns of this file are not those of the table",
        "nothing": "no file that this machine sees",
    }
    with pytest.raises(PublishError, match=expected[damage]):
        put("new", tmp_path / "t", write=write_damaged)
    assert seen(str(tmp_path / "t")) == OLD and os.listdir(tmp_path) == ["t"]


def test_foreign_content_is_never_replaced(tmp_path: Path) -> None:
    for name, content in {
        "notes.txt": "x",
        "git/.git/config": "x",
        "sub/part-0.parquet": "x",
        "dir/_SUCCESS/x": "x",
    }.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(content)
    refused = {
        "out/notes.txt": "a file that is not Parquet",
        "out/git": r"\.git",
        "out": "git, notes.txt",
        "out/dir": "_SUCC",
    }
    for path, message in refused.items():
        with pytest.raises(
            PublishError, match=f"^{tmp_path}/{path}: .*{message}.*; refusing to overwrite, move (it|them) or"
        ):
            put("new", tmp_path / path)
    assert (tmp_path / "out/notes.txt").read_text() == "x"


@pytest.mark.parametrize("before", ["empty", "dask", "spark", "pandas", "partitions", "delta", "link"])
def test_tables_of_others_are_replaced(before: str, tmp_path: Path) -> None:
    target = tmp_path / "t.parquet"
    real = tmp_path / "real"
    if before == "pandas":  # one file under the name of the output
        pq.write_table(pa.table({"which one": ["x"]}), target)
    elif before == "link":
        real.mkdir()
        target.symlink_to(real)
    else:
        target.mkdir()
    made = {
        "dask": ["part.0.parquet", "_metadata", "_common_metadata"],
        "spark": ["part-00000-x.snappy.parquet", ".part-00000-x.snappy.parquet.crc", "_SUCCESS", "._SUCCESS.crc"],
        "partitions": ["day=1/part-0.parquet", "_temporary/0/x"],
        "delta": ["_delta_log/00000000000000000000.json", "aB/part-0.parquet"],
    }
    for name in made.get(before, []):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("x")
    put("new", target)
    assert seen(str(target)) == NEW
    assert sorted(os.listdir(tmp_path)) == (["real", "t.parquet"] if before == "link" else ["t.parquet"])
    assert target.is_symlink() == (before == "link")


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="invalid run id 'a/b'; use letters"):
        put("new", tmp_path / "t", run_id="a/b")
    with pytest.raises(PublishError, match="run.format is 'csv'"):
        publish(Rows("new"), str(tmp_path / "t"), fmt="csv", run_id="r")  # type: ignore[arg-type]
    with pytest.raises(PublishError, match="root of a file system"):
        put("new", "/")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PublishError, match="could not be published"):
        put("new", tmp_path / "file" / "t")
    assert os.listdir(tmp_path) == ["file"]
