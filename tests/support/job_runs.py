"""Jobs as a user starts them, in a process of their own, on either engine."""

import os
import subprocess
import sys
from pathlib import Path

from places import CHECKOUT

ENGINES = ("sail", "spark")
# A JVM of a minute or two: the second compiler and the threads of the other collectors do not pay.
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# For samples of a few thousand orders, where nothing runs often enough to be worth compiling: half the time of a run.
QUICK = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.extraJavaOptions": JVM,
    "spark.executor.extraJavaOptions": JVM,
    "spark.driver.host": "127.0.0.1",
}


def as_options(conf: dict[str, str]) -> list[str]:
    """Spark settings as spark-submit takes them."""
    return [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]


def command_of(engine: str, job: str, *arguments: str, submit: tuple[str, ...] = ("--master", "local[2]")) -> list[str]:
    """The command of a job: by Python on Sail, by spark-submit.sh with the options ``submit`` on Spark."""
    script = f"{CHECKOUT}/jobs/{job}.py"
    if engine == "sail":
        return [sys.executable, script, *arguments, "--engine", "sail"]
    return [f"{CHECKOUT}/spark-submit.sh", *submit, script, *arguments]


def environment(*without: str, **more: str) -> dict[str, str]:
    """The environment of this process without settings of an engine, and without names that begin like ``without``."""
    gone = ("SPARK", "PYSPARK", "SAIL", *without)
    bare = {name: value for name, value in os.environ.items() if not name.startswith(gone)}
    return {**bare, "BLITZ_VENV": str(Path(sys.executable).parents[1]), **more}


def run_tests_apart(path: str, *options: str) -> None:
    """Run the tests of a file of the checkout in a process of their own, since Spark must start with other jars."""
    folders = ("lib", "tests", "tests/support", "benchmarks", "scripts")
    python_path = os.pathsep.join(str(CHECKOUT / folder) for folder in folders)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "--durations=5"]
    env = environment(PYTHONPATH=python_path, PYSPARK_PYTHON=sys.executable)
    ran = subprocess.run(
        [*command, *options, str(CHECKOUT / path)], env=env, cwd=CHECKOUT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout[-6000:]
