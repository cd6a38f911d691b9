"""Print the spark-submit options for a job's config file, NUL-separated: settings that Spark needs at its start.

Usage: start_settings.py ARGUMENT…, with all arguments of the spark-submit command.
"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from blitz.spark.settings import problem_of

DRIVER_OPTIONS = "spark.driver.extraJavaOptions"
# On few cores the parallel collector needs 13 % less processor time than G1 (benchmarks/RESULTS.md).
PARALLEL_GC = "-XX:+UseParallelGC"
# The second compiler has half of a short run's processor time, most of it for a few huge generated methods, which wait
# for it in slow code: these stay with the first compiler. 2 million orders took 114 and 122 s before, then 91 and 100 s
# (benchmarks/RESULTS.md).
NO_HUGE_METHODS = "-XX:MaxNodeLimit=10000 -XX:NodeLimitFudgeFactor=1000"


def settings(arguments: list[str]) -> dict[str, str]:
    """Return the Spark settings of the config file that the job's arguments name, and the driver's JVM options."""
    job = next((at for at, word in enumerate(arguments) if word.endswith(".py")), len(arguments))
    given, job_arguments = arguments[:job], arguments[job + 1 :]
    found: dict[str, str] = {}
    path = None
    for at, word in enumerate(job_arguments):
        if word == "--conf" and at + 1 < len(job_arguments):
            path = job_arguments[at + 1]
        elif word.startswith("--conf="):
            path = word.removeprefix("--conf=")
    if path and Path(path).is_file():
        try:
            body = json.loads(Path(path).read_text(encoding="utf-8-sig")).get("spark", {})
            wanted = {key: _text(value) for key, value in body.items() if key.startswith("spark.")}
        except (OSError, ValueError, AttributeError, RecursionError):  # the job reports what is wrong with its config
            wanted = {}
        found = {key: value for key, value in wanted.items() if problem_of(key, value) is None}
    if not any("--driver-java-options" in word or word.startswith(f"{DRIVER_OPTIONS}=") for word in given):
        options = found.get(DRIVER_OPTIONS, "")
        for set_by_user, option in (
            (r"-XX:\+Use\w+GC\b", PARALLEL_GC),
            (r"-XX:(MaxNodeLimit|TieredStopAtLevel)=", NO_HUGE_METHODS),
        ):
            if not re.search(set_by_user, options):
                options = f"{options} {option}".strip()
        found[DRIVER_OPTIONS] = options
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    words = [word for key, value in settings(sys.argv[1:]).items() for word in ("--conf", f"{key}={value}")]
    sys.stdout.write("".join(word + "\0" for word in words))
