"""Clear outputs and cell metadata of notebooks: they are kept without. Usage: clear_notebooks.py NOTEBOOK…"""

import sys
from pathlib import Path

import nbformat

for name in sys.argv[1:]:
    book = nbformat.read(name, as_version=4)
    before = nbformat.writes(book)
    for cell in book.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if nbformat.writes(book) != before:
        Path(name).write_text(nbformat.writes(book) + "\n", encoding="utf-8")
