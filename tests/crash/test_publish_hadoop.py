"""Storage and publishing on a file system that only Hadoop reaches: Hadoop's own ViewFileSystem."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from blitz import storage
from blitz.errors import InputError
from blitz.publish.files import recover
from blitz.publish.tables import publish, read_output
from blitz.publish.tree import TreeStore
from publish_cases import check_publishing
from publish_helpers import NEW, Death, Watched, frame, put, seen

pytestmark = pytest.mark.spark


@pytest.fixture
def viewfs(spark: SparkSession, tmp_path: Path) -> str:
    """A folder that only Hadoop reaches: a mount of Hadoop's own ViewFileSystem."""
    if not hasattr(spark, "_jsparkSession"):
        pytest.skip("classic Spark only")
    table = f"t{time.time_ns()}"  # Hadoop keeps a file system with its first settings
    spark.conf.set(f"fs.viewfs.mounttable.{table}.link./m", f"file://{tmp_path}")
    return f"viewfs://{table}/m"


def test_hadoop_storage(viewfs: str, tmp_path: Path) -> None:
    for name in ("a.csv", "sub/b.csv", "_SUCCESS", ".x/y.csv"):
        storage.write_bytes(f"{viewfs}/in/{name}", name.encode())
    storage.write_bytes(f"{viewfs}/in/empty", b"")
    names = [info.path.rpartition("/in/")[2] for info in storage.list_files(f"{viewfs}/in")]
    assert names == ["a.csv", "sub/b.csv"]
    assert [i.size for i in storage.list_files(f"{viewfs}/in/{{a,z}}.cs?")] == [5]
    assert storage.list_files(f"{viewfs}/none") == [] and not storage.exists(f"{viewfs}/none")
    assert storage.read_bytes(f"{viewfs}/in/a.csv", limit=3) == b"a.c"
    assert storage.open_input(f"{viewfs}/in/sub/b.csv").read() == b"sub/b.csv"
    with pytest.raises(InputError, match=f"^{viewfs}/none: no such file or folder"):
        storage.read_bytes(f"{viewfs}/none")
    storage.delete(f"{viewfs}/in")
    assert not (tmp_path / "in").exists()
    with pytest.raises(InputError, match="nosuch://x/y: "):
        storage.list_files("nosuch://x/y")


def test_hadoop_publish(viewfs: str, spark: SparkSession, tmp_path: Path) -> None:
    path = f"{viewfs}/deep/t"
    for tag in ("old", "new"):
        assert publish(frame(spark, tag), path, run_id=tag).rows == 30
        assert seen(path) == {tag: 30}
        assert {name for name in os.listdir(tmp_path / "deep") if not name.endswith(".crc")} == {"t"}
    assert read_output(spark, path).count() == 30
    check_publishing(f"{viewfs}/cases")


@pytest.mark.parametrize("after", ["publish", "recover"])
def test_death_between_two_renames_on_hadoop(after: str, viewfs: str, tmp_path: Path) -> None:
    from blitz.publish.hadoop import HadoopTree

    path = f"{viewfs}/t"
    put("old", path)
    renamed = []

    def die_in_between(_: str, source: str, target: str) -> None:
        renamed.append(source)
        if len(renamed) > 1:
            raise Death

    tree: Any = Watched(HadoopTree(), ["rename"], die_in_between)
    with pytest.raises(Death):
        put("new", path, "r2", store=TreeStore(tree, path, path))
    assert not (tmp_path / "t").exists()  # the documented gap
    if after == "publish":
        put("new", path, "r3")
    else:
        recover(path)
    assert seen(path) == NEW
    assert {name for name in os.listdir(tmp_path) if not name.endswith(".crc")} == {"t"}
