"""What the manifests of earlier runs say of each step: the numbers that gates compare with."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from blitz import storage
from blitz.config import Config
from blitz.storage.paths import is_table


def manifests_at(pattern: str, is_manifest: Callable[[str], bool]) -> Iterator[dict[str, Any]]:
    """The manifests whose paths match a pattern and whose names are those of manifests."""
    for info in storage.list_files(pattern):
        if is_manifest(info.path.rpartition("/")[2]):
            body = json.loads(storage.read_bytes(info.path))
            if isinstance(body, dict) and isinstance(body.get("steps"), dict):
                yield body


def other_dates(path: str, run_date: date) -> str:
    """A pattern of the paths that differ from one with ``{as_of}`` in the date alone."""
    stamp = f"{run_date:%Y%m%d}"
    return path.replace(stamp, "[0-9]" * len(stamp))


def last_steps(bodies: Iterable[Mapping[str, Any]], run_date: date) -> dict[str, Mapping[str, Any]]:
    """The last published state of each step up to a run date; a step that no manifest has is left out."""
    earlier = [body for body in bodies if str(body.get("run_date", "")) <= run_date.isoformat()]
    found: dict[str, Mapping[str, Any]] = {}
    for body in sorted(earlier, key=lambda each: (str(each.get("run_date", "")), str(each.get("finished_at", "")))):
        found |= body["steps"]
    return found


def previous_feature_steps(config: Config) -> dict[str, Mapping[str, Any]]:
    """``last_steps`` of the manifests at ``run.manifest_path``, or next to the customer features: for order and
    customer features that are computed without a run around them."""
    output, run_date = config.feature_pipeline.customer.output_path, config.feature_pipeline.common.current_run_date
    if config.run.manifest_path is None and is_table(output):
        return {}
    path = config.run.manifest_path or output.rstrip("/").rpartition("/")[0] + "/manifest.json"
    stem = path.removesuffix(".json")
    form = re.escape(stem.rpartition("/")[2]) + r"(\.[a-z_]+)?\.json"
    found = manifests_at(other_dates(f"{stem}*.json", run_date), lambda name: bool(re.fullmatch(form, name)))
    return last_steps(found, run_date)
