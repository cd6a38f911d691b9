"""One run per output: a lock beside the output, which a dead run cannot hold for ever.

On a local disk the kernel holds the lock (``flock``) and drops it when the process dies, however it dies. Elsewhere the
lock is a small file with an owner and a heartbeat (a lease): it is taken over when its owner is known to be dead (same
machine, process gone) or gave no sign of life for ``LEASE_SECONDS``.
"""

import errno
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
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

Held = Callable[[], None]  # raises PublishError where the lock is no longer ours


class LeaseConflict(Exception):
    """Somebody else created or changed the lease in between."""


@dataclass(frozen=True)
class LeaseState:
    """A lease as it was read: its content, a tag that changes with every write, seconds since its last heartbeat."""

    data: bytes
    tag: str
    age: float


class LeaseFile(Protocol):
    """Where a lease is kept; writes that lose a race raise LeaseConflict."""

    path: str

    def create(self, data: bytes) -> str: ...
    def read(self) -> LeaseState | None: ...
    def replace(self, data: bytes, tag: str) -> str: ...
    def remove(self) -> None: ...


@contextmanager
def flock(lock_path: str, output: str, run_id: str) -> Iterator[Held]:
    """Hold the kernel's lock on ``lock_path`` for the block; raises PublishError at once where another run has it."""
    if fcntl is None:
        raise NotImplementedError("no flock on this system")
    handle = _open_locked(lock_path, output)
    try:
        os.truncate(handle, 0)
        os.pwrite(handle, json.dumps(_owner(run_id)).encode(), 0)
        yield lambda: None
    finally:
        # Unlinked while still locked, so that nobody can lock a name that is about to vanish.
        with suppress(FileNotFoundError):
            os.unlink(lock_path)
        os.close(handle)


def flock_works(folder: str) -> bool:
    """Whether the file system of a folder knows flock; mounts of object stores often do not."""
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
                f"{output}: run {owner.get('run_id', '?')} (process {owner.get('pid', '?')}) is publishing to this "
                "output; wait until it ends, or stop that process, then run again"
            ) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


@contextmanager
def lease(file: LeaseFile, output: str, run_id: str) -> Iterator[Held]:
    """Hold a lease for the block, with a heartbeat; raises PublishError at once where a living run has it."""
    holder = _Lease(file, output, run_id)
    holder.acquire()
    beat = threading.Thread(target=holder.beat_on, name="blitz-publish-lease", daemon=True)
    beat.start()
    try:
        yield holder.renew
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
                _log.warning("%s: taking over the lock of run %s, which is dead", self.output, owner.get("run_id"))
                self.tag = self.file.replace(self._data(), state.tag)
                return
        except LeaseConflict:
            owner = {}
        raise PublishError(
            f"{self.output}: run {owner.get('run_id', '?')} on {owner.get('host', '?')} is publishing to this output "
            f"(last sign of life {state.age if state else 0:.0f} s ago); wait until it ends. A dead run's lock "
            f"lapses after {LEASE_SECONDS // 60} minutes; to go on sooner, make sure that it is dead and delete "
            f"{self.file.path}"
        )

    def renew(self) -> None:
        """Prove that the lease is still ours, by a heartbeat that only its owner can make."""
        with self.guard:
            try:
                if not self.lost:
                    self.tag = self.file.replace(self._data(), self.tag)
            except LeaseConflict:
                self.lost = True
            if self.lost:
                raise PublishError(
                    f"{self.output}: another run took this run's lock {self.file.path} over; nothing was published"
                )

    def beat_on(self) -> None:
        while not self.stop.wait(BEAT_SECONDS):
            try:
                self.renew()
            except PublishError:
                return  # remembered as lost: the run stops before its swap
            except BlitzError as error:
                _log.warning("heartbeat failed, will try again: %s", error)

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
    """What two processes share only when each can tell whether the other lives: the boot and the process namespace."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as boot:
            return f"{boot.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """The start time of a process in kernel ticks, which tells it from a later one of the same number."""
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


class LocalLeaseFile:
    """A lease on a mount without flock."""

    def __init__(self, path: str) -> None:
        self.path = path

    def create(self, data: bytes) -> str:
        try:
            with open(self.path, "xb") as file:
                file.write(data)
        except FileExistsError:
            raise LeaseConflict from None
        return data.decode()

    def read(self) -> LeaseState | None:
        try:
            with open(self.path, "rb") as file:
                data = file.read()
            return LeaseState(data, data.decode(), time.time() - os.stat(self.path).st_mtime)
        except FileNotFoundError:
            return None

    def replace(self, data: bytes, tag: str) -> str:
        state = self.read()
        if state is None or state.tag != tag:
            raise LeaseConflict
        with open(self.path, "wb") as file:
            file.write(data)
        return data.decode()

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path)
