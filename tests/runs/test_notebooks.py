"""The notebooks run from top to bottom on a small sample, and are kept without outputs."""

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
ORDERS = "8000"


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The outputs of a notebook that ran in a kernel of its own, on a sample below ``folder``."""
    from nbclient import NotebookClient

    for key in [key for key in os.environ if key.startswith(("SPARK", "PYSPARK"))]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("BLITZ_NOTEBOOK_ORDERS", ORDERS)
    monkeypatch.setenv("BLITZ_NOTEBOOK_FOLDER", str(folder))
    monkeypatch.setenv("PYTHONPATH", "")  # it must find the package by itself
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    book = nbformat.read(NOTEBOOKS / name, as_version=4)
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    return [dict(output) for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]


def plots(outputs: list[dict[str, Any]]) -> list[bytes]:
    return [base64.b64decode(each["data"]["image/png"]) for each in outputs if "image/png" in each.get("data", {})]


def printed(outputs: list[dict[str, Any]]) -> str:
    return "".join(each["text"] for each in outputs if each.get("name") == "stdout")


@pytest.mark.slow
def test_the_walkthrough_runs_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = executed("01_walkthrough.ipynb", tmp_path, monkeypatch)
    drawn = plots(outputs)
    assert len(drawn) == 5 and all(image.startswith(b"\x89PNG") and len(image) > 5000 for image in drawn)
    text = printed(outputs)
    config = json.loads((NOTEBOOKS.parent / "conf/local.json").read_text())
    for step, key in (("segments", "output_segments_path"), ("microsegments", "output_microsegments_path")):
        path = config["segmentation"][key].replace("data/out/", f"{tmp_path}/out/")
        assert f"{step:15}{len(pd.read_parquet(path)):>9,} rows  {path}" in text


@pytest.mark.slow
def test_rules_and_models_are_renewed_explained_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = executed("02_rules_and_models.ipynb", tmp_path, monkeypatch)
    assert len(plots(outputs)) == 2
    text = printed(outputs)
    assert "matches no rule; the nearest is Seg1_5_1" in text  # the gap that the notebook makes
    assert "each matched by one rule" in text and "as published" in text
    assert (tmp_path / "rules.json").exists() and list((tmp_path / "models").glob("*.card.json"))
    before, after = (pd.read_parquet(tmp_path / month / "segments") for month in ("2025-06-01", "2025-07-01"))
    both = before.merge(after, on="algonomy_id", how="outer", suffixes=("_before", "_after"))
    old, new = both["Segment_before"], both["Segment_after"]
    moved = (old.notna() & new.notna() & (old != new)).sum()
    wanted = f"stayed {(old == new).sum()}, moved out {moved}, left {new.isna().sum()}, entered {old.isna().sum()}"
    assert wanted in text
