"""What stopped a run, in one line: the innermost cause of an error of Spark or a Python worker, and the way out."""

import re

_JAVA_CAUSE = re.compile(r"^\s*Caused by: (\S.*)$", re.MULTILINE)
_TASK_CAUSE = re.compile(r"most recent failure: Lost task .*?\): (\S.*)$", re.MULTILINE)
_PYTHON_CAUSE = re.compile(r"^\s*(?:\w+\.)*(\w+(?:Error|Exception)\b.*)$", re.MULTILINE)
_JAVA_ERROR = re.compile(r"^: (\S.*)$", re.MULTILINE)  # the line after "An error occurred while calling …"
_PACKAGE = re.compile(r"^(?:[a-z][\w$]*\.)+(?=[A-Z])")
_FILE = re.compile(r"rror while reading file (\S+?)\.?(?=\s|$)", re.MULTILINE)  # the innermost cause names none
_LONGEST = 300
_WAYS_OUT = {
    "No space left on device": "free space where Spark keeps its files (spark.local.dir) and where the outputs go",
    "OutOfMemoryError": "give Spark more with spark.driver.memory, on a cluster spark.executor.memory",
    "Java heap space": "give Spark more with spark.driver.memory, on a cluster spark.executor.memory",
    "Resources exhausted": "the data is too large for run.memory on this machine; raise it, or use --engine spark",
    "Could not parse Master URL": "set spark.master to local[*], yarn, spark://HOST:PORT or k8s://URL",
}
_JVM_GONE = ("Py4JNetworkError", "ConnectionRefusedError", "ConnectionResetError")


def reason(error: BaseException) -> str:
    """The cause of an unexpected error in one line of at most some hundred characters, with the way out where known."""
    if type(error).__name__ in _JVM_GONE:
        return (
            "the Spark process ended: it was killed or ran out of memory; if memory ran out, give it more with "
            "spark.driver.memory"
        )
    text = str(error)
    cause = _innermost(text) or (text.strip().splitlines() or [""])[0]
    line = _PACKAGE.sub("", cause.strip())[:_LONGEST]
    file = _FILE.search(text)
    if file and file[1] not in line:
        line = f"{line} ({file[1]})"
    if not re.match(r"\w+(Error|Exception)\b", line):
        line = f"{type(error).__name__}: {line}"
    way_out = next((out for sign, out in _WAYS_OUT.items() if sign in text), None)
    return f"{line}; {way_out}" if way_out else line


def _innermost(text: str) -> str | None:
    if "Traceback (most recent call last)" in text:  # of a Python worker; the Java trace below it says less
        worker = text.split("Traceback (most recent call last)", 1)[1]
        found = _PYTHON_CAUSE.search(worker)
        return found[1] if found else None
    for pattern in (_JAVA_CAUSE, _TASK_CAUSE, _JAVA_ERROR):
        causes = pattern.findall(text)
        if causes:
            return str(causes[-1])
    return None
