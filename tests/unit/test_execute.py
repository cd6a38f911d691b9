"""When the steps of a run publish: all of those with gates together, after the last gate; no engine."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import pytest

from blitz.config import Config
from blitz.errors import GateError, PublishError, StepError
from blitz.pipelines.context import RunContext, StepResult
from blitz.pipelines.outputs import RunOutputs, StagedStep
from blitz.publish.tables import Output, Published
from blitz.run.execute import run_steps
from blitz.run.steps import Preflight, Work

CHANNELS = ("ownapp", "swiggy", "instore")


class Runs:
    """Channel steps that only say what happens to their outputs; ``events`` has it in order."""

    def __init__(self, **failures: BaseException) -> None:
        self.events: list[str] = []
        self.failures = failures

    def stage(self, step: str, work: Work) -> StagedStep:
        output = work.outputs.open(f"out/{step}", self._publication(step))
        self.events.append(f"stage {step}")
        self._fail(f"stage_{step}")
        table = Published(f"out/{step}", 1, 1, 1)
        return StagedStep(StepResult(step, table, [], 0.5), output, lambda: self.events.append(f"finish {step}"))

    def _publication(self, step: str) -> AbstractContextManager[Output]:
        runs = self

        class FakeOutput:
            def commit(self) -> Published:
                runs._fail(f"commit_{step}")
                runs.events.append(f"commit {step}")
                return Published(f"out/{step}", 1, 2, 3)

        @contextmanager
        def publication() -> Any:
            try:
                yield FakeOutput()
            finally:
                runs.events.append(f"close {step}")

        return publication()

    def _fail(self, moment: str) -> None:
        if moment in self.failures:
            raise self.failures[moment]

    def start(self, steps: tuple[str, ...] = CHANNELS) -> list[StepResult]:
        nothing: Any = None  # no engine, no config: these steps ask for neither
        run_channel = cast(Callable[[str, Work], StagedStep], self.stage)
        return run_steps(cast(Config, nothing), nothing, Preflight(steps), RunContext("r"), run_channel)


def test_all_outputs_are_staged_before_the_first_is_published() -> None:
    runs = Runs()
    results = runs.start()
    assert sorted(runs.events[:3]) == ["stage instore", "stage ownapp", "stage swiggy"]
    assert runs.events[0] == "stage ownapp"
    assert runs.events[3:9] == [f"{what} {step}" for step in CHANNELS for what in ("commit", "finish")]
    assert sorted(runs.events[9:]) == ["close instore", "close ownapp", "close swiggy"]
    assert [(result.step, result.output.files, result.seconds >= 0.5) for result in results] == [
        (step, 2, True) for step in CHANNELS
    ]


@pytest.mark.parametrize("step", CHANNELS)
def test_a_step_that_fails_leaves_every_output_as_it_was(step: str) -> None:
    runs = Runs(**{f"stage_{step}": GateError(["the newest order is old (run.gates.freshness_days)"])})
    with pytest.raises(StepError, match="stopped before publishing") as caught:
        runs.start()
    assert not [event for event in runs.events if event.startswith(("commit", "finish"))]
    assert {event for event in runs.events if event.startswith("close")} >= {"close ownapp", f"close {step}"}
    assert (caught.value.step, caught.value.exit_code, caught.value.hint) == (step, 3, None)


def test_a_failure_between_two_outputs_says_what_is_left_to_do() -> None:
    runs = Runs(commit_swiggy=PublishError("the disk is full", path="out/swiggy"))
    with pytest.raises(StepError, match="^swiggy: out/swiggy: the disk is full") as caught:
        runs.start()
    assert [event for event in runs.events if event.startswith("commit")] == ["commit ownapp"]
    assert caught.value.hint == "resume with --steps swiggy,instore"


def test_a_run_of_one_step_is_staged_and_published() -> None:
    runs = Runs()
    assert [result.step for result in runs.start(("instore",))] == ["instore"]
    assert runs.events == ["stage instore", "commit instore", "finish instore", "close instore"]


def test_outputs_of_a_run_are_read_as_staged() -> None:
    staged: Any = object()

    class FakeOutput:
        def rows(self) -> Any:
            return staged

    @contextmanager
    def publication() -> Any:
        yield FakeOutput()

    nothing: Any = None
    outputs = RunOutputs(nothing, "parquet")
    with outputs:
        outputs.open("out/ownapp", publication())
        assert outputs.is_open("out/ownapp") and not outputs.is_open("out/swiggy")
        assert outputs.read("out/ownapp") is staged
    assert not outputs.is_open("out/ownapp")
