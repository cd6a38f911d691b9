"""What the manifests tell of a run, and where its report and the report's numbers are."""

import json
import logging
from typing import Any

from blitz import storage
from blitz.config import Config
from blitz.errors import BlitzError, InputError
from blitz.run.manifest import manifest_path, read_manifests
from blitz.run.steps import STEPS

log = logging.getLogger(__name__)
Body = dict[str, Any]


def report_path(config: Config) -> str:
    """Where the page goes: ``run.report_path``, or ``report.html`` beside the manifest of the whole run."""
    beside = manifest_path(config, STEPS).rpartition("/")
    return config.run.report_path or f"{beside[0]}{beside[1]}report.html"


def numbers_path(page: str) -> str:
    """Where the numbers of a page go: ``.json`` beside it."""
    return page.removesuffix(".html") + ".json"


def read_facts(config: Config) -> Body:
    """What is known of the run whose outputs are published: the manifests of the config's runs, merged.

    ``steps`` holds for every step the newest manifest's word; the rest comes from the newest manifest that has it.
    Raises InputError where there is no manifest at all.
    """
    found = sorted(read_manifests(config), key=lambda body: str(body.get("finished_at", "")))
    if not found:
        raise InputError(f"{manifest_path(config, STEPS)}: no manifest there or beside; run jobs/run_all.py first")
    facts: Body = {"steps": {}, "models": {}, "menu": {}, "warnings": []}
    for body in found:
        facts.update({key: value for key, value in body.items() if key not in facts and key != "steps"})
        facts.update({key: body[key] for key in _NEWEST if body.get(key)})
        for step, each in body["steps"].items():
            own = {"run_id": body.get("run_id"), "config_hash": body.get("config_hash"), "rules": body.get("rules")}
            facts["steps"][step] = {**each, **own}
    runs = {each["run_id"] for each in facts["steps"].values()}
    facts["warnings"] = [text for body in found if body.get("run_id") in runs for text in body.get("warnings", [])]
    return facts


_NEWEST = ("run_id", "finished_at", "config_hash", "versions", "models", "rules", "menu", "run_date", "cutoff_date")


def read_numbers(path: str) -> Body | None:
    """The numbers of an earlier report; None where there are none that can be read."""
    try:
        if not storage.exists(path):
            return None
        body = json.loads(storage.read_bytes(path))
    except (BlitzError, ValueError) as error:
        log.warning("%s: the numbers of the report before cannot be read, changes are not shown: %s", path, error)
        return None
    return body if isinstance(body, dict) and "digest" in body else None
