"""What the manifests say about a run, and the paths of its report and the report's numbers."""

import json
import logging

from blitz import storage
from blitz.config import Config
from blitz.errors import BlitzError, InputError
from blitz.run.manifest import manifest_path, read_manifests
from blitz.run.steps import STEPS
from blitz.text import JsonObject

log = logging.getLogger(__name__)


def report_path(config: Config) -> str:
    """Return the path of the page: ``run.report_path``, or ``report.html`` next to the manifest of a full run."""
    folder, slash, _ = manifest_path(config, STEPS).rpartition("/")
    return config.run.report_path or f"{folder}{slash}report.html"


def numbers_path(page: str) -> str:
    """Return the path of a page's numbers: the same name with ``.json``."""
    return page.removesuffix(".html") + ".json"


def read_facts(config: Config) -> JsonObject:
    """Return what the manifests of the config's runs say about the published outputs, merged.

    ``steps`` has each step as in the newest manifest that includes it; other keys come from the newest manifest that
    has them. Raises InputError if there is no manifest.
    """
    found = sorted(read_manifests(config), key=lambda body: str(body.get("finished_at", "")))
    if not found:
        raise InputError(f"{manifest_path(config, STEPS)}: no manifest of this run; run jobs/run_all.py first")
    facts: JsonObject = {"steps": {}, "models": {}, "menu": {}, "warnings": []}
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


def read_numbers(path: str) -> JsonObject | None:
    """Read the numbers of an earlier report; None if there are none, or they cannot be read."""
    try:
        if not storage.exists(path):
            return None
        body = json.loads(storage.read_bytes(path))
    except (BlitzError, ValueError) as error:
        log.warning("%s: cannot read the numbers of the previous report; changes are not shown: %s", path, error)
        return None
    return body if isinstance(body, dict) and "digest" in body else None
