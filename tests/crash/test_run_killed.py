"""Runs that die: kill -9 at ten moments on Sail and at five on Spark, an executor killed, two runs at once.

When a run on one sample dies, the outputs are those of the other sample: each must then be complete and one of the two.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

import compare
import pandas_pipeline
from blitz_sample.generate import write_sample

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]
ORDERS = 3000
MOMENTS = {"sail": 10, "spark": 5}  # the code that publishes is the same, and a run on Spark takes five times as long
# Nothing runs often enough to be worth compiling; that halves the time of a run.
QUICK = {
    "spark.sql.codegen.wholeStage": False,
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": 2,
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.driver.host": "127.0.0.1",
}
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

    def start(self, name: str, engine: str = "spark", master: str = "local[2]") -> subprocess.Popen[str]:
        job = ["jobs/run_all.py", "--conf", f"{self.folder}/{name}.json"]
        submit = ["./spark-submit.sh", "--master", master, *job]
        command = submit if engine == "spark" else [sys.executable, *job, "--engine", engine]
        bare = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK", "PYSPARK"))}
        environment = {**bare, "BLITZ_VENV": str(Path(sys.executable).parents[1]), "TMPDIR": str(self.folder)}
        environment["SPARK_LOCAL_DIRS"] = f"{self.folder}/local"
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def complete(self, name: str, engine: str = "spark") -> float:
        """A run from start to end; its seconds."""
        started = time.monotonic()
        process = self.start(name, engine)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, out[-3000:] + err[-3000:]
        return time.monotonic() - started

    def shuffled(self) -> set[Path]:
        """The shuffle files of the live executors."""
        return set(self.folder.glob("local/**/shuffle_*.data"))

    def read(self) -> Tables:
        return {step: compare.read(str(path)) for step, path in self.outputs.items()}

    def which(self) -> dict[str, list[str]]:
        """For each output, the samples whose complete result it is."""
        return {
            step: [
                name
                for name, tables in self.expected.items()
                if compare.differences(tables[step], found, compare.KEYS[step]) == []
            ]
            for step, found in self.read().items()
        }

    def left_over(self) -> list[str]:
        """Files next to the outputs that do not belong there."""
        inside = tuple(f"{path}/" for path in self.outputs.values())
        found = [path for path in (self.folder / "out").rglob("*") if path.is_file()]
        foreign = [str(path) for path in found if not str(path).startswith(inside) and "quarantine" not in path.parts]
        folder = self.outputs["customers"].parent
        run_files = {str(folder / name) for name in ("manifest.json", "report.html", "report.json")}
        return [path for path in foreign if path not in run_files]


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
    """Each run starts from what the killed one before it left, on the other sample."""
    seen, moments, length = set(), MOMENTS[engine], runs.complete("a", engine)
    assert set(map(tuple, runs.which().values())) == {("a",)}
    for number in range(moments):
        process = runs.start("ba"[number % 2], engine)
        try:
            process.wait(timeout=length * (number + 0.5) / moments)
        except subprocess.TimeoutExpired:
            kill(process, with_python=number % 4 < 2)
        process.communicate()
        found = runs.which()
        assert all(len(samples) == 1 for samples in found.values()), (number, found)
        seen.add(tuple(sample for samples in found.values() for sample in samples))
    assert len(seen) > moments // 5  # some died before the first swap, some between two swaps
    runs.complete("b", engine)
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
    """A minute and a half on two busy cores. It dies between map and reduce of Swiggy, and its shuffle files are lost."""
    process = runs.start("a", master="local-cluster[2,1,1024]")
    said: list[str] = []
    swiggy_started = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "swiggy: started" in line:
                swiggy_started.set()
        swiggy_started.set()

    assert process.stderr is not None
    listeners = [threading.Thread(target=listen), threading.Thread(target=process.stderr.read)]
    for listener in listeners:
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
    for listener in listeners:
        listener.join()
    assert set(map(tuple, runs.which().values())) == {("a",)}
    assert runs.left_over() == []


def test_two_runs_at_once(runs: Runs) -> None:
    """A minute. Both succeed, or one says that the other is publishing; the outputs are complete."""
    both = [runs.start("b"), runs.start("b")]
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
