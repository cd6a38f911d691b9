"""The Databricks bundle of this checkout, with its variables replaced."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import yaml

from places import CHECKOUT

BUNDLE = yaml.safe_load((CHECKOUT / "databricks.yml").read_text())
FILES = sorted(path for pattern in BUNDLE["include"] for path in CHECKOUT.glob(pattern))
GIVEN = {"notify": "team@example.com", "instance_profile": "arn:aws:iam::1:instance-profile/x"}
WORKSPACE = {
    "workspace.file_path": "/Workspace/x/files",
    "workspace.current_user.userName": "a@example.com",
    "workspace.current_user.short_name": "a",
}
KINDS = ("serverless", "classic")
GRAPH = {
    "ownapp": set(),
    "swiggy": {"ownapp"},
    "instore": {"ownapp"},
    "customers": {"swiggy", "instore"},
    "scores": {"customers"},
    "segments": {"scores"},
    "microsegments": {"segments"},
    "report": {"microsegments"},
}


def values(target: str) -> dict[str, str]:
    """Every variable of a target; those without a default must be given."""
    body = BUNDLE["targets"][target]
    found = {name: each["default"] for name, each in BUNDLE["variables"].items() if "default" in each}
    found |= GIVEN | body.get("variables", {})
    assert found.keys() == BUNDLE["variables"].keys()
    known = {f"var.{name}": value for name, value in found.items()} | WORKSPACE
    return known | {f"resources.schemas.{key}.name": body["name"] for key, body in resources("schemas").items()}


def resolved(node: Any, known: dict[str, str]) -> Any:
    """The node with every ``${…}`` replaced; an unknown one is a KeyError."""
    if isinstance(node, dict):
        return {key: resolved(value, known) for key, value in node.items()}
    if isinstance(node, list):
        return [resolved(value, known) for value in node]
    if not isinstance(node, str):
        return node
    once = re.sub(r"\$\{([^}]+)\}", lambda match: known[match[1]], node)
    return once if once == node else resolved(once, known)


def jobs(target: str) -> dict[str, dict[str, Any]]:
    """The jobs of a target by name, every variable replaced."""
    found: dict[str, dict[str, Any]] = {}
    for name, job in resources("jobs").items():
        found[name] = resolved(job, values(target))
    return found


def resources(kind: str) -> dict[str, Any]:
    """The resources of a kind of all files, by key."""
    found: dict[str, Any] = {}
    for path in FILES:
        some = yaml.safe_load(path.read_text())["resources"].get(kind, {})
        assert not found.keys() & some.keys()
        found |= some
    return found


def entry_points() -> dict[str, str]:
    """The console scripts of setup.py, by name."""
    tree = ast.parse((CHECKOUT / "setup.py").read_text())
    (given,) = (node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "entry_points")
    lines = ast.literal_eval(given)["console_scripts"]
    return {name.strip(): place.strip() for name, place in (line.split("=") for line in lines)}


def tasks(target: str = "prod") -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(job, task) for each task of a target."""
    for job in jobs(target).values():
        for task in job["tasks"]:
            yield job, task
