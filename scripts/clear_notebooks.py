"""Clear outputs and cell metadata of notebooks: they are committed without. Usage: clear_notebooks.py NOTEBOOK…"""

import sys
from pathlib import Path

import nbformat

for name in sys.argv[1:]:
    book = nbformat.read(name, as_version=4)  # type: ignore[no-untyped-call]
    before = nbformat.writes(book)  # type: ignore[no-untyped-call]
    for cell in book.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    after = nbformat.writes(book)  # type: ignore[no-untyped-call]
    if after != before:
        Path(name).write_text(after + "\n", encoding="utf-8")
