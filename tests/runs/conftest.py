"""The clean folder of raw files that hostile folders are copies of."""

import shutil
from pathlib import Path

import pytest

from hostile import Folder


@pytest.fixture(scope="session")
def clean(spark: object, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The clean folder after a run of all its steps; no test changes it."""
    folder = Folder(tmp_path_factory.mktemp("clean"))
    code, said = folder.start()
    assert code == 0, said
    return folder


@pytest.fixture
def folder(clean: Folder, tmp_path: Path) -> Folder:
    """A copy of the clean folder's raw files, with its own-app output."""
    copy = Folder(tmp_path)
    shutil.copytree(clean.out / "ownapp.parquet", copy.out / "ownapp.parquet")
    return copy
