"""The session's own doing: the package that goes to the executors."""

import os
import shutil
from pathlib import Path

import blitz
from blitz.spark.session import _packed, is_connect, ship_package


def test_a_package_edited_in_a_session_that_stays_is_shipped_again(spark, tmp_path, monkeypatch):
    """Spark fails every later task of the session where a shipped file changes under the same name."""
    folder = shutil.copytree(Path(blitz.__file__).parent, tmp_path / "blitz", ignore=shutil.ignore_patterns("*.pyc"))
    monkeypatch.setattr(blitz, "__file__", str(folder / "__init__.py"))
    ship_package(spark)
    before = _packed(folder)
    os.utime(folder / "errors.py", (0, 0))
    assert _packed(folder) == before  # the same sources are the same file
    ship_package(spark)
    with open(folder / "errors.py", "a") as source:
        source.write("# edited\n")
    assert _packed(folder) != before
    ship_package(spark)
    assert spark.range(4).repartition(2).count() == 4
    if not is_connect(spark):
        names = [Path(each).name for each in spark.sparkContext.listFiles if "blitz-" in Path(each).name]
        assert len(set(names)) >= 2
