"""Where a run's time went, from Spark's event log: a line per query and stage, and what no stage accounts for.

Usage: python benchmarks/stages.py EVENTLOG [--from SECONDS]   (a file, or the folder that holds it)

The log is an uncompressed single file: run with
    ./spark-submit.sh --conf spark.eventLog.enabled=true --conf spark.eventLog.dir=/tmp/events \
        --conf spark.eventLog.compress=false --conf spark.eventLog.rolling.enabled=false \
        jobs/run_all.py --conf conf/local.json
(the folder must exist). Seconds are of the clock; run, cpu and gc are summed over a stage's tasks, so on two cores
they may reach twice the seconds; "alone" is the time of a query in which no stage ran: planning, compiling, committing.
"""

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SQL = "org.apache.spark.sql.execution.ui.SparkListener"
_OUTPUT = re.compile(r"^Arguments: \S+?/([^/\s]+)/\.?([^/\s]+?)(\.blitz-[\w-]+)?/?, \w+, ", re.MULTILINE)
_HIDDEN = re.compile(r"^(WholeStageCodegen.*|AdaptiveSparkPlan|InputAdapter|AQEShuffleRead|ColumnarToRow|Subquery.*)$")
_HEADER = ("", "sec", "tasks", "run", "cpu", "gc", "in MB", "shuffle in", "shuffle out", "spill", "out MB")
_MB = 1e6


@dataclass
class Stage:
    """One attempt of a stage; times in seconds, sizes in bytes."""

    number: int
    name: str
    tasks: int
    began: float
    ended: float
    operators: list[str] = field(default_factory=list)
    run: float = 0.0
    cpu: float = 0.0
    gc: float = 0.0
    read: int = 0
    shuffle_read: int = 0
    shuffle_written: int = 0
    spilled: int = 0
    written: int = 0


@dataclass
class Query:
    """One SQL query, or a job outside of any."""

    title: str
    began: float
    ended: float
    stages: list[Stage] = field(default_factory=list)


@dataclass
class Log:
    """What an event log holds of one application."""

    began: float = 0.0
    ended: float = 0.0
    queries: dict[str, Query] = field(default_factory=dict)


def events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log; of a folder, those of its newest file."""
    if path.is_dir():
        files = [each for each in path.rglob("*") if each.is_file() and not each.name.endswith(".crc")]
        if not files:
            raise SystemExit(f"{path}: no event log there")
        path = max(files, key=lambda file: file.stat().st_mtime)
    with path.open(encoding="utf-8") as file:
        try:
            yield from map(json.loads, file)
        except ValueError:
            raise SystemExit(f"{path}: not plain JSON; set spark.eventLog.compress=false") from None


def read(found: Iterable[dict[str, Any]]) -> Log:
    """The queries of a log with their stages, in order."""
    log = Log()
    query_of_stage: dict[int, str] = {}
    stages: dict[tuple[int, int], Stage] = {}
    operators: dict[int, str] = {}
    for event in found:
        kind = event["Event"]
        if kind == "SparkListenerApplicationStart":
            log.began = event["Timestamp"] / 1e3
        elif kind == "SparkListenerApplicationEnd":
            log.ended = event["Timestamp"] / 1e3
        elif kind in (f"{_SQL}SQLExecutionStart", f"{_SQL}SQLAdaptiveExecutionUpdate"):
            _note_operators(event["sparkPlanInfo"], operators)
            if kind.endswith("Start"):
                key = str(event["executionId"])
                log.queries[key] = Query(_title(event), event["time"] / 1e3, event["time"] / 1e3)
        elif kind == f"{_SQL}SQLExecutionEnd":
            log.queries[str(event["executionId"])].ended = event["time"] / 1e3
        elif kind == "SparkListenerJobStart":
            key = (event.get("Properties") or {}).get("spark.sql.execution.id") or f"job {event['Job ID']}"
            began = event["Submission Time"] / 1e3
            log.queries.setdefault(key, Query("a job of no query", began, began))
            query_of_stage |= dict.fromkeys(event["Stage IDs"], key)
        elif kind == "SparkListenerTaskEnd":
            number = event["Stage ID"], event["Stage Attempt ID"]
            _add_task(stages.setdefault(number, Stage(number[0], "", 0, 0, 0)), event.get("Task Metrics") or {})
        elif kind == "SparkListenerStageCompleted":
            info = event["Stage Info"]
            number = info["Stage ID"], info["Stage Attempt ID"]
            stage = stages.setdefault(number, Stage(number[0], "", 0, 0, 0))
            _complete(stage, info, operators)
            query = log.queries[query_of_stage[stage.number]]
            query.stages.append(stage)
            query.ended = max(query.ended, stage.ended)
    return log


def _title(event: dict[str, Any]) -> str:
    output = _OUTPUT.search(event["physicalPlanDescription"])
    return f"write {output[1]}/{output[2]}" if output else " ".join(str(event["description"]).split())[:80]


def _note_operators(node: dict[str, Any], found: dict[int, str]) -> None:
    """The name of the operator behind every metric of a plan."""
    for metric in node["metrics"]:
        found.setdefault(metric["accumulatorId"], node["nodeName"].strip())
    for child in node["children"]:
        _note_operators(child, found)


def _add_task(stage: Stage, metrics: dict[str, Any]) -> None:
    shuffle = metrics.get("Shuffle Read Metrics", {})
    stage.tasks += 1
    stage.run += metrics.get("Executor Run Time", 0) / 1e3
    stage.cpu += metrics.get("Executor CPU Time", 0) / 1e9
    stage.gc += metrics.get("JVM GC Time", 0) / 1e3
    stage.spilled += metrics.get("Disk Bytes Spilled", 0)
    stage.read += metrics.get("Input Metrics", {}).get("Bytes Read", 0)
    stage.shuffle_read += shuffle.get("Remote Bytes Read", 0) + shuffle.get("Local Bytes Read", 0)
    stage.shuffle_written += metrics.get("Shuffle Write Metrics", {}).get("Shuffle Bytes Written", 0)
    stage.written += metrics.get("Output Metrics", {}).get("Bytes Written", 0)


def _complete(stage: Stage, info: dict[str, Any], operators: dict[int, str]) -> None:
    stage.name = info["Stage Name"]
    stage.began, stage.ended = info["Submission Time"] / 1e3, info["Completion Time"] / 1e3
    names = [operators[each["ID"]] for each in info["Accumulables"] if each["ID"] in operators]
    stage.operators = [name for name in dict.fromkeys(names) if not _HIDDEN.match(name)]


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of a union of spans."""
    total, reached = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return total


def table(log: Log, least: float) -> str:
    """Queries of at least ``least`` seconds with their stages, then the sums."""
    rows: list[Sequence[str]] = [_HEADER]
    shown = [query for query in log.queries.values() if query.ended - query.began >= least]
    for query in shown:
        seconds = query.ended - query.began
        alone = seconds - covered((stage.began, stage.ended) for stage in query.stages)
        rows.append((f"{query.title} (at {query.began - log.began:.1f} s, {alone:.1f} s alone)", f"{seconds:.1f}"))
        rows += [_stage_row(stage) for stage in sorted(query.stages, key=lambda each: each.began)]
    stages = [stage for query in log.queries.values() for stage in query.stages]
    busy = covered((stage.began, stage.ended) for stage in stages)
    ended = log.ended or max((query.ended for query in log.queries.values()), default=log.began)
    total = Stage(0, "", sum(each.tasks for each in stages), 0, busy)
    for name in ("run", "cpu", "gc", "read", "shuffle_read", "shuffle_written", "spilled", "written"):
        setattr(total, name, sum(getattr(stage, name) for stage in stages))
    rows.append(("all stages", *_stage_row(total)[1:]))
    rows.append(("the application, without the start of its JVM", f"{ended - log.began:.1f}"))
    rows.append(("of it no stage ran", f"{ended - log.began - busy:.1f}"))
    return aligned(rows)


def _stage_row(stage: Stage) -> Sequence[str]:
    sizes = (stage.read, stage.shuffle_read, stage.shuffle_written, stage.spilled, stage.written)
    what = ", ".join(stage.operators) or stage.name
    return (
        f"  {stage.number} {what}"[:110], f"{stage.ended - stage.began:.1f}", str(stage.tasks),
        *(f"{value:.1f}" for value in (stage.run, stage.cpu, stage.gc)),
        *(f"{size / _MB:.1f}" if size else "" for size in sizes),
    )  # fmt: skip


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text: the first column to the left, the others to the right."""
    columns = max(map(len, rows))
    full = [[*row, *[""] * (columns - len(row))] for row in rows]
    widths = [max(len(row[at]) for row in full) for at in range(columns)]
    lines = (
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in full
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="the event log, or the folder that holds it")
    parser.add_argument("--from", dest="least", type=float, default=0.5, help="show queries of at least these seconds")
    arguments = parser.parse_args()
    print(table(read(events(arguments.log)), arguments.least))


if __name__ == "__main__":
    main()
