"""An S3 server for tests: moto's server on a free loopback port.

The fixtures are registered by ``tests/crash/conftest.py``.
"""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.error import URLError

import boto3
import pytest
from botocore.exceptions import ClientError

from blitz import storage

HADOOP_AWS = "org.apache.hadoop:hadoop-aws:3.4.1"  # the Hadoop version that pyspark 4.0.1 bundles


def free_port() -> int:
    """A loopback port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_moto() -> Iterator[str]:
    """moto's server for the block; yields its endpoint URL."""
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


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """The endpoint of one S3 server for all tests."""
    with running_moto() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def moto_server(moto_endpoint: str) -> Iterator[str]:
    """The endpoint of the server, with the AWS_* environment and ``storage`` pointing at it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environment(moto_endpoint).items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
        storage.configure()
        yield moto_endpoint
    storage.configure()


@pytest.fixture
def bucket(moto_server: str) -> str:
    """The name of a new bucket."""
    name = f"bucket-{time.time_ns()}"
    boto3.client("s3", endpoint_url=moto_server).create_bucket(Bucket=name)
    return name


Hook = Callable[[str, Mapping[str, Any]], object]  # gets the name of a call (``PutObject`` …) and its parameters


class Calls:
    """The S3 calls of this process, which a test can count, or let fail before they are sent."""

    def __init__(self, session: boto3.Session) -> None:
        self._hook: Hook | None = None
        session.events.register("provide-client-params.s3", self._observe)

    def _observe(self, event_name: str, params: Mapping[str, Any], **_: object) -> None:
        name = event_name.rpartition(".")[2]
        if self._hook and not name.startswith("List"):
            self._hook(name, params)

    @contextmanager
    def before(self, hook: Hook) -> Iterator[None]:
        """Call ``hook`` before each call of the block, listings left out."""
        self._hook = hook
        try:
            yield
        finally:
            self._hook = None


@pytest.fixture
def calls(moto_server: str) -> Iterator[Calls]:
    """The calls of this process on the server; see ``Calls``."""
    session = boto3.Session()
    observed = Calls(session)
    storage.configure(boto3_session=session)
    yield observed
    storage.configure()


def failing(name: str, code: str, at: int = 1) -> Hook:
    """A hook by which S3 answers an error to the ``at``-th call of a name, and to that one alone."""
    found: list[str] = []

    def hook(call: str, _: Mapping[str, Any]) -> None:
        found.append(call)
        if call == name and found.count(name) == at:
            raise ClientError({"Error": {"Code": code}}, name)

    return hook
