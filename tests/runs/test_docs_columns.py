"""The column tables of the documentation are those of the code."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.engines
CHECKOUT = Path(__file__).resolve().parents[2]


def docs_columns() -> ModuleType:
    folder = CHECKOUT / "scripts"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("docs_columns", folder / "docs_columns.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def test_the_column_tables_are_those_of_the_code(sample_config, sample_run) -> None:
    page = CHECKOUT / "docs/data.md"
    assert page.read_text() == docs_columns().written(page.read_text(), sample_config), "stale: run make docs"
