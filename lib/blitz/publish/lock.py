"""One run per output: a lock next to the output that does not outlive its process.

On a local disk it is a kernel lock (``flock``), which ends with the process, however it dies. Elsewhere it is a small
file with an owner and a heartbeat (a lease): another run takes it over when the owner is known to be dead (same
machine, process gone) or missed its heartbeats for ``LEASE_SECONDS``.
"""

import errno
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from blitz.errors import BlitzError, PublishError

try:
    import fcntl
except ImportError:  # Windows has no flock; the lease does there
    fcntl = None  # type: ignore[assignment]

LEASE_SECONDS = 300
BEAT_SECONDS = 30
_NO_FLOCK = {errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK, errno.EPERM}
_log = logging.getLogger(__name__)


class LockGuard(Protocol):
    """A lock that this run has taken."""

    def assert_held(self) -> None:
        """Raise PublishError where another run has taken over the lock."""


class LeaseConflict(Exception):
    """Another process created or changed the lease first."""


@dataclass(frozen=True)
class LeaseState:
    """A lease as it was read: its content, a tag that changes with every write, seconds since its last heartbeat."""

    data: bytes
    tag: str
    age: float


class LeaseFile(Protocol):
    """The file of a lease. Methods raise InputError where the storage refuses a call."""

    path: str

    def create(self, data: bytes) -> str:
        """Create the file and return its tag; LeaseConflict where it exists."""

    def read(self) -> LeaseState | None:
        """The lease as it is now; None where there is no file."""

    def replace(self, data: bytes, tag: str) -> str:
        """Replace the content and return the new tag; LeaseConflict where the file no longer has ``tag``."""

    def remove(self) -> None:
        """Remove the file; a missing one is no error."""


class _KernelLock:
    """A guard for ``flock``: the kernel gives the lock to nobody else while this process lives."""

    def assert_held(self) -> None:
        return None


@contextmanager
def flock(lock_path: str, output: str, run_id: str) -> Iterator[LockGuard]:
    """Take the kernel lock on ``lock_path`` for the block; PublishError at once where another run has it."""
    if fcntl is None:
        raise NotImplementedError("no flock on this system")
    handle = _open_locked(lock_path, output)
    try:
        os.truncate(handle, 0)
        os.pwrite(handle, json.dumps(_owner(run_id)).encode(), 0)
        yield _KernelLock()
    finally:
        # Unlinked while still locked, so that nobody can lock a name that is about to vanish.
        with suppress(FileNotFoundError):
            os.unlink(lock_path)
        os.close(handle)


def flock_works(folder: str) -> bool:
    """Whether the file system of a folder supports flock; mounts of object stores often do not."""
    if fcntl is None:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_FLOCK
    finally:
        os.close(handle)
    return True


def _open_locked(lock_path: str, output: str) -> int:
    while True:
        handle = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.stat(lock_path).st_ino == os.fstat(handle).st_ino:
                    return handle
        except BlockingIOError:
            owner = _parsed(os.pread(handle, 4096, 0))
            os.close(handle)
            raise PublishError(
                f"run {owner.get('run_id', '?')} (process {owner.get('pid', '?')}) is publishing to this "
                "output; wait until it ends, or stop that process, then run again",
                path=output,
            ) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


@contextmanager
def lease(file: LeaseFile, output: str, run_id: str, *, beat_seconds: float = BEAT_SECONDS) -> Iterator[LockGuard]:
    """Take a lease for the block and send heartbeats; PublishError at once where a living run has it."""
    holder = _Lease(file, output, run_id)
    holder.acquire()
    beat = threading.Thread(target=holder.send_heartbeats, args=(beat_seconds,), name="blitz-lease", daemon=True)
    beat.start()
    try:
        yield holder
    finally:
        holder.stop.set()
        beat.join()
        holder.release()


class _Lease:
    def __init__(self, file: LeaseFile, output: str, run_id: str) -> None:
        self.file, self.output = file, output
        self.owner = _owner(run_id) | {"token": uuid.uuid4().hex}
        self.stop, self.guard = threading.Event(), threading.Lock()
        self.tag, self.lost = "", False

    def acquire(self) -> None:
        state = None
        try:
            self.tag = self.file.create(self._data())
            return
        except LeaseConflict:
            state = self.file.read()
        try:
            if state is None:  # released between the two calls
                self.tag = self.file.create(self._data())
                return
            owner = _parsed(state.data)
            if _is_dead_here(owner) or state.age > LEASE_SECONDS:
                _log.warning("%s: taking over the lock of run %s, which died", self.output, owner.get("run_id"))
                self.tag = self.file.replace(self._data(), state.tag)
                return
        except LeaseConflict:
            owner = {}
        raise PublishError(
            f"run {owner.get('run_id', '?')} on {owner.get('host', '?')} is publishing to this output "
            f"(last heartbeat {state.age if state else 0:.0f} s ago); wait until it ends. The lock of a dead run "
            f"expires after {LEASE_SECONDS // 60} minutes; to continue sooner, make sure that it is dead and delete "
            f"{self.file.path}",
            path=self.output,
        )

    def assert_held(self) -> None:
        """Send a heartbeat, which only the owner of the lease can do."""
        with self.guard:
            try:
                if not self.lost:
                    self.tag = self.file.replace(self._data(), self.tag)
            except LeaseConflict:
                self.lost = True
            if self.lost:
                raise PublishError(
                    f"another run took over this run's lock {self.file.path}; nothing was published", path=self.output
                )

    def send_heartbeats(self, every_seconds: float) -> None:
        while not self.stop.wait(every_seconds):
            try:
                self.assert_held()
            except PublishError:
                return  # `lost` is set: the run stops before its swap
            except BlitzError as error:
                _log.warning("heartbeat failed, retrying: %s", error)

    def release(self) -> None:
        if not self.lost:
            state = self.file.read()
            if state is not None and state.tag == self.tag:
                self.file.remove()

    def _data(self) -> bytes:
        return json.dumps(self.owner | {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}).encode()


def _owner(run_id: str) -> dict[str, Any]:
    return {"run_id": run_id, "host": socket.gethostname(), "pid": os.getpid(), "machine": _machine()} | {
        "born": _born(os.getpid())
    }


def _machine() -> str:
    """Boot and process namespace: processes that share them can tell whether the other is alive."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as boot:
            return f"{boot.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """The start time of a process in kernel ticks, which tells it from a later process with the same id."""
    try:
        with open(f"/proc/{pid}/stat") as status:
            state, *rest = status.read().rpartition(")")[2].split()
            return "" if state in "ZX" else rest[18]
    except OSError:
        return ""


def _is_dead_here(owner: dict[str, Any]) -> bool:
    machine = _machine()
    if not machine or owner.get("machine") != machine or not isinstance(owner.get("pid"), int):
        return False
    return _born(owner["pid"]) != owner.get("born")


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
