"""Runs that die: kill -9 at ten moments on Sail and at two on Spark, an executor killed, two runs at once.

When a run on one sample dies, the outputs are those of the other sample: each must then be complete and one of the two.
"""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

import compare
import pandas_pipeline
from blitz_sample.generate import write_sample
from job_runs import QUICK, command_of, environment
from places import CHECKOUT

pytestmark = pytest.mark.slow

ORDERS = 3000
MOMENTS = {"sail": 10, "spark": 2}  # the code that publishes is the same, and a run on Spark takes five times as long
LOGGED = " INFO "  # a line of the run itself: a step began, its gates held, it has published
LAST = 8  # lines from the first published output on: all steps with gates, then the start and the end of each other
Tables = dict[str, pd.DataFrame]


class Runs:
    """Runs of jobs/run_all.py on one of two samples, to the same outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expected: dict[str, Tables] = {}
        for name, seed in (("a", 5), ("b", 6)):
            write_sample(ORDERS, seed, f"{folder}/{name}")
            text = (CHECKOUT / "conf/local.json").read_text()
            text = text.replace("data/sample/", f"{folder}/{name}/").replace("data/out/", f"{folder}/out/")
            body = json.loads(text)
            body["spark"] |= QUICK
            (folder / f"{name}.json").write_text(json.dumps(body))
            self.expected[name] = pandas_pipeline.run(body)
        self.outputs = {step: Path(path) for step, path in compare.output_paths(body).items()}

    def start(self, name: str, engine: str, *arguments: str, master: str = "local[2]") -> subprocess.Popen[str]:
        conf = ("--conf", f"{self.folder}/{name}.json", "--no-report")
        command = command_of(engine, "run_all", *conf, *arguments, submit=("--master", master))
        places = environment(TMPDIR=str(self.folder), SPARK_LOCAL_DIRS=f"{self.folder}/local")
        out, err = subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen(
            command, cwd=CHECKOUT, env=places, stdout=out, stderr=err, text=True, start_new_session=True
        )

    def complete(self, name: str, engine: str) -> int:
        """Run from start to end; the number of lines that the run logs."""
        process = self.start(name, engine)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said[-3000:]
        return said.count(LOGGED)

    def shuffled(self) -> set[Path]:
        """The shuffle files of the live executors."""
        return set(self.folder.glob("local/**/shuffle_*.data"))

    def which(self, *steps: str) -> dict[str, list[str]]:
        """For each output, or those of some steps, the samples whose complete result it is."""
        tables = {step: compare.read(str(self.outputs[step])) for step in steps or self.outputs}
        return {
            step: [
                name
                for name, expected in self.expected.items()
                if compare.differences(expected[step], found, compare.KEYS[step]) == []
            ]
            for step, found in tables.items()
        }

    def left_over(self) -> list[str]:
        """Files next to the outputs that do not belong there."""
        inside = tuple(f"{path}/" for path in self.outputs.values())
        found = [path for path in (self.folder / "out").rglob("*") if path.is_file()]
        foreign = [str(path) for path in found if not str(path).startswith(inside) and "quarantine" not in path.parts]
        manifests = {str(path) for path in self.outputs["customers"].parent.glob("manifest*.json")}
        return [path for path in foreign if path not in manifests]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    made = Runs(tmp_path_factory.mktemp("killed"))
    for step, rows in made.expected["b"].items():
        assert compare.differences(made.expected["a"][step], rows, compare.KEYS[step]) != []
    return made


def gone(group: int) -> bool:
    """Whether all processes of a group have ended."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for_lines(process: subprocess.Popen[str], count: int) -> None:
    """Return as soon as a run has logged so many lines, however fast the machine is."""
    assert process.stdout is not None
    said = []
    while count:
        said.append(line := process.stdout.readline())
        assert line, f"it ended before: {''.join(said)[-3000:]}"
        count -= LOGGED in line


def kill(process: subprocess.Popen[str], *, with_python: bool) -> None:
    """kill -9 of the JVM of the driver, with its Python process or alone: then Python must end by itself."""
    if with_python:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while not gone(process.pid):
        assert time.monotonic() < deadline, "Python is alive without its JVM"
        time.sleep(0.05)


@pytest.mark.parametrize("engine", list(MOMENTS))
def test_killed_at_moments_of_a_run(runs: Runs, engine: str) -> None:
    """Each run starts from what the killed one before it left, on the other sample. Both engines log the same lines."""
    seen, moments, lines = set(), MOMENTS[engine], runs.complete("a", "sail")
    assert set(map(tuple, runs.which().values())) == {("a",)}
    for number in range(moments):
        process = runs.start("ba"[number % 2], engine)
        spread = lines * (number + 1) // (moments + 1)
        wait_for_lines(process, spread if number % 2 else lines - LAST + LAST * number // moments)
        kill(process, with_python=number % 2 == 0)
        found = runs.which()
        assert all(len(samples) == 1 for samples in found.values()), (number, found)
        seen.add(tuple(sample for samples in found.values() for sample in samples))
    assert len(seen) > moments // 5  # some died before the first swap, some between two swaps
    runs.complete("b", "sail")  # whatever engine left it, the next run cleans up
    assert set(map(tuple, runs.which().values())) == {("b",)}
    assert runs.left_over() == []


def executors(group: int) -> list[int]:
    """The executors in a process group."""
    found = []
    for entry in (path for path in Path("/proc").iterdir() if path.name.isdigit()):
        try:
            words, its_group = (entry / "cmdline").read_bytes(), os.getpgid(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if its_group == group and b"CoarseGrainedExecutorBackend" in words:
            found.append(int(entry.name))
    return found


def test_an_executor_dies_in_the_middle_of_a_stage(runs: Runs) -> None:
    """It dies between map and reduce of Swiggy, and its shuffle files are lost."""
    steps = ("ownapp", "swiggy")
    process = runs.start("a", "spark", "--steps", ",".join(steps), master="local-cluster[2,1,1024]")
    said: list[str] = []
    swiggy_started = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "swiggy: started" in line:
                swiggy_started.set()
        swiggy_started.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert swiggy_started.wait(timeout=200)
    before, deadline = runs.shuffled(), time.monotonic() + 60
    while not runs.shuffled() - before:
        assert time.monotonic() < deadline and process.poll() is None, "".join(said)[-3000:]
        time.sleep(0.02)
    victims = executors(process.pid)
    assert len(victims) == 2, "".join(said)[-3000:]
    os.kill(victims[0], signal.SIGKILL)
    assert process.wait(timeout=300) == 0, "".join(said)[-3000:]
    listener.join()
    assert runs.which(*steps) == {"ownapp": ["a"], "swiggy": ["a"]}
    assert runs.left_over() == []


def test_two_runs_at_once(runs: Runs) -> None:
    """Both succeed, or one says that the other is publishing; the outputs are complete."""
    both = [runs.start("b", "sail"), runs.start("b", "sail")]
    said = [process.communicate(timeout=300)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 0], [0, 1]), said
    for process, text in zip(both, said, strict=True):
        if process.returncode:
            (message,) = [line for line in text.splitlines() if line.startswith("run_all: failed")]
            assert "is publishing to this output; wait until it ends" in message, message
            assert "Traceback" not in text
    assert set(map(tuple, runs.which().values())) == {("b",)}
    assert runs.left_over() == []
