"""An S3 of our own for tests: moto's server on a free loopback port.

Use it by ``from s3_fixtures import moto_server`` (the import registers the fixture) or ``pytest_plugins``.
"""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.error import URLError

import boto3
import pytest

from blitz import storage
from blitz.errors import InputError

HADOOP_AWS = "org.apache.hadoop:hadoop-aws:3.4.1"  # the Hadoop version that pyspark 4.0.1 bundles


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_moto() -> Iterator[str]:
    """moto's server for the length of the block; gives its endpoint URL."""
    endpoint = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=5).close()
                break
            except (URLError, OSError):
                if time.monotonic() > deadline or server.poll() is not None:
                    raise
                time.sleep(0.1)
        yield endpoint
    finally:
        server.terminate()
        server.wait(timeout=30)


def aws_environment(endpoint: str) -> dict[str, str]:
    """The variables by which boto3 (and s3a, through its environment provider) find moto's server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def s3a_conf(endpoint: str) -> dict[str, str]:
    """Spark conf with which ``s3://`` and ``s3a://`` reach moto's server."""
    return {
        "spark.jars.packages": HADOOP_AWS,
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.access.key": "testing",
        "spark.hadoop.fs.s3a.secret.key": "testing",
    }


@pytest.fixture(scope="module")
def moto_server() -> Iterator[str]:
    """The endpoint of a running S3 without buckets, for the module's tests; the AWS_* environment points at it."""
    patch = pytest.MonkeyPatch()
    with running_moto() as endpoint:
        for name, value in aws_environment(endpoint).items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
        storage.configure()
        try:
            yield endpoint
        finally:
            patch.undo()
            storage.configure()


@pytest.fixture
def bucket(moto_server: str) -> str:
    """A fresh bucket of moto's server; gives its name."""
    name = f"bucket-{time.time_ns()}"
    boto3.client("s3", endpoint_url=moto_server).create_bucket(Bucket=name)
    return name


class Calls:
    """The S3 calls of this process, which a test can count or make fail before they are sent.

    ``before(hook)`` calls ``hook`` with the name of each call in the block (``PutObject`` …), listings left out.
    """

    def __init__(self, session: boto3.Session) -> None:
        self._hook: Callable[[str], None] | None = None
        session.events.register("before-call.s3", self._observe)

    def _observe(self, event_name: str, **_: object) -> None:
        name = event_name.rpartition(".")[2]
        if self._hook and not name.startswith("List"):
            self._hook(name)

    @contextmanager
    def before(self, hook: Callable[[str], None]) -> Iterator[None]:
        self._hook = hook
        try:
            yield
        finally:
            self._hook = None


@pytest.fixture
def calls(moto_server: str) -> Iterator[Calls]:
    """Calls of this process on moto's server; see ``Calls``."""
    session = boto3.Session()
    made = Calls(session)
    storage.configure(boto3_session=session)
    yield made
    storage.configure()


def bury(path: str) -> None:
    """Make the owner of an output's lock look dead: its process id belongs to a process born at another time."""
    folder, _, name = path.rpartition("/")
    lock = f"{folder}/.{name}.blitz.lock"
    with suppress(InputError):  # it died before it had the lock
        owner = json.loads(storage.read_bytes(lock))
        storage.write_bytes(lock, json.dumps(owner | {"born": "0"}).encode())
