"""The table of steps: order, waves, inputs, outputs, manifest names and the hint how to resume."""

import json
from pathlib import Path
from typing import Any

import pytest

from blitz.config import Config, load_config
from blitz.errors import BlitzError, ConfigError, InputError, StepError
from blitz.run.manifest import manifest_path, read_manifests
from blitz.run.preflight import check_published_inputs
from blitz.run.steps import STEPS, chosen_steps, inputs_of, output_path, resume_hint, waves
from places import CHECKOUT

ALL = ("ownapp", "swiggy", "instore", "customers", "scores", "segments", "microsegments")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    text = (CHECKOUT / "conf/local.json").read_text()
    return load_config(json.loads(text.replace("data/out/", f"{tmp_path}/out/")))


def test_steps_come_in_the_order_of_a_run() -> None:
    assert tuple(STEPS) == chosen_steps(None) == ALL
    assert chosen_steps(" segments,ownapp ") == ("ownapp", "segments")
    with pytest.raises(ConfigError, match="unknown step 'segment'; known: ownapp, swiggy"):
        chosen_steps("ownapp,segment")
    with pytest.raises(ConfigError, match="unknown step ''"):
        chosen_steps(" , ")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (ALL, [("ownapp",), ("swiggy", "instore"), ("customers",), ("scores", "segments"), ("microsegments",)]),
        (("instore", "swiggy"), [("swiggy", "instore")]),
        (("instore", "segments"), [("instore",), ("segments",)]),
        ((), []),
    ],
)
def test_steps_that_read_nothing_of_one_another_run_side_by_side(
    steps: tuple[str, ...], expected: list[Any], config: Config
) -> None:
    assert waves(steps, config) == expected


def test_segments_read_the_scores_where_they_list_a_column_of_theirs(tmp_path: Path) -> None:
    body = json.loads((CHECKOUT / "conf/local.json").read_text().replace("data/out/", f"{tmp_path}/out/"))
    body["segmentation"]["cols_to_keep"].append("missed_visits")
    config = load_config(body)
    assert waves(ALL, config)[-3:] == [("scores",), ("segments",), ("microsegments",)]
    assert [step.name for step in inputs_of(config, ("segments",)).values()] == ["customers", "scores"]
    assert list(inputs_of(config, ("segments",)))[1] == output_path(config, "scores")
    assert config.segmentation.scores_path == f"{Path(output_path(config, 'customers')).parent}/users_scores.parquet"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (ALL, []),
        (("ownapp",), []),
        (("instore",), ["ownapp"]),
        (("swiggy", "customers"), ["ownapp", "instore"]),
        (("segments",), ["customers"]),
        (("microsegments",), ["customers", "segments"]),
        (("segments", "microsegments"), ["customers"]),
        (("scores",), ["ownapp", "swiggy", "instore", "customers"]),
    ],
)
def test_what_a_run_of_some_steps_reads(steps: tuple[str, ...], expected: list[str], config: Config) -> None:
    needed = inputs_of(config, steps)
    assert [step.name for step in needed.values()] == expected
    assert list(needed) == [output_path(config, name) for name in expected]  # local.json reads where it writes


def test_an_input_is_where_the_config_reads_it_and_not_where_another_run_writes() -> None:
    body = json.loads((CHECKOUT / "conf/local.json").read_text())
    body["segmentation"]["input_path"] = "elsewhere/customers.parquet"
    assert list(inputs_of(load_config(body), ("segments",))) == ["elsewhere/customers.parquet"]


def test_missing_inputs_are_listed_with_the_step_that_makes_them(config: Config) -> None:
    with pytest.raises(InputError) as caught:
        check_published_inputs(config, ("swiggy", "microsegments"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "inputs are missing:"
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        "no ownapp order features there; run the step ownapp first",
        "no customer features there; run the step customers first",
        "no segments there; run the step segments first",
    ]
    for step in ("ownapp", "customers", "segments"):
        Path(output_path(config, step)).mkdir(parents=True)
    check_published_inputs(config, ("swiggy", "microsegments"))


@pytest.mark.parametrize(
    ("steps", "done", "expected"),
    [
        (ALL, ALL[:4], "resume with --steps scores,segments,microsegments"),
        (ALL, ("ownapp", "instore"), "resume with --steps swiggy,customers,scores,segments,microsegments"),
        (("customers", "segments"), ("customers",), "resume with --steps segments"),
        (ALL, (), None),  # nothing to keep: run it again
        (("segments",), ("segments",), None),
    ],
)
def test_the_hint_how_to_resume(steps: tuple[str, ...], done: tuple[str, ...], expected: str | None) -> None:
    assert resume_hint(steps, done) == expected


def test_the_error_of_a_step_has_its_parts_and_the_exit_code_of_its_cause() -> None:
    cause = ConfigError(["spark.x: unknown"])
    error = StepError("segments", cause, str(cause), "resume with --steps segments")
    assert (error.step, error.exit_code, error.hint) == ("segments", 2, "resume with --steps segments")
    assert str(error).startswith("segments: 1 problem in the config") and not error.is_unexpected
    other = StepError("swiggy", MemoryError(), "out of memory")
    assert (other.exit_code, other.hint, other.is_unexpected) == (1, None, True)
    assert (BlitzError("gone", path="a.csv").path, str(BlitzError("gone", path="a.csv"))) == ("a.csv", "a.csv: gone")


def test_manifests_are_found_under_the_names_that_they_are_written_to(config: Config, tmp_path: Path) -> None:
    runs = [ALL, ("ownapp",), ("segments", "microsegments")]
    paths = [manifest_path(config, steps) for steps in runs]
    folder = f"{tmp_path}/out/users"
    assert paths[0] == f"{Path(output_path(config, 'customers')).parent}/manifest.json"
    assert Path(paths[1]).name == "manifest.ownapp.json"
    assert paths[2] == f"{Path(output_path(config, 'segments')).parent}/manifest.segments_microsegments.json"
    for path, steps in zip(paths, runs, strict=True):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps({"run_id": "_".join(steps), "steps": {}}))
    Path(paths[0]).with_name("manifest.old.json").write_text(json.dumps({"run_id": "no steps", "steps": {}}))
    Path(paths[0]).with_name("manifest.customers.json").write_text("[]")
    found = {body["run_id"] for body in read_manifests(config)}
    assert found == {"_".join(steps) for steps in runs}, folder


def test_a_config_of_one_body_has_the_manifests_of_its_steps(tmp_path: Path) -> None:
    body = json.loads((CHECKOUT / "conf/local.json").read_text())["segmentation"]
    body |= {"input_path": f"{tmp_path}/in", "output_segments_path": f"{tmp_path}/segments.par"}
    config = load_config(segmentation=body)
    Path(manifest_path(config, ["segments"])).write_text(json.dumps({"steps": {}}))
    assert list(read_manifests(config)) == [{"steps": {}}]
