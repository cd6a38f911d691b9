"""Exports: lists equal the outputs as pandas reads them, no cell is a formula, no name leaves its folder."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from blitz.cli.main import main
from blitz.config import load_config
from blitz.errors import ConfigError, PublishError
from blitz.export import export, members, safe_text
from blitz.storage.frames import write_parquet

HEADER = ["algonomy_id", "segment", "microcluster"]


def read_list(folder: Path) -> list[list[str]]:
    """All rows of a folder's files, by Python's csv module; every file must have the header."""
    rows = []
    for path in sorted(folder.glob("part-*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            header, *body = list(csv.reader(file, strict=True))
        assert header == HEADER
        rows += body
    return rows


def job(argv: list[str]) -> int:
    return main("export", argv)


def outputs(config: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    body = config["segmentation"]
    segments = pd.read_parquet(body["output_segments_path"])
    micro = pd.read_parquet(body["output_microsegments_path"], columns=["algonomy_id", "Segment", "microcluster"])
    return segments, micro


def test_lists_by_segment_are_the_outputs(sample_config, sample_run, tmp_path, capsys) -> None:
    assert job(["--conf", sample_config["path"], "--out", f"{tmp_path}/lists"]) == 0
    segments, micro = outputs(sample_config)
    assert micro["algonomy_id"].is_unique  # in the sample no segment is in two plans
    clusters = dict(zip(micro["algonomy_id"], micro["microcluster"], strict=True))
    folders = {path.name for path in (tmp_path / "lists").iterdir() if path.is_dir()}
    assert folders == {f"by_segment={name}" for name in segments["Segment"].unique()}
    for name, group in segments.groupby("Segment"):
        wanted = [[each, name, clusters.get(each, "")] for each in sorted(group["algonomy_id"])]
        assert read_list(tmp_path / f"lists/by_segment={name}") == wanted
    assert any(each.startswith("0") for each in segments["algonomy_id"])  # so the zeros are seen to stay
    told = capsys.readouterr().out
    assert f"{len(segments):,} rows in {segments['Segment'].nunique()} files" in told
    assert (tmp_path / "lists/_SUCCESS").exists()
    assert os.listdir(tmp_path) == ["lists"]


def test_lists_with_names_and_scores(sample_config, sample_run, tmp_path, capsys) -> None:
    columns = "name,lifecycle,total_spend,missed_visits,clv_frequency"
    assert job(["--conf", sample_config["path"], "--out", f"{tmp_path}/lists", "--columns", columns]) == 0
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  Seg1_5_2 "))
    assert said.endswith("by_segment=Seg1_5_2      1–5 orders, up to 2 products, weekends only")
    (path,) = (tmp_path / "lists/by_segment=Seg1_5_2").glob("*.csv")
    found = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("algonomy_id")
    assert list(found) == ["segment", "microcluster", *columns.split(",")]
    assert set(found["name"]) == {"1–5 orders, up to 2 products, weekends only"}
    scores = Path(sample_config["feature_pipeline"]["customer"]["output_path"]).parent / "users_scores.parquet"
    expected = pd.read_parquet(scores).set_index("algonomy_id").loc[found.index]
    assert found["lifecycle"].tolist() == expected["lifecycle"].tolist()
    assert found["clv_frequency"].tolist() == expected["clv_frequency"].astype(str).tolist()
    for name in ("total_spend", "missed_visits"):
        numbers = pd.to_numeric(found[name])  # an empty cell is NaN
        assert numbers.tolist() == pytest.approx(expected[name].tolist(), abs=0.0051, nan_ok=True)
        assert set(found[name].str.partition(".")[2].str.len()) <= {0, 2}
    with pytest.raises(SystemExit):
        job(["--conf", sample_config["path"], "--out", f"{tmp_path}/x", "--columns", "lifecicle"])
    assert "unknown column 'lifecicle'; did you mean \"lifecycle\"?" in capsys.readouterr().err


def test_lists_by_plan_replace_those_before_and_split_long_ones(spark, sample_config, sample_run, tmp_path) -> None:
    config, out = load_config(conf=sample_config["path"]), tmp_path / "plans"
    export(config, spark, "plan", str(out))
    before = {path.name for path in out.rglob("*.csv")}
    done = export(config, spark, "plan", str(out), max_rows=20)
    assert not before & {path.name for path in out.rglob("*.csv")}
    segments, micro = outputs(sample_config)
    of = dict(zip(segments["algonomy_id"], segments["Segment"], strict=True))
    assert done.rows == micro["Segment"].value_counts().to_dict()
    for name, group in micro.groupby("Segment"):
        folder = out / f"by_plan={name}"
        wanted = [
            [one, of[one], cluster] for one, cluster in zip(group["algonomy_id"], group["microcluster"], strict=True)
        ]
        assert sorted(read_list(folder)) == sorted(wanted)
        assert all(len(path.read_text().splitlines()) <= 21 for path in folder.glob("*.csv"))
        assert len(list(folder.glob("*.csv"))) >= -(-len(group) // 20)


def test_a_customer_of_several_plans_is_one_row_by_segment(spark: SparkSession) -> None:
    segments = spark.createDataFrame([("01", "A"), ("02", "A"), ("03", "B")], "algonomy_id string, Segment string")
    micro = spark.createDataFrame(
        [("01", "q", "2"), ("01", "p", "0"), ("02", "p", "1")],
        "algonomy_id string, Segment string, microcluster string",
    )
    rows = sorted(map(tuple, members(segments, micro, "segment").select(*HEADER).collect()))
    assert rows == [("01", "A", "p:0|q:2"), ("02", "A", "1"), ("03", "B", None)]
    assert members(segments, micro, "plan").count() == 3


HOSTILE = [
    "=1+1", "+49 170", "-5", "@SUM(A1)", "\t=1", "\r=1", "\tx", " =1", '"=1', "'=1", "\u200b=1", "\ufeff=1",
    "=cmd|'/C calc'!A0", "a;=1+1", "a,=1+1;b", 'x";=1', "\uff1d1", "\n=1", "a\n=1", "a\r=1", "\x00=1",
]  # fmt: skip
HARMLESS = ["0000001731", "Seg1_5_1", "a=b", "x-1", "a@b.c", 'say "hi", ok', "back\\", "1;2", "ünï", "", " x "]


def begins_formula(text: str) -> bool:
    """What a spreadsheet takes for a formula, or drops before one; written without the code's own expression."""
    for at, character in enumerate(text):
        if character in "=+-@＝＋－＠":
            return True
        if character.isalnum() or (character == "'" and at == 0):
            return False
    return False


def test_no_cell_and_no_part_of_a_cell_is_a_formula(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(text,) for text in HOSTILE + HARMLESS], "raw string")
    safe = {row[0]: row[1] for row in frame.select("raw", safe_text(F.col("raw"))).collect()}
    for text in HARMLESS:
        assert safe[text] == text
    for text in HOSTILE:
        assert safe[text] != text
        for part in [safe[text], *safe[text].split(","), *safe[text].split(";")]:
            assert not begins_formula(part), (text, safe[text])
        assert not set(safe[text]) & set("\t\r\n\x00")


NAMES = [
    "../x",
    "..",
    "=cmd|'/C calc'!A0",
    "a/b",
    "a b",
    "a.20b",
    "x" * 250,
    "x" * 249 + "y",
    "Ünï",
    "by_segment=1",
    ".",
]


def test_hostile_names_stay_in_their_folders(spark, sample_config, tmp_path) -> None:
    body = json.loads(Path(sample_config["path"]).read_text())
    body["segmentation"]["output_segments_path"] = f"{tmp_path}/in/segments"
    body["segmentation"]["output_microsegments_path"] = f"{tmp_path}/in/micro"
    config = load_config(conf=body)
    rows = [(f"00{at}", name) for at, name in enumerate(NAMES)] + [("-7", "a b"), ("99", None)]
    frame = spark.createDataFrame(rows, "algonomy_id string, Segment string")
    write_parquet(frame, f"{tmp_path}/in/segments")
    write_parquet(frame.limit(0).withColumn("microcluster", F.lit("0")), f"{tmp_path}/in/micro")
    out = tmp_path / "deep" / "out"
    done = export(config, spark, "segment", str(out))
    assert (done.unlisted, sum(done.rows.values())) == (1, len(NAMES) + 1)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "deep"} and os.listdir(tmp_path / "deep") == ["out"]
    folders = [path for path in out.iterdir() if path.is_dir()]
    assert len(folders) == len(set(NAMES))
    assert all(path.name.replace("by_segment=", "").replace(".", "").replace("_", "").isalnum() for path in folders)
    found = {row[0]: row[1:] for folder in folders for row in read_list(folder)}
    assert found["000"] == ["../x", ""] and found["002"] == ["'=cmd|'/C calc'!A0", ""] and found["'-7"] == ["a b", ""]
    assert "99" not in found
    assert done.escaped == 2  # the name that is a formula, and the id


def test_what_is_no_export_is_never_replaced(spark, sample_config, sample_run, tmp_path) -> None:
    config = load_config(conf=sample_config["path"])
    with pytest.raises(ConfigError, match="overlap"):
        export(config, spark, "segment", sample_config["segmentation"]["output_segments_path"] + "/lists")
    table = tmp_path / "table"
    spark.range(3).write.parquet(str(table))
    raw = tmp_path / "raw/date=2025-01-01"
    raw.mkdir(parents=True)
    (raw / "part-1.csv").write_text("a\n1\n")
    export(config, spark, "plan", f"{tmp_path}/plans")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for folder in ("table", "raw", "plans"):
        with pytest.raises(PublishError, match="is not a list by segment and would be deleted"):
            export(config, spark, "segment", f"{tmp_path}/{folder}")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_failed_export_leaves_the_lists_before(spark, sample_config, sample_run, tmp_path, monkeypatch) -> None:
    config, out = load_config(conf=sample_config["path"]), tmp_path / "lists"
    export(config, spark, "segment", str(out))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def broken(cell: Any) -> Any:
        return F.raise_error(F.lit("broken on purpose")).cast("string")

    monkeypatch.setattr("blitz.export.safe_text", broken)
    with pytest.raises(Exception, match="broken on purpose"):
        export(config, spark, "segment", str(out))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert os.listdir(tmp_path) == ["lists"]


def test_wrong_arguments_are_one_message(sample_config, tmp_path, capsys) -> None:
    text = Path(sample_config["path"]).read_text().replace("/out/", "/nowhere/")
    (tmp_path / "conf.json").write_text(text)
    assert job(["--conf", f"{tmp_path}/conf.json", "--out", f"{tmp_path}/lists"]) == 1
    assert "no table there; run the step that makes it first" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        job(["--conf", f"{tmp_path}/conf.json", "--by", "colour", "--out", f"{tmp_path}/lists"])
    assert not (tmp_path / "lists").exists()


def test_every_cell_is_quoted(spark, sample_config, sample_run, tmp_path) -> None:
    export(load_config(conf=sample_config["path"]), spark, "segment", f"{tmp_path}/lists")
    text = next((tmp_path / "lists").rglob("*.csv")).read_text(encoding="utf-8")
    for line in io.StringIO(text):
        assert all(cell.startswith('"') and cell.endswith('"') for cell in line.rstrip("\n").split(","))
