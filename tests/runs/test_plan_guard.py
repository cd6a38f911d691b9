"""The plans of a whole run may not grow unnoticed: exchanges and input scans per written table, from the plans.

plans.json holds what is expected. After a change that is meant:
    BLITZ_ACCEPT_PLANS=1 python -m pytest tests/runs/test_plan_guard.py    (then commit plans.json)
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import compare
from plans import Plan

EXPECTED = Path(__file__).with_name("plans.json")
ACCEPT = "BLITZ_ACCEPT_PLANS"
pytestmark = pytest.mark.spark


@pytest.fixture
def written(sample_plans: list[Plan], sample_config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Per table that the run wrote: shuffles, broadcasts, and how often each input is scanned."""
    steps = {path: step for step, path in compare.output_paths(sample_config).items()}
    root = Path(sample_config["path"]).parent
    found: dict[str, dict[str, Any]] = {}
    for plan in sample_plans:
        if plan.output:
            name = steps.get(plan.output, str(Path(plan.output).relative_to(root / "out")))
            assert name not in found, f"{name} is written by two queries"
            scans = _by_input(plan.scans, root, steps)
            found[name] = {"shuffles": plan.shuffles, "broadcasts": plan.broadcasts, "scans": scans}
    return found


def _by_input(scans: Counter[str], root: Path, steps: dict[str, str]) -> dict[str, int]:
    """Scans per step's output or raw folder; of a raw folder, those of the file that is scanned most."""
    found: dict[str, int] = {}
    for path, times in scans.items():
        raw = Path(path).relative_to(root)
        shared = raw.parts[:2] == ("sample", "received_over_email")  # a folder of different files
        name = steps.get(path, str(raw if shared else raw.parent))
        found[name] = max(times, found.get(name, 0))
    return dict(sorted(found.items()))


def changes(expected: dict[str, Any], actual: dict[str, Any]) -> list[str]:
    """What differs between two tables of plans, a line per number."""
    found = []
    for table in sorted(expected.keys() | actual.keys()):
        old, new = _flat(expected.get(table)), _flat(actual.get(table))
        for what in sorted(old.keys() | new.keys()):
            before, after = old.get(what, 0), new.get(what, 0)
            if before != after:
                found.append(f"{table}: {after} {what} instead of {before}, {'more' if after > before else 'fewer'}")
    return found


def _flat(plan: dict[str, Any] | None) -> dict[str, int]:
    if plan is None:
        return {}
    scans = {f"scans of {name}": times for name, times in plan["scans"].items()}
    return {"queries": 1, "shuffles": plan["shuffles"], "broadcasts": plan["broadcasts"], **scans}


def test_no_exchange_and_no_scan_was_added_unnoticed(written):
    if os.environ.get(ACCEPT):
        EXPECTED.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    found = changes(json.loads(EXPECTED.read_text()), written)
    assert not found, (
        "the plans of the run have changed:\n  "
        + "\n  ".join(found)
        + f"\nIf that is meant (fewer is a gain to keep), "
        f"run {ACCEPT}=1 python -m pytest {Path(__file__).name} and commit {EXPECTED.name}"
    )


def test_counting_costs_no_scan_of_its_own(written, sample_plans, sample_config):
    """Counts are taken along: one query scans each raw file of a channel once, and queries that write nothing none, but
    for the quarantine, whose few rows are looked at for half records, and the rows of the scores, which Spark keeps."""
    for channel, folders in {
        "ownapp": ["sales", "salesdetail", "orderqueries"],
        "swiggy": ["swiggy_sales", "swiggy_salesdetail"],
        "instore": ["instore_data/order_level_v2", "instore_data/item_level"],
    }.items():
        scans = written[channel]["scans"]
        assert {folder: scans.get(f"sample/{folder}") for folder in folders} == dict.fromkeys(folders, 1), channel
        assert max(scans.values()) == 1, channel
    last = max(at for at, plan in enumerate(sample_plans) if plan.output)  # behind it the report's
    steps = compare.output_paths(sample_config)
    kept = {steps[name] for name in ("ownapp", "swiggy", "instore", "customers")}
    idle = [plan for plan in sample_plans[:last] if plan.output is None and set(plan.scans) != kept]
    scanned = {path for plan in idle for path in plan.scans}
    assert {path for path in scanned if "/quarantine/" not in path} == set()
    every_file = {str(path) for path in Path(sample_config["path"]).parent.glob("sample/**/part-*")}
    scanned = set().union(*(plan.scans for plan in sample_plans))
    assert every_file <= scanned  # the scans are really seen


def test_a_plan_that_grows_is_named_with_what_grew():
    old = {"ownapp": {"shuffles": 4, "broadcasts": 5, "scans": {"sample/sales": 1}}}
    new = {
        "ownapp": {"shuffles": 4, "broadcasts": 4, "scans": {"sample/sales": 2}},
        "extra": {"shuffles": 0, "broadcasts": 0, "scans": {}},
    }
    assert changes(old, old) == []
    assert changes(old, new) == [
        "extra: 1 queries instead of 0, more",
        "ownapp: 4 broadcasts instead of 5, fewer",
        "ownapp: 2 scans of sample/sales instead of 1, more",
    ]
