"""Publishing to a local disk, without an engine: what is checked before, and what is never replaced."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blitz import storage
from blitz.errors import InputError, PublishError
from blitz.publish import tables as publish
from publish_helpers import NEW, OLD, Rows, frame, no_spark, put, seen  # noqa: F401  (a fixture among them)


@pytest.mark.usefixtures("no_spark")
def test_a_failed_check_leaves_the_old_table(tmp_path: Path) -> None:
    put("old", tmp_path / "t")
    counted = []

    def refuse(rows: int) -> None:
        counted.append(rows)
        raise InputError("too many rejected rows")

    with pytest.raises(InputError, match="^too many rejected rows$"):
        put("new", tmp_path / "t", check=refuse)
    assert counted == [30] and seen(str(tmp_path / "t")) == OLD and os.listdir(tmp_path) == ["t"]


@pytest.mark.usefixtures("no_spark")
@pytest.mark.parametrize("damage", ["truncated", "columns", "nothing"])
def test_a_damaged_write_is_not_published(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("old", tmp_path / "t")

    def write_damaged(df: Rows, staging: str, fmt: str, path: str) -> None:
        if damage == "nothing":
            return os.makedirs(staging)
        df.write_parts(staging)
        part = storage.list_files(staging)[1].path
        if damage == "truncated":
            os.truncate(part, os.path.getsize(part) - 10)
        else:
            pq.write_table(pq.read_table(part).rename_columns(["id", "other"]), part)

    monkeypatch.setattr(publish, "_write", write_damaged)
    expected = {
        "truncated": "not written whole",
        "columns": "other columns",
        "nothing": "no file that this machine sees",
    }
    with pytest.raises(PublishError, match=expected[damage]):
        put("new", tmp_path / "t")
    assert seen(str(tmp_path / "t")) == OLD and os.listdir(tmp_path) == ["t"]


@pytest.mark.usefixtures("no_spark")
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
        with pytest.raises(PublishError, match=f"^{tmp_path}/{path}: .*{message}.* would be lost; move it"):
            put("new", tmp_path / path)
    assert (tmp_path / "out/notes.txt").read_text() == "x"


@pytest.mark.usefixtures("no_spark")
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


@pytest.mark.usefixtures("no_spark")
def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="run id 'a/b' may hold"):
        put("new", tmp_path / "t", run_id="a/b")
    with pytest.raises(PublishError, match="run.format is 'csv'"):
        put("new", tmp_path / "t", fmt="csv")
    with pytest.raises(PublishError, match="root of a file system"):
        put("new", "/")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PublishError, match="could not be published"):
        put("new", tmp_path / "file" / "t")
    assert os.listdir(tmp_path) == ["file"]
