"""What Spark planned for the queries of a session, as it ran them in the end: exchanges and scans by what was written."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OUTPUT = re.compile(r"^Arguments: (\w+:/\S+?)(\.blitz-[\w-]+)?/?, \w+, ", re.MULTILINE)
_SCANNED = re.compile(r"Location: \w+\(\d+ paths\)\[(.*?)\]")
_LISTED = 10_000


@dataclass
class Plan:
    """Shuffles, broadcasts, and how often each file or folder is scanned; ``output`` is None where none is written."""

    output: str | None
    shuffles: int = 0
    broadcasts: int = 0
    scans: Counter[str] = field(default_factory=Counter)


def list_all_paths(spark: Any) -> None:
    """Let plans name all files of a scan: before the run whose plans are to be read."""
    spark.conf.set("spark.sql.maxMetadataStringLength", str(_LISTED))


def last_query(spark: Any) -> int:
    """The number of the newest query of a classic session, -1 where there is none."""
    queries = spark._jsparkSession.sharedState().statusStore().executionsList()
    return max((queries.apply(at).executionId() for at in range(queries.size())), default=-1)


def plans_after(spark: Any, query: int) -> list[Plan]:
    """The plans of all queries after a query, in order; final ones, as adaptive execution left them."""
    store = spark._jsparkSession.sharedState().statusStore()
    queries = store.executionsList()
    found = sorted((queries.apply(at) for at in range(queries.size())), key=lambda each: each.executionId())
    return [_plan(store, each) for each in found if each.executionId() > query]


def _plan(store: Any, query: Any) -> Plan:
    written = _OUTPUT.search(query.physicalPlanDescription())
    plan = Plan(_local(written[1]) if written else None)
    nodes = store.planGraph(query.executionId()).allNodes()
    for at in range(nodes.size()):
        node = nodes.apply(at)
        name = node.name().strip()
        if name == "Exchange":
            plan.shuffles += 1
        elif name == "BroadcastExchange":
            plan.broadcasts += 1
        elif name.startswith("Scan ") and (found := _SCANNED.search(node.desc())):
            plan.scans.update(_local(path) for path in found[1].split(", "))
    return plan


def _local(path: str) -> str:
    """A path without scheme; an output that was written beside its place gets its own name."""
    place = Path(path.removeprefix("file:"))
    return str(place.with_name(place.name.removeprefix(".")))
