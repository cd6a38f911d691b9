"""Erasures that die: kill -9 at eight moments; then with S3 that keeps versions, and with Delta."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest

import compare
from blitz_sample.generate import write_sample
from delta_log import rows_of
from id_search import files_with
from job_runs import command_of, environment
from places import CHECKOUT
from s3_fixtures import aws_environment

pytestmark = pytest.mark.slow

ORDERS = 2500
MOMENTS = 8
SALT = "a secret salt of this test"
LOGGED = " INFO "
COLUMN = "algonomy_id"


def sample_conf(folder: Path, out: str, **run: Any) -> dict[str, Any]:
    """conf/local.json on a small sample, with outputs at ``out``."""
    write_sample(ORDERS, 3, f"{folder}/sample")
    text = (CHECKOUT / "conf/local.json").read_text()
    body: dict[str, Any] = json.loads(text.replace("data/sample/", f"{folder}/sample/").replace("data/out/", f"{out}/"))
    body["run"] |= {"engine": "sail", "suppression_path": f"{out}/erased.txt", **run}
    (folder / "conf.json").write_text(json.dumps(body))
    return body


def customers_of(folder: Path, count: int) -> list[str]:
    mapping = pd.read_csv(folder / "sample/received_over_email/customer_invoice_mapping.csv", dtype=str)
    return sorted(mapping["customer_code_ty"].dropna().unique())[:count]


class Erasures:
    """Erasures of batches of customers from one sample, each with those of the batches before it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.body = sample_conf(folder, f"{folder}/out")
        self.paths = compare.output_paths(self.body)
        found = customers_of(folder, 6 * (MOMENTS + 1))
        self.batches = [found[at :: MOMENTS + 1] for at in range(MOMENTS + 1)]

    def start(self, number: int) -> subprocess.Popen[str]:
        ids = [each for batch in self.batches[: number + 1] for each in batch]
        (self.folder / "ids.txt").write_text("\n".join(ids))
        conf = ("--conf", f"{self.folder}/conf.json", "--customers", f"{self.folder}/ids.txt")
        command = command_of("sail", "erase", *conf, "--also", f"{self.folder}/lists")
        places = environment(TMPDIR=str(self.folder), BLITZ_SUPPRESSION_SALT=SALT)
        out, err = subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen(
            command, cwd=CHECKOUT, env=places, stdout=out, stderr=err, text=True, start_new_session=True
        )

    def complete(self, number: int) -> list[str]:
        """Run from start to end; the lines that it logs."""
        process = self.start(number)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said[-3000:]
        assert not [each for batch in self.batches for each in batch if each in said]
        return [line for line in said.splitlines() if LOGGED in line]

    def tables(self) -> dict[str, pd.DataFrame]:
        return {step: compare.read(path) for step, path in self.paths.items()}


@pytest.fixture(scope="module")
def erasures(tmp_path_factory: pytest.TempPathFactory) -> Erasures:
    made = Erasures(tmp_path_factory.mktemp("killed"))
    for job, more in (("run_all", ("--no-report",)), ("export", ("--out", f"{made.folder}/lists"))):
        command = command_of("sail", job, "--conf", f"{made.folder}/conf.json", *more)
        done = subprocess.run(command, cwd=CHECKOUT, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    return made


def test_killed_at_eight_moments(erasures: Erasures) -> None:
    """Each erasure has one batch more than the killed one before it. A table is as before it or without the batch."""
    original = erasures.tables()
    lines = len(erasures.complete(0))
    assert lines > MOMENTS
    seen = set()
    for number in range(1, MOMENTS + 1):
        before = erasures.tables()
        process = erasures.start(number)
        assert process.stdout is not None
        left = 1 + lines * (number - 1) // MOMENTS
        for line in process.stdout:
            left -= LOGGED in line
            if not left:
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        gone = {each for batch in erasures.batches[: number + 1] for each in batch}
        states = []
        for step, rows in erasures.tables().items():
            rest = before[step][~before[step][COLUMN].isin(gone)]
            candidates = {"before": before[step], "after": rest}
            found = [
                name
                for name, expected in candidates.items()
                if not compare.differences(expected, rows, compare.KEYS[step], True)
            ]
            assert found, (number, step)
            states.append(found[0])
        seen.add(tuple(states))
    assert len(seen) > 2  # some died before the first table, some between two
    erasures.complete(MOMENTS)
    gone = {each for batch in erasures.batches for each in batch}
    assert files_with(erasures.folder / "out", gone) == {} and files_with(erasures.folder / "lists", gone) == {}
    for step, rows in erasures.tables().items():
        rest = original[step][~original[step][COLUMN].isin(gone)]
        assert len(rest) < len(original[step])
        assert compare.differences(rest, rows, compare.KEYS[step], True) == [], step
    hidden = list((erasures.folder / "out").rglob(".*blitz*"))
    assert hidden == []


def run(folder: Path, job: str, *arguments: str, **places: str) -> None:
    """Run a job on Sail, in a process of its own."""
    command = command_of("sail", job, "--conf", f"{folder}/conf.json", *arguments)
    env = environment(BLITZ_SUPPRESSION_SALT=SALT, **places)
    done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def s3_bytes(client: Any, bucket: str, folder: Path) -> Path:
    """The current objects of a bucket as files."""
    for item in client.list_objects_v2(Bucket=bucket)["Contents"]:
        path = folder / item["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
    return folder


def test_on_s3_with_versions(moto_server: str, bucket: str, tmp_path: Path) -> None:
    """No current object has an id; the versions before do, and the certificate says when a lifecycle rule expires them."""
    client = boto3.client("s3", endpoint_url=moto_server)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    rule = {
        "ID": "x",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
    }
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    sample_conf(tmp_path, f"s3://{bucket}/out", s3_endpoint=moto_server)
    ids = customers_of(tmp_path, 50)
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    conf = f"{tmp_path}/conf.json"
    aws, steps = aws_environment(moto_server), ("--no-report", "--steps", "ownapp,instore")
    run(tmp_path, "refresh", *steps, **aws)
    listed = "".join(f'"{each}","Seg1_5_1"\n' for each in [*ids, "0000000000"])
    client.put_object(
        Bucket=bucket, Key="lists/by_segment=Seg1_5_1/part-1.csv", Body=f"algonomy_id,segment\n{listed}".encode()
    )
    assert files_with(s3_bytes(client, bucket, tmp_path / "before"), ids)
    run(tmp_path, "erase", "--customers", f"{tmp_path}/ids.txt", "--also", f"s3://{bucket}/lists", **aws)
    after = s3_bytes(client, bucket, tmp_path / "after")
    assert files_with(after, ids) == {}
    (path,) = after.glob("out/erasure-*.json")
    body = json.loads(path.read_text())
    assert body["status"] == "complete" and {each["rows_left"] for each in body["tables"]} == {0}
    (note,) = [each for each in body["not_touched"] if each.startswith(f"bucket {bucket}: keeps the versions")]
    assert "expire them after 7 days" in note
    for step in ("ownapp", "instore"):
        old, new = (
            compare.read(str(tmp_path / each / f"out/{rest_of(conf, step, bucket)}")) for each in ("before", "after")
        )
        assert compare.differences(old[~old[COLUMN].isin(ids)], new, compare.KEYS[step], True) == []
    run(tmp_path, "refresh", *steps, **aws)
    assert files_with(s3_bytes(client, bucket, tmp_path / "later"), ids) == {}


def rest_of(conf: str, step: str, bucket: str) -> str:
    path = compare.output_paths(json.loads(Path(conf).read_text()))[step]
    return path.removeprefix(f"s3://{bucket}/out/")


def test_with_delta(tmp_path: Path) -> None:
    """Two versions of each table hold the customers; a new table without a history takes its place."""
    body = sample_conf(tmp_path, f"{tmp_path}/out", format="delta")
    steps = ("--no-report", "--steps", "ownapp,swiggy,instore,customers")
    ids = customers_of(tmp_path, 50)
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    run(tmp_path, "run_all", *steps)
    run(tmp_path, "run_all", *steps)
    paths = {step: path for step, path in compare.output_paths(body).items() if Path(path).exists()}
    assert set(paths) == {"ownapp", "swiggy", "instore", "customers"}
    before = {step: rows_of(path) for step, path in paths.items()}
    run(tmp_path, "erase", "--customers", f"{tmp_path}/ids.txt")
    assert files_with(tmp_path / "out", ids) == {}
    for step, path in paths.items():
        rest = before[step][~before[step][COLUMN].isin(ids)]
        assert compare.differences(rest, rows_of(path), compare.KEYS[step], True) == [], step
    (path,) = (tmp_path / "out").glob("erasure-*.json")
    assert {each["versions_expired"] for each in json.loads(path.read_text())["tables"]} == {2}
    run(tmp_path, "run_all", *steps)
    assert files_with(tmp_path / "out", ids) == {}
