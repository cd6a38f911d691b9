"""The package that goes to the executors of a session."""

import os
import shutil
from pathlib import Path

import pytest

import blitz
from blitz.spark.session import ship_package


@pytest.mark.spark
def test_a_package_edited_in_a_session_that_stays_is_shipped_again(spark, tmp_path, monkeypatch):
    """Spark fails every later task of the session where a shipped file changes under the same name."""
    folder = shutil.copytree(Path(blitz.__file__).parent, tmp_path / "blitz", ignore=shutil.ignore_patterns("*.pyc"))
    monkeypatch.setattr(blitz, "__file__", str(folder / "__init__.py"))

    def shipped() -> set[str]:
        ship_package(spark)
        return {name for path in spark.sparkContext.listFiles if (name := Path(path).name).startswith("blitz-")}

    before = shipped()
    os.utime(folder / "errors.py", (0, 0))
    assert shipped() == before  # the same sources are the same file
    with open(folder / "errors.py", "a") as source:
        source.write("# edited\n")
    after = shipped()
    assert before < after and len(after) == len(before) + 1
    assert spark.range(4).repartition(2).count() == 4
