"""Notebooks are valid and kept without outputs."""

import ast
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_valid_and_hold_no_outputs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        assert cell.metadata == {}, "take the cell's metadata out"
        if cell.cell_type == "code":
            ast.parse(cell.source)  # no magics: Databricks has others
            assert cell.outputs == [] and cell.execution_count is None, "run make format: it clears outputs"
