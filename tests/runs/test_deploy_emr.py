"""Jobs go to EMR: the requests as JSON, uploads and submission against moto's EMR, EMR Serverless and S3, in this process."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

import submit_emr
from places import CHECKOUT

ROLE = "arn:aws:iam::123456789012:role/blitz"
PYTHON = "./environment/bin/python"


@pytest.fixture
def environment(tmp_path) -> Path:
    path = tmp_path / "environment.tar.gz"
    path.write_bytes(b"a packed environment")
    return path


@dataclass
class Done:
    """What a call printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def call(capsys, monkeypatch):
    """The command that spark-submit.sh hands over to, from the checkout, without a process of its own."""
    monkeypatch.chdir(CHECKOUT)

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        try:
            code = submit_emr.main([str(word) for word in arguments])
        except SystemExit as ended:  # argparse's
            code = ended.code
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def aws(monkeypatch) -> Iterator[None]:
    """moto's AWS in place of the real one, for the boto3 clients of this process."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.fixture
def bucket(aws) -> str:
    boto3.client("s3").create_bucket(Bucket="code-of-blitz")
    return "code-of-blitz"


def spark_confs(words: list[str]) -> dict[str, str]:
    """The last value of each ``--conf key=value``, as spark-submit takes them."""
    return dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "--conf")


def test_outputs_as_iceberg_tables_in_glue(call, tmp_path):
    """conf/glue.json: the request has the settings of the catalog, and the job gets its names from the command line."""
    done = call("--target", "emr-ec2", "--dry-run", "--cluster-id", "j-X", "--code", "s3://bucket/blitz/",
                "--environment", tmp_path / "environment.tar.gz",
                "jobs/run_all.py", "--conf", "conf/glue.json", "--schema", "gold")  # fmt: skip
    assert done.returncode == 0, done.stderr
    words = json.loads(done.stdout)["Steps"][0]["HadoopJarStep"]["Args"]
    assert words[-2:] == ["--schema", "gold"]
    confs = spark_confs(words[: next(index for index, word in enumerate(words) if word.endswith(".py"))])
    assert confs["spark.sql.extensions"] == "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
    assert {key.rpartition("glue")[2]: value for key, value in confs.items() if ".catalog.glue" in key} == {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "glue",
        ".warehouse": "s3://blitz-mcdelivery/warehouse/",
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
    }
    assert confs["spark.jars"] == "/usr/share/aws/iceberg/lib/iceberg-spark3-runtime.jar"


def test_the_step_for_emr_on_ec2(call, tmp_path):
    done = call("--target", "emr-ec2", "--dry-run", "--cluster-id", "j-X", "--code", "s3://bucket/blitz/",
                "--environment", tmp_path / "environment.tar.gz", "--conf", "spark.sql.shuffle.partitions=64",
                "jobs/run_all.py", "--conf", "conf/prod.json", "--as-of", "2025-08-01")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "make dist" in done.stderr  # nothing is built, and a dry run needs nothing
    body = json.loads(done.stdout)
    (step,) = body["Steps"]
    assert body["JobFlowId"] == "j-X" and step["ActionOnFailure"] == "CONTINUE"
    jar = step["HadoopJarStep"]
    assert jar["Jar"] == "command-runner.jar"
    words = jar["Args"]
    assert words[:5] == ["spark-submit", "--master", "yarn", "--deploy-mode", "cluster"]
    assert words[words.index("--archives") + 1] == "s3://bucket/blitz/environment.tar.gz#environment"
    at = next(index for index, word in enumerate(words) if word.endswith(".py"))
    assert words[at].startswith("s3://bucket/blitz/jobs/run_all-")
    assert words[at + 1] == "--conf" and words[at + 2].startswith("s3://bucket/blitz/conf/prod-")
    assert words[at + 3 :] == ["--as-of", "2025-08-01"]
    confs = spark_confs(words[:at])
    assert confs["spark.yarn.appMasterEnv.PYSPARK_PYTHON"] == confs["spark.executorEnv.PYSPARK_PYTHON"] == PYTHON
    prod = json.loads((CHECKOUT / "conf/prod.json").read_text())["spark"]
    expected = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in prod.items()}
    expected["spark.sql.shuffle.partitions"] = "64"  # the command line wins
    assert {key: confs[key] for key in expected} == expected


def test_the_job_run_for_emr_serverless(call, environment):
    done = call("--dry-run", "--target=emr-serverless", "--application-id", "00f1", "--execution-role-arn", ROLE,
                "--code", "s3://bucket/blitz", "--environment", environment, "--logs", "s3://bucket/logs/",
                "--conf", "spark.executor.memory=8g", "jobs/segments.py", "--conf=conf/prod.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert (body["applicationId"], body["executionRoleArn"], body["name"]) == ("00f1", ROLE, "blitz segments")
    submit = body["jobDriver"]["sparkSubmit"]
    assert submit["entryPoint"].startswith("s3://bucket/blitz/jobs/segments-")
    (argument,) = submit["entryPointArguments"]
    assert argument.startswith("--conf=s3://bucket/blitz/conf/prod-") and argument.endswith(".json")
    confs = spark_confs(submit["sparkSubmitParameters"].split(" "))
    assert confs.pop("spark.archives").startswith("s3://bucket/blitz/environment-")
    assert confs == {
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": PYTHON,
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": PYTHON,
        "spark.executor.memory": "8g",
    }
    overrides = body["configurationOverrides"]
    (defaults,) = overrides["applicationConfiguration"]
    assert defaults["classification"] == "spark-defaults"
    assert defaults["properties"]["spark.sql.shuffle.partitions"] == "800"
    assert overrides["monitoringConfiguration"]["s3MonitoringConfiguration"]["logUri"] == "s3://bucket/logs/"


def test_a_step_is_submitted_with_all_that_it_needs(call, bucket, environment, tmp_path):
    emr = boto3.client("emr")
    cluster = emr.run_job_flow(Name="c", Instances={"KeepJobFlowAliveWhenNoSteps": True}, ReleaseLabel="emr-7.9.0")
    whole = json.loads((CHECKOUT / "conf/prod.json").read_text())
    (tmp_path / "segmentation.json").write_text(json.dumps(whole["segmentation"]))
    (tmp_path / "conf.json").write_text(json.dumps({**whole, "segmentation": "segmentation.json"}))
    arguments = ["--target", "emr-ec2", "--cluster-id", cluster["JobFlowId"], "--code", f"s3://{bucket}/blitz/",
                 "--environment", environment, "--on-failure", "CANCEL_AND_WAIT", "jobs/run_all.py",
                 "--conf", tmp_path / "conf.json"]  # fmt: skip
    done = call(*arguments)
    assert done.returncode == 0, done.stderr
    (step,) = emr.list_steps(ClusterId=cluster["JobFlowId"])["Steps"]
    assert (step["Id"], step["Name"]) == (done.stdout.strip(), "blitz run_all")
    assert step["ActionOnFailure"] == "CANCEL_AND_WAIT"
    words = step["Config"]["Args"]
    s3 = boto3.client("s3")

    def content(address: str) -> bytes:
        assert address.startswith(f"s3://{bucket}/")
        return s3.get_object(Bucket=bucket, Key=address.removeprefix(f"s3://{bucket}/"))["Body"].read()

    assert content(words[words.index("--archives") + 1].removesuffix("#environment")) == environment.read_bytes()
    assert content(words[-3]) == (CHECKOUT / "jobs/run_all.py").read_bytes()
    assert json.loads(content(words[-1])) == whole  # the body in a file of its own travelled inside

    def stamps() -> dict[str, object]:
        return {each["Key"]: each["LastModified"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]}

    before = stamps()
    assert call(*arguments).returncode == 0
    assert stamps().keys() == before.keys()  # the same content has the same address
    whole["spark"]["spark.sql.shuffle.partitions"] = 50
    (tmp_path / "conf.json").write_text(json.dumps(whole))
    assert call(*arguments).returncode == 0
    assert len(stamps()) == len(before) + 1  # what a waiting step will read stays


def test_a_job_run_is_submitted(call, bucket, environment):
    serverless = boto3.client("emr-serverless")
    application = serverless.create_application(name="blitz", releaseLabel="emr-7.9.0", type="SPARK")["applicationId"]
    done = call("--target", "emr-serverless", "--application-id", application, "--execution-role-arn", ROLE,
                "--code", f"s3://{bucket}/blitz", "--environment", environment, "jobs/customer_features.py",
                "--conf", "conf/prod.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = serverless.get_job_run(applicationId=application, jobRunId=done.stdout.strip())["jobRun"]
    assert run["jobDriver"]["sparkSubmit"]["entryPoint"].startswith(f"s3://{bucket}/blitz/jobs/customer_features-")
    assert run["executionRole"] == ROLE


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("arguments", "code", "fragments"),
    [
        (["--cluster-id", "j-X", "jobs/run_all.py", "--conf", "conf/local.json"], 2,
         ["swiggy.output_path: data/out", "segmentation.segment_1_5_3_model: data/sample", "s3://"]),
        (["--cluster-id", "j-X", "jobs/run_all.py", "--conf", "conf/none.json"], 2, ["conf/none.json"]),
        (["--cluster-id", "j-X", "jobs/run_all.py"], 2, ["no config given"]),
        (["--cluster-id", "j-X", "jobs/none.py", "--conf", "conf/prod.json"], 2, ["jobs/none.py: no such job"]),
        (["--cluster-id", "j-X"], 2, ["no job given"]),
        (["jobs/run_all.py", "--conf", "conf/prod.json"], 2, ["--target emr-ec2 needs --cluster-id"]),
        (["--cluster-id", "j-X", "--environment", "none.tar.gz", "jobs/run_all.py", "--conf", "conf/prod.json"], 1,
         ["none.tar.gz", "make dist"]),
        (["--cluster-id", "j-X", "--environment", "README.md", "jobs/run_all.py", "--conf", "conf/prod.json"], 1,
         ["not submitted", "bucket"]),
    ],
)  # fmt: skip
def test_what_cannot_be_submitted_ends_in_one_message(call, arguments, code, fragments):
    done = call("--target", "emr-ec2", "--code", "s3://no-such-bucket-here/blitz", *arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr
    for fragment in fragments:
        assert fragment in done.stderr


def test_an_option_that_serverless_cannot_carry_is_refused(call):
    done = call("--target", "emr-serverless", "--dry-run", "--application-id", "a", "--execution-role-arn", ROLE,
                "--code", "s3://b/c", "--conf", "spark.driver.extraJavaOptions=-Xss4m -Dx=y", "jobs/run_all.py",
                "--conf", "conf/prod.json")  # fmt: skip
    assert done.returncode == 2 and "spark section" in done.stderr
