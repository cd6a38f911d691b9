"""Runs with everything on S3, by conf/prod.json itself; and S3 that refuses, does not answer, or lacks a file.

moto's server is the S3, a few lines of http.server the one that refuses. The first run on Spark downloads the jars of hadoop-aws.
The failures come before an engine starts, so these runs need no JVM.
"""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest

import compare
import pandas_pipeline
from blitz import storage
from blitz_sample.generate import write_sample
from job_runs import ENGINES, QUICK, as_options, command_of, environment
from places import CHECKOUT
from s3_fixtures import HADOOP_AWS, aws_environment, free_port

pytestmark = pytest.mark.slow

PROD = CHECKOUT / "conf/prod.json"
ORDERS = 5000
A_MINUTE = 60


def strings(body: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string in a config, with its path."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield from strings(value, (*at, key))
    elif isinstance(body, str):
        yield at, body


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(ORDERS, 5, str(folder))
    return folder


@pytest.fixture(scope="module")
def buckets(moto_server: str, sample: Path) -> Any:
    """The sample where conf/prod.json reads it: for each key, the file that conf/local.json reads."""
    client = boto3.client("s3", endpoint_url=moto_server)
    prod = dict(strings(json.loads(PROD.read_text())))
    for bucket in {path.split("/")[2] for path in prod.values() if path.startswith("s3://")}:
        client.create_bucket(Bucket=bucket)
    for place, local in strings(json.loads((CHECKOUT / "conf/local.json").read_text())):
        if not local.startswith("data/sample/"):
            continue
        source, target = sample / local.removeprefix("data/sample/").split("*")[0], prod[place].split("*")[0]
        files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
        for path in files:
            inside = str(path.relative_to(source)) if source.is_dir() else ""
            bucket, _, key = (target.rstrip("/") + "/" * bool(inside) + inside).removeprefix("s3://").partition("/")
            client.upload_file(str(path), bucket, key)
    return client


def run(engine: str, endpoint: str, seconds: float = 120) -> tuple[subprocess.CompletedProcess[str], float]:
    """run_all on conf/prod.json with no AWS settings but those of the server, and how long it took."""
    submit = ("--packages", HADOOP_AWS, *as_options(QUICK))
    command = command_of(engine, "run_all", "--conf", "conf/prod.json", submit=submit)
    places, started = environment("AWS_", **aws_environment(endpoint)), time.monotonic()
    done = subprocess.run(command, env=places, cwd=CHECKOUT, capture_output=True, text=True, timeout=seconds)
    return done, time.monotonic() - started


def message_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one message that a failed run ends with; nothing else may look like an error."""
    said = done.stderr + done.stdout
    assert done.returncode in (1, 2), said[-3000:]
    assert "Traceback" not in said and "Exception" not in said, said[-3000:]
    assert said.count("run_all: ") == 1, said[-3000:]
    return said[said.index("run_all: ") :]


@pytest.fixture(scope="module")
def published_by_sail(moto_server: str, buckets: Any) -> None:
    """The tables of conf/prod.json, written by Sail."""
    done, _ = run("sail", moto_server)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def expected(sample: Path) -> dict[str, pd.DataFrame]:
    """The tables of the sample by pandas; conf/prod.json computes what conf/local.json does."""
    return pandas_pipeline.run(
        json.loads((CHECKOUT / "conf/local.json").read_text().replace("data/sample", str(sample)))
    )


def table_of(folder: str) -> pd.DataFrame:
    """The rows of a Parquet table."""
    files = [info.path for info in storage.list_files(folder) if info.path.endswith(".parquet")]
    return pd.concat([compare.read(storage.open_input(path)) for path in files], ignore_index=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_conf_prod_unchanged(
    moto_server: str, buckets: Any, sample: Path, expected: dict[str, pd.DataFrame], engine: str
) -> None:
    """The second of the two runs replaces the tables of the first."""
    done, _ = run(engine, moto_server, 400)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    manifest = json.loads(storage.read_bytes("s3://blitz-mcdelivery/features/users/ownapp/manifest.json"))
    assert list(manifest["steps"]) == list(expected) and manifest["engine"] == engine
    for step, body in manifest["steps"].items():
        found = table_of(body["output"])
        assert compare.differences(expected[step], found, compare.KEYS[step]) == [], step
        assert body["rows"] == len(found) > 100 and body["files"] <= 8, step
        for account in body["accounts"]:
            assert account["read"] == account["kept"] + sum(account["dropped"].values()), (step, account)
    listed = [
        item["Key"]
        for bucket in ("blitz-mcdelivery", "data-mcdelivery")
        for item in buckets.list_objects_v2(Bucket=bucket)["Contents"]
    ]
    assert not [key for key in listed if "/." in key or "_temporary" in key]
    mapping = pd.read_csv(sample / "received_over_email/customer_invoice_mapping.csv", dtype=str)
    words = set(re.findall(r"[\w-]+", done.stdout + done.stderr))
    assert not words & {code for code in mapping["customer_code_ty"] if len(code) > 4}


def job_on_s3(endpoint: str, job: str, *arguments: str) -> str:
    """What a job prints on Sail with everything on S3; it must end well."""
    command, places = command_of("sail", job, *arguments), environment("AWS_", **aws_environment(endpoint))
    done = subprocess.run(command, env=places, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.usefixtures("published_by_sail")
def test_jobs_that_read_a_run(moto_server: str, expected: dict[str, pd.DataFrame]) -> None:
    """Report, export, training and explanation read the published tables and write next to them, on Sail."""
    conf, lists, models = ("--conf", "conf/prod.json"), "s3://blitz-mcdelivery/lists", "s3://blitz-mcdelivery/trained"
    segments, micro = expected["segments"], expected["microsegments"]

    assert "report.html" in job_on_s3(moto_server, "report", *conf)
    page = storage.read_bytes("s3://blitz-mcdelivery/features/users/ownapp/report.html").decode()
    assert all(name in page for name in segments["Segment"].unique())

    job_on_s3(moto_server, "export", *conf, "--by", "segment", "--out", lists)
    files = [info.path for info in storage.list_files(lists) if info.path.endswith(".csv")]
    exported = [
        (row.algonomy_id, row.segment)
        for path in files
        for row in pd.read_csv(storage.open_input(path), dtype=str).itertuples()
    ]
    pairs = segments[["algonomy_id", "Segment"]].astype(str)
    assert sorted(exported) == sorted(pairs.itertuples(index=False, name=None))

    plan = str(micro["Segment"].mode()[0])
    job_on_s3(moto_server, "train_microsegments", *conf, "--plan", plan, "--k", "3", "--out", models)
    assert [info.path for info in storage.list_files(models) if info.path.endswith(".pkl")]

    customer, segment = pairs.iloc[0]
    assert segment in job_on_s3(moto_server, "explain", *conf, "--customer", customer)


def test_a_missing_model(moto_server: str, buckets: Any) -> None:
    place = {"Bucket": "blitz-mcdelivery", "Key": (key := "Modelling/Artifacts/kmeans_segmentation_6_15_03.pkl")}
    model = buckets.get_object(**place)["Body"].read()
    buckets.delete_object(**place)
    try:
        done, seconds = run("sail", moto_server)
    finally:
        buckets.put_object(**place, Body=model)
    message = message_of(done)
    assert seconds < A_MINUTE
    assert f"s3://blitz-mcdelivery/{key}: no such object" in message and "segment_6_15_03_model" in message


@contextmanager
def refusing() -> Iterator[str]:
    """An S3 server that answers every request with 403; yields its endpoint."""
    answer = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_HEAD = do_PUT = do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Write no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_denied_bucket() -> None:
    with refusing() as endpoint:
        done, seconds = run("sail", endpoint)
    message = message_of(done)
    assert seconds < A_MINUTE
    assert re.search(r"s3://data-mcdelivery/sales/ and \d+ more paths: access denied", message)
    assert message.count("access denied") == message.count("s3://")  # once a bucket, not once a path
    assert "GetObject" in message and "'data-mcdelivery'" in message


def test_an_endpoint_that_does_not_answer() -> None:
    """20 s: the retries of two clients."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    done, seconds = run("sail", endpoint)
    message = message_of(done)
    assert seconds < A_MINUTE
    assert f"S3 at {endpoint.removeprefix('http://')} cannot be reached" in message and "AWS_ENDPOINT_URL" in message
    assert message.count("cannot be reached") == 2  # of the raw data, and of the models; not once a path
