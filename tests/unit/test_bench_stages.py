"""The stage table of an event log, from events written by hand."""

import json

import pytest

import stages

SQL = "org.apache.spark.sql.execution.ui.SparkListener"
PLAN = {
    "nodeName": "WholeStageCodegen (1)",
    "metrics": [{"accumulatorId": 1}],
    "children": [{"nodeName": "Scan csv ", "metrics": [{"accumulatorId": 2}], "children": []}],
}
TEXT = "(1) Execute InsertIntoHadoopFsRelationCommand\nArguments: file:/out/orders/.ownapp.parquet.blitz-2-a, false, Parquet"


def stage(number: int, began: int, ended: int) -> dict:
    return {
        "Event": "SparkListenerStageCompleted",
        "Stage Info": {
            "Stage ID": number,
            "Stage Attempt ID": 0,
            "Stage Name": "parquet at x",
            "Submission Time": began,
            "Completion Time": ended,
            "Accumulables": [{"ID": 1}, {"ID": 2}, {"ID": 99}],
        },
    }


def task(number: int, milliseconds: int) -> dict:
    metrics = {"Executor Run Time": milliseconds, "Executor CPU Time": milliseconds * 500_000}
    metrics["Shuffle Write Metrics"] = {"Shuffle Bytes Written": 1_500_000}
    return {"Event": "SparkListenerTaskEnd", "Stage ID": number, "Stage Attempt ID": 0, "Task Metrics": metrics}


EVENTS = [
    {"Event": "SparkListenerApplicationStart", "Timestamp": 1_000},
    {
        "Event": f"{SQL}SQLExecutionStart",
        "executionId": 0,
        "description": "parquet at x",
        "physicalPlanDescription": TEXT,
        "sparkPlanInfo": PLAN,
        "time": 2_000,
    },
    {
        "Event": "SparkListenerJobStart",
        "Job ID": 0,
        "Submission Time": 3_000,
        "Stage IDs": [0, 1],
        "Properties": {"spark.sql.execution.id": "0"},
    },
    *[task(0, 2_000), task(0, 4_000)],
    *[stage(0, 3_000, 7_000), stage(1, 6_000, 8_000)],
    {"Event": f"{SQL}SQLExecutionEnd", "executionId": 0, "time": 12_000},
    {"Event": "SparkListenerApplicationEnd", "Timestamp": 13_000},
]


def test_queries_are_named_by_what_they_write_and_stages_by_their_operators():
    text = stages.table(stages.read(EVENTS), 0).splitlines()
    assert text[1].split() == ["write", "orders/ownapp.parquet", "(at", "1.0", "s,", "5.0", "s", "alone)", "10.0"]
    assert text[2].split() == ["0", "Scan", "csv", "4.0", "2", "6.0", "3.0", "0.0", "3.0"]
    assert text[3].split() == ["1", "Scan", "csv", "2.0", "0", "0.0", "0.0", "0.0"]


def test_overlapping_stages_are_counted_once_in_the_clocks_seconds():
    assert stages.covered([(3, 7), (6, 8), (10, 11)]) == 6
    text = stages.table(stages.read(EVENTS), 0).splitlines()
    assert text[4].split() == ["all", "stages", "5.0", "2", "6.0", "3.0", "0.0", "3.0"]
    assert text[5].endswith(" 12.0") and text[6].endswith(" 7.0")


def test_a_folder_gives_its_newest_log_and_a_compressed_one_is_refused(tmp_path):
    (tmp_path / "app-1").write_text("\n".join(map(json.dumps, EVENTS)))
    assert len(list(stages.events(tmp_path))) == len(EVENTS)
    (tmp_path / "app-1").write_text("not JSON")
    with pytest.raises(SystemExit, match=r"spark\.eventLog\.compress=false"):
        list(stages.events(tmp_path))
