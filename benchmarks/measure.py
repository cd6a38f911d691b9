"""A command measured as a user sees it: seconds, processor time and peak memory of its whole process tree."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.1  # seconds between two looks at the tree
SPARE = 1 << 30  # bytes that must stay free on the machine
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """What a command took. ``cpu`` and ``others``: processor seconds of its tree, and of everything else meanwhile."""

    seconds: float
    cpu: float
    others: float
    peak: int
    code: int
    out_of_memory: bool

    @property
    def load(self) -> float:
        """The share of the machine that other processes took: above a few per cent the seconds say little."""
        return self.others / (self.seconds * (os.cpu_count() or 1))


def machine_memory() -> int:
    """Bytes of memory of the machine."""
    return _meminfo("MemTotal")


def measure(
    command: Sequence[str],
    log: Path,
    limit: int,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Measured:
    """Run a command to its end, its output in ``log``; one whose tree grows over ``limit`` bytes is ended.

    Memory is the proportional set size (shared pages count once), read whenever the resident size has reached a new
    height. ``out_of_memory``: ended for its size, by the kernel's hand, or by an error of its own that says so.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    busy, began = _busy_seconds(), time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder, process_group=0
        )
    peak, too_large, used = _watch(process, limit)
    seconds = time.monotonic() - began
    cpu = used.ru_utime + used.ru_stime
    code = process.returncode
    starved = too_large or code == -signal.SIGKILL or (code != 0 and _says_out_of_memory(log))
    return Measured(seconds, cpu, max(0.0, _busy_seconds() - busy - cpu), peak, code, starved)


def _watch(process: "subprocess.Popen[bytes]", limit: int) -> tuple[int, bool, resource.struct_rusage]:
    """Wait for the end; the peak, whether the limit ended it, and what its tree used."""
    height = peak = 0
    too_large = False
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            _end_group(process.pid)
            return peak, too_large, used
        members = tree(process.pid)
        resident = sum(map(_resident, members))
        if resident > height:
            height, peak = resident, max(peak, sum(map(_proportional, members)))
        if not too_large and (peak > limit or _meminfo("MemAvailable") < SPARE):
            too_large = True
            _end_group(process.pid)
        time.sleep(INTERVAL)


def _end_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    parents: dict[int, int] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            text = _text(each / "stat")
            if text:
                parents[int(each.name)] = int(text.rpartition(")")[2].split()[1])
    members, added = {root}, True
    while added:
        fresh = {pid for pid, parent in parents.items() if parent in members} - members
        members |= fresh
        added = bool(fresh)
    return sorted(members)


def cpu_seconds(root: int) -> float:
    """Processor seconds until now of a process and all its descendants, those that ended included."""
    fields = [
        text.rpartition(")")[2].split()[11:15] for pid in tree(root) if (text := _text(Path(f"/proc/{pid}/stat")))
    ]
    return sum(int(ticks) for four in fields for ticks in four) / _TICKS


def _resident(pid: int) -> int:
    text = _text(Path(f"/proc/{pid}/statm"))
    return int(text.split()[1]) * _PAGE if text else 0


def _proportional(pid: int) -> int:
    for line in _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _text(path: Path) -> str:
    """A file of /proc; empty where its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _meminfo(name: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _busy_seconds() -> float:
    """Processor seconds that the machine has worked since it started, over all cores."""
    user, nice, system, _idle, _wait, irq, soft, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + soft) / _TICKS


def _says_out_of_memory(log: Path) -> bool:
    text = log.read_bytes()[-20_000:].decode(errors="replace")
    return any(words in text for words in ("MemoryError", "OutOfMemory", "Out of Memory", "Cannot allocate memory"))
